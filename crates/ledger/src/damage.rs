//! Damage: a record that is not what was written. Named so that a person finds it and knows what to do.

use cashgate_withdrawal::ids::WithdrawalId;

use crate::records::{Sequence, StoredStep};

/// What to do about damage; ends every message about it.
pub(crate) const WHAT_TO_DO: &str =
    "stop the gateway, keep the ledger's files as they are, run `cashgate ledger verify`, and restore from backup";

/// A record that does not hold what was written, or does not fit the records beside it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{table}, {record}: {fault}")]
pub struct Damage {
    /// The table.
    pub table: &'static str,
    /// Which record of it: `withdrawal 0198...`, `step 3 of withdrawal 0198... (sequence 17)`.
    pub record: String,
    /// What does not fit.
    pub fault: Fault,
}

/// What does not fit in a damaged record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A column holds a value that this crate never writes there.
    #[error("the value in column {0} cannot have been written")]
    Column(&'static str),
    /// A step that belongs to another row, or a row that belongs to other steps.
    #[error("column {0} is not the same in the withdrawal's row and in its step")]
    NotOfRow(&'static str),
    /// A step that became durable before the one that it follows.
    #[error("its sequence does not lie after that of the step before it")]
    Order,
    /// The columns of the row are not those that its check was made of.
    #[error("its columns do not fit its row_check")]
    RowCheck,
    /// The step, or the seal before it, is not what the seal was made of.
    #[error("it does not fit its seal and the step before it")]
    Seal,
    /// The body of a publication is not the one that its digest was made of.
    #[error("its body does not fit its digest")]
    Digest,
    /// A publication that no notice tells of.
    #[error("no notice stands at its sequence to tell of it")]
    NotTold,
    /// A notice of a publication that is not there.
    #[error("the publication that it tells of is missing")]
    NotPublished,
    /// The row names another last step than the one found last.
    #[error("the seal of the last step found is not the row's last_seal")]
    LastSeal,
    /// A step is missing, or stands twice.
    #[error("step {expected} should stand there, not step {found}")]
    StepNumber {
        /// The number that comes next.
        expected: u32,
        /// The number found.
        found: u32,
    },
    /// Steps are missing from the end, or there are more than the row knows.
    #[error("the row says that step {expected} is the last, and step {found} is")]
    LastStep {
        /// What the row says.
        expected: u32,
        /// The number of the last step found.
        found: u32,
    },
    /// Records are missing from the order over all steps and notices, all keys or all publications.
    #[error("sequence {expected} should stand there: records are missing")]
    SequenceGap {
        /// The sequence that comes next.
        expected: Sequence,
    },
    /// A step and a notice share one place in their order.
    #[error("it stands twice")]
    SequenceTwice,
    /// A row without a single step.
    #[error("the withdrawal has no steps")]
    NoSteps,
    /// A withdrawal whose approval is missing.
    #[error("the withdrawal has no first step")]
    NoFirstStep,
    /// A step or remark whose withdrawal is not there.
    #[error("its withdrawal has no row")]
    NoWithdrawal,
    /// Two rows claim one nonce.
    #[error("its nonce was claimed {0} times")]
    NonceClaimedTwice(u64),
    /// The storage engine could not make sense of the file.
    #[error("the file is malformed: {0}")]
    Malformed(String),
}

impl Damage {
    pub(crate) fn of_withdrawal(id: WithdrawalId, fault: Fault) -> Self {
        Self { table: "withdrawals", record: format!("withdrawal {id}"), fault }
    }

    pub(crate) fn of_step(step: &StoredStep, fault: Fault) -> Self {
        let StoredStep { number, withdrawal, sequence, .. } = step;
        Self {
            table: "steps",
            record: format!("step {number} of withdrawal {withdrawal} (sequence {sequence})"),
            fault,
        }
    }

    /// What is wrong with the order, if `found` comes next after `seen`.
    pub(crate) fn between(seen: Sequence, found: Sequence) -> Option<Self> {
        if found <= seen {
            Some(Self::of_order(format!("sequence {found}"), Fault::SequenceTwice))
        } else if found.0 - seen.0 > 1 {
            Some(Self::of_gap(seen))
        } else {
            None
        }
    }

    /// Nothing lies behind `seen` where something should.
    pub(crate) fn of_gap(seen: Sequence) -> Self {
        let expected = Sequence(seen.0.saturating_add(1));
        Self::of_order(format!("after sequence {seen}"), Fault::SequenceGap { expected })
    }

    fn of_order(record: String, fault: Fault) -> Self {
        Self { table: "steps and notices", record, fault }
    }

    /// A publication, or the place where one should stand.
    pub(crate) fn of_publication(number: u64, fault: Fault) -> Self {
        Self { table: "publications", record: format!("publication {number}"), fault }
    }

    /// A key event, or the place where one should stand.
    pub(crate) fn of_key_event(sequence: u64, fault: Fault) -> Self {
        Self { table: "key_events", record: format!("key event {sequence}"), fault }
    }

    pub(crate) fn of_file(said: String) -> Self {
        Self { table: "all tables", record: "the file as a whole".to_owned(), fault: Fault::Malformed(said) }
    }
}
