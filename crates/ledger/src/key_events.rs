//! What happened to the keys that sign QR tokens: an append-only table of its own, chained by seals.

use cashgate_withdrawal::ids::KeyId;
use cashgate_withdrawal::time::Timestamp;

use crate::cells::Cells;
use crate::chain::{self, Link, Placed};
use crate::columns::{self, signed};
use crate::damage::{Damage, Fault};
use crate::error::{AppendError, ReadError};
use crate::seal::{Seal, extend_with_length, extend_with_optional, sha256};

/// Something that happened to a signing key, to be made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEvent {
    /// When.
    pub at: Timestamp,
    /// Who did it: an operator's name, or `gateway`. At most [`KeyEvent::TEXT_BYTES_MAX`] bytes, as each text here; not empty.
    pub actor: String,
    /// What.
    pub action: KeyAction,
    /// The key.
    pub key_id: KeyId,
    /// The label under which the HSM knows it.
    pub label: String,
    /// The label of the HSM token in which it was found; several if it has copies, with `, ` between.
    pub token_label: String,
    /// Its public half: an uncompressed P-256 point, `04 || x || y`.
    pub public_key: [u8; 65],
    /// Why, for the auditor.
    pub reason: String,
}

impl KeyEvent {
    /// The longest text in an event, in bytes.
    pub const TEXT_BYTES_MAX: usize = 1024;

    /// The most events that one write may hold: a handful of keys change together.
    pub const PER_WRITE_MAX: usize = 128;

    /// What is sealed of it behind its sequence.
    pub(crate) fn sealed_behind_sequence(&self) -> Vec<u8> {
        let Self { at, actor, action, key_id, label, token_label, public_key, reason } = self;
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(&signed(at.unix_ms()).to_be_bytes());
        let key_id = key_id.to_string();
        for text in [actor, action.name(), &key_id, label, token_label] {
            extend_with_length(&mut bytes, text.as_bytes());
        }
        extend_with_length(&mut bytes, public_key);
        let use_from = action.use_from().map(|moment| signed(moment.unix_ms()).to_be_bytes());
        extend_with_optional(&mut bytes, use_from.as_ref());
        extend_with_length(&mut bytes, reason.as_bytes());
        bytes
    }
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAction {
    /// It is to be found where apps fetch keys, and will sign.
    Published {
        /// Not before this moment.
        use_from: Timestamp,
    },
    /// It signs. Keys of other labels sign no more.
    Signing,
    /// Codes under it are refused from now on.
    Retired {
        /// Whether codes under it could still have been valid: an emergency.
        at_once: bool,
    },
}

impl KeyAction {
    /// The name in the table's column `action`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Published { .. } => "published",
            Self::Signing => "signing",
            Self::Retired { at_once: false } => "retired",
            Self::Retired { at_once: true } => "retired_at_once",
        }
    }

    /// When the key may sign, if that is what was said.
    #[must_use]
    pub const fn use_from(self) -> Option<Timestamp> {
        match self {
            Self::Published { use_from } => Some(use_from),
            Self::Signing | Self::Retired { .. } => None,
        }
    }
}

/// An event as it stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKeyEvent {
    /// Its place among all key events: 1, 2, 3 ... without a gap.
    pub sequence: u64,
    /// What happened.
    pub event: KeyEvent,
    /// SHA-256 over the event and the seal of the event before it.
    pub seal: Seal,
}

/// Stands first in what is hashed, so that no seal of an event is ever that of a step.
const KEY_EVENT_DOMAIN: &[u8] = b"cashgate ledger key event seal 1\0";

impl Seal {
    /// The seal of a key event at `sequence`. `previous` is that of the event before it, `None` for the first.
    ///
    /// The hashed bytes are: a domain string; one byte 0, or one byte 1 and the 32 bytes of the previous seal; the sequence (8 bytes), the
    /// time in milliseconds (8); actor, action, key id as text, label, token label and public key, each after its length (4); one byte 0, or
    /// one byte 1 and the moment of first use in milliseconds (8); the reason after its length. Numbers are big-endian.
    #[must_use]
    pub fn of_key_event(previous: Option<&Self>, sequence: u64, event: &KeyEvent) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(KEY_EVENT_DOMAIN);
        extend_with_optional(&mut bytes, previous.map(Self::as_bytes));
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&event.sealed_behind_sequence());
        Self::from_bytes(sha256(&bytes))
    }
}

