//! What a run has seen: a fault that never struck or a state that was never reached was not tested.

use std::collections::BTreeMap;

use cashgate_withdrawal::evidence::PresentFinding;

use crate::faults::{FaultKind, Faults};

/// Counts over worlds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Worlds.
    pub worlds: u64,
    /// Events of the worlds' schedulers.
    pub events: u64,
    /// Bits that were flipped on a disk, and how often such damage was found: at a start or by verifying.
    pub flipped: u64,
    /// See `flipped`.
    pub damage_found: u64,
    /// Groups that went into the reserve of a full disk.
    pub reserve_used: u64,
    /// What verifying present tokens found, by name.
    pub(crate) findings: BTreeMap<&'static str, u64>,
    /// What replicas and their database went through, by name.
    pub(crate) counted: BTreeMap<&'static str, u64>,
    pub(crate) struck: BTreeMap<FaultKind, u64>,
    pub(crate) transitions: BTreeMap<Transition, u64>,
}

/// A state's name, an event's, and the name of the state after it.
pub type Transition = (&'static str, &'static str, &'static str);

impl Coverage {
    pub(crate) fn struck(&mut self, kind: FaultKind) {
        *self.struck.entry(kind).or_default() += 1;
    }

    pub(crate) fn stepped(&mut self, before: &'static str, event: &'static str, after: &'static str) {
        *self.transitions.entry((before, event, after)).or_default() += 1;
    }

    pub(crate) fn found(&mut self, finding: &PresentFinding) {
        *self.findings.entry(finding_name(finding)).or_default() += 1;
    }

    pub(crate) fn counted(&mut self, what: &'static str) {
        *self.counted.entry(what).or_default() += 1;
    }

    /// How often a kind of fault struck.
    #[must_use]
    pub fn struck_by(&self, kind: FaultKind) -> u64 {
        self.struck.get(&kind).copied().unwrap_or(0)
    }

    /// How often something happened to replicas or their database.
    #[must_use]
    pub fn count_of(&self, what: &str) -> u64 {
        self.counted.get(what).copied().unwrap_or(0)
    }

    /// What happened to replicas and their database, zeros included.
    #[must_use]
    pub fn over_replicas(&self) -> Vec<(&'static str, u64)> {
        OVER_REPLICAS.iter().map(|what| (*what, self.count_of(what))).collect()
    }

    /// What was never seen in worlds with several replicas.
    #[must_use]
    pub fn gaps_over_replicas(&self) -> Vec<String> {
        let faults = Faults::all_over_replicas().filter(|kind| !self.struck.contains_key(kind));
        let counts = self.over_replicas().into_iter().filter(|(_, count)| *count == 0);
        let states = self.states().into_iter().filter(|(_, count)| *count == 0);
        let unlisted = self.counted.keys().filter(|what| !OVER_REPLICAS.contains(what));
        faults
            .map(|kind| format!("the fault {kind} never struck"))
            .chain(counts.map(|(what, _)| format!("never: {what}")))
            .chain(states.map(|(state, _)| format!("the state {state} was never entered")))
            .chain(unlisted.map(|what| format!("counted, and not in the list: {what}")))
            .collect()
    }

    /// Adds what another run has seen.
    pub fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.events += other.events;
        self.flipped += other.flipped;
        self.damage_found += other.damage_found;
        self.reserve_used += other.reserve_used;
        for (finding, count) in &other.findings {
            *self.findings.entry(finding).or_default() += count;
        }
        for (what, count) in &other.counted {
            *self.counted.entry(what).or_default() += count;
        }
        for (kind, count) in &other.struck {
            *self.struck.entry(*kind).or_default() += count;
        }
        for (transition, count) in &other.transitions {
            *self.transitions.entry(*transition).or_default() += count;
        }
    }

    /// How often each kind of fault struck, zeros included.
    #[must_use]
    pub fn faults(&self) -> Vec<(FaultKind, u64)> {
        FaultKind::ALL.iter().map(|kind| (*kind, self.struck.get(kind).copied().unwrap_or(0))).collect()
    }

    /// How often each transition was taken: every legal one, and any other that was.
    #[must_use]
    pub fn transitions(&self) -> Vec<(Transition, u64)> {
        let mut all: BTreeMap<Transition, u64> = LEGAL.iter().map(|transition| (*transition, 0)).collect();
        all.extend(&self.transitions);
        all.into_iter().collect()
    }

    /// How often each state was entered.
    #[must_use]
    pub fn states(&self) -> Vec<(&'static str, u64)> {
        let mut all: BTreeMap<&'static str, u64> = LEGAL.iter().map(|(_, _, after)| (*after, 0)).collect();
        for ((_, _, after), count) in &self.transitions {
            *all.entry(after).or_default() += count;
        }
        all.into_iter().collect()
    }

    /// Withdrawals that were opened.
    #[must_use]
    pub fn withdrawals(&self) -> u64 {
        self.transitions.iter().filter(|((before, ..), _)| *before == "none").map(|(_, count)| count).sum()
    }

    /// What was never seen, and what was seen that is not in the list of legal transitions.
    #[must_use]
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps: Vec<String> = self
            .faults()
            .into_iter()
            .filter(|(_, count)| *count == 0)
            .map(|(kind, _)| format!("the fault {kind} never struck"))
            .collect();
        for ((before, event, after), count) in self.transitions() {
            if count == 0 {
                gaps.push(format!("{before} --{event}--> {after} was never taken"));
            } else if !LEGAL.contains(&(before, event, after)) {
                gaps.push(format!("{before} --{event}--> {after} was taken and is not in the list"));
            }
        }
        for finding in FINDINGS {
            if !self.findings.contains_key(finding) {
                gaps.push(format!("no present token was ever found to be {finding}"));
            }
        }
        for (what, count) in
            [("damage was never found", self.damage_found), ("the reserve was never used", self.reserve_used)]
        {
            if count == 0 {
                gaps.push(what.to_owned());
            }
        }
        gaps
    }
}

