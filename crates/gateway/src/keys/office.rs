//! Where keys are published, put to use and retired. What it does is durable before it is effective.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cashgate_hsm::{HsmState, SlotStatus};
use cashgate_ledger::{KeyAction, KeyEvent, Ledger, LedgerReader};
use cashgate_qr::PublicKey;
use cashgate_wire::unix_ms;
use cashgate_withdrawal::ids::{KeyId, OperatorName};
use cashgate_withdrawal::time::Timestamp;
use tokio::sync::{Mutex, Notify};

use super::attending::Looked;
use super::hsm::{FoundKey, KeyHsm};
use super::refusal::KeyRefusal;
use super::ring::{KeyRing, KeyRow, KeyState};
use crate::clock;
use crate::evidence::time;
use crate::ledger_reads;

/// How long after another key took over the last batch under the old one may still be put together. A worker does that in microseconds
/// after it took the work.
pub(super) const TAKE_OVER: Duration = Duration::from_secs(5);

/// How keys are looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// The label of the first key: what a new ledger begins with.
    pub first_label: String,
    /// How long a key is published before it signs. Apps must fetch the keys more often.
    pub publish_before_use: Duration,
    /// How long after its signature a code may be used: until it expires, and what was scanned with it until it must be approved.
    pub code_lifetime_max: Duration,
}

/// A rotation that was ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The keys that will sign.
    pub key_ids: Vec<KeyId>,
    /// From when on.
    pub use_from: Timestamp,
}

/// All keys and where they are.
#[derive(Clone, Debug)]
pub struct KeyStatus {
    /// The keys, in the order in which they were published.
    pub keys: Vec<KeyStanding>,
    /// The slots of the HSM.
    pub slots: Vec<SlotStatus>,
    /// How they are together.
    pub hsm: HsmState,
}

/// A key and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStanding {
    /// The key.
    pub row: KeyRow,
    /// The HSM tokens that answer and have it.
    pub found_in: Vec<String>,
    /// From when on it may be retired; `None` while it signs, and once it is.
    pub may_be_retired_from: Option<Timestamp>,
}

/// The office. Clones are the same one.
#[derive(Clone)]
pub struct KeyOffice {
    pub(super) open: Arc<Open>,
}

pub(super) struct Open {
    pub(super) hsm: Arc<dyn KeyHsm>,
    pub(super) ring: KeyRing,
    ledger: Ledger,
    pub(super) settings: KeySettings,
    /// One change at a time, and what was last looked at.
    pub(super) desk: Mutex<Looked>,
    /// A rotation was ordered or taken back.
    pub(super) changed: Notify,
}

impl std::fmt::Debug for KeyOffice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyOffice").field("ring", &self.open.ring).finish_non_exhaustive()
    }
}

impl KeyOffice {
    /// Opens the office over a ring that was replayed from the ledger, and does what is due: the first key is published and signs at once,
    /// the HSM signs with the key that the ring says. An HSM that is lost is no error. [`KeyOffice::attend`] must run from then on.
    pub async fn open(hsm: Arc<dyn KeyHsm>, ring: KeyRing, ledger: Ledger, settings: KeySettings) -> Self {
        let desk = Mutex::new(Looked::default());
        let open = Open { hsm, ring, ledger, settings, desk, changed: Notify::new() };
        let office = Self { open: Arc::new(open) };
        if let Some(label) = office.open.ring.signing_label().filter(|label| *label != office.open.settings.first_label)
        {
            tracing::info!(label, "the key that signs is the one that was rotated to, not hsm.signing_key_label");
        }
        office.look().await;
        office
    }

    /// The keys.
    #[must_use]
    pub fn ring(&self) -> &KeyRing {
        &self.open.ring
    }

    /// How long a key is published before it signs.
    #[must_use]
    pub fn publish_before_use(&self) -> Duration {
        self.open.settings.publish_before_use
    }

