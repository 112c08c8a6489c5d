//! What a PKCS#11 module gives without the gateway: `C_SignInit` and `C_Sign` over and over, in as many HSM sessions as asked for.
//!
//! The baseline of `cargo xtask bench` for `mint_throughput` and `mint_idle_latency`. Prints one JSON line.
//!
//! `raw_sign --module FILE --token LABEL --pin-file FILE --key LABEL --sessions N --seconds S [--pause-us N]`

#![allow(unsafe_code, reason = "C function pointers of the PKCS#11 module")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench stops loudly, reads the clock and prints its figures"
)]

use std::collections::HashMap;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session as HsmSession, UserType};
use cryptoki_sys::{CK_FUNCTION_LIST, CK_MECHANISM, CKM_ECDSA, CKR_OK};

fn main() {
    let options = Options::read();
    let context = Pkcs11::new(&options.module).expect("the module loads");
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("the module starts");
    let slots = context.get_slots_with_initialized_token().expect("slots");
    let has_label =
        |slot: &cryptoki::slot::Slot| context.get_token_info(*slot).expect("a token").label() == options.token;
    let slot = *slots.iter().find(|slot| has_label(slot)).expect("the HSM token");
    let first = context.open_rw_session(slot).expect("an HSM session");
    first.login(UserType::User, Some(&options.pin.as_str().into())).expect("the PIN");
    let label = Attribute::Label(options.key.clone().into_bytes());
    let keys = first.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY), label]).expect("a search");
    let key = *keys.first().expect("the key");
    let sessions: Vec<HsmSession> =
        (0..options.sessions).map(|_| context.open_rw_session(slot).expect("an HSM session")).collect();

    let module = Raw::of(Path::new(&options.module));
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let mut times: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = sessions
            .into_iter()
            .map(|hsm_session| {
                let (module, stop) = (&module, &stop);
                scope.spawn(move || sign_until(module, &hsm_session, key, stop, options.pause))
            })
            .collect();
        std::thread::sleep(options.duration);
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    });
    let elapsed = began.elapsed();
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0);
    let per_s = u128::try_from(times.len()).expect("fits") * 1_000_000 / elapsed.as_micros().max(1);
    println!(r#"{{"per_s": {per_s}, "p50_ns": {}, "p99_ns": {}, "samples": {}}}"#, at(50), at(99), times.len());
    drop(first);
    context.finalize().expect("finalises");
}

/// How long each signature took, in nanoseconds.
fn sign_until(
    module: &Raw,
    hsm_session: &HsmSession,
    key: ObjectHandle,
    stop: &AtomicBool,
    pause: Duration,
) -> Vec<u64> {
    let mut times = Vec::new();
    let mut digest = [7; 32];
    while !stop.load(Ordering::Relaxed) {
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
        let began = Instant::now();
        let signature = module.sign(hsm_session, key, &digest);
        times.push(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
        // Another digest each time, and the signature is used.
        digest.copy_from_slice(signature.get(..32).expect("64 bytes"));
    }
    times
}

/// The module's functions, without anything around them.
struct Raw {
    list: CK_FUNCTION_LIST,
    _library: cryptoki_sys::Pkcs11,
}

impl Raw {
    fn of(module: &Path) -> Self {
        // SAFETY: the library was loaded a moment ago; loading it again gives the same one.
        let library = unsafe { cryptoki_sys::Pkcs11::new(module) }.expect("the module loads");
        let mut list = ptr::null_mut();
        // SAFETY: `list` is a valid place for one pointer.
        let code = unsafe { library.C_GetFunctionList(&mut list) };
        assert!(code == CKR_OK && !list.is_null());
        // SAFETY: the module gave a list, which lives as long as the library.
        Self { list: unsafe { *list }, _library: library }
    }

    fn sign(&self, hsm_session: &HsmSession, key: ObjectHandle, digest: &[u8; 32]) -> [u8; 64] {
        let mut mechanism = CK_MECHANISM { mechanism: CKM_ECDSA, pParameter: ptr::null_mut(), ulParameterLen: 0 };
        let (mut signature, mut length) = ([0; 64], 64);
        let (init, sign) = (self.list.C_SignInit.expect("C_SignInit"), self.list.C_Sign.expect("C_Sign"));
        // SAFETY: every pointer is to a local value that outlives the call, with its right length; nobody else uses this HSM session.
        let codes = unsafe {
            let begun = init(hsm_session.handle(), &mut mechanism, key.handle());
            let data = digest.as_ptr().cast_mut();
            (begun, sign(hsm_session.handle(), data, 32, signature.as_mut_ptr(), &mut length))
        };
        assert_eq!((codes, length), ((CKR_OK, CKR_OK), 64));
        signature
    }
}

struct Options {
    module: String,
    token: String,
    pin: String,
    key: String,
    sessions: usize,
    duration: Duration,
    pause: Duration,
}

impl Options {
    fn read() -> Self {
        // Cargo adds `--bench` when it runs a bench.
        let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
        let given: HashMap<&str, &str> =
            words.chunks(2).filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_str()))).collect();
        let text = |name: &str| given.get(name).copied().unwrap_or_else(|| panic!("{name} is missing")).to_owned();
        let number = |name: &str| given.get(name).map_or(0, |value| value.parse().expect("a whole number"));
        let pin = std::fs::read_to_string(text("--pin-file")).expect("the PIN file");
        Self {
            module: text("--module"),
            token: text("--token"),
            pin: pin.trim_end().to_owned(),
            key: text("--key"),
            sessions: usize::try_from(number("--sessions")).expect("fits"),
            duration: Duration::from_secs(number("--seconds")),
            pause: Duration::from_micros(number("--pause-us")),
        }
    }
}
