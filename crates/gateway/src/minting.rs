//! Makes QR tokens: claims with nonces from the HSM, signed in the HSM, one by one or many under one signature.

use std::sync::Arc;
use std::time::Duration;

use cashgate_hsm::{Batcher, Hsm, HsmError, SigningPublicKey};
use cashgate_qr::{EncodeError, EncodedClaims, KeySet, PublicKey, QrClaims, SignedClaims, UnsignedBatch};
use cashgate_withdrawal::ids::{AtmId, NetworkId, Nonce, QrSessionId};
use cashgate_withdrawal::lane::MintedCode;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

use crate::clock::Stopwatch;
use crate::keys::KeyRing;
use crate::metrics::Metrics;

/// The HSMs, signing QR tokens.
pub type QrHsm = Hsm<QrBatcher>;

/// Makes QR tokens out of claims that wait together.
pub struct QrBatcher {
    keys: KeyRing,
    metrics: Metrics,
}

/// Claims under one digest.
pub struct QrBatch {
    unsigned: UnsignedBatch,
    key: PublicKey,
    size: usize,
    since: Stopwatch,
}

impl QrBatcher {
    /// For the keys of a ring.
    #[must_use]
    pub const fn new(keys: KeyRing, metrics: Metrics) -> Self {
        Self { keys, metrics }
    }
}

impl Batcher for QrBatcher {
    /// Everything but the nonce, in whose place the HSM's is written.
    type Order = EncodedClaims;
    type Batch = QrBatch;
    type Signed = SignedClaims;

    fn may_sign(&self, key: &SigningPublicKey) -> bool {
        self.keys.may_sign(key.sec1_uncompressed()).is_some()
    }

    fn batch(&self, key: &SigningPublicKey, orders: &[(&EncodedClaims, [u8; 16])]) -> Result<QrBatch, String> {
        // A code under a key that no app can know would be refused by every app.
        let key_id = self.keys.may_sign(key.sec1_uncompressed()).ok_or("the HSM's signing key is not in use yet")?;
        let published = self.keys.published();
        let key = published.key(key_id).ok_or("the HSM's signing key is not published")?.clone();
        let with_nonces = orders.iter().map(|(claims, nonce)| (*claims, Nonce(*nonce)));
        let unsigned = UnsignedBatch::with_nonces(with_nonces, key_id).map_err(|error| error.to_string())?;
        Ok(QrBatch { unsigned, key, size: orders.len(), since: Stopwatch::start() })
    }

    fn digest(&self, batch: &QrBatch) -> [u8; 32] {
        batch.unsigned.digest()
    }

    fn signed(&self, batch: QrBatch, signature: [u8; 64]) -> Option<Vec<SignedClaims>> {
        let QrBatch { unsigned, key, size, since } = batch;
        self.metrics.hsm_signed(size, since.elapsed());
        unsigned.is_signed_by(&key, &signature).then(|| unsigned.signed(signature))
    }
}

/// The mint of this gateway and the keys that it publishes.
#[derive(Clone)]
pub struct Mint {
    hsm: QrHsm,
    network: NetworkId,
    keys: KeyRing,
    lifetime: Duration,
    metrics: Metrics,
    /// Named in every code, where there are several.
    replica: Option<u16>,
}

impl std::fmt::Debug for Mint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mint").field("network", &self.network).finish_non_exhaustive()
    }
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The HSM did not sign.
    #[error("the HSM: {0}")]
    Hsm(#[from] HsmError),
    /// The claims cannot be encoded.
    #[error("the claims: {0}")]
    Claims(#[from] EncodeError),
}

impl Mint {
    /// A mint over open HSMs.
    #[must_use]
    pub const fn new(hsm: QrHsm, network: NetworkId, keys: KeyRing, lifetime: Duration, metrics: Metrics) -> Self {
        Self { hsm, network, keys, lifetime, metrics, replica: None }
    }

    /// The same mint of one replica of several.
    #[must_use]
    pub fn of_replica(self, replica: u16) -> Self {
        Self { replica: Some(replica), ..self }
    }

    /// The published keys: the only ones under which a token verifies.
    #[must_use]
    pub fn keys(&self) -> Arc<KeySet> {
        self.keys.published()
    }

    /// Whether a verified token belongs to this network.
    #[must_use]
    pub fn is_of_network(&self, claims: &QrClaims) -> bool {
        claims.network == self.network
    }

    /// A fresh signed code. There is no unsigned fallback: without the HSM there is no code.
    pub async fn mint(
        &self,
        atm: &AtmId,
        qr_session: QrSessionId,
        amount: Option<Money>,
        now: Timestamp,
    ) -> Result<MintedCode, MintError> {
        let minted = self.try_mint(atm, qr_session, amount, now).await;
        self.metrics.minted(minted.is_ok());
        minted
    }

    async fn try_mint(
        &self,
        atm: &AtmId,
        qr_session: QrSessionId,
        amount: Option<Money>,
        now: Timestamp,
    ) -> Result<MintedCode, MintError> {
        // The token counts in whole seconds, rounded down; so does the moment of its expiry.
        let issued_at = Timestamp::from_unix_ms(now.unix_ms() / 1_000 * 1_000);
        let claims = QrClaims {
            network: self.network.clone(),
            atm: atm.clone(),
            issued_at,
            lifetime_seconds: u16::try_from(self.lifetime.as_secs()).unwrap_or(u16::MAX),
            qr_session,
            nonce: Nonce([0; 16]),
            amount,
            replica: self.replica,
        };
        // Encoded before it waits with others, so that nobody's mistake is everybody's, and nobody's work either.
        let signed = self.hsm.sign(claims.encoded()?).await?;
        let token = signed.token();
        let expires_at = issued_at.after(self.lifetime);
        Ok(MintedCode { qr_session, text: token.text().into(), digest: token.digest(), expires_at })
    }
}
