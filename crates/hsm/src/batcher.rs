//! What is signed, as this crate sees it: orders that become one digest.

use crate::signing_key::SigningPublicKey;

/// Puts orders under one signature. This crate decides when, how many at once and under which key; what they are only the implementor knows.
///
/// It is called on worker threads, right before and after the HSM, so it should neither block nor wait.
pub trait Batcher: Send + Sync + 'static {
    /// What a caller wants signed.
    type Order: Send + 'static;
    /// Orders under one digest, waiting for the signature.
    type Batch;
    /// What a caller gets.
    type Signed: Send + 'static;

    /// Whether this key may sign now. A worker whose key may not takes no orders, so that workers with another key do; it asks again a few times a second.
    fn may_sign(&self, key: &SigningPublicKey) -> bool;

    /// Orders, each with 16 fresh bytes of the HSM's generator, for the key that will sign. After a failure of the HSM the same orders
    /// come again, with other nonces and perhaps for another key.
    ///
    /// # Errors
    /// A line that says why nothing may be signed. Every order of the batch is refused with it.
    fn batch(&self, key: &SigningPublicKey, orders: &[(&Self::Order, [u8; 16])]) -> Result<Self::Batch, String>;

    /// What the HSM is to sign.
    fn digest(&self, batch: &Self::Batch) -> [u8; 32];

    /// The orders as signed, in their order, or `None` if the signature is not right: then nothing leaves, and the HSM is treated as broken.
    fn signed(&self, batch: Self::Batch, signature: [u8; 64]) -> Option<Vec<Self::Signed>>;
}
