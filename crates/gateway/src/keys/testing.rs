//! Keys and an HSM for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use cashgate_hsm::{HsmError, HsmState, SlotStatus};
use cashgate_ledger::{KeyAction, KeyEvent, Ledger, LedgerReader};
use cashgate_qr::PublicKey;
use cashgate_withdrawal::ids::KeyId;
use cashgate_withdrawal::time::Timestamp;
use tokio::sync::watch;

use super::hsm::{FoundKey, KeyHsm};

/// A fresh P-256 key's public half.
pub(super) fn fresh_key() -> [u8; 65] {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    pair.public_key().as_ref().try_into().unwrap()
}

pub(super) fn id_of(public_key: &[u8; 65]) -> KeyId {
    PublicKey::from_sec1_uncompressed(public_key).unwrap().key_id()
}

pub(super) fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000 + ms)
}

pub(super) fn event(ms: u64, label: &str, public_key: [u8; 65], action: KeyAction) -> KeyEvent {
    KeyEvent {
        at: at(ms),
        actor: "mori".to_owned(),
        action,
        key_id: id_of(&public_key),
        label: label.to_owned(),
        token_label: "cashgate".to_owned(),
        public_key,
        reason: "yearly".to_owned(),
    }
}

/// An HSM of slots that a test fills, loses and finds again.
pub(super) struct FakeHsm {
    slots: Mutex<Vec<FakeSlot>>,
    label: Mutex<String>,
    state: watch::Sender<HsmState>,
    /// Where an event must stand before the HSM is told.
    ledger: LedgerReader,
}

struct FakeSlot {
    token_label: &'static str,
    answers: bool,
    keys: BTreeMap<String, [u8; 65]>,
}

impl FakeHsm {
    /// Slots that answer, each with a key of its own under a label.
    pub(super) fn new(tokens: &[&'static str], label: &str, ledger: &Ledger) -> Arc<Self> {
        let slot = |token_label: &&'static str| FakeSlot {
            token_label,
            answers: true,
            keys: BTreeMap::from([(label.to_owned(), fresh_key())]),
        };
        Arc::new(Self {
            slots: Mutex::new(tokens.iter().map(slot).collect()),
            label: Mutex::new(label.to_owned()),
            state: watch::Sender::new(HsmState::Ready),
            ledger: ledger.reader().clone(),
        })
    }

    pub(super) fn answers(&self, token_label: &str, answers: bool) {
        let mut slots = self.slots.lock().unwrap();
        slots.iter_mut().filter(|slot| slot.token_label == token_label).for_each(|slot| slot.answers = answers);
        let some = slots.iter().any(|slot| slot.answers);
        drop(slots);
        self.state.send_replace(if some { HsmState::Degraded } else { HsmState::Lost });
    }

    pub(super) fn put_key(&self, token_label: &str, label: &str, key: [u8; 65]) {
        let mut slots = self.slots.lock().unwrap();
        let slot = slots.iter_mut().find(|slot| slot.token_label == token_label).unwrap();
        slot.keys.insert(label.to_owned(), key);
    }

    pub(super) fn remove_key(&self, token_label: &str, label: &str) {
        let mut slots = self.slots.lock().unwrap();
        slots.iter_mut().find(|slot| slot.token_label == token_label).unwrap().keys.remove(label);
    }

    pub(super) fn key(&self, token_label: &str, label: &str) -> [u8; 65] {
        let slots = self.slots.lock().unwrap();
        slots.iter().find(|slot| slot.token_label == token_label).unwrap().keys[label]
    }

    fn keys(&self, label: &str, create: bool) -> Vec<FoundKey> {
        let mut slots = self.slots.lock().unwrap();
        let found = |slot: &mut FakeSlot| FoundKey {
            token_label: slot.token_label.to_owned(),
            public_key: match slot.answers {
                false => Err("the slot is out".to_owned()),
                true if create => Ok(*slot.keys.entry(label.to_owned()).or_insert_with(fresh_key)),
                true => slot.keys.get(label).copied().ok_or_else(|| "it is missing".to_owned()),
            },
        };
        slots.iter_mut().map(found).collect()
    }
}

#[tonic::async_trait]
impl KeyHsm for FakeHsm {
    async fn find_key(&self, label: &str) -> Result<Vec<FoundKey>, HsmError> {
        Ok(self.keys(label, false))
    }

    async fn create_key(&self, label: &str) -> Result<Vec<FoundKey>, HsmError> {
        Ok(self.keys(label, true))
    }

    fn sign_with(&self, label: &str) {
        let events = self.ledger.key_events().unwrap();
        let durable =
            events.iter().any(|stored| stored.event.label == label && stored.event.action == KeyAction::Signing);
        assert!(durable, "the HSM was told of {label} before it was durable");
        label.clone_into(&mut self.label.lock().unwrap());
    }

    fn signing_key_label(&self) -> String {
        self.label.lock().unwrap().clone()
    }

    fn state(&self) -> HsmState {
        *self.state.borrow()
    }

    fn slots(&self) -> Vec<SlotStatus> {
        let state = |answers| if answers { HsmState::Ready } else { HsmState::Lost };
        let status = |slot: &FakeSlot| SlotStatus {
            token_label: slot.token_label.to_owned(),
            state: state(slot.answers),
            workers: usize::from(slot.answers),
            signers: usize::from(slot.answers),
            stuck: 0,
            reason: String::new(),
        };
        self.slots.lock().unwrap().iter().map(status).collect()
    }

    fn subscribe(&self) -> watch::Receiver<HsmState> {
        self.state.subscribe()
    }
}
