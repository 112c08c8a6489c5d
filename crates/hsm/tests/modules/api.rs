//! Everything that these tests ask of the crate, in one place.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use cashgate_hsm::{Batcher, Hsm, HsmConfig, HsmSlot, HsmState, SigningPublicKey};

use crate::harness::{KEY_LABEL, ModuleUnderTest, PIN};

/// How a test wants the HSM opened; [`Access::of`] gives what is right.
pub(crate) struct Access<'a> {
    pub(crate) module: &'a Path,
    pub(crate) token_label: &'a str,
    pub(crate) pin: &'a str,
    pub(crate) key_label: &'a str,
}

impl<'a> Access<'a> {
    pub(crate) fn of(module: &'a ModuleUnderTest) -> Self {
        Self { module: &module.module, token_label: module.token_label, pin: PIN, key_label: KEY_LABEL }
    }
}

/// An open HSM that is ready, and a runtime to ask it from.
pub(crate) struct Opened {
    pub(crate) hsm: Hsm<Papers>,
    runtime: tokio::runtime::Runtime,
}

pub(crate) fn open(access: &Access<'_>) -> Opened {
    let hsm = Hsm::open(config(access), Papers).unwrap_or_else(|error| panic!("the HSM opens: {error}"));
    let opened = Opened { hsm, runtime: runtime() };
    assert_eq!(opened.hsm.state(), HsmState::Ready, "{:?}", opened.hsm.slots());
    opened
}

/// What an operator reads while the HSM is not used.
pub(crate) fn refusal(access: &Access<'_>) -> String {
    let hsm = Hsm::open(config(access), Papers).expect("whatever may heal does not stop it");
    let slot = hsm.slots().remove(0);
    assert_eq!(slot.state, HsmState::Lost, "{slot:?}");
    runtime().block_on(hsm.sign(b"anything".to_vec())).expect_err("nothing is signed");
    hsm.close();
    slot.reason
}

impl Opened {
    pub(crate) fn sign(&self, paper: &[u8]) -> SignedPaper {
        self.runtime.block_on(self.hsm.sign(paper.to_vec())).expect("a signature")
    }

    /// Signs all, asked for at once.
    pub(crate) fn sign_all(&self, papers: &[Vec<u8>]) -> Vec<SignedPaper> {
        self.runtime.block_on(async {
            let one = |paper| {
                let hsm = self.hsm.clone();
                async move { hsm.sign(paper).await }
            };
            let tasks: Vec<_> = papers.iter().map(|paper| tokio::spawn(one(paper.clone()))).collect();
            let mut all = Vec::new();
            for task in tasks {
                all.push(task.await.expect("the task ends").expect("a signature"));
            }
            all
        })
    }

    /// HMAC-SHA256 under the secret key of this label.
    pub(crate) fn mac(&self, key_label: &str, message: &[u8]) -> [u8; 32] {
        self.runtime.block_on(self.hsm.mac(key_label, message.to_vec())).expect("a code")
    }

    pub(crate) fn mac_is_right(&self, key_label: &str, message: &[u8], mac: [u8; 32]) -> bool {
        self.runtime.block_on(self.hsm.mac_is_right(key_label, message.to_vec(), mac)).expect("an answer")
    }

    pub(crate) fn close(self) {
        self.hsm.close();
    }
}

/// A new HSM token with a signing key.
pub(crate) fn make_hsm_token(module: &Path, token_label: &str, so_pin: &str, pin: &str, key_label: &str) {
    cashgate_hsm::provision(module, token_label, &so_pin.into(), &pin.into(), key_label)
        .expect("a fresh HSM token and key");
}

/// One more signing key on an HSM token that is there.
pub(crate) fn make_key(module: &Path, token_label: &str, pin: &str, key_label: &str) {
    cashgate_hsm::create_signing_key(module, token_label, &pin.into(), key_label).expect("a new key");
}

/// A secret key with a known value.
pub(crate) fn import_mac_key(module: &ModuleUnderTest, key_label: &str, value: &[u8; 32]) {
    cashgate_hsm::import_mac_key(&module.module, module.token_label, &PIN.into(), key_label, value).expect("a new key");
}

/// As [`open`] has it, to be changed.
pub(crate) fn config(access: &Access<'_>) -> HsmConfig {
    HsmConfig {
        slots: vec![HsmSlot {
            module: access.module.to_owned(),
            token_label: access.token_label.to_owned(),
            pin: access.pin.into(),
        }],
        signing_key_label: access.key_label.to_owned(),
        workers: 4,
        queue: 1_024,
        batch_max: 8,
        call_deadline: Duration::from_secs(4),
        patience: Duration::from_secs(20),
        retry_first: Duration::from_millis(50),
        retry_max: Duration::from_secs(1),
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// Papers that are signed together: the digest is over all of them with their nonces.
pub(crate) struct Papers;

#[derive(Debug)]
pub(crate) struct SignedPaper {
    pub(crate) nonce: [u8; 16],
    pub(crate) key: SigningPublicKey,
    papers: Vec<u8>,
    signature: [u8; 64],
}

impl SignedPaper {
    /// Whether the paper was signed with its nonce, by a verifier that knows nothing of the module.
    pub(crate) fn verifies(&self, paper: &[u8]) -> bool {
        let leaf = [&self.nonce, paper].concat();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.sec1_uncompressed());
        self.papers.windows(leaf.len()).any(|part| part == leaf) && key.verify(&self.papers, &self.signature).is_ok()
    }
}

impl Batcher for Papers {
    type Order = Vec<u8>;
    type Batch = (Vec<[u8; 16]>, Vec<u8>, SigningPublicKey);
    type Signed = SignedPaper;

    fn may_sign(&self, _key: &SigningPublicKey) -> bool {
        true
    }

    fn batch(&self, key: &SigningPublicKey, orders: &[(&Vec<u8>, [u8; 16])]) -> Result<Self::Batch, String> {
        let nonces = orders.iter().map(|(_, nonce)| *nonce).collect();
        let papers = orders.iter().flat_map(|(paper, nonce)| [&nonce[..], paper.as_slice()].concat()).collect();
        Ok((nonces, papers, *key))
    }

    fn digest(&self, (_, papers, _): &Self::Batch) -> [u8; 32] {
        digest(&SHA256, papers).as_ref().try_into().expect("32 bytes")
    }

    /// Checks as the gateway does: what is wrong never leaves.
    fn signed(&self, (nonces, papers, key): Self::Batch, signature: [u8; 64]) -> Option<Vec<SignedPaper>> {
        let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.sec1_uncompressed());
        verifier.verify(&papers, &signature).ok()?;
        let one = |nonce| SignedPaper { nonce, key, papers: papers.clone(), signature };
        Some(nonces.into_iter().map(one).collect())
    }
}
