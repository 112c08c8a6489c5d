//! The signing keys and their states, as their events tell them. No IO and no clock: events come in with their times.
//!
//! A key is published before it signs, so that apps know it when they meet its first code, and stays published when another signs, until
//! the last code under it has died. Slots may hold keys of their own under one label: rows of their own, which go through the states
//! together.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cashgate_ledger::{KeyAction, KeyEvent};
use cashgate_qr::{KEYS_MAX, KeySet, PublicKey};
use cashgate_withdrawal::ids::KeyId;
use cashgate_withdrawal::time::Timestamp;

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Apps can know it; it does not sign yet.
    Published,
    /// It signs.
    Signing,
    /// Another signs; codes under it are good until they expire.
    Overlapping,
    /// Codes under it are refused.
    Retired,
}

/// A key, as its events tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The beginning of its thumbprint.
    pub key_id: KeyId,
    /// Its public half: `04 || x || y`.
    pub public_key: [u8; 65],
    /// What the HSM knows it by.
    pub label: String,
    /// The HSM tokens in which it was found when it was published.
    pub token_label: String,
    /// Where it stands.
    pub state: KeyState,
    /// Since when apps can know it.
    pub published_at: Timestamp,
    /// When it is to sign, while it waits for that.
    pub use_from: Option<Timestamp>,
    /// Since when it signs; for one that signed, since when it did last.
    pub signing_since: Option<Timestamp>,
    /// When another took over.
    pub signed_until: Option<Timestamp>,
    /// When it was retired.
    pub retired_at: Option<Timestamp>,
    /// What was taken up under it just before another took over may still be signed.
    finishing: bool,
}

impl KeyRow {
    /// From when on no code under the key can be valid, if a code may be used for `codes_valid_for` after another key took over. `None`
    /// while it signs, and once it is retired.
    #[must_use]
    pub fn may_be_retired_from(&self, codes_valid_for: Duration) -> Option<Timestamp> {
        match self.state {
            KeyState::Published => Some(self.published_at),
            KeyState::Overlapping => self.signed_until.map(|until| until.after(codes_valid_for)),
            KeyState::Signing | KeyState::Retired => None,
        }
    }
}

/// An event that cannot happen to a key in its state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {key_id} cannot be {action}: {why}")]
pub struct IllegalKeyEvent {
    /// The key.
    pub key_id: KeyId,
    /// What was to happen.
    pub action: &'static str,
    /// Why it cannot.
    pub why: IllegalBecause,
}

/// Why an event cannot happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalBecause {
    /// Not published.
    #[error("it was never published")]
    Unknown,
    /// The public half is not a point of P-256 or belongs to another id.
    #[error("its public half is not a P-256 key of that id")]
    NotItsKey,
    /// Another key has this id, or it is known under another label.
    #[error("its id is known with another public half or label")]
    IdTaken,
    /// It waits to sign already.
    #[error("it is published and waits to sign")]
    Waiting,
    /// It signs already.
    #[error("it signs")]
    Signs,
    /// It is not to sign.
    #[error("it was not published again since another took over")]
    NotScheduled,
    /// Its time has not come.
    #[error("it may not sign yet")]
    TooEarly,
    /// Nothing would sign.
    #[error("no other key signs")]
    OnlySigner,
    /// It was retired.
    #[error("it is retired")]
    Retired,
    /// Too many keys.
    #[error("{KEYS_MAX} keys are published; retire some")]
    TooMany,
}

/// All keys. Clones are the same ring; reading takes a lock for a moment and copies nothing.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    now: Arc<RwLock<Arc<Keys>>>,
}

#[derive(Clone, Debug, Default)]
struct Keys {
    rows: Vec<KeyRow>,
    published: Arc<KeySet>,
    signers: Vec<([u8; 65], KeyId)>,
}

/// What a ring will be when some events have happened: to be made so once they are durable.
#[derive(Debug)]
#[must_use = "the ring does not change before it becomes its successor"]
pub struct Successor(Keys);

