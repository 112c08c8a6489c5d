//! Signatures and nonces.

use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use cashgate_hsm::{Hsm, HsmConfig, HsmError, HsmStats};

use crate::harness::{block_on, config, in_own_process, provision_token, spied_calls, spy_module};

fn sha256(message: &[u8]) -> [u8; 32] {
    digest(&SHA256, message).as_ref().try_into().expect("32 bytes")
}

fn verifies(hsm: &Hsm, message: &[u8], signature: &[u8; 64]) -> bool {
    let public_key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, hsm.signing_key().sec1_uncompressed());
    public_key.verify(message, signature).is_ok()
}

in_own_process! {
    fn a_signature_verifies_under_the_published_key_and_no_other_message_does() {
        provision_token();
        let hsm = Hsm::open(config()).expect("opens");
        let signature = block_on(hsm.sign(sha256(b"withdraw 10,000 yen"))).expect("signs");
        assert!(verifies(&hsm, b"withdraw 10,000 yen", &signature));
        assert!(!verifies(&hsm, b"withdraw 90,000 yen", &signature));
        hsm.close();
    }
}

in_own_process! {
    fn many_at_once_are_all_valid_and_no_nonce_repeats() {
        provision_token();
        let hsm = Hsm::open(config()).expect("opens");
        let nonces = block_on(async {
            let tasks: Vec<_> = (0..16).map(|task| tokio::spawn(sign_fifty(hsm.clone(), task))).collect();
            let mut nonces = HashSet::new();
            for task in tasks {
                nonces.extend(task.await.expect("the task ends"));
            }
            nonces
        });
        assert_eq!(nonces.len(), 16 * 50);
        assert_eq!(hsm.queue_depth(), 0);
        assert_eq!(hsm.stats(), HsmStats { calls: 2 * 16 * 50, ..HsmStats::default() });
        hsm.close();
    }
}

async fn sign_fifty(hsm: Hsm, task: u8) -> Vec<[u8; 16]> {
    let mut nonces = Vec::new();
    for round in 0..50 {
        let nonce = hsm.nonce().await.expect("a nonce");
        let message = [&[task, round][..], &nonce].concat();
        let signature = hsm.sign(sha256(&message)).await.expect("a signature");
        assert!(verifies(&hsm, &message, &signature), "task {task}, round {round}");
        nonces.push(nonce);
    }
    nonces
}

in_own_process! {
    fn a_full_queue_refuses_some_and_breaks_nothing() {
        provision_token();
        let hsm = Hsm::open(HsmConfig { workers: 1, queue: 2, ..config() }).expect("opens");
        let message = b"one of many";
        let (signed, refused) = block_on(async {
            let tasks: Vec<_> = (0..200)
                .map(|_| {
                    let hsm = hsm.clone();
                    tokio::spawn(async move { hsm.sign(sha256(message)).await })
                })
                .collect();
            let (mut signed, mut refused) = (0, 0);
            for task in tasks {
                match task.await.expect("the task ends") {
                    Ok(signature) => {
                        assert!(verifies(&hsm, message, &signature));
                        signed += 1;
                    }
                    Err(HsmError::Busy) => refused += 1,
                    Err(other) => panic!("neither signed nor refused: {other}"),
                }
            }
            (signed, refused)
        });
        assert!(signed > 0 && refused > 0, "{signed} signed, {refused} refused");
        assert_eq!(hsm.stats(), HsmStats { calls: signed, refused_full: refused, ..HsmStats::default() });
        let afterwards = block_on(hsm.sign(sha256(message))).expect("the queue is free again");
        assert!(verifies(&hsm, message, &afterwards));
        hsm.close();
    }
}

in_own_process! {
    fn one_signature_is_three_calls_and_one_nonce_is_one() {
        provision_token();
        let hsm = Hsm::open(HsmConfig { module: spy_module(), ..config() }).expect("opens");
        assert_eq!(spied_calls("C_Login"), 1, "four workers ride on one login");
        assert_eq!(spied_calls("C_OpenSession"), 4);
        let calls = || ["C_SignInit", "C_Sign", "C_GenerateRandom", "C_FindObjectsInit", "C_Login"].map(spied_calls);
        let before = calls();
        block_on(hsm.sign([7; 32])).expect("signs");
        block_on(hsm.nonce()).expect("a nonce");
        let after = calls();
        let made: Vec<usize> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        // C_Sign twice: once for the length, once for the signature.
        assert_eq!(made, [1, 2, 1, 0, 0]);
        hsm.close();
        assert_eq!(spied_calls("C_CloseSession"), 4);
        assert_eq!(spied_calls("C_Finalize"), 1);
    }
}
