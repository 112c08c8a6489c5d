//! The steps of a withdrawal that are timed.

/// What is timed, in the order of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// From the intended moment of an arrival until the generator had begun it: how late the generator itself was.
    Late,
    /// From an ATM's loss of its line to its next Welcome.
    Connect,
    /// From the intended arrival until an ATM was free.
    Machine,
    /// From the intended arrival to the code on the screen.
    Code,
    /// `Scan`, from request to answer.
    Scan,
    /// `Approve`, from request to answer; the withdrawal is durable then.
    Approve,
    /// From the approval's leaving the phone to the command's arrival at the ATM, core banking's hold included. Without those who had to type a code.
    Dispense,
    /// From the ATM's report to `OutcomeRecorded`.
    Outcome,
    /// From the intended arrival until the ATM is free again, less what the customer and the dispenser took for themselves.
    Whole,
    /// From the approval's leaving the phone until `Watch` says how it ended, less the dispenser's own time.
    Told,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 10] = [
        Self::Late,
        Self::Connect,
        Self::Machine,
        Self::Code,
        Self::Scan,
        Self::Approve,
        Self::Dispense,
        Self::Outcome,
        Self::Whole,
        Self::Told,
    ];

    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "generator_late",
            Self::Connect => "connect",
            Self::Machine => "machine",
            Self::Code => "code",
            Self::Scan => "scan",
            Self::Approve => "approve",
            Self::Dispense => "dispense",
            Self::Outcome => "outcome",
            Self::Whole => "whole",
            Self::Told => "told",
        }
    }

    /// What it is, for a reader of the report.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Late => "how late the generator itself was",
            Self::Connect => "an ATM without its line, to Welcome",
            Self::Machine => "waiting for a free ATM",
            Self::Code => "touch to code on the screen",
            Self::Scan => "Scan",
            Self::Approve => "Approve (durable)",
            Self::Dispense => "approval sent to Dispense at the ATM",
            Self::Outcome => "outcome to OutcomeRecorded",
            Self::Whole => "the whole visit, without the customer's own time",
            Self::Told => "approval sent to the end told by Watch",
        }
    }
}
