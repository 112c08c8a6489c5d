//! Signatures alone and in batches, authentication codes, nonces.

use std::collections::HashSet;
use std::time::Duration;

use aws_lc_rs::hmac;
use cashgate_hsm::{Hsm, HsmConfig, HsmError, HsmSlot, HsmState, HsmStats, import_mac_key, provision};

use crate::harness::{
    KEY_LABEL, PIN, Papers, SO_PIN, TOKEN_LABEL, block_on, config, config_over, in_own_process, provision_token, slot,
    softhsm_module, spied_calls, spy_module,
};

in_own_process! {
    fn what_is_signed_verifies_under_the_published_key_and_nothing_else_does() {
        provision_token();
        let hsm = Hsm::open(config(), Papers).expect("opens");
        let signed = block_on(hsm.sign(b"withdraw 10,000 yen".to_vec())).expect("signs");
        let key = block_on(hsm.find_key(KEY_LABEL)).expect("answers").remove(0).key.expect("a key");
        assert!(signed.verifies(b"withdraw 10,000 yen") && signed.is_signed_by(&key));
        assert!(!signed.verifies(b"withdraw 90,000 yen"));
        hsm.close();
    }
}

in_own_process! {
    fn many_at_once_share_signatures_and_no_nonce_repeats() {
        provision_token();
        let hsm = Hsm::open(HsmConfig { queue: 4_096, ..config() }, Papers).expect("opens");
        let (nonces, largest) = block_on(async {
            let tasks: Vec<_> = (0..256_u16).map(|task| tokio::spawn(sign_ten(hsm.clone(), task))).collect();
            let (mut nonces, mut largest) = (HashSet::new(), 0);
            for task in tasks {
                let (of_task, size) = task.await.expect("the task ends");
                nonces.extend(of_task);
                largest = largest.max(size);
            }
            (nonces, largest)
        });
        assert_eq!(nonces.len(), 256 * 10);
        assert_eq!(hsm.queue_depth(), 0);
        let HsmStats { signatures, signed, failures, refused, timed_out, .. } = hsm.stats();
        assert_eq!((signed, failures, refused, timed_out), (256 * 10, 0, 0, 0));
        assert!(signatures < signed, "{signatures} signatures for {signed}");
        assert!((2..=64).contains(&largest), "{largest}");
        hsm.close();
    }
}

async fn sign_ten(hsm: Hsm<Papers>, task: u16) -> (Vec<[u8; 16]>, usize) {
    let (mut nonces, mut largest) = (Vec::new(), 0);
    for round in 0..10 {
        let paper = format!("paper {round} of task {task}").into_bytes();
        let signed = hsm.sign(paper.clone()).await.expect("a signature");
        assert!(signed.verifies(&paper), "task {task}, round {round}");
        nonces.push(signed.nonce);
        largest = largest.max(signed.size);
    }
    (nonces, largest)
}

in_own_process! {
    fn one_after_the_other_each_has_a_signature_of_its_own() {
        provision_token();
        let hsm = Hsm::open(config(), Papers).expect("opens");
        for _ in 0..100 {
            assert_eq!(block_on(hsm.sign(b"paper".to_vec())).expect("signs").size, 1);
        }
        assert_eq!(hsm.stats().signatures, 100);
        hsm.close();
    }
}

in_own_process! {
    fn what_may_not_be_signed_is_refused_and_breaks_nothing() {
        provision_token();
        let hsm = Hsm::open(config(), Papers).expect("opens");
        let refused = block_on(hsm.sign(b"forbidden".to_vec())).expect_err("never");
        assert_eq!(refused, HsmError::Refused { why: "this paper is never signed".to_owned() });
        block_on(hsm.sign(b"paper".to_vec())).expect("signs");
        assert_eq!((hsm.stats().failures, hsm.state()), (0, HsmState::Ready));
        hsm.close();
    }
}