    /// Has the keys of a label sign, in all slots, once they have been published for long enough. With `generate` they are made where
    /// they are missing. Until then nothing changes for customers.
    ///
    /// # Errors
    /// [`KeyRefusal`]: nothing is published. A key that was made stays in its HSM.
    pub async fn rotate(
        &self,
        to: &str,
        generate: bool,
        actor: &OperatorName,
        reason: &str,
    ) -> Result<Rotation, KeyRefusal> {
        let _desk = self.open.desk.lock().await;
        self.may_rotate_to(to)?;
        let hsm = &self.open.hsm;
        let mut found = hsm.find_key(to).await?;
        // Before anything is made.
        self.refuse_retired(&found)?;
        if generate {
            found = hsm.create_key(to).await?;
        }
        let keys = keys_in_answering(&hsm.slots(), &found)?;
        let now = clock::now();
        let rows = self.open.ring.rows();
        let known = |key_id| rows.iter().find(|row| row.key_id == key_id);
        // What apps have known for long enough need not wait again.
        let known_since = keys.iter().map(|key| known(key.key_id).map(|row| row.published_at)).max();
        let all_known = keys.iter().all(|key| known(key.key_id).is_some());
        let published_at = if all_known { known_since.flatten().unwrap_or(now) } else { now };
        let use_from = published_at.after(self.open.settings.publish_before_use).max(now);
        let action = KeyAction::Published { use_from };
        let event = |key: &HsmKey| key.event(now, actor.as_str(), action, to, reason);
        self.record(keys.iter().map(event).collect()).await?;
        let key_ids: Vec<KeyId> = keys.iter().map(|key| key.key_id).collect();
        let from = time(unix_ms(use_from));
        tracing::warn!(%actor, label = to, ?key_ids, use_from = from, "keys are published and will sign");
        self.open.changed.notify_one();
        Ok(Rotation { key_ids, use_from })
    }

    /// Has codes under a key refused from now on and takes it out of what apps fetch. `now`: also if codes under it may still be valid.
    ///
    /// # Errors
    /// [`KeyRefusal`]: nothing changed.
    pub async fn retire(&self, key_id: KeyId, now: bool, actor: &OperatorName, reason: &str) -> Result<(), KeyRefusal> {
        let _desk = self.open.desk.lock().await;
        let at = clock::now();
        let rows = self.open.ring.rows();
        let row = rows.into_iter().find(|row| row.key_id == key_id).ok_or(KeyRefusal::Unknown(key_id))?;
        let codes_valid = match row.state {
            KeyState::Retired => return Err(KeyRefusal::Retired(key_id)),
            KeyState::Signing if !now => return Err(KeyRefusal::Signs(key_id)),
            KeyState::Signing => true,
            KeyState::Published | KeyState::Overlapping => match row.may_be_retired_from(self.codes_valid_for()) {
                Some(from) if from > at && !now => return Err(KeyRefusal::CodesValid { key_id, until: from }),
                Some(from) => from > at,
                None => false,
            },
        };
        let KeyRow { label, token_label, public_key, .. } = row;
        let key = HsmKey { key_id, public_key, token_label };
        let action = KeyAction::Retired { at_once: codes_valid };
        self.record(vec![key.event(at, actor.as_str(), action, &label, reason)]).await?;
        tracing::warn!(%actor, %key_id, label, at_once = codes_valid, "a key is retired");
        self.open.changed.notify_one();
        Ok(())
    }

    /// All keys, which HSM tokens have them, and how the HSM is. Asks the HSM.
    pub async fn status(&self) -> KeyStatus {
        let rows = self.open.ring.rows();
        let mut found = BTreeMap::new();
        for row in &rows {
            if !found.contains_key(&row.label) {
                // One that does not answer is not asked for every label: each time takes as long as one may have to wait.
                let Ok(answer) = self.open.hsm.find_key(&row.label).await else { break };
                found.insert(row.label.clone(), answer);
            }
        }
        let codes_valid_for = self.codes_valid_for();
        let standing = |row: KeyRow| {
            let slots = found.get(&row.label).into_iter().flatten();
            let having = slots.filter(|slot| slot.public_key.as_ref() == Ok(&row.public_key));
            let found_in = having.map(|slot| slot.token_label.clone()).collect();
            KeyStanding { found_in, may_be_retired_from: row.may_be_retired_from(codes_valid_for), row }
        };
        let (slots, hsm) = (self.open.hsm.slots(), self.open.hsm.state());
        KeyStatus { keys: rows.into_iter().map(standing).collect(), slots, hsm }
    }

