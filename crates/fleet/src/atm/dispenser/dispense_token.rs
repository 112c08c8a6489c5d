//! The dispense token, as the device reads it:
//! `NONCE=254611E63B2531576314E86527338D61,TOKENFORMAT=1,TOKENLENGTH=0164,DISPENSE1=50.00EUR,HMACSHA256=` and 64 hexadecimal digits in upper case.

use super::amount;
use super::key::DispenseKey;

/// The longest token that the specification allows.
pub(super) const TOKEN_CHARACTERS_MAX: usize = 1_024;
/// The digits of an HMAC at the end of a token.
pub(super) const MAC_DIGITS: usize = 64;

/// Why a dispenser does not act upon a token. None of these texts says anything of the token's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// There is none.
    #[error("there is no dispense token")]
    Missing,
    /// It has more than 1,024 characters.
    #[error("the dispense token has more than 1024 characters")]
    TooLong,
    /// It has other characters.
    #[error("the dispense token is not printable ASCII")]
    NotPrintable,
    /// Keys are missing, more than these or out of order. A second currency is not supported, as in the framework.
    #[error("the dispense token is not NONCE, TOKENFORMAT, TOKENLENGTH, DISPENSE1, HMACSHA256 in this order")]
    Keys,
    /// Not the format that the dispenser reads.
    #[error("the dispense token's format is not 1")]
    Format,
    /// `TOKENLENGTH` is not four digits that say how long the token is.
    #[error("the dispense token is not as long as it says")]
    Length,
    /// The key did not make it.
    #[error("the dispense token's HMAC is wrong")]
    Mac,
    /// The amount is not a number of a currency's units.
    #[error("the dispense token's amount cannot be read")]
    Amount,
    /// Another token for this nonce was accepted before, or this one was.
    #[error("the dispense token's nonce was used already")]
    NonceUsed,
    /// The nonce is not the one that is open, or none is.
    #[error("the dispense token is for a nonce that is not open")]
    NonceNotOpen,
    /// It allows, or the command names, another currency than the dispenser's.
    #[error("the dispense token is for another currency")]
    Currency,
    /// More is to be paid out than it allows.
    #[error("the dispense token allows less than the amount")]
    AmountAbove,
}

/// A token that the key made.
pub(super) struct DispenseToken<'a> {
    pub(super) nonce: &'a str,
    /// The most that may be paid out, in minor units.
    pub(super) amount: u64,
    pub(super) currency: &'a str,
    /// Its HMAC's digits.
    pub(super) dispense_id: &'a str,
}

/// Reads a token and checks everything that can be checked without the dispenser's memory.
pub(super) fn read<'a>(text: &'a str, key: &DispenseKey) -> Result<DispenseToken<'a>, TokenRefused> {
    if text.is_empty() {
        return Err(TokenRefused::Missing);
    }
    if text.chars().count() > TOKEN_CHARACTERS_MAX {
        return Err(TokenRefused::TooLong);
    }
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(TokenRefused::NotPrintable);
    }
    let pairs: Vec<&str> = text.split(',').collect();
    let &[nonce, format, length, dispense, mac] = pairs.as_slice() else { return Err(TokenRefused::Keys) };
    let value = |pair: &'a str, key: &str| {
        let value = pair.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
        value.filter(|value| !value.is_empty()).ok_or(TokenRefused::Keys)
    };
    let (nonce, format) = (value(nonce, "NONCE")?, value(format, "TOKENFORMAT")?);
    let (length, dispense) = (value(length, "TOKENLENGTH")?, value(dispense, "DISPENSE1")?);
    let dispense_id = value(mac, "HMACSHA256")?;
    if format != "1" {
        return Err(TokenRefused::Format);
    }
    if length != format!("{:04}", text.len()) {
        return Err(TokenRefused::Length);
    }
    let (covered, _) = text.split_at_checked(text.len().saturating_sub(MAC_DIGITS)).ok_or(TokenRefused::Mac)?;
    if dispense_id.len() != MAC_DIGITS || !key.made(covered, dispense_id) {
        return Err(TokenRefused::Mac);
    }
    let (amount, currency) = amount::read(dispense).ok_or(TokenRefused::Amount)?;
    Ok(DispenseToken { nonce, amount, currency, dispense_id })
}
