//! What the office does by itself: the first key, keys that slots bring along later, and the moment at which a key takes over.

use std::time::Duration;

use cashgate_hsm::HsmState;
use cashgate_ledger::{KeyAction, KeyEvent};
use cashgate_wire::unix_ms;
use cashgate_withdrawal::ids::KeyId;
use cashgate_withdrawal::time::Timestamp;

use super::office::{HsmKey, KeyOffice, TAKE_OVER, keys_in_answering, pending};
use super::refusal::KeyRefusal;
use super::ring::{KeyRow, KeyState};
use crate::clock;
use crate::evidence::time;

/// Who did what the gateway does by itself.
const GATEWAY: &str = "gateway";

/// How often slots are looked at. A slot that comes or goes need not change the state of all.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What was seen last, so that nothing is asked or said twice.
#[derive(Default)]
pub(super) struct Looked {
    /// The label and the slots that answered when the keys under it were compared with those known.
    compared: Option<(String, Vec<String>)>,
    /// The last line about what cannot be done now.
    said: String,
}

impl KeyOffice {
    /// Attends to the keys for ever.
    pub async fn attend(self) {
        let mut hsm = self.open.hsm.subscribe();
        loop {
            let wait = self.next_due().map_or(LOOK_EVERY, |due| due.since(clock::now()).min(LOOK_EVERY));
            tokio::select! {
                () = tokio::time::sleep(wait.max(Duration::from_millis(1))) => {}
                () = self.open.changed.notified() => {}
                Ok(()) = hsm.changed() => {}
            }
            self.look().await;
        }
    }

    /// Does what is due. What cannot be done now is said, and tried again at the next look.
    pub(super) async fn look(&self) {
        let mut looked = self.open.desk.lock().await;
        match self.do_what_is_due(&mut looked).await {
            Ok(()) => looked.said.clear(),
            Err(refusal) => {
                let line = refusal.to_string();
                if looked.said != line {
                    tracing::error!("the signing keys: {line}; it is tried again");
                    looked.said = line;
                }
            }
        }
    }

    async fn do_what_is_due(&self, looked: &mut Looked) -> Result<(), KeyRefusal> {
        let hsm = &self.open.hsm;
        let signing = self.open.ring.signing_label();
        if let Some(label) = signing.as_deref().filter(|label| *label != hsm.signing_key_label()) {
            hsm.sign_with(label);
        }
        let answering: Vec<String> =
            hsm.slots().into_iter().filter(|slot| slot.state != HsmState::Lost).map(|slot| slot.token_label).collect();
        // Whoever wants to sign meanwhile hears it from the HSM.
        if answering.is_empty() {
            return Ok(());
        }
        let Some(signing) = signing else { return self.begin().await };
        let now = Some((signing.clone(), answering));
        let mut compared = Ok(());
        if looked.compared != now {
            compared = self.take_in_new_keys(&signing).await;
            looked.compared = now.filter(|_| compared.is_ok());
        }
        self.use_keys(&signing, clock::now()).await?;
        match pending(&self.open.ring.rows(), Some(&signing)) {
            Some((label, use_from)) if use_from <= clock::now() => self.take_over(&label).await,
            _ => compared,
        }
    }

    /// The first keys: there is nothing that apps could know instead.
    async fn begin(&self) -> Result<(), KeyRefusal> {
        let label = &self.open.settings.first_label;
        let keys = keys_in_answering(&self.open.hsm.slots(), &self.open.hsm.find_key(label).await?)?;
        let now = clock::now();
        let event = |key: &HsmKey, action| key.event(now, GATEWAY, action, label, "first key");
        let published = keys.iter().map(|key| event(key, KeyAction::Published { use_from: now }));
        let signing = keys.iter().map(|key| event(key, KeyAction::Signing));
        self.record(published.chain(signing).collect()).await?;
        tracing::info!(label, keys = ?ids(&keys), "the first keys are published and sign");
        self.open.hsm.sign_with(label);
        Ok(())
    }

