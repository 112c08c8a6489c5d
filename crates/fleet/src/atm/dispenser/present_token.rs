//! The present status token, as the device writes it:
//! `NONCE=<host's>,TOKENFORMAT=1,TOKENLENGTH=0296,DISPENSEID=<HMAC of the dispense token>,DISPENSED1=12.34EUR,PRESENTED1=YES,PRESENTEDAMOUNT1=12.34EUR,RETRACTED1=NO,RETRACTEDAMOUNT1=0.00EUR,HMACSHA256=`
//! and 64 hexadecimal digits in upper case.
//!
//! `RETRACTEDAMOUNT1` is always there, as the framework's code writes it; the example of the specification leaves it out behind
//! `RETRACTED1=NO`.

use serde::{Deserialize, Serialize};

use super::amount;
use super::dispense_token::{MAC_DIGITS, TOKEN_CHARACTERS_MAX};
use super::key::DispenseKey;

/// The longest nonce of a host's that the framework takes.
const HOST_NONCE_CHARACTERS_MAX: usize = 100;

/// What the dispenser itself saw of one dispense. Amounts are minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresentStatus {
    /// What reached the shutter. Notes that jam on the way are none of it: the framework too confirms a dispense for a part of its amount.
    pub dispensed: u64,
    /// What the customer had access to.
    pub presented: u64,
    /// What of that was taken back.
    pub retracted: Retracted,
}

/// What a dispenser took back after presenting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retracted {
    /// It did not retract.
    Nothing,
    /// So much, counted.
    Counted(u64),
    /// It retracted and did not count.
    Uncounted,
}

impl PresentStatus {
    /// That of a token whose notes have not moved.
    pub const UNTOUCHED: Self = Self { dispensed: 0, presented: 0, retracted: Retracted::Nothing };
}

/// The token for a host's nonce; `None` if that is not 1 to 100 characters of 0-9 and A-F.
pub(super) fn written(
    host_nonce: &str,
    dispense_id: &str,
    status: &PresentStatus,
    currency: &str,
    key: &DispenseKey,
) -> Option<String> {
    let upper_hex = host_nonce.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
    if !upper_hex || !(1..=HOST_NONCE_CHARACTERS_MAX).contains(&host_nonce.len()) {
        return None;
    }
    let amount = |minor_units| amount::written(minor_units, currency);
    let yes_or_no = |yes| if yes { "YES" } else { "NO" };
    let retracted_amount = match status.retracted {
        Retracted::Nothing => amount(0),
        Retracted::Counted(counted) => amount(counted),
        Retracted::Uncounted => "?".to_owned(),
    };
    let head = format!("NONCE={host_nonce},TOKENFORMAT=1,TOKENLENGTH=");
    let tail = format!(
        ",DISPENSEID={dispense_id},DISPENSED1={},PRESENTED1={},PRESENTEDAMOUNT1={},RETRACTED1={},RETRACTEDAMOUNT1={retracted_amount},HMACSHA256=",
        amount(status.dispensed),
        yes_or_no(status.presented > 0),
        amount(status.presented),
        yes_or_no(status.retracted != Retracted::Nothing),
    );
    let length = head.len() + "0000".len() + tail.len() + MAC_DIGITS;
    let covered = format!("{head}{length:04}{tail}");
    (length <= TOKEN_CHARACTERS_MAX).then(|| format!("{covered}{}", key.mac(&covered)))
}

/// What somebody without the key makes: the claim that nothing moved, with a wrong HMAC.
pub(in super::super) fn forged(host_nonce: &str, dispense_id: &str, currency: &str) -> Option<String> {
    // No dispenser has this key: it is refused when keys are read.
    let nobodys_key = DispenseKey::new(&[0; 32]);
    written(host_nonce, dispense_id, &PresentStatus::UNTOUCHED, currency, &nobodys_key)
}