impl KeyRing {
    /// The ring that events tell, oldest first.
    ///
    /// # Errors
    /// The first event that cannot have happened.
    pub fn replay<'events>(events: impl IntoIterator<Item = &'events KeyEvent>) -> Result<Self, IllegalKeyEvent> {
        let ring = Self::default();
        let mut replayed = Successor(Keys::replayed(events)?);
        // Whatever was being signed when the gateway ended is gone.
        replayed.0.rows.iter_mut().for_each(|row| row.finishing = false);
        ring.become_successor(Successor(replayed.0.indexed()));
        Ok(ring)
    }

    /// Every key that is not retired: what apps fetch, and what codes are verified under.
    #[must_use]
    pub fn published(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys().published)
    }

    /// The key's id, if it may sign: it is published and it is its time. Codes are never signed under a key that apps cannot know.
    #[must_use]
    pub fn may_sign(&self, sec1: &[u8; 65]) -> Option<KeyId> {
        self.keys().signers.iter().find(|(signer, _)| signer == sec1).map(|(_, key_id)| *key_id)
    }

    /// Whether no key was ever published.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys().rows.is_empty()
    }

    /// Every key, in the order in which they were first published.
    #[must_use]
    pub fn rows(&self) -> Vec<KeyRow> {
        self.keys().rows.clone()
    }

    /// The label whose keys sign.
    #[must_use]
    pub fn signing_label(&self) -> Option<String> {
        self.keys().rows.iter().find(|row| row.state == KeyState::Signing).map(|row| row.label.clone())
    }

    /// What the ring will be after events. Nothing changes yet.
    ///
    /// # Errors
    /// The first event that cannot happen.
    pub fn after<'events>(
        &self,
        events: impl IntoIterator<Item = &'events KeyEvent>,
    ) -> Result<Successor, IllegalKeyEvent> {
        let mut keys = Keys::clone(&self.keys());
        for event in events {
            keys.apply(event).map_err(|why| IllegalKeyEvent {
                key_id: event.key_id,
                action: event.action.name(),
                why,
            })?;
        }
        Ok(Successor(keys.indexed()))
    }

    /// Makes it so, for all clones. Only for events that are durable.
    pub fn become_successor(&self, successor: Successor) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(successor.0);
    }

    /// Becomes the ring that events tell, oldest first: all of them, this replica's and others'. Says whether it is another than before.
    ///
    /// # Errors
    /// The first event that cannot have happened; then nothing changes.
    pub fn become_replayed<'events>(
        &self,
        events: impl IntoIterator<Item = &'events KeyEvent>,
    ) -> Result<bool, IllegalKeyEvent> {
        let mut replayed = Keys::replayed(events)?;
        let before = self.keys();
        for row in &mut replayed.rows {
            // What is still being signed here is known here alone.
            let known = before.rows.iter().find(|known| known.key_id == row.key_id);
            row.finishing &= known.is_none_or(|known| known.finishing || known.state == KeyState::Signing);
        }
        let is_other = replayed.rows != before.rows;
        self.become_successor(Successor(replayed.indexed()));
        Ok(is_other)
    }

    /// Nothing is signed any more under keys that signed until `until` or before. To be said some seconds after the HSM was told.
    pub fn finish_take_over(&self, until: Timestamp) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let mut keys = Keys::clone(&now);
        keys.rows.iter_mut().filter(|row| row.signed_until <= Some(until)).for_each(|row| row.finishing = false);
        *now = Arc::new(keys.indexed());
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Keys {
    /// From the beginning. Where several replicas do what is due at the same moment, it is recorded more than once, and counts once.
    fn replayed<'events>(events: impl IntoIterator<Item = &'events KeyEvent>) -> Result<Self, IllegalKeyEvent> {
        let mut keys = Self::default();
        for event in events {
            match keys.apply(event) {
                Ok(()) | Err(IllegalBecause::Waiting | IllegalBecause::Signs) => {}
                Err(why) => return Err(IllegalKeyEvent { key_id: event.key_id, action: event.action.name(), why }),
            }
        }
        Ok(keys.indexed())
    }

    fn apply(&mut self, event: &KeyEvent) -> Result<(), IllegalBecause> {
        match event.action {
            KeyAction::Published { use_from } => self.publish(event, use_from),
            KeyAction::Signing => self.sign(event),
            KeyAction::Retired { .. } => self.retire(event),
        }
    }

    fn publish(&mut self, event: &KeyEvent, use_from: Timestamp) -> Result<(), IllegalBecause> {
        if let Some(known) = self.row(event)? {
            match known.state {
                KeyState::Published => return Err(IllegalBecause::Waiting),
                KeyState::Signing => return Err(IllegalBecause::Signs),
                KeyState::Retired => return Err(IllegalBecause::Retired),
                KeyState::Overlapping if known.use_from.is_some() => return Err(IllegalBecause::Waiting),
                KeyState::Overlapping => known.use_from = Some(use_from),
            }
            return Ok(());
        }
        let is_its_key = PublicKey::from_sec1_uncompressed(&event.public_key).is_ok_and(|k| k.key_id() == event.key_id);
        if !is_its_key {
            return Err(IllegalBecause::NotItsKey);
        }
        if self.rows.iter().filter(|row| row.state != KeyState::Retired).count() >= KEYS_MAX {
            return Err(IllegalBecause::TooMany);
        }
        self.rows.push(KeyRow {
            key_id: event.key_id,
            public_key: event.public_key,
            label: event.label.clone(),
            token_label: event.token_label.clone(),
            state: KeyState::Published,
            published_at: event.at,
            use_from: Some(use_from),
            signing_since: None,
            signed_until: None,
            retired_at: None,
            finishing: false,
        });
        Ok(())
    }

    fn sign(&mut self, event: &KeyEvent) -> Result<(), IllegalBecause> {
        let row = self.row(event)?.ok_or(IllegalBecause::Unknown)?;
        match row.state {
            KeyState::Signing => return Err(IllegalBecause::Signs),
            KeyState::Retired => return Err(IllegalBecause::Retired),
            KeyState::Published | KeyState::Overlapping => {}
        }
        if row.use_from.ok_or(IllegalBecause::NotScheduled)? > event.at {
            return Err(IllegalBecause::TooEarly);
        }
        (row.state, row.use_from, row.finishing) = (KeyState::Signing, None, false);
        (row.signing_since, row.signed_until) = (Some(event.at), None);
        let others = |row: &&mut KeyRow| row.state == KeyState::Signing && row.label != event.label;
        for other in self.rows.iter_mut().filter(others) {
            (other.state, other.finishing) = (KeyState::Overlapping, true);
            other.signed_until = Some(event.at);
        }
        Ok(())
    }

    fn retire(&mut self, event: &KeyEvent) -> Result<(), IllegalBecause> {
        let others_sign = self.rows.iter().any(|row| row.state == KeyState::Signing && row.key_id != event.key_id);
        let row = self.row(event)?.ok_or(IllegalBecause::Unknown)?;
        match row.state {
            KeyState::Retired => return Err(IllegalBecause::Retired),
            KeyState::Signing if !others_sign => return Err(IllegalBecause::OnlySigner),
            KeyState::Signing => row.signed_until = Some(event.at),
            KeyState::Published | KeyState::Overlapping => {}
        }
        (row.state, row.use_from, row.finishing) = (KeyState::Retired, None, false);
        row.retired_at = Some(event.at);
        Ok(())
    }

    fn row(&mut self, event: &KeyEvent) -> Result<Option<&mut KeyRow>, IllegalBecause> {
        match self.rows.iter_mut().find(|row| row.key_id == event.key_id) {
            Some(row) if row.public_key != event.public_key || row.label != event.label => Err(IllegalBecause::IdTaken),
            found => Ok(found),
        }
    }

    /// With what is read all the time worked out from the rows.
    fn indexed(mut self) -> Self {
        let published = self.rows.iter().filter(|row| row.state != KeyState::Retired);
        let published = published.filter_map(|row| PublicKey::from_sec1_uncompressed(&row.public_key).ok());
        // Ids differ and the count is bounded: `publish` saw to both.
        self.published = Arc::new(KeySet::new(published).unwrap_or_default());
        let signers = self.rows.iter().filter(|row| row.state == KeyState::Signing || row.finishing);
        self.signers = signers.map(|row| (row.public_key, row.key_id)).collect();
        self
    }
}

#[cfg(test)]
mod tests;
