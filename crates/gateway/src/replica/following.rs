//! What other replicas wrote and this one keeps in memory: stops, phones, keys, published rules. Read behind a mark, applied in the ledger's order.
//!
//! Own writes come back here too. A stop or release is applied by its sequence, so an older one never undoes a later; phones are applied while
//! no own change of them is under way, so what is read is never older than what is known; a publication is known by its number; and an attempt
//! that was counted here is known by its id.
//!
//! Who asked for money is read behind a mark of its own, in parts, once all that is known: whoever is far behind hears of stops first.

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
pub async fn follow(member: Arc<Member>, lanes: Arc<Lanes>, followers: Followers, mark: TailMark) {
    let followed = watch::Sender::new(mark.sequence);
    let attempts = Attempts::behind(mark.sequence, member.id(), Arc::clone(&lanes.surroundings().desk));
    // Beside each other: a stop does not wait until what was asked for meanwhile is read.
    tokio::join!(
        hear(attempts, &lanes, followed.subscribe()),
        follow_tail(&member, &lanes, &followers, mark, &followed)
    );
}

/// Has what is kept in memory follow, and says up to where it has.
async fn follow_tail(
    member: &Member,
    lanes: &Lanes,
    followers: &Followers,
    mut mark: TailMark,
    followed: &watch::Sender<Sequence>,
) {
    let mut hints = lanes.surroundings().ledger.subscribe_tail();
    loop {
        let asked_at = clock::now();
        let known = match look(lanes, mark).await {
            Ok(tail) => {
                let (through, is_whole) = (tail.through, tail.is_whole);
                match apply(lanes, followers, mark, tail).await {
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
            lanes.surroundings().desk.ledger_is_followed_until(member.pulse().fresh_until());
            followed.send_if_modified(|before| std::mem::replace(before, mark.sequence) != mark.sequence);
        }
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

/// Hears who asked for money, part by part, for ever, whenever the ledger goes further and all else in it is known already.
async fn hear(mut attempts: Attempts, lanes: &Lanes, mut followed: watch::Receiver<Sequence>) {
    loop {
        let last = *followed.borrow_and_update();
        match hear_part(&mut attempts, lanes, last).await {
            Ok(true) => {
                attempts.tell_due(clock::now());
            }
            // The rest may say that an alarm was told already.
            Ok(false) => continue,
            Err(error) => tracing::warn!(%error, "what other replicas were asked for cannot be read"),
        }
        // What cannot be read is asked for again, and alarms come to be due.
        let _ = tokio::time::timeout(LOOK_EVERY, followed.changed()).await;
    }
}

/// Hears the next part, if the ledger goes further than `last`, and says whether that was all.
async fn hear_part(attempts: &mut Attempts, lanes: &Lanes, last: Sequence) -> Result<bool, String> {
    let (after, desk) = (attempts.through(), Arc::clone(&lanes.surroundings().desk));
    if after >= last {
        return Ok(true);
    }
    let read = ledger_reads::read(lanes.surroundings().ledger.reader(), move |reader| {
        reader.attempts_after(after, &Attempts::NOTICES).map(|part| Heard::of(part, &desk))
    });
    Ok(attempts.take(read.await?, clock::now()))
}
