//! A draft of a policy, asked about what a ledger has recorded.

use std::fmt;
use std::sync::mpsc::{SyncSender, sync_channel};

use cashgate_ledger::{LedgerOpenError, LedgerReader, ReadError, StoredStep, WithdrawalSummary};
use cashgate_policy::{Facts, PolicySet, Recorded, Rehearsal, Verdict};
use cashgate_wire::journal;
use cashgate_withdrawal::time::Timestamp;

use crate::clock;
use crate::lanes::History;

const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// How many records may wait between the ledger and the draft.
const WAITING_MAX: usize = 256;

/// Why nothing was rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The ledger cannot be opened.
    #[error(transparent)]
    Open(#[from] LedgerOpenError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The thread that reads it ended badly.
    #[error("the ledger could not be read to its end")]
    Thread,
}

/// What a rehearsal found, and what it could not look at.
#[derive(Debug)]
pub struct Rehearsed {
    /// What would have changed.
    pub rehearsal: Rehearsal,
    /// Approvals without facts: of before they were recorded, or refused before policy was asked.
    pub without_facts: u64,
}

impl fmt::Display for Rehearsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rehearsal)?;
        if self.without_facts > 0 {
            writeln!(f, "\n{} more were recorded without facts and are left out", self.without_facts)?;
        }
        Ok(())
    }
}

/// Asks a draft about every approval of the last days: what was accepted, and as far as it was told what was refused. Blocking.
///
/// # Errors
/// [`RehearsalError`]; the ledger is only read.
pub fn rehearse(
    reader: LedgerReader,
    current: Option<&PolicySet>,
    draft: &PolicySet,
    days: u32,
) -> Result<Rehearsed, RehearsalError> {
    let since = Timestamp::from_unix_ms(clock::now().unix_ms().saturating_sub(u64::from(days) * DAY_MS));
    std::thread::scope(|scope| {
        // Read and decided side by side: a year of withdrawals need not fit into memory.
        let (sender, records) = sync_channel(WAITING_MAX);
        let reading = scope.spawn(move || read(&reader, since, &sender));
        let rehearsal = cashgate_policy::rehearse(current, draft, records.iter());
        let without_facts = reading.join().map_err(|_| RehearsalError::Thread)??;
        Ok(Rehearsed { rehearsal, without_facts })
    })
}

/// Sends every record with facts; gives the number of those without.
fn read(reader: &LedgerReader, since: Timestamp, to: &SyncSender<Recorded>) -> Result<u64, ReadError> {
    let mut without_facts = 0;
    let mut send = |recorded: Option<Recorded>| match recorded {
        // Nobody listens only if the rehearsal is over.
        Some(recorded) => drop(to.send(recorded)),
        None => without_facts += 1,
    };
    reader.for_each_first_step_since(since, &mut |summary, step| send(accepted(&summary, &step)))?;
    reader.for_each_refused_since(since, &mut |at, refused| {
        let facts = Facts::from_record(&refused.facts).ok();
        // What a limit refused, policy had let pass.
        let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.name() == refused.policy_verdict);
        let recorded = facts.zip(verdict);
        send(recorded.map(|(facts, verdict)| Recorded { facts, verdict, at, dispensed: false }));
    })?;
    Ok(without_facts)
}

fn accepted(summary: &WithdrawalSummary, step: &StoredStep) -> Option<Recorded> {
    let steps = [(step.number, step.at, step.body.as_slice())];
    let terms = journal::replay(summary.id, steps).ok()?.terms;
    let verdict = if terms.decision.confirm_code { Verdict::StepUp } else { Verdict::Permit };
    let dispensed = summary.row.dispensed.is_some_and(|amount| !amount.is_zero());
    Some(Recorded { facts: Facts::from_record(&terms.decision.facts).ok()?, verdict, at: terms.approved_at, dispensed })
}
