//! Makes QR tokens: claims with a nonce from the HSM, signed in the HSM.

use std::time::Duration;

use cashgate_hsm::{Hsm, HsmError};
use cashgate_qr::{KeyError, KeySet, PublicKey, QrClaims, UnsignedQrToken};
use cashgate_withdrawal::ids::{AtmId, KeyId, NetworkId, Nonce, QrSessionId};
use cashgate_withdrawal::lane::MintedCode;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

use crate::metrics::Metrics;

/// The mint of this gateway and the keys that it publishes.
#[derive(Clone)]
pub struct Mint {
    hsm: Hsm,
    network: NetworkId,
    key: KeyId,
    keys: KeySet,
    lifetime: Duration,
    metrics: Metrics,
}

impl std::fmt::Debug for Mint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mint").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The HSM did not give a nonce or a signature.
    #[error("the HSM: {0}")]
    Hsm(#[from] HsmError),
    /// The claims cannot be encoded.
    #[error("the claims: {0}")]
    Claims(#[from] cashgate_qr::EncodeError),
}

impl Mint {
    /// A mint over an open HSM.
    pub fn new(hsm: Hsm, network: NetworkId, lifetime: Duration, metrics: Metrics) -> Result<Self, KeyError> {
        let public = PublicKey::from_sec1_uncompressed(hsm.signing_key().sec1_uncompressed())?;
        let key = public.key_id();
        let mut keys = KeySet::default();
        // One key: it cannot be there twice.
        let _ = keys.insert(public);
        Ok(Self { hsm, network, key, keys, lifetime, metrics })
    }

    /// The published keys: the only ones under which a token verifies.
    #[must_use]
    pub const fn keys(&self) -> &KeySet {
        &self.keys
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
        let nonce = Nonce(self.hsm.nonce().await?);
        // The token counts in whole seconds, rounded down; so does the moment of its expiry.
        let issued_at = Timestamp::from_unix_ms(now.unix_ms() / 1_000 * 1_000);
        let claims = QrClaims {
            network: self.network.clone(),
            atm: atm.clone(),
            issued_at,
            lifetime_seconds: u16::try_from(self.lifetime.as_secs()).unwrap_or(u16::MAX),
            qr_session,
            nonce,
            amount,
        };
        let unsigned = UnsignedQrToken::new(&claims, self.key)?;
        let signature = self.hsm.sign(unsigned.digest()).await?;
        let token = unsigned.signed_with(signature);
        let expires_at = issued_at.after(self.lifetime);
        Ok(MintedCode { qr_session, text: token.text().into(), digest: token.digest(), expires_at })
    }
}
