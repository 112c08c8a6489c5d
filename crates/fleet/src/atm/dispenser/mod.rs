//! A dispenser with XFS4IoT end-to-end security: it pays out against a dispense token made for its own nonce, and proves with a
//! present token what became of it. Neither the machine around it nor the line to the gateway can order notes or deny that they left.
//!
//! The device's side alone: what the gateway makes is read here by other code, with another HMAC, on purpose.
//!
//! # Sources
//! The specification's own text was not at hand. What stands here was read in KAL's public framework,
//! `KAL-ATM-Software/KAL_XFS4IoT_SP-Dev`: in the comments that come from the specification (`Dispense_g.cs`, `GetPresentStatus_g.cs`),
//! and in the firmware sample with its unit tests (`ValidateToken`, `AuthoriseDispenseAgainstToken`, `GetPresentStatusToken`,
//! `extensionpoints.h`), which is a secondary source.
//! - **Bytes under the HMAC:** the token's characters from its first to the `=` of `HMACSHA256=`, that one included, the length already
//!   filled in (`ValidateToken` and its tests; `extensionpoints.h`: "upto and including the '=' sign, as required by the XFS4IoT
//!   specification"). `GetPresentStatusToken` passes its whole buffer with a length of `0000` instead, to a stub that does not look at
//!   it; that contradicts its own comment and is not followed.
//! - **`TOKENLENGTH`:** the whole token in characters, four digits. The sample writes it and does not check it; this device does.
//! - **Nonce:** one at a time, lost in a power cut, never the same twice. The framework clears it when notes are presented, and until then
//!   takes one token several times, up to its amount. This device stacks and presents in one go: it takes a token once, and the nonce is
//!   used up with that. A token may allow more than is dispensed, never less.
//! - **Kept over a power cut:** the HMAC of the last dispense token (`DISPENSEID`) and the amounts of the present status. If one of them
//!   cannot be read there is no present token, and so there is none if the power failed while notes moved.
//! - **Amounts:** `dispenser/amount.rs`.
//! - **Keys:** the framework names two, `XFSAuthenticateHost` for what the host says and `XFSAuthenticateDevice` for what the device says.
//!   A machine here has one for both; a token of one direction is none in the other, since their keys differ in name and order.

mod amount;
mod dispense_token;
mod key;
mod present_token;

use std::collections::BTreeSet;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use super::book::Fact;

pub use dispense_token::TokenRefused;
pub use key::{DispenseKey, DispenseKeyError};
pub(super) use present_token::forged;
pub use present_token::{PresentStatus, Retracted};

/// A dispenser that demands dispense tokens.
#[derive(Clone, Debug)]
pub struct SecureDispenser {
    key: DispenseKey,
    currency: String,
    draw: fn() -> Option<[u8; 16]>,
    open_nonce: Option<String>,
    used_nonces: BTreeSet<String>,
    last: Option<LastDispense>,
}

/// The last dispense token that was accepted, and what became of it.
#[derive(Clone, Debug)]
struct LastDispense {
    /// For which command the machine handed it over; the token itself does not say.
    withdrawal_id: String,
    dispense_id: String,
    /// `None` while notes move, and for ever if the power failed then.
    status: Option<PresentStatus>,
}

/// A dispense token that the dispenser acts upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorised {
    /// The nonce that it uses up.
    pub nonce: String,
    /// The token's HMAC, 64 hexadecimal digits in upper case.
    pub dispense_id: String,
}

impl SecureDispenser {
    /// A dispenser as the machine's facts left it. The nonce that was open is lost. `currency` is that of its notes.
    #[must_use]
    pub fn recalled(key: DispenseKey, currency: &str, facts: &[Fact]) -> Self {
        let currency = currency.to_owned();
        let mut dispenser =
            Self { key, currency, draw: random, open_nonce: None, used_nonces: BTreeSet::new(), last: None };
        facts.iter().for_each(|fact| dispenser.remember(fact));
        dispenser
    }

    /// The same with another source of nonces.
    #[cfg(test)]
    pub(crate) fn drawing(self, draw: fn() -> Option<[u8; 16]>) -> Self {
        Self { draw, ..self }
    }

    /// A new command nonce, 32 hexadecimal digits in upper case, in place of the one that was open. `None` if the generator fails.
    /// (Common.ClearCommandNonce, then Common.GetCommandNonce.)
    pub fn renew_command_nonce(&mut self) -> Option<String> {
        self.open_nonce = (self.draw)().map(hex::encode_upper);
        self.open_nonce.clone()
    }

    /// Whether a token allows to pay out an amount, in minor units. Nothing may move before what is returned is remembered.
    ///
    /// # Errors
    /// Why not.
    pub fn authorise(&self, token: &str, amount: u64, currency: &str) -> Result<Authorised, TokenRefused> {
        // From behind the HMAC on, only a holder of the key can tell how long a comparison takes.
        let token = dispense_token::read(token, &self.key)?;
        if self.used_nonces.contains(token.nonce) {
            return Err(TokenRefused::NonceUsed);
        }
        if self.open_nonce.as_deref() != Some(token.nonce) {
            return Err(TokenRefused::NonceNotOpen);
        }
        if token.currency != currency || token.currency != self.currency {
            return Err(TokenRefused::Currency);
        }
        if amount > token.amount {
            return Err(TokenRefused::AmountAbove);
        }
        Ok(Authorised { nonce: token.nonce.to_owned(), dispense_id: token.dispense_id.to_owned() })
    }

    /// Takes up what became durable.
    pub(super) fn remember(&mut self, fact: &Fact) {
        match fact {
            Fact::TokenAccepted { withdrawal_id, nonce, dispense_id } => {
                self.open_nonce = None;
                self.used_nonces.insert(nonce.clone());
                self.last = Some(LastDispense {
                    withdrawal_id: withdrawal_id.clone(),
                    dispense_id: dispense_id.clone(),
                    status: Some(PresentStatus::UNTOUCHED),
                });
            }
            Fact::Moving { withdrawal_id, .. } => self.note(withdrawal_id, None),
            Fact::Counted { withdrawal_id, present_status: Some(status), .. } => {
                self.note(withdrawal_id, Some(*status));
            }
            _ => {}
        }
    }

    /// Notes what became of the last dispense, if that was for this command.
    pub(super) fn note(&mut self, withdrawal_id: &str, status: Option<PresentStatus>) {
        if let Some(last) = self.last.as_mut().filter(|last| last.withdrawal_id == withdrawal_id) {
            last.status = status;
        }
    }

    /// The HMAC of the last accepted token, if it was for this command.
    #[must_use]
    pub fn dispense_id(&self, withdrawal_id: &str) -> Option<&str> {
        self.last_for(withdrawal_id).map(|last| last.dispense_id.as_str())
    }

    /// The present status token for a nonce of the host's (CashDispenser.GetPresentStatus). `None` if the last token that was accepted is
    /// not that of this command, if the dispenser does not know what became of it, or if the nonce is not 1 to 100 characters of 0-9
    /// and A-F.
    #[must_use]
    pub fn present_token(&self, withdrawal_id: &str, host_nonce: &str) -> Option<String> {
        let last = self.last_for(withdrawal_id)?;
        present_token::written(host_nonce, &last.dispense_id, last.status.as_ref()?, &self.currency, &self.key)
    }

    fn last_for(&self, withdrawal_id: &str) -> Option<&LastDispense> {
        self.last.as_ref().filter(|last| last.withdrawal_id == withdrawal_id)
    }
}

fn random() -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
pub(super) mod tests;
