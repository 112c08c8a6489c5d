//! The tokens of XFS4IoT end-to-end security, as text: the dispense token that the gateway gives, the present token that it gets back.
//!
//! # Where this comes from
//!
//! The specification's own text (CEN XFS4IoT, "End to End Security") was not at hand. From the public framework of one of its authors
//! (KAL-ATM-Software/KAL_XFS4IoT_SP-Dev), whose generated interfaces quote the specification:
//! - the tokens' keys and their order, and the samples in the tests below; a present token has no `DISPENSEID` if the device knows of no
//!   dispense, and no `RETRACTEDAMOUNT1` need follow `RETRACTED1=NO`;
//! - an amount is digits, a fraction after `.` "as defined by the ISO currency", and the currency's three capital letters; `?` is an
//!   amount that is not known;
//! - `DISPENSEID` is the MAC of the dispense token that was paid out against.
//!
//! From that framework's device-side code and its tests (`Utilities/EndToEndSecurity`), which is a secondary source:
//! - the MAC is HMAC-SHA256 over the token's ASCII bytes from its first to the `=` of `HMACSHA256=`, that included; for the present
//!   token the published code computes it over an unfinished buffer, and the rule of the dispense token is taken for both;
//! - `TOKENLENGTH` is the whole token's length in four decimal digits, a token has at most 1,024 characters, a nonce at most 100.
//!
//! Decided here:
//! - an amount is written with as many decimals as the currency has, and yen, which has none, with two zeros: devices take both forms, and
//!   `50000.00JPY` is the form of every sample. A fraction of zeros, one with the currency's own number of digits, and none at all are read;
//! - one currency in a token, as the framework does;
//! - a present token in any other form than the one read here is refused: other keys, another order, a wrong length, lower case.

use std::fmt::Write;

use cashgate_withdrawal::evidence::{DispenseToken, DispenserFigures, NotAToken, PresentToken};
use cashgate_withdrawal::ids::CommandNonce;
use cashgate_withdrawal::money::{Currency, Money};

/// The length of a MAC in hexadecimal digits.
const MAC_DIGITS: usize = 64;
/// The longest nonce that is read; the ones that are written are shorter.
const NONCE_LENGTH_MAX: usize = 100;

/// A dispense token that has no MAC yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedDispenseToken {
    /// The token up to the `=` before the MAC.
    text: String,
}

impl UnsignedDispenseToken {
    /// A token for one nonce of a dispenser and at most this amount. The same two give the same text.
    #[must_use]
    pub fn new(nonce: &CommandNonce, amount: Money) -> Self {
        let (head, tail) = (format!("NONCE={nonce},TOKENFORMAT=1,TOKENLENGTH="), ",DISPENSE1=");
        let tail = format!("{tail}{},HMACSHA256=", amount_to(amount));
        let length = head.len() + 4 + tail.len() + MAC_DIGITS;
        Self { text: format!("{head}{length:04}{tail}") }
    }

    /// What the MAC is to be made over.
    #[must_use]
    pub fn to_authenticate(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The whole token.
    ///
    /// # Errors
    ///
    /// None with a nonce and an amount that can exist; the token's type does not know that.
    pub fn with_mac(mut self, mac: [u8; 32]) -> Result<DispenseToken, NotAToken> {
        for byte in mac {
            // Writing to a String does not fail.
            let _ = write!(self.text, "{byte:02X}");
        }
        self.text.parse()
    }
}

/// The MAC of a dispense token, by which a dispenser names the dispense: the token's last 64 characters.
#[must_use]
pub fn dispense_id(token: &DispenseToken) -> Option<[u8; 32]> {
    let (_, mac) = token.as_str().rsplit_once("HMACSHA256=")?;
    mac_from(mac)
}

/// What a present token says. It means nothing before its MAC is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentStatement {
    /// The nonce that the dispenser was asked with.
    pub nonce: String,
    /// The MAC of the dispense token that it last paid out against, if it knows of one.
    pub dispense_id: Option<[u8; 32]>,
    /// The figures.
    pub figures: DispenserFigures,
    /// The MAC under it all.
    pub mac: [u8; 32],
    authenticated: String,
}

