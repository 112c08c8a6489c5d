//! Which of the writes that wait go into one statement: the database judges them side by side, so none may depend on another of them, nor on
//! one that is under way.

use std::collections::{HashMap, HashSet, VecDeque};

use cashgate_withdrawal::ids::{DeviceId, InstitutionId, Nonce, WithdrawalId};

use super::encoding::{Encoded, ToRemark};
use crate::claim::{Append, LimitKey, Raise};
use crate::error::{AppendError, StorageError};
use crate::key_events;
use crate::notices::Notice;
use crate::records::{Remark, StepRecord};
use crate::work::{Work, Write};

/// What writes touch that are in a batch or come before it.
#[derive(Default)]
pub(super) struct Touched {
    withdrawals: HashSet<WithdrawalId>,
    /// Those that are claimed: by another write of the same batch they may be as well, it tells them apart.
    nonces: HashSet<Nonce>,
    devices: HashSet<(InstitutionId, DeviceId)>,
    /// Whether the version of the entry is looked at, and not only raised.
    entries: HashMap<LimitKey, bool>,
}

impl Touched {
    /// Whether a write depends on one of these.
    fn meets(&self, work: &Work) -> bool {
        match work {
            Work::Append(append) => {
                append.steps.iter().any(|step| self.withdrawals.contains(&step.withdrawal))
                    || append.raises.iter().any(|raise| self.moves(raise))
            }
            Work::PutDevice(device, _) => self.devices.contains(&(device.institution.clone(), device.device.clone())),
            // A remark comes when the step that it is about is on disk.
            Work::Remark(_) | Work::Notice { .. } | Work::KeyEvents(_) | Work::Publish(_) => false,
        }
    }

    /// Whether a write claims a nonce that is claimed in one of these.
    fn claims_of(&self, work: &Work) -> bool {
        matches!(work, Work::Append(append) if claims(append).any(|(_, nonce)| self.nonces.contains(nonce)))
    }

    fn moves(&self, raise: &Raise) -> bool {
        self.entries.get(&raise.key).is_some_and(|looked_at| *looked_at || raise.computed_from.is_some())
    }

    fn note(&mut self, work: &Work) {
        match work {
            Work::Append(append) => {
                self.withdrawals.extend(append.steps.iter().map(|step| step.withdrawal));
                self.nonces.extend(claims(append).map(|(_, nonce)| *nonce));
                for raise in &append.raises {
                    *self.entries.entry(raise.key.clone()).or_default() |= raise.computed_from.is_some();
                }
            }
            Work::PutDevice(device, _) => {
                self.devices.insert((device.institution.clone(), device.device.clone()));
            }
            Work::Remark(_) | Work::Notice { .. } | Work::KeyEvents(_) | Work::Publish(_) => {}
        }
    }
}

/// The withdrawals that begin with an append, and the nonces that they claim.
fn claims(append: &Append) -> impl Iterator<Item = (WithdrawalId, &Nonce)> {
    append.steps.iter().filter(|step| step.number == 1).map(|step| (step.withdrawal, &step.row.nonce))
}

/// Takes writes from the front of what waits, up to the limit. Those that depend on one of them or of what is under way stay, in their order, and so does what depends
/// on those: nothing overtakes what it follows.
pub(super) fn next_group<'way>(
    waiting: &mut VecDeque<Write>,
    rows_max: usize,
    under_way: impl Iterator<Item = &'way Touched> + Clone,
) -> (Vec<Write>, Touched) {
    let (mut group, mut left, mut rows) = (Vec::new(), Vec::new(), 0);
    let (mut touched, mut held_up) = (Touched::default(), Touched::default());
    while rows < rows_max
        && group.len() < rows_max
        && let Some(write) = waiting.pop_front()
    {
        let work = &write.work;
        if touched.meets(work)
            || held_up.meets(work)
            || under_way.clone().any(|way| way.meets(work) || way.claims_of(work))
        {
            held_up.note(work);
            left.push(write);
        } else {
            rows += work.rows();
            touched.note(work);
            group.push(write);
        }
    }
    left.into_iter().rev().for_each(|write| waiting.push_front(write));
    (group, touched)
}

/// What is wrong with a write whatever the ledger holds.
pub(super) fn fault(work: &Work) -> Option<AppendError> {
    match work {
        Work::Append(append) => fault_of_append(append),
        Work::Notice { notice, .. } | Work::PutDevice(_, Some(notice)) => fault_of_notice(notice),
        Work::KeyEvents(events) => {
            let is_empty = |text: &str| text.is_empty();
            let nameless = events.iter().any(|event| is_empty(&event.actor) || is_empty(&event.label));
            key_events::check(events)
                .err()
                .or_else(|| nameless.then(|| constraint("a key event without actor or label")))
        }
        Work::PutDevice(_, None) | Work::Remark(_) => None,
        // Never comes: a seat publishes by itself.
        Work::Publish(_) => Some(constraint("a publication among other writes")),
    }
}