in_own_process! {
    fn a_full_queue_refuses_some_and_breaks_nothing() {
        provision_token();
        let hsm = Hsm::open(HsmConfig { workers: 1, queue: 2, batch_max: 1, ..config() }, Papers).expect("opens");
        let (signed, refused) = block_on(async {
            let tasks: Vec<_> = (0..200)
                .map(|_| {
                    let hsm = hsm.clone();
                    tokio::spawn(async move { hsm.sign(b"paper".to_vec()).await })
                })
                .collect();
            let (mut signed, mut refused) = (0, 0);
            for task in tasks {
                match task.await.expect("the task ends") {
                    Ok(paper) => {
                        assert!(paper.verifies(b"paper"));
                        signed += 1;
                    }
                    Err(HsmError::Busy) => refused += 1,
                    Err(other) => panic!("neither signed nor refused: {other}"),
                }
            }
            (signed, refused)
        });
        assert!(signed > 0 && refused > 0, "{signed} signed, {refused} refused");
        assert_eq!((hsm.stats().signed, hsm.stats().refused), (signed, refused));
        block_on(hsm.sign(b"paper".to_vec())).expect("the queue is free again");
        hsm.close();
    }
}

in_own_process! {
    fn one_signature_is_two_calls_and_nonces_come_in_blocks() {
        provision_token();
        let hsm = Hsm::open(HsmConfig { workers: 1, batch_max: 8, ..config_over(spy_module()) }, Papers).expect("opens");
        // The first signature waits until the worker has tried its key and drawn its first block.
        block_on(hsm.sign(b"paper".to_vec())).expect("signs");
        assert_eq!(spied_calls("C_Login"), 1);
        assert_eq!(spied_calls("C_OpenSession"), 2, "the keeper's, which logged in, and the worker's");
        let calls = || ["C_SignInit", "C_Sign", "C_GenerateRandom", "C_FindObjectsInit"].map(spied_calls);
        let before = calls();
        for _ in 0..160 {
            block_on(hsm.sign(b"paper".to_vec())).expect("signs");
        }
        let after = calls();
        let made: Vec<usize> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        // 64 nonces a block, the next one drawn when fewer are left than a batch may take.
        assert_eq!(made, [160, 160, 2, 0]);
        hsm.close();
        assert_eq!(spied_calls("C_CloseSession"), 2);
        assert_eq!(spied_calls("C_Finalize"), 1);
    }
}

in_own_process! {
    fn authentication_codes_are_made_and_verified_inside() {
        provision_token();
        let value = [7; 32];
        let import = || import_mac_key(&softhsm_module(), TOKEN_LABEL, &PIN.into(), "dispense-A1", &value);
        import().expect("taken in");
        assert!(import().expect_err("never overwritten").to_string().contains("already exists"));
        let hsm = Hsm::open(config(), Papers).expect("opens");
        let mac = block_on(hsm.mac("dispense-A1", b"pay 10,000 yen".to_vec())).expect("made");
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &value), b"pay 10,000 yen", &mac).expect("as FIPS 198-1 says");
        let is_right = |message: &[u8], mac| block_on(hsm.mac_is_right("dispense-A1", message.to_vec(), mac));
        assert_eq!(is_right(b"pay 10,000 yen", mac), Ok(true));
        assert_eq!(is_right(b"pay 90,000 yen", mac), Ok(false));
        let mut wrong = mac;
        wrong[31] ^= 1;
        assert_eq!(is_right(b"pay 10,000 yen", wrong), Ok(false));
        let missing = block_on(hsm.mac("dispense-A2", b"pay".to_vec())).expect_err("there is none");
        assert!(matches!(&missing, HsmError::MacKey { why } if why.contains("dispense-A2")), "{missing}");
        assert_eq!((hsm.stats().failures, hsm.state()), (0, HsmState::Ready), "a wrong code is no failure of the HSM");
        hsm.close();
    }
}