    /// Another replica changed something about the keys: the ring becomes what the ledger tells now.
    pub async fn follow(&self) {
        let _desk = self.open.desk.lock().await;
        let events = match ledger_reads::read(self.open.ledger.reader(), LedgerReader::key_events).await {
            Ok(events) => events,
            Err(error) => return tracing::error!(error, "what another replica did about keys cannot be read"),
        };
        match self.open.ring.become_replayed(events.iter().map(|stored| &stored.event)) {
            Ok(true) => {
                tracing::info!("another replica changed the keys");
                self.open.changed.notify_one();
            }
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "what another replica did about keys cannot have happened"),
        }
    }

    /// Makes events durable, then effective. The caller holds the desk.
    pub(super) async fn record(&self, events: Vec<KeyEvent>) -> Result<(), KeyRefusal> {
        let successor = self.open.ring.after(&events)?;
        self.open.ledger.record_key_events(events).await?;
        self.open.ring.become_successor(successor);
        Ok(())
    }

    fn codes_valid_for(&self) -> Duration {
        TAKE_OVER.saturating_add(self.open.settings.code_lifetime_max)
    }

    fn may_rotate_to(&self, to: &str) -> Result<(), KeyRefusal> {
        let signing = self.open.ring.signing_label();
        if signing.as_deref() == Some(to) {
            return Err(KeyRefusal::LabelSigns(to.to_owned()));
        }
        if let Some((label, _)) = pending(&self.open.ring.rows(), signing.as_deref()) {
            return Err(KeyRefusal::RotationPending { label });
        }
        let lost = |slot: &SlotStatus| slot.state == HsmState::Lost;
        let slots = self.open.hsm.slots();
        if signing.is_none() || slots.iter().all(lost) {
            let reasons: Vec<String> = slots.into_iter().map(|slot| slot.reason).collect();
            return Err(KeyRefusal::HsmUnavailable(reasons.join("; ")));
        }
        Ok(())
    }

    fn refuse_retired(&self, found: &[FoundKey]) -> Result<(), KeyRefusal> {
        let rows = self.open.ring.rows();
        let is_found = |row: &&KeyRow| found.iter().any(|slot| slot.public_key.as_ref() == Ok(&row.public_key));
        let retired = rows.iter().filter(is_found).find(|row| row.state == KeyState::Retired);
        retired.map_or(Ok(()), |row| Err(KeyRefusal::Retired(row.key_id)))
    }
}

/// The label that was rotated to and does not sign yet, and when all of its keys may.
pub(super) fn pending(rows: &[KeyRow], signing: Option<&str>) -> Option<(String, Timestamp)> {
    let waiting = rows.iter().filter(|row| Some(row.label.as_str()) != signing);
    waiting.filter_map(|row| Some((row.label.clone(), row.use_from?))).max_by_key(|(_, use_from)| *use_from)
}

/// A key with all the HSM tokens that hold it.
#[derive(Clone, Debug)]
pub(super) struct HsmKey {
    pub(super) key_id: KeyId,
    pub(super) public_key: [u8; 65],
    pub(super) token_label: String,
}

impl HsmKey {
    pub(super) fn event(&self, at: Timestamp, actor: &str, action: KeyAction, label: &str, reason: &str) -> KeyEvent {
        KeyEvent {
            at,
            actor: actor.to_owned(),
            action,
            key_id: self.key_id,
            label: label.to_owned(),
            token_label: self.token_label.clone(),
            public_key: self.public_key,
            reason: reason.to_owned(),
        }
    }
}

/// The different keys that slots have under one label; every slot that answers must have one.
pub(super) fn keys_in_answering(slots: &[SlotStatus], found: &[FoundKey]) -> Result<Vec<HsmKey>, KeyRefusal> {
    let answers =
        |token_label: &str| slots.iter().any(|slot| slot.token_label == token_label && slot.state != HsmState::Lost);
    let mut keys: Vec<HsmKey> = Vec::new();
    let mut unanswered = Vec::new();
    for FoundKey { token_label, public_key } in found {
        let not_in_hsm = |why: &str| KeyRefusal::NotInHsm { token_label: token_label.clone(), why: why.to_owned() };
        let public_key = match public_key {
            Ok(public_key) => *public_key,
            Err(why) if answers(token_label) => return Err(not_in_hsm(why)),
            Err(why) => {
                unanswered.push(format!("{token_label}: {why}"));
                continue;
            }
        };
        if let Some(same) = keys.iter_mut().find(|key| key.public_key == public_key) {
            same.token_label.push_str(", ");
            same.token_label.push_str(token_label);
            continue;
        }
        let key = PublicKey::from_sec1_uncompressed(&public_key).map_err(|error| not_in_hsm(&error.to_string()))?;
        keys.push(HsmKey { key_id: key.key_id(), public_key, token_label: token_label.clone() });
    }
    if keys.is_empty() { Err(KeyRefusal::HsmUnavailable(unanswered.join("; "))) } else { Ok(keys) }
}

#[cfg(test)]
mod tests;
