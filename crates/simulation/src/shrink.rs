//! The few faults of a failing world that it takes to fail.
//!
//! A world whose faults are narrowed draws the same otherwise (see [`faults`](crate::faults)), so faults can be taken out one by one: whole
//! kinds first, then single ones, by delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002).

use std::collections::{BTreeMap, BTreeSet};

use crate::faults::{Allowed, FaultId, FaultKind};
use crate::run::{self, Failure};

/// Worlds that shrinking one failure may take.
pub const RERUNS_MAX: u32 = 500;

/// What is left of a failing world's faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// With these and no others it still fails.
    pub faults: BTreeSet<FaultId>,
    /// How many worlds it took to find out.
    pub reruns: u32,
    /// Whether none of them can be left out; otherwise the reruns were used up first.
    pub is_smallest: bool,
}

/// Shrinks the faults of a failing world, for as long as it fails with the same symptom. None if it does not fail that way again.
#[must_use]
pub fn of_failure(failure: &Failure) -> Option<Shrunk> {
    let symptom = failure.wrong.symptom();
    let all: BTreeSet<FaultId> = match run::world(failure.shape, failure.seed, Allowed::Mix, false) {
        Ok(ended) => ended.struck.iter().map(|(_, id)| *id).collect(),
        Err(_) => run::faults_of(failure.shape, failure.seed),
    };
    shrunk(&all, RERUNS_MAX, |only| {
        let lived = run::world(failure.shape, failure.seed, Allowed::Only(only.clone()), false);
        run::wrong(&lived).is_some_and(|wrong| wrong.symptom() == symptom)
    })
}

/// Shrinks a set of faults for as long as `fails` says that those which are left suffice. None if not even all of them do.
pub fn shrunk(
    all: &BTreeSet<FaultId>,
    reruns_max: u32,
    fails: impl FnMut(&BTreeSet<FaultId>) -> bool,
) -> Option<Shrunk> {
    let mut trial = Trial { fails, reruns: 0, reruns_max };
    if trial.fails_with(all) != Some(true) {
        return None;
    }
    if trial.fails_with(&BTreeSet::new()) == Some(true) {
        return Some(Shrunk { faults: BTreeSet::new(), reruns: trial.reruns, is_smallest: true });
    }
    let mut kinds: BTreeMap<FaultKind, Vec<FaultId>> = BTreeMap::new();
    for id in all {
        kinds.entry(id.kind).or_default().push(*id);
    }
    let (kinds, _) = trial.reduced(kinds.into_values().collect());
    let (faults, is_smallest) = trial.reduced(kinds.into_iter().flatten().map(|id| vec![id]).collect());
    Some(Shrunk { faults: faults.into_iter().flatten().collect(), reruns: trial.reruns, is_smallest })
}

struct Trial<F> {
    fails: F,
    reruns: u32,
    reruns_max: u32,
}

impl<F: FnMut(&BTreeSet<FaultId>) -> bool> Trial<F> {
    /// Whether it fails with these; nothing if the reruns are used up.
    fn fails_with(&mut self, faults: &BTreeSet<FaultId>) -> Option<bool> {
        if self.reruns >= self.reruns_max {
            return None;
        }
        self.reruns += 1;
        Some((self.fails)(faults))
    }

    /// Leaves out ever smaller parts of a list, until no single one can be left out. Says whether it came to that.
    fn reduced(&mut self, mut units: Vec<Vec<FaultId>>) -> (Vec<Vec<FaultId>>, bool) {
        let mut size = units.len().div_ceil(2);
        while size > 0 && !units.is_empty() {
            let mut from = 0;
            let mut left_out_any = false;
            while from < units.len() {
                let rest = without(&units, from, size);
                match self.fails_with(&rest.iter().flatten().copied().collect()) {
                    None => return (units, false),
                    Some(true) => {
                        units = rest;
                        left_out_any = true;
                    }
                    Some(false) => from += size,
                }
            }
            // At single ones, again until nothing changes: what was needed first may not be needed without the others.
            size = match size {
                1 if left_out_any => 1,
                1 => 0,
                more => more.div_ceil(2),
            };
        }
        (units, true)
    }
}

fn without(units: &[Vec<FaultId>], from: usize, count: usize) -> Vec<Vec<FaultId>> {
    units.iter().take(from).chain(units.iter().skip(from + count)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind, number: u32) -> FaultId {
        FaultId { kind, place: 0, number }
    }

    fn many() -> BTreeSet<FaultId> {
        FaultKind::ALL.iter().flat_map(|kind| (0..40).map(|number| fault(*kind, number))).collect()
    }

    #[test]
    fn two_faults_that_are_needed_together_are_what_is_left_of_two_thousand() {
        let needed = BTreeSet::from([fault(FaultKind::MessageLost, 17), fault(FaultKind::GatewayCrash, 3)]);
        let shrunk = shrunk(&many(), RERUNS_MAX, |only| needed.is_subset(only)).unwrap();
        assert_eq!(shrunk.faults, needed);
        assert!(shrunk.is_smallest && shrunk.reruns < 100, "{} reruns", shrunk.reruns);
    }

    #[test]
    fn either_of_two_faults_leaves_one() {
        let (this, that) = (fault(FaultKind::LineCut, 0), fault(FaultKind::HsmLost, 39));
        let shrunk = shrunk(&many(), RERUNS_MAX, |only| only.contains(&this) || only.contains(&that)).unwrap();
        assert_eq!(shrunk.faults.len(), 1);
    }

    #[test]
    fn a_world_that_fails_without_any_fault_has_none_left() {
        let shrunk = shrunk(&many(), RERUNS_MAX, |_| true).unwrap();
        assert_eq!((shrunk.faults.len(), shrunk.reruns), (0, 2));
    }

    #[test]
    fn a_world_that_does_not_fail_again_is_not_shrunk() {
        assert_eq!(shrunk(&many(), RERUNS_MAX, |_| false), None);
    }

    #[test]
    fn shrinking_ends_and_what_is_left_still_fails_when_the_reruns_are_used_up() {
        let needed: BTreeSet<FaultId> = many().into_iter().filter(|id| id.number.is_multiple_of(3)).collect();
        let shrunk = shrunk(&many(), 100, |only| needed.is_subset(only)).unwrap();
        assert!(!shrunk.is_smallest && shrunk.reruns == 100);
        assert!(needed.is_subset(&shrunk.faults));
    }

    #[test]
    fn what_only_became_needless_later_is_left_out_too() {
        // Numbers 0 and 1 are needed for as long as number 2 is there.
        let all: BTreeSet<FaultId> = (0..4).map(|number| fault(FaultKind::Jam, number)).collect();
        let has = |only: &BTreeSet<FaultId>, number| only.contains(&fault(FaultKind::Jam, number));
        let fails = |only: &BTreeSet<FaultId>| has(only, 3) && (!has(only, 2) || (has(only, 0) && has(only, 1)));
        let shrunk = shrunk(&all, RERUNS_MAX, fails).unwrap();
        assert_eq!(shrunk.faults, BTreeSet::from([fault(FaultKind::Jam, 3)]));
    }
}
