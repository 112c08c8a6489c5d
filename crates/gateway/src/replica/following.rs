//! What other replicas wrote and this one keeps in memory: stops, phones, keys. Read behind a mark, applied in the ledger's order.
//!
//! Own writes come back here too. A stop or release is applied by its sequence, so an older one never undoes a later; phones are applied while
//! no own change of them is under way, so what is read is never older than what is known.

use std::sync::Arc;
use std::time::Duration;

use cashgate_ledger::{StoredNotice, Tail, TailMark};
use cashgate_wire::notices;
use tokio::sync::watch;

use super::Member;
use crate::clock;
use crate::keys::KeyOffice;
use crate::lanes::Lanes;
use crate::ledger_reads;
use crate::stops::StopSwitch;

/// How often is looked, beside the ledger's own hints.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Follows the ledger from a mark for ever. While it cannot be read no new withdrawal begins here: it might be one that was stopped.
pub async fn follow(member: Arc<Member>, lanes: Arc<Lanes>, switch: StopSwitch, keys: KeyOffice, mut mark: TailMark) {
    let mut hints = lanes.surroundings().ledger.subscribe_tail();
    loop {
        let asked_at = clock::now();
        let known = match look(&lanes, mark).await {
            Ok(tail) => {
                let (through, is_whole) = (tail.through, tail.is_whole);
                if apply(&lanes, &switch, &keys, mark, tail).await {
                    lanes.look_again();
                }
                mark = through;
                if is_whole { Known::All } else { Known::APart }
            }
            Err(error) => {
                tracing::warn!(%error, "what other replicas wrote cannot be read");
                Known::Nothing
            }
        };
        if known == Known::All {
            member.pulse().followed(asked_at);
        }
        lanes.surroundings().desk.ledger_is_followed(member.pulse().is_fresh(clock::now()));
        if known != Known::APart {
            wait_for_hint(&mut hints).await;
        }
    }
}

/// How much of what was written behind the mark one look has told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    All,
    /// The stop that matters may be in the rest, which is asked for without a pause.
    APart,
    Nothing,
}

async fn wait_for_hint(hints: &mut watch::Receiver<TailMark>) {
    if let Ok(Err(_)) = tokio::time::timeout(LOOK_EVERY, hints.changed()).await {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(lanes: &Lanes, mark: TailMark) -> Result<Tail, String> {
    ledger_reads::read(lanes.surroundings().ledger.reader(), move |reader| reader.tail_after(&mark)).await
}

/// Says whether lanes have to look again whether what they have begun may go on.
async fn apply(lanes: &Lanes, switch: &StopSwitch, keys: &KeyOffice, mark: TailMark, tail: Tail) -> bool {
    let mut changed = false;
    for notice in &tail.notices {
        changed |= learn(switch, notice);
    }
    if !tail.devices.is_empty() {
        changed |= lanes.surroundings().devices.follow(|| look(lanes, mark)).await;
    }
    if !tail.key_events.is_empty() {
        keys.follow().await;
    }
    changed
}

fn learn(switch: &StopSwitch, stored: &StoredNotice) -> bool {
    if !matches!(stored.kind.as_str(), "stopped" | "released") {
        return false;
    }
    match notices::decode(&stored.body) {
        Ok(notice) => switch.follow(stored.sequence, &notice),
        Err(error) => {
            tracing::error!(sequence = %stored.sequence, %error, "a notice about a stop cannot be read");
            false
        }
    }
}
