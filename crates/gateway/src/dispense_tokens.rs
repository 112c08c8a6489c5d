//! Dispense tokens made, and present tokens verified, with keys that never leave the HSM.
//!
//! Here stands which bytes are authenticated and what a verified token is worth; the MAC itself is [`DispenseKeys`]' business.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use cashgate_wire::dispense_token::{PresentStatement, UnsignedDispenseToken, dispense_id};
use cashgate_withdrawal::evidence::{DispenseToken, PresentFinding, PresentToken, WrongToken};
use cashgate_withdrawal::ids::{AtmId, CommandNonce};
use cashgate_withdrawal::money::Money;
#[cfg(feature = "planted")]
use cashgate_withdrawal::planted::{Bug, is};

/// The HMAC-SHA256 keys that machines share with the HSM, one for each machine with end-to-end security.
pub trait DispenseKeys: Debug + Send + Sync {
    /// Whether there is a key for a machine. Answered from memory: it must not wait for the HSM.
    fn has_key(&self, atm: &AtmId) -> bool;

    /// The MAC over a message under a machine's key.
    fn mac<'a>(&'a self, atm: &'a AtmId, message: &'a [u8]) -> Pending<'a, [u8; 32]>;

    /// Whether a MAC is the one over a message under a machine's key. Compared inside the HSM, or in constant time.
    fn verify<'a>(&'a self, atm: &'a AtmId, message: &'a [u8], mac: [u8; 32]) -> Pending<'a, bool>;
}

/// An answer of the HSM that is still to come.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, MacError>> + Send + 'a>>;

/// Why a MAC was neither made nor verified. It may be tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    /// There is no key for the machine.
    #[error("the HSM has no dispense key for this ATM; import it under the label that hsm-config/ names")]
    KeyMissing,
    /// The HSM did not answer, or refused.
    #[error("the HSM: {0}")]
    Unavailable(String),
    /// The token would be longer than tokens may be.
    #[error("the dispense token cannot be written")]
    Unwritable,
}

/// No machine has a key: those that declare end-to-end security serve nobody.
#[derive(Clone, Copy, Debug)]
pub struct NoKeys;

impl DispenseKeys for NoKeys {
    fn has_key(&self, _atm: &AtmId) -> bool {
        false
    }

    fn mac<'a>(&'a self, _atm: &'a AtmId, _message: &'a [u8]) -> Pending<'a, [u8; 32]> {
        Box::pin(async { Err(MacError::KeyMissing) })
    }

    fn verify<'a>(&'a self, _atm: &'a AtmId, _message: &'a [u8], _mac: [u8; 32]) -> Pending<'a, bool> {
        Box::pin(async { Err(MacError::KeyMissing) })
    }
}

/// Makes and verifies tokens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DispenseTokens {
    keys: Arc<dyn DispenseKeys>,
    status_is_final: bool,
}

impl DispenseTokens {
    /// Over these keys.
    #[must_use]
    pub fn new(keys: Arc<dyn DispenseKeys>) -> Self {
        Self { keys, status_is_final: false }
    }

    /// The same, for machines whose makers promise that a token pays once, and that the present status is not told while its dispense is under
    /// way. Without that promise a status proves that notes left, but never that no more can.
    #[must_use]
    pub fn with_final_status(self) -> Self {
        Self { status_is_final: true, ..self }
    }

    /// Whether there is a key for a machine.
    #[must_use]
    pub fn has_key(&self, atm: &AtmId) -> bool {
        self.keys.has_key(atm)
    }

    /// The dispense token for one nonce of a machine's dispenser and at most this amount.
    ///
    /// # Errors
    ///
    /// What [`DispenseKeys::mac`] says. No token has been made then.
    pub async fn make(&self, atm: &AtmId, nonce: &CommandNonce, amount: Money) -> Result<DispenseToken, MacError> {
        let unsigned = UnsignedDispenseToken::new(nonce, amount);
        let mac = self.keys.mac(atm, unsigned.to_authenticate()).await?;
        unsigned.with_mac(mac).map_err(|_| MacError::Unwritable)
    }

