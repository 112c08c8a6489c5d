//! A dispenser with end-to-end security: its nonces, what it pays out against, and what it says of its last dispense.
//!
//! Written from the published form of the tokens, without the code that it is a check on. The MAC is a model: nobody without the key can make
//! it, because nobody in a world tries anything but what is written here.

use crate::atm::Fate;
use crate::boundary::{AtmNo, Status, TokenSeen};

/// One dispenser.
#[derive(Debug)]
pub(crate) struct Dispenser {
    /// Whether it demands tokens at all.
    pub(crate) secured: bool,
    key: u64,
    drawn: u64,
    /// The nonce that the next token has to have.
    nonce: Option<u128>,
    last: Option<Last>,
    /// Every status that it ever gave.
    given: Vec<String>,
}

/// The last dispense that it accepted.
#[derive(Clone, Copy, Debug)]
struct Last {
    id: [u8; 32],
    dispensed: u64,
    presented: Option<u64>,
    /// Whether notes were taken back, and how many if they were counted.
    retracted: Option<Option<u64>>,
}

/// The key that a machine shares with the HSM.
pub(crate) const fn key(seed: u64, atm: AtmNo) -> u64 {
    (seed ^ 0x6b65_7973).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(atm as u64)
}

/// A model of a MAC: 32 bytes that depend on every bit of key and message.
pub(crate) fn mac(key: u64, message: &[u8]) -> [u8; 32] {
    let mut mac = [0; 32];
    for (part, bytes) in (1_u64..).zip(mac.chunks_exact_mut(8)) {
        let begin = key.wrapping_mul(part).wrapping_add(0xcbf2_9ce4_8422_2325);
        let hash = message.iter().fold(begin, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(5).wrapping_add(part)
        });
        bytes.copy_from_slice(&hash.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
    }
    mac
}

impl Dispenser {
    pub(crate) const fn new(seed: u64, atm: AtmNo, secured: bool) -> Self {
        Self { secured, key: key(seed, atm), drawn: 0, nonce: None, last: None, given: Vec::new() }
    }

    /// A nonce for a customer, in place of any before.
    pub(crate) fn draws_nonce(&mut self) -> u128 {
        self.drawn += 1;
        let nonce = u128::from(self.key) << 64 | u128::from(self.drawn);
        self.nonce = Some(nonce);
        nonce
    }

    /// Without power it forgets its nonce.
    pub(crate) const fn loses_power(&mut self) {
        self.nonce = None;
    }

    /// Takes a command to dispense, or refuses. One token is good for one dispense.
    pub(crate) fn accepts(&mut self, token: Option<&str>, amount: u64) -> bool {
        if !self.secured {
            return true;
        }
        let read = |text: &str| Some((text.to_owned(), token_seen(text)?, bytes(field(text, "HMACSHA256")?)?));
        let Some((text, seen, id)) = token.and_then(read) else { return false };
        let authenticated = text.len().checked_sub(64).and_then(|end| text.get(..end)).unwrap_or_default();
        let good =
            mac(self.key, authenticated.as_bytes()) == id && self.nonce == Some(seen.nonce) && amount <= seen.amount;
        if good {
            self.nonce = None;
            self.last = Some(Last { id, dispensed: amount, presented: None, retracted: None });
        }
        good
    }

    /// What became of the notes of the last dispense.
    pub(crate) const fn moved(&mut self, fate: Fate, amount: u64) {
        let Some(last) = &mut self.last else { return };
        match fate {
            Fate::Dispensed => last.presented = Some(amount),
            Fate::Partial(left) => (last.dispensed, last.presented) = (left, Some(left)),
            Fate::Jammed { .. } => last.dispensed = 0,
            Fate::Retracted { presented, back, counted } => {
                last.presented = Some(presented);
                last.retracted = if back == 0 { None } else { Some(if counted { Some(back) } else { None }) };
            }
        }
    }

    /// Its status under a nonce.
    pub(crate) fn status(&mut self, nonce: &str) -> String {
        let last = self.last.unwrap_or(Last { id: [0; 32], dispensed: 0, presented: None, retracted: None });
        let id = self.last.map(|last| format!("DISPENSEID={},", hex(last.id))).unwrap_or_default();
        let presented = last
            .presented
            .map_or("PRESENTED1=NO".to_owned(), |amount| format!("PRESENTED1=YES,PRESENTEDAMOUNT1={amount}.00JPY"));
        let retracted = match last.retracted {
            None => "RETRACTED1=NO".to_owned(),
            Some(None) => "RETRACTED1=YES,RETRACTEDAMOUNT1=?".to_owned(),
            Some(Some(amount)) => format!("RETRACTED1=YES,RETRACTEDAMOUNT1={amount}.00JPY"),
        };
        let said = format!("{id}DISPENSED1={}.00JPY,{presented},{retracted}", last.dispensed);
        let text = signed(nonce, &said, self.key);
        self.given.push(text.clone());
        text
    }

    /// A status that it gave before.
    pub(crate) fn older(&self, number: u64) -> Option<String> {
        let count = u64::try_from(self.given.len()).ok().filter(|count| *count > 0)?;
        self.given.get(usize::try_from(number % count).ok()?).cloned()
    }