impl Link for StoredKeyEvent {
    fn seal(&self) -> Seal {
        self.seal
    }

    fn sealed_behind(&self, previous: Option<&Seal>, number: u64) -> Seal {
        Seal::of_key_event(previous, number, &self.event)
    }

    fn damage(number: u64, fault: Fault) -> Damage {
        Damage::of_key_event(number, fault)
    }
}

/// Reads a row of `key_events`.
pub(crate) fn placed(row: &impl Cells) -> Result<Placed<StoredKeyEvent>, ReadError> {
    chain::placed(row, columns::key_event)
}

/// Whether so many events of such lengths may be written at once.
pub(crate) fn check(events: &[KeyEvent]) -> Result<(), AppendError> {
    if !(1..=KeyEvent::PER_WRITE_MAX).contains(&events.len()) {
        return Err(AppendError::KeyEventCount { found: events.len() });
    }
    let too_long = |event: &&KeyEvent| {
        let KeyEvent { actor, label, token_label, reason, .. } = event;
        [actor, label, token_label, reason].iter().any(|text| text.len() > KeyEvent::TEXT_BYTES_MAX)
    };
    match events.iter().find(too_long) {
        Some(event) => Err(AppendError::KeyEventTooLong { key_id: event.key_id }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: KeyAction) -> KeyEvent {
        KeyEvent {
            at: Timestamp::from_unix_ms(1_752_885_361_690),
            actor: "mori".to_owned(),
            action,
            key_id: KeyId([0xab, 0xcd, 0, 1]),
            label: "qr-2027-1".to_owned(),
            token_label: "cashgate".to_owned(),
            public_key: [4; 65],
            reason: "yearly".to_owned(),
        }
    }

    fn published() -> KeyEvent {
        event(KeyAction::Published { use_from: Timestamp::from_unix_ms(1_752_888_961_690) })
    }

    /// Computed by a few lines of another language from the description: a change here breaks every ledger there is.
    #[test]
    fn seals_are_made_as_described() {
        let first = Seal::of_key_event(None, 1, &published());
        assert_eq!(first.to_string(), "913e4e577c85e8cb202351f47ce5bf6739d1cb6308b7e38363991c6d4684008c");
        let second = Seal::of_key_event(Some(&first), 2, &event(KeyAction::Signing));
        assert_eq!(second.to_string(), "dd5cebb45294a5fd5d9dac9c8fb25d8abdf87cfa574f3217adbea1f7813ca678");
    }

    #[test]
    fn everything_in_an_event_counts() {
        let first = Seal::of_key_event(None, 1, &published());
        let changes: [fn(&mut KeyEvent); 10] = [
            |event| event.at = Timestamp::from_unix_ms(0),
            |event| event.actor.push('o'),
            |event| event.action = KeyAction::Signing,
            |event| event.action = KeyAction::Published { use_from: Timestamp::from_unix_ms(0) },
            |event| event.action = KeyAction::Retired { at_once: false },
            |event| event.action = KeyAction::Retired { at_once: true },
            |event| event.key_id = KeyId([0; 4]),
            |event| event.label.push('0'),
            |event| event.token_label.clear(),
            |event| event.public_key[64] = 5,
        ];
        let mut seals = vec![
            Seal::of_key_event(None, 2, &published()),
            Seal::of_key_event(Some(&first), 2, &published()),
            Seal::of_key_event(Some(&first), 3, &published()),
            Seal::of_key_event(Some(&first), 2, &KeyEvent { reason: String::new(), ..published() }),
        ];
        seals.extend(changes.iter().map(|change| {
            let mut changed = published();
            change(&mut changed);
            Seal::of_key_event(Some(&first), 2, &changed)
        }));
        let different: std::collections::HashSet<_> = seals.iter().collect();
        assert_eq!(different.len(), seals.len());
    }
}