    /// A slot may come with a key of its own under the label that signs. Apps do not know it, so it is published and waits like any other.
    async fn take_in_new_keys(&self, label: &str) -> Result<(), KeyRefusal> {
        let keys = keys_in_answering(&self.open.hsm.slots(), &self.open.hsm.find_key(label).await?)?;
        self.schedule(label, &keys).await.map(drop)
    }

    /// Publishes those of `keys` that neither sign nor wait to, and says whether there were any. One that is retired is refused.
    async fn schedule(&self, label: &str, keys: &[HsmKey]) -> Result<bool, KeyRefusal> {
        let rows = self.open.ring.rows();
        let row = |key: &HsmKey| rows.iter().find(|row| row.public_key == key.public_key);
        let now = clock::now();
        let mut events = Vec::new();
        for key in keys {
            let published_at = match row(key) {
                None => now,
                // It signed before, and apps know it.
                Some(row) if row.state == KeyState::Overlapping && row.use_from.is_none() => row.published_at,
                Some(_) => continue,
            };
            let use_from = published_at.after(self.open.settings.publish_before_use).max(now);
            let (HsmKey { key_id, token_label, .. }, from) = (key, time(unix_ms(use_from)));
            tracing::error!(%key_id, token_label, label, use_from = from, "an HSM slot came with another key than those that sign: it is published and signs later");
            let reason = format!("found under the label {label}");
            events.push(key.event(now, GATEWAY, KeyAction::Published { use_from }, label, &reason));
        }
        let scheduled = !events.is_empty();
        if scheduled {
            self.record(events).await?;
        }
        match keys.iter().find(|key| row(key).is_some_and(|row| row.state == KeyState::Retired)) {
            Some(retired) => Err(KeyRefusal::Retired(retired.key_id)),
            None => Ok(scheduled),
        }
    }

    /// Further keys of the label that signs, when their time has come.
    async fn use_keys(&self, label: &str, now: Timestamp) -> Result<(), KeyRefusal> {
        let rows = self.open.ring.rows();
        let due = rows.iter().filter(|row| row.label == label && row.use_from.is_some_and(|from| from <= now));
        let events: Vec<_> = due.map(|row| its_time_has_come(row, now)).collect();
        if events.is_empty() {
            return Ok(());
        }
        tracing::warn!(label, keys = events.len(), "further keys sign");
        self.record(events).await
    }

    /// The keys of another label sign from now on, if every slot that answers has one that apps know.
    async fn take_over(&self, label: &str) -> Result<(), KeyRefusal> {
        let keys = keys_in_answering(&self.open.hsm.slots(), &self.open.hsm.find_key(label).await?)?;
        if self.schedule(label, &keys).await? {
            return Ok(());
        }
        let now = clock::now();
        let rows = self.open.ring.rows();
        let waiting = rows.iter().filter(|row| row.label == label && row.use_from.is_some());
        // Both keys may sign for a moment: what a worker has taken up under the old one is not refused.
        self.record(waiting.map(|row| its_time_has_come(row, now)).collect()).await?;
        self.open.hsm.sign_with(label);
        tracing::warn!(label, keys = ?ids(&keys), "other keys sign from now on");
        let office = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(TAKE_OVER).await;
            let _desk = office.open.desk.lock().await;
            office.open.ring.finish_take_over(now);
        });
        Ok(())
    }

    /// When something is to be done next, if anything waits.
    fn next_due(&self) -> Option<Timestamp> {
        let now = clock::now();
        // What is overdue waits for the HSM, which is looked at often enough.
        self.open.ring.rows().iter().filter_map(|row| row.use_from).filter(|use_from| *use_from > now).min()
    }
}

fn its_time_has_come(row: &KeyRow, now: Timestamp) -> KeyEvent {
    let KeyRow { key_id, public_key, token_label, label, .. } = row;
    let key = HsmKey { key_id: *key_id, public_key: *public_key, token_label: token_label.clone() };
    key.event(now, GATEWAY, KeyAction::Signing, label, "its time has come")
}

fn ids(keys: &[HsmKey]) -> Vec<KeyId> {
    keys.iter().map(|key| key.key_id).collect()
}
