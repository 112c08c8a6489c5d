//! What the office asks of the HSM, so that tests can stand in for one.

use cashgate_hsm::{Batcher, Hsm, HsmError, HsmState, SlotStatus};
use tokio::sync::watch;

/// A signing key as it was found in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundKey {
    /// The slot's HSM token.
    pub token_label: String,
    /// The key's public half (`04 || x || y`), or one line that says why there is none.
    pub public_key: Result<[u8; 65], String>,
}

/// The HSM, as far as keys go.
#[tonic::async_trait]
pub trait KeyHsm: Send + Sync + 'static {
    /// The signing key with a label, in each slot.
    async fn find_key(&self, label: &str) -> Result<Vec<FoundKey>, HsmError>;
    /// The same, but made in each slot that answers and does not have it.
    async fn create_key(&self, label: &str) -> Result<Vec<FoundKey>, HsmError>;
    /// Signs with another key from now on.
    fn sign_with(&self, label: &str);
    /// The label of the key that signs.
    fn signing_key_label(&self) -> String;
    /// How all slots together are.
    fn state(&self) -> HsmState;
    /// How each slot is.
    fn slots(&self) -> Vec<SlotStatus>;
    /// Hears of changes of [`Self::state`].
    fn subscribe(&self) -> watch::Receiver<HsmState>;
}

#[tonic::async_trait]
impl<B: Batcher> KeyHsm for Hsm<B> {
    async fn find_key(&self, label: &str) -> Result<Vec<FoundKey>, HsmError> {
        Self::find_key(self, label).await.map(found)
    }

    async fn create_key(&self, label: &str) -> Result<Vec<FoundKey>, HsmError> {
        Self::create_key(self, label).await.map(found)
    }

    fn sign_with(&self, label: &str) {
        Self::sign_with(self, label);
    }

    fn signing_key_label(&self) -> String {
        Self::signing_key_label(self)
    }

    fn state(&self) -> HsmState {
        Self::state(self)
    }

    fn slots(&self) -> Vec<SlotStatus> {
        Self::slots(self)
    }

    fn subscribe(&self) -> watch::Receiver<HsmState> {
        Self::subscribe(self)
    }
}

fn found(slots: Vec<cashgate_hsm::SlotKey>) -> Vec<FoundKey> {
    let found = |slot: cashgate_hsm::SlotKey| FoundKey {
        token_label: slot.token_label,
        public_key: slot.key.map(|key| *key.sec1_uncompressed()),
    };
    slots.into_iter().map(found).collect()
}