in_own_process! {
    fn another_key_signs_from_the_next_signature_on() {
        provision_token();
        let hsm = Hsm::open(config(), Papers).expect("opens");
        let key = |label: &str| block_on(hsm.find_key(label)).expect("answers").remove(0).key;
        let first = key(KEY_LABEL).expect("a key");
        assert!(key("qr-2").expect_err("not yet").contains("no private key labelled"));
        let second = block_on(hsm.create_key("qr-2")).expect("answers").remove(0).key.expect("made");
        assert_eq!(block_on(hsm.create_key("qr-2")).expect("answers").remove(0).key, Ok(second), "made once");
        assert_eq!(key("qr-2"), Ok(second));
        assert!(block_on(hsm.sign(b"paper".to_vec())).expect("signs").is_signed_by(&first));
        hsm.sign_with("qr-2");
        assert_eq!(hsm.signing_key_label(), "qr-2");
        for _ in 0..20 {
            assert!(block_on(hsm.sign(b"paper".to_vec())).expect("signs").is_signed_by(&second));
        }
        assert_eq!((hsm.stats().failures, hsm.state()), (0, HsmState::Ready));
        hsm.close();
    }
}

in_own_process! {
    /// SoftHSM2 2.6 fails to make a key now and then while another thread looks for one.
    fn keys_are_made_while_others_are_looked_for() {
        provision_token();
        let hsm = Hsm::open(HsmConfig { workers: 8, ..config() }, Papers).expect("opens");
        block_on(async {
            for number in 0..60 {
                let label = format!("qr-new-{number}");
                let (made, found, again) =
                    tokio::join!(hsm.create_key(&label), hsm.find_key(KEY_LABEL), hsm.find_key(KEY_LABEL));
                for mut answers in [made, found, again] {
                    answers.as_mut().expect("answers").remove(0).key.expect("a key");
                }
            }
        });
        assert_eq!((hsm.stats().failures, hsm.state()), (0, HsmState::Ready));
        hsm.close();
    }
}

in_own_process! {
    fn two_slots_share_the_work_and_one_alone_goes_on() {
        provision_token();
        provision(&softhsm_module(), "second", &SO_PIN.into(), &PIN.into(), KEY_LABEL).expect("a second HSM token");
        let slots = vec![slot(), HsmSlot { token_label: "second".to_owned(), ..slot() }];
        let two = HsmConfig { slots, queue: 4_096, retry_max: Duration::from_millis(200), ..config() };
        let hsm = Hsm::open(two.clone(), Papers).expect("opens");
        assert_eq!(hsm.state(), HsmState::Ready);
        let keys: Vec<_> =
            block_on(hsm.find_key(KEY_LABEL)).expect("answers").into_iter().map(|slot| slot.key.expect("a key")).collect();
        assert_ne!(keys[0], keys[1], "each HSM token has a key of its own");
        let signed = block_on(async {
            let tasks: Vec<_> = (0..512)
                .map(|_| {
                    let hsm = hsm.clone();
                    tokio::spawn(async move { hsm.sign(b"paper".to_vec()).await.expect("signs") })
                })
                .collect();
            let mut signed = Vec::new();
            for task in tasks {
                signed.push(task.await.expect("the task ends"));
            }
            signed
        });
        for key in &keys {
            assert!(signed.iter().any(|paper| paper.is_signed_by(key)), "one of the slots did nothing");
        }
        hsm.close();

        let third = HsmSlot { token_label: "third".to_owned(), ..slot() };
        let hsm = Hsm::open(HsmConfig { slots: vec![slot(), third], ..two }, Papers).expect("opens");
        assert_eq!(hsm.state(), HsmState::Degraded);
        assert!(hsm.slots()[1].reason.contains("no HSM token is labelled \"third\""), "{:?}", hsm.slots());
        block_on(hsm.sign(b"paper".to_vec())).expect("one is enough");
        hsm.close();
    }
}