    /// What a present token is worth for the command that had this dispense token. `asked_with` are the nonces that were drawn to ask with.
    pub async fn find(
        &self,
        atm: &AtmId,
        token: &PresentToken,
        dispense_token: &DispenseToken,
        asked_with: &[CommandNonce],
    ) -> PresentFinding {
        match PresentClaim::read(token, dispense_token, asked_with) {
            Err(wrong) => PresentFinding::Wrong(wrong),
            Ok(claim) => {
                let claim = PresentClaim { fresh: claim.fresh && self.status_is_final, ..claim };
                let verified = self.keys.verify(atm, claim.authenticated(), claim.mac()).await;
                if let Err(error) = &verified {
                    tracing::warn!(%atm, %error, "a present token could not be verified");
                }
                claim.finding(verified)
            }
        }
    }
}

/// A present token that is about the right dispense, if its MAC is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentClaim {
    statement: PresentStatement,
    fresh: bool,
}

impl PresentClaim {
    /// Reads a present token that came with a report on the command that had this dispense token.
    ///
    /// # Errors
    ///
    /// Why it proves nothing, whoever made it.
    pub fn read(
        token: &PresentToken,
        dispense_token: &DispenseToken,
        asked_with: &[CommandNonce],
    ) -> Result<Self, WrongToken> {
        let statement = PresentStatement::read(token).map_err(|_| WrongToken::Malformed)?;
        let is_ours = statement.dispense_id.is_some() && statement.dispense_id == dispense_id(dispense_token);
        #[cfg(feature = "planted")]
        let is_ours = is_ours || is(Bug::OtherDispenseBelieved);
        if !is_ours {
            return Err(WrongToken::OtherDispense);
        }
        let fresh = asked_with.iter().any(|nonce| nonce.as_str() == statement.nonce);
        Ok(Self { statement, fresh })
    }

    /// What the MAC has to be over.
    #[must_use]
    pub fn authenticated(&self) -> &[u8] {
        self.statement.authenticated()
    }

    /// The MAC that it came with.
    #[must_use]
    pub const fn mac(&self) -> [u8; 32] {
        self.statement.mac
    }

