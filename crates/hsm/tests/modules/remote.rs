//! What a module does whose device is another process: the facts that supervision is built on.

use std::time::Duration;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::RvError;

use crate::direct::{Direct, code};
use crate::harness::in_own_process;

in_own_process! {
    fn a_killed_server_fails_every_call_until_the_module_is_finalised() on (Kind::RemoteSoftHsm) |module| {
        let direct = Direct::open(&module);
        direct.sign().expect("signs");
        let server = module.server.as_mut().expect("the remote kind has one");
        server.kill();
        assert!(matches!(code(direct.sign()), Some(RvError::DeviceError)));
        server.restart();
        assert!(matches!(code(direct.sign()), Some(RvError::DeviceError)), "its return alone heals nothing");
        assert!(matches!(code(direct.context.open_ro_session(direct.slot)), Some(RvError::DeviceError)));
        direct.finalize().expect("finalises, though its HSM sessions cannot be closed");
        let again = Direct::open(&module);
        again.sign().expect("signs");
        again.finalize().expect("finalises");
    }
}

in_own_process! {
    fn while_the_server_is_away_the_module_starts_and_shows_no_slots_even_after_its_return() on (Kind::RemoteSoftHsm) |module| {
        let server = module.server.as_mut().expect("the remote kind has one");
        server.kill();
        let context = Pkcs11::new(&module.module).expect("the module loads");
        context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("no error says that it is away");
        assert_eq!(context.get_slots_with_token().expect("a list"), []);
        server.restart();
        assert_eq!(context.get_slots_with_token().expect("a list"), [], "its return alone heals nothing");
        context.finalize().expect("finalises");
        let direct = Direct::open(&module);
        direct.sign().expect("signs");
        direct.finalize().expect("finalises");
    }
}

in_own_process! {
    fn a_second_list_of_functions_is_a_second_module_that_knows_no_hsm_session_of_the_first() on (Kind::RemoteSoftHsm) |module| {
        let direct = Direct::open(&module);
        let second = Pkcs11::new(&module.module).expect("the module loads");
        assert!(matches!(code(second.get_slots_with_token()), Some(RvError::CryptokiNotInitialized)));
        direct.sign().expect("signs");
        direct.finalize().expect("finalises");
    }
}

in_own_process! {
    fn calls_to_a_frozen_server_hang_and_end_well_when_it_thaws() on (Kind::RemoteSoftHsm) |module| {
        let direct = Direct::open(&module);
        let server = module.server.as_ref().expect("the remote kind has one");
        server.freeze();
        let hanging = std::thread::spawn(move || {
            let signed = direct.sign().map(|_| ());
            (direct, signed)
        });
        std::thread::sleep(Duration::from_millis(200));
        assert!(!hanging.is_finished());
        server.thaw();
        let (direct, signed) = hanging.join().expect("the call returns");
        signed.expect("signs");
        direct.finalize().expect("finalises");
    }
}