    /// What somebody without the key would like it to have said.
    pub(crate) fn forged(&self, nonce: &str) -> String {
        let id = self.last.map_or([0; 32], |last| last.id);
        let said = format!("DISPENSEID={},DISPENSED1=0.00JPY,PRESENTED1=NO,RETRACTED1=NO", hex(id));
        signed(nonce, &said, self.key ^ 1)
    }
}

fn signed(nonce: &str, said: &str, key: u64) -> String {
    let whole = |length: usize| format!("NONCE={nonce},TOKENFORMAT=1,TOKENLENGTH={length:04},{said},HMACSHA256=");
    let text = whole(whole(0).len() + 64);
    let mac = hex(mac(key, text.as_bytes()));
    text + &mac
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn bytes(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    (hex.len() == 64).then_some(bytes)
}

fn beginning(mac: [u8; 32]) -> u64 {
    mac.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split(',').find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
}

fn amount(text: &str) -> Option<u64> {
    text.strip_suffix(".00JPY")?.parse().ok()
}

/// A dispense token in plain numbers.
pub(crate) fn token_seen(text: &str) -> Option<TokenSeen> {
    Some(TokenSeen {
        nonce: u128::from_str_radix(field(text, "NONCE")?, 16).ok()?,
        amount: amount(field(text, "DISPENSE1")?)?,
        mac: beginning(bytes(field(text, "HMACSHA256")?)?),
    })
}

/// A present token in plain numbers.
pub(crate) fn status_seen(text: &str, key: u64) -> Option<Status> {
    let authenticated = text.get(..text.len().checked_sub(64)?)?;
    let part = |word: &str, figure: &str| {
        let happened = field(text, word)? == "YES";
        Some((happened, field(text, figure).and_then(amount)))
    };
    Some(Status {
        nonce: u128::from_str_radix(field(text, "NONCE")?, 16).ok()?,
        dispense: field(text, "DISPENSEID").and_then(bytes).map(beginning),
        dispensed: amount(field(text, "DISPENSED1")?)?,
        presented: part("PRESENTED1", "PRESENTEDAMOUNT1")?,
        retracted: part("RETRACTED1", "RETRACTEDAMOUNT1")?,
        genuine: bytes(field(text, "HMACSHA256")?)? == mac(key, authenticated.as_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(key: u64, nonce: u128, amount: u64) -> String {
        let text = format!("NONCE={nonce:032X},TOKENFORMAT=1,TOKENLENGTH=0167,DISPENSE1={amount}.00JPY,HMACSHA256=");
        let mac = hex(mac(key, text.as_bytes()));
        text + &mac
    }

    #[test]
    fn a_dispenser_pays_out_once_against_a_token_for_its_nonce_and_enough_money() {
        let right = key(7, 0);
        let check = |key: u64, changed: u128, amount: u64| {
            let mut dispenser = Dispenser::new(7, 0, true);
            let nonce = dispenser.draws_nonce();
            let token = token(key, nonce + changed, amount);
            (dispenser.accepts(Some(&token), 30_000), dispenser.accepts(Some(&token), 30_000))
        };
        assert_eq!(check(right, 0, 30_000), (true, false));
        assert_eq!(check(right, 0, 40_000), (true, false));
        assert_eq!(check(right, 0, 20_000), (false, false), "for less");
        assert_eq!(check(right, 1, 30_000), (false, false), "another nonce");
        assert_eq!(check(key(7, 1), 0, 30_000), (false, false), "another machine's key");
        let mut dispenser = Dispenser::new(7, 0, true);
        let nonce = dispenser.draws_nonce();
        assert!(!dispenser.accepts(None, 10_000));
        dispenser.loses_power();
        assert!(!dispenser.accepts(Some(&token(right, nonce, 10_000)), 10_000), "the nonce is gone");
        assert!(Dispenser::new(7, 0, false).accepts(None, 10_000));
    }

    #[test]
    fn a_status_reads_back_in_plain_numbers_and_a_forged_one_is_seen() {
        let mut dispenser = Dispenser::new(7, 0, true);
        let nonce = dispenser.draws_nonce();
        let text = token(key(7, 0), nonce, 30_000);
        assert!(dispenser.accepts(Some(&text), 30_000));
        let stacked = status_seen(&dispenser.status("0A"), key(7, 0)).unwrap();
        let id = token_seen(&text).map(|seen| seen.mac);
        assert_eq!((stacked.nonce, stacked.dispense, stacked.dispensed), (10, id, 30_000));
        assert_eq!((stacked.presented, stacked.retracted, stacked.genuine), ((false, None), (false, None), true));
        dispenser.moved(Fate::Retracted { presented: 30_000, back: 10_000, counted: true }, 30_000);
        let taken_back = status_seen(&dispenser.status("0B"), key(7, 0)).unwrap();
        assert_eq!((taken_back.presented, taken_back.retracted), ((true, Some(30_000)), (true, Some(10_000))));
        assert!(!status_seen(&dispenser.forged("0C"), key(7, 0)).unwrap().genuine);
        assert_eq!(status_seen(&dispenser.older(0).unwrap(), key(7, 0)).unwrap().nonce, 10);
    }
}