/// What replicas and their database go through.
const OVER_REPLICAS: [&str; 34] = [
    "replica kills",
    "database kills",
    "database failovers",
    "claims sent beside another commit",
    "commits repeated",
    "commits found to have gone through",
    "approvals computed again",
    "entries counted anew",
    "lanes taken over",
    "lanes taken over with open withdrawals",
    "lanes swept up",
    "let go when asked",
    "not asked to let go",
    "let go after hearing of another owner",
    "let go after a refused write",
    "errands held back",
    "requests forwarded",
    "requests lost between replicas",
    "stops followed",
    "pauses past the word of the ledger",
    "machines sent elsewhere",
    "machines sent elsewhere while a write is on its way",
    "machines served elsewhere",
    "newcomers sent elsewhere",
    "machines kept, because nobody hears",
    "late writes refused after a machine was sent elsewhere",
    "approvals heard of",
    "refusals heard of",
    "attempts heard in parts",
    "attempts read at a start and heard again",
    "alarms told at once",
    "alarms told after a wait",
    "alarms that wait for another to tell",
    "alarms that another told",
];

/// What present tokens in these worlds can turn out to be; their machines write no others.
const FINDINGS: [&str; 5] = ["fresh", "older", "forged", "other_dispense", "unverified"];

const fn finding_name(finding: &PresentFinding) -> &'static str {
    match finding {
        PresentFinding::Genuine(status) if status.fresh => "fresh",
        PresentFinding::Genuine(_) => "older",
        PresentFinding::Wrong(why) => why.name(),
        PresentFinding::Unverified => "unverified",
    }
}

/// Every transition that changes a withdrawal, by name. `step` has no other; the simulation must take each.
const LEGAL: &[Transition] = &[
    ("none", "approved", "hold_requested"),
    ("hold_requested", "hold_granted", "awaiting_code"),
    ("hold_requested", "hold_granted", "held"),
    ("hold_requested", "hold_declined", "declined"),
    ("hold_requested", "hold_unanswered", "reversing"),
    ("hold_requested", "customer_cancelled", "reversing"),
    ("hold_requested", "abandoned", "reversing"),
    ("awaiting_code", "code_matched", "held"),
    ("awaiting_code", "code_mismatched", "awaiting_code"),
    ("awaiting_code", "code_mismatched", "reversing"),
    ("awaiting_code", "customer_cancelled", "reversing"),
    ("awaiting_code", "abandoned", "reversing"),
    ("held", "dispense_commanded", "dispense_commanded"),
    ("held", "customer_cancelled", "reversing"),
    ("held", "abandoned", "reversing"),
    ("dispense_commanded", "outcome_reported", "outcome_unknown"),
    ("dispense_commanded", "outcome_reported", "confirming"),
    ("dispense_commanded", "outcome_reported", "reversing"),
    ("dispense_commanded", "outcome_reported", "suspect"),
    ("dispense_commanded", "outcome_deadline_passed", "suspect"),
    ("outcome_unknown", "outcome_reported", "confirming"),
    ("outcome_unknown", "outcome_reported", "reversing"),
    ("outcome_unknown", "outcome_reported", "suspect"),
    ("outcome_unknown", "outcome_deadline_passed", "suspect"),
    ("confirming", "hold_confirmed", "confirmed"),
    ("confirming", "settlement_refused", "suspect"),
    ("confirming", "outcome_reported", "suspect"),
    ("reversing", "hold_granted", "reversing"),
    ("reversing", "hold_reversed", "reversed"),
    ("reversing", "settlement_refused", "suspect"),
    ("reversing", "outcome_reported", "suspect"),
    ("suspect", "outcome_reported", "suspect"),
    ("suspect", "hold_confirmed", "suspect"),
    ("suspect", "hold_reversed", "suspect"),
    ("suspect", "suspect_resolved", "confirming"),
    ("suspect", "suspect_resolved", "reversing"),
];
