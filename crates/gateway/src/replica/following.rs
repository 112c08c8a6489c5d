//! What other replicas wrote and this one keeps in memory: stops, phones, keys, published rules. Read behind a mark, applied in the ledger's order.
//!
//! Own writes come back here too. A stop or release is applied by its sequence, so an older one never undoes a later; phones are applied while
//! no own change of them is under way, so what is read is never older than what is known; a publication is known by its number; and an attempt
//! that was counted here is known by its id.
//!
//! Who asked for money is read behind a mark of its own, a part at each look: whoever is far behind hears of stops first.

use std::sync::Arc;
use std::time::Duration;

use cashgate_ledger::{Publication, Sequence, StoredNotice, Tail, TailMark};
use cashgate_wire::notices;
use tokio::sync::watch;

use super::{Attempts, Heard, Member};
use crate::clock;
use crate::keys::KeyOffice;
use crate::lanes::Lanes;
use crate::ledger_reads;
use crate::publishing::Publisher;
use crate::stops::StopSwitch;

/// How often is looked, beside the ledger's own hints.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is kept in memory of what replicas write.
#[derive(Clone, Debug)]
pub struct Followers {
    /// Stops.
    pub switch: StopSwitch,
    /// Signing keys.
    pub keys: KeyOffice,
    /// Published rules and limits.
    pub publisher: Publisher,
}

/// Follows the ledger from a mark for ever. While it cannot be read no new withdrawal begins here: it might be one that was stopped.
pub async fn follow(member: Arc<Member>, lanes: Arc<Lanes>, followers: Followers, mut mark: TailMark) {
    let mut hints = lanes.surroundings().ledger.subscribe_tail();
    let mut attempts = Attempts::behind(mark.sequence, member.id(), Arc::clone(&lanes.surroundings().desk));
    loop {
        let asked_at = clock::now();
        let known = match look(&lanes, mark).await {
            Ok(tail) => {
                let (through, is_whole) = (tail.through, tail.is_whole);
                match apply(&lanes, &followers, mark, tail).await {
                    Ok(()) => {
                        mark = through;
                        if is_whole { Known::All } else { Known::APart }
                    }
                    // The same part is read and applied again.
                    Err(error) => {
                        tracing::warn!(error, "what was published cannot be read");
                        Known::Nothing
                    }
                }
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
        let all_attempts = hear(&mut attempts, &lanes, mark.sequence).await;
        if known == Known::Nothing || known == Known::All && all_attempts {
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

/// Fails if a publication could not be read.
async fn apply(lanes: &Lanes, followers: &Followers, mark: TailMark, tail: Tail) -> Result<(), String> {
    let Followers { switch, keys, publisher } = followers;
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
    if changed {
        // Lanes look whether what they have begun may go on.
        lanes.look_again();
    }
    if tail.notices.iter().any(|notice| notice.kind == Publication::NOTICE_KIND) {
        publisher.follow().await?;
    }
    Ok(())
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

/// Hears the next part of who asked for money, if the ledger goes further, and says whether that was all. What cannot be read is asked for at the
/// next look.
async fn hear(attempts: &mut Attempts, lanes: &Lanes, last: Sequence) -> bool {
    let (after, desk) = (attempts.through(), Arc::clone(&lanes.surroundings().desk));
    let mut is_whole = true;
    if after < last {
        let reader = lanes.surroundings().ledger.reader();
        let read = ledger_reads::read(reader, move |reader| {
            reader.attempts_after(after, &Attempts::NOTICES).map(|part| Heard::of(part, &desk))
        });
        match read.await {
            Ok(heard) => is_whole = attempts.take(heard, clock::now()),
            Err(error) => tracing::warn!(%error, "what other replicas were asked for cannot be read"),
        }
    }
    attempts.tell_due(clock::now());
    is_whole
}