    /// What it is worth, now that its MAC was verified or could not be.
    #[must_use]
    pub fn finding(self, verified: Result<bool, MacError>) -> PresentFinding {
        #[cfg(feature = "planted")]
        let verified = match verified {
            Ok(false) if is(Bug::WrongTokenBelieved) => Ok(true),
            Err(_) if is(Bug::UnverifiedTokenBelieved) => Ok(true),
            verified => verified,
        };
        match verified {
            Ok(true) => self.statement.figures.settled(self.fresh),
            Ok(false) => PresentFinding::Wrong(WrongToken::Forged),
            Err(_) => PresentFinding::Unverified,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use cashgate_withdrawal::evidence::PresentStatus;
    use cashgate_withdrawal::money::Currency;

    use super::*;

    /// A key whose MAC is the message's length in every byte; it remembers what it was asked.
    #[derive(Debug, Default)]
    struct Lengths {
        away: bool,
        asked: Mutex<Vec<String>>,
    }

    impl Lengths {
        fn answer(&self, message: &[u8]) -> Result<[u8; 32], MacError> {
            if self.away {
                return Err(MacError::Unavailable("away".into()));
            }
            self.asked.lock().unwrap().push(String::from_utf8(message.to_vec()).unwrap());
            Ok([u8::try_from(message.len()).unwrap(); 32])
        }
    }

    impl DispenseKeys for Lengths {
        fn has_key(&self, _atm: &AtmId) -> bool {
            true
        }

        fn mac<'a>(&'a self, _atm: &'a AtmId, message: &'a [u8]) -> Pending<'a, [u8; 32]> {
            Box::pin(async { self.answer(message) })
        }

        fn verify<'a>(&'a self, _atm: &'a AtmId, message: &'a [u8], mac: [u8; 32]) -> Pending<'a, bool> {
            Box::pin(async move { Ok(self.answer(message)? == mac) })
        }
    }

    const ID: &str = "6464646464646464646464646464646464646464646464646464646464646464";

    fn atm() -> AtmId {
        "A1".parse().unwrap()
    }

    fn yen(amount: u64) -> Money {
        Money::from_minor_units(amount, Currency::JPY).unwrap()
    }

    fn dispense_token() -> DispenseToken {
        format!("NONCE=1,HMACSHA256={ID}").parse().unwrap()
    }

    /// A present token under the nonce `CAFE`, with the MAC that [`Lengths`] makes unless another is given.
    fn present(dispense_id: &str, mac: Option<&str>) -> PresentToken {
        let head = |length: usize| {
            format!(
                "NONCE=CAFE,TOKENFORMAT=1,TOKENLENGTH={length:04},DISPENSEID={dispense_id},DISPENSED1=0JPY,PRESENTED1=NO,RETRACTED1=NO,HMACSHA256="
            )
        };
        let length = head(0).len();
        let right = format!("{length:02X}").repeat(32);
        format!("{}{}", head(length + 64), mac.unwrap_or(&right)).parse().unwrap()
    }

    async fn found(keys: Lengths, token: PresentToken, asked_with: &[&str]) -> PresentFinding {
        let asked_with: Vec<CommandNonce> = asked_with.iter().map(|nonce| nonce.parse().unwrap()).collect();
        let tokens = DispenseTokens::new(Arc::new(keys)).with_final_status();
        tokens.find(&atm(), &token, &dispense_token(), &asked_with).await
    }

    fn nothing_presented(fresh: bool) -> PresentFinding {
        PresentFinding::Genuine(PresentStatus { presented: Some(yen(0)), retracted: Some(yen(0)), fresh })
    }

    #[tokio::test]
    async fn a_dispense_token_is_authenticated_up_to_its_mac() {
        let keys = Arc::new(Lengths::default());
        let tokens = DispenseTokens::new(Arc::clone(&keys) as Arc<dyn DispenseKeys>);
        let token = tokens.make(&atm(), &"CAFE".parse().unwrap(), yen(50_000)).await.unwrap();
        let asked = keys.asked.lock().unwrap().clone();
        assert_eq!(asked, ["NONCE=CAFE,TOKENFORMAT=1,TOKENLENGTH=0139,DISPENSE1=50000.00JPY,HMACSHA256="]);
        assert_eq!(token.as_str(), format!("{}{}", asked[0], "4B".repeat(32)));
    }

    #[tokio::test]
    async fn a_present_token_counts_for_its_own_dispense_and_with_its_own_mac() {
        let good = || present(ID, None);
        assert_eq!(found(Lengths::default(), good(), &["BEEF", "CAFE"]).await, nothing_presented(true));
        assert_eq!(found(Lengths::default(), good(), &["BEEF"]).await, nothing_presented(false));
        assert_eq!(found(Lengths::default(), good(), &[]).await, nothing_presented(false));
        let other = present(&"65".repeat(32), None);
        let wrong = PresentFinding::Wrong;
        assert_eq!(found(Lengths::default(), other, &["CAFE"]).await, wrong(WrongToken::OtherDispense));
        let forged = present(ID, Some(&"00".repeat(32)));
        assert_eq!(found(Lengths::default(), forged, &["CAFE"]).await, wrong(WrongToken::Forged));
        let tokens = DispenseTokens::new(Arc::new(Lengths::default()));
        let asked_with = ["CAFE".parse().unwrap()];
        let not_final = tokens.find(&atm(), &good(), &dispense_token(), &asked_with).await;
        assert_eq!(not_final, nothing_presented(false), "the makers promise nothing");
        let rubbish = "NONCE=CAFE".parse().unwrap();
        assert_eq!(found(Lengths::default(), rubbish, &["CAFE"]).await, wrong(WrongToken::Malformed));
    }

    #[tokio::test]
    async fn without_the_hsm_nothing_is_made_and_nothing_is_verified() {
        let away = || Lengths { away: true, ..Lengths::default() };
        assert_eq!(found(away(), present(ID, None), &["CAFE"]).await, PresentFinding::Unverified);
        let tokens = DispenseTokens::new(Arc::new(away()));
        let made = tokens.make(&atm(), &"CAFE".parse().unwrap(), yen(50_000)).await;
        assert_eq!(made, Err(MacError::Unavailable("away".into())));
        let none = DispenseTokens::new(Arc::new(NoKeys));
        assert!(!none.has_key(&atm()));
        assert_eq!(none.make(&atm(), &"CAFE".parse().unwrap(), yen(1)).await, Err(MacError::KeyMissing));
    }
}