/// Why a text is no present token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresentTokenError {
    /// A key is missing, out of place, or not known.
    #[error("{0} is missing or out of place")]
    Key(&'static str),
    /// A value has no meaning.
    #[error("{0} has no meaning")]
    Value(&'static str),
    /// The stated length is not the token's.
    #[error("TOKENLENGTH is not the token's length")]
    Length,
    /// Something follows the MAC.
    #[error("something follows HMACSHA256")]
    Rest,
}

impl PresentStatement {
    /// Reads a present token.
    ///
    /// # Errors
    ///
    /// The first thing about it that is not in the one accepted form.
    pub fn read(token: &PresentToken) -> Result<Self, PresentTokenError> {
        let whole = token.as_str();
        let mut fields = Fields { rest: Some(whole) };
        let nonce = fields.take("NONCE")?;
        let is_nonce = (1..=NONCE_LENGTH_MAX).contains(&nonce.len()) && nonce.bytes().all(is_upper_hex);
        check(is_nonce, PresentTokenError::Value("NONCE"))?;
        check(fields.take("TOKENFORMAT")? == "1", PresentTokenError::Value("TOKENFORMAT"))?;
        check(fields.take("TOKENLENGTH")? == format!("{:04}", whole.len()), PresentTokenError::Length)?;
        let dispense_id = match fields.take_if("DISPENSEID") {
            None => None,
            Some(id) => Some(mac_from(id).ok_or(PresentTokenError::Value("DISPENSEID"))?),
        };
        let dispensed = amount_from(fields.take("DISPENSED1")?).ok_or(PresentTokenError::Value("DISPENSED1"))?;
        let (was_presented, presented) = fields.part("PRESENTED1", "PRESENTEDAMOUNT1")?;
        let (was_retracted, retracted) = fields.part("RETRACTED1", "RETRACTEDAMOUNT1")?;
        let mac = mac_from(fields.take("HMACSHA256")?).ok_or(PresentTokenError::Value("HMACSHA256"))?;
        check(fields.rest.is_none(), PresentTokenError::Rest)?;
        let authenticated = whole.get(..whole.len().saturating_sub(MAC_DIGITS)).unwrap_or_default().to_owned();
        let figures = DispenserFigures { dispensed, was_presented, presented, was_retracted, retracted };
        Ok(Self { nonce: nonce.to_owned(), dispense_id, figures, mac, authenticated })
    }

    /// What the MAC has to be over.
    #[must_use]
    pub fn authenticated(&self) -> &[u8] {
        self.authenticated.as_bytes()
    }
}

/// The fields of a token that are still to be read.
struct Fields<'a> {
    rest: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, key: &'static str) -> Result<&'a str, PresentTokenError> {
        self.take_if(key).ok_or(PresentTokenError::Key(key))
    }

    /// The value of the next field, if it has this key.
    fn take_if(&mut self, key: &'static str) -> Option<&'a str> {
        let rest = self.rest?;
        let (field, after) = rest.split_once(',').map_or((rest, None), |(field, after)| (field, Some(after)));
        let value = field.strip_prefix(key)?.strip_prefix('=')?;
        self.rest = after;
        Some(value)
    }

    /// Whether something happened, and with how much; an amount that is left out or `?` is not known.
    fn part(&mut self, word: &'static str, amount: &'static str) -> Result<(bool, Option<Money>), PresentTokenError> {
        let happened = match self.take(word)? {
            "YES" => true,
            "NO" => false,
            _ => return Err(PresentTokenError::Value(word)),
        };
        let known = match self.take_if(amount) {
            None | Some("?") => None,
            Some(text) => Some(amount_from(text).ok_or(PresentTokenError::Value(amount))?),
        };
        Ok((happened, known))
    }
}

const fn check(holds: bool, error: PresentTokenError) -> Result<(), PresentTokenError> {
    if holds { Ok(()) } else { Err(error) }
}

const fn is_upper_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'F')
}

fn mac_from(text: &str) -> Option<[u8; 32]> {
    if text.len() != MAC_DIGITS || !text.bytes().all(is_upper_hex) {
        return None;
    }
    let mut mac = [0; 32];
    for (byte, digits) in mac.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(mac)
}

/// How many decimals a currency has (ISO 4217). Two, but for those listed.
const fn decimals(currency: &[u8]) -> u32 {
    match currency {
        b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF" | b"UGX" | b"VND"
        | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
        b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
        _ => 2,
    }
}

fn amount_to(amount: Money) -> String {
    let (units, currency) = (amount.minor_units(), amount.currency());
    let decimals = decimals(currency.as_str().as_bytes());
    let whole = 10_u64.pow(decimals);
    match decimals {
        0 => format!("{units}.00{currency}"),
        _ => format!("{}.{:0width$}{currency}", units / whole, units % whole, width = decimals as usize),
    }
}

fn amount_from(text: &str) -> Option<Money> {
    let (figure, currency) = text.split_at_checked(text.len().checked_sub(3)?)?;
    let currency: Currency = currency.parse().ok()?;
    let decimals = decimals(currency.as_str().as_bytes());
    let (whole, fraction) = figure.split_once('.').map_or((figure, None), |(whole, rest)| (whole, Some(rest)));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    let part: u64 = match fraction {
        None => 0,
        Some(fraction) if !all_digits(fraction) || fraction.len() > 3 => return None,
        Some(fraction) if fraction.bytes().all(|b| b == b'0') => 0,
        Some(fraction) if fraction.len() == decimals as usize => fraction.parse().ok()?,
        Some(_) => return None,
    };
    let units = whole.parse::<u64>().ok()?.checked_mul(10_u64.pow(decimals))?.checked_add(part)?;
    Money::from_minor_units(units, currency).ok()
}

#[cfg(test)]
mod tests;