fn fault_of_append(append: &Append) -> Option<AppendError> {
    let Append { steps, raises, spending, .. } = append;
    if !(1..=StepRecord::PER_APPEND_MAX).contains(&steps.len()) {
        return Some(AppendError::StepCount { found: steps.len() });
    }
    let changed = raises.len().max(spending.len());
    if changed > Append::RAISES_MAX {
        return Some(AppendError::RaiseCount { found: changed });
    }
    for (place, (withdrawal, nonce)) in claims(append).enumerate() {
        let before = claims(append).take(place).find(|(other, claimed)| *claimed == nonce && *other != withdrawal);
        if let Some((by, _)) = before {
            return Some(AppendError::NonceAlreadyClaimed { withdrawal, by });
        }
    }
    steps.iter().find_map(|step| {
        let &StepRecord { withdrawal, number, .. } = step;
        if step.row.dispensed.is_some_and(|dispensed| dispensed.currency() != step.row.amount.currency()) {
            Some(AppendError::CurrenciesDiffer { withdrawal, number })
        } else if step.body.len() > StepRecord::BODY_BYTES_MAX {
            Some(AppendError::BodyTooLong { withdrawal, number, bytes: step.body.len() })
        } else if step.kind.is_empty() || step.row.state.is_empty() {
            Some(constraint("a step without a kind or a state"))
        } else {
            None
        }
    })
}

fn fault_of_notice(notice: &Notice) -> Option<AppendError> {
    if notice.body.len() > Notice::BODY_BYTES_MAX {
        Some(AppendError::NoticeTooLong { kind: notice.kind, bytes: notice.body.len() })
    } else if notice.kind.is_empty() {
        Some(constraint("a notice without a kind"))
    } else {
        None
    }
}

fn constraint(what: &str) -> AppendError {
    AppendError::Constraint(StorageError::said(what))
}

/// A group with its arrays.
pub(super) struct Batch {
    pub(super) group: Vec<Write>,
    pub(super) encoded: Encoded,
    /// For each remark that was encoded, in that order: which write it is of, and which withdrawal's.
    pub(super) remarks: Vec<(usize, WithdrawalId)>,
}

impl Batch {
    /// `left_out`: how many remarks were left out, of the withdrawals of which that is known.
    pub(super) fn of(group: Vec<Write>, left_out: &HashMap<WithdrawalId, i64>) -> Self {
        let mut encoded = Encoded::default();
        let mut found: Vec<(usize, &Remark)> = Vec::new();
        for (place, write) in group.iter().enumerate() {
            encoded.add(&write.work);
            if let Work::Remark(remarks) = &write.work {
                found.extend(remarks.iter().filter(|remark| !remark.kind.is_empty()).map(|remark| (place, remark)));
            }
        }
        found.sort_by_key(|(_, remark)| remark.withdrawal); // Stable: those of one withdrawal keep their order.
        let to_remark: Vec<ToRemark<'_>> = found
            .iter()
            .map(|(_, remark)| ToRemark { remark, counted: left_out.get(&remark.withdrawal).copied() })
            .collect();
        encoded.add_remarks(&to_remark);
        let remarks = found.iter().map(|(place, remark)| (*place, remark.withdrawal)).collect();
        Self { group, encoded, remarks }
    }

    /// How many steps, notices and other rows it has.
    pub(super) fn rows(&self) -> usize {
        self.group.iter().map(|write| write.work.rows()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::WithdrawalRow;
    use crate::sample::hold_requested;

    /// Withdrawal `n` claims this nonce.
    fn claim(n: u64, nonce: u64) -> Write {
        let row = WithdrawalRow { nonce: hold_requested(nonce).row.nonce, ..hold_requested(n).row };
        let append = Append::from(vec![StepRecord { row, ..hold_requested(n) }]);
        Write { work: Work::Append(append), answer: tokio::sync::oneshot::channel().0 }
    }

    fn next(waiting: &mut VecDeque<Write>, under_way: &[Touched]) -> (Vec<WithdrawalId>, Touched) {
        let (group, touched) = next_group(waiting, 100, under_way.iter());
        let begun = group.iter().filter_map(|write| match &write.work {
            Work::Append(append) => append.steps.first().map(|step| step.withdrawal),
            _ => None,
        });
        (begun.collect(), touched)
    }

    #[test]
    fn claims_of_one_nonce_leave_together_or_one_after_the_other_but_not_side_by_side() {
        let id = |n| hold_requested(n).withdrawal;
        let mut waiting = VecDeque::from([claim(1, 7)]);
        let (first, under_way) = next(&mut waiting, &[]);
        assert_eq!(first, [id(1)]);
        waiting.extend([claim(2, 7), claim(3, 3), claim(4, 7)]);
        assert_eq!(next(&mut waiting, &[under_way]).0, [id(3)], "the database would have them wait for each other");
        assert_eq!(next(&mut waiting, &[]).0, [id(2), id(4)], "it tells which of them is too late");
    }

    #[test]
    fn an_append_that_claims_one_nonce_for_two_withdrawals_is_refused() {
        let steps = |second: u64| {
            let row = WithdrawalRow { nonce: hold_requested(second).row.nonce, ..hold_requested(2).row };
            vec![hold_requested(1), StepRecord { row, ..hold_requested(2) }]
        };
        assert_eq!(fault_of_append(&Append::from(steps(2))), None);
        let (withdrawal, by) = (hold_requested(2).withdrawal, hold_requested(1).withdrawal);
        assert_eq!(fault_of_append(&Append::from(steps(1))), Some(AppendError::NonceAlreadyClaimed { withdrawal, by }));
    }
}
