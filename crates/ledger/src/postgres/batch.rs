//! Which of the writes that wait go into one statement: the database judges them side by side, so none may depend on another of them.

use std::collections::{HashMap, HashSet, VecDeque};

use cashgate_withdrawal::ids::{DeviceId, InstitutionId, WithdrawalId};

use super::encoding::{Encoded, ToRemark};
use crate::claim::{Append, LimitKey};
use crate::error::{AppendError, StorageError};
use crate::key_events;
use crate::notices::Notice;
use crate::records::{Remark, StepRecord};
use crate::work::{Work, Write};

/// What a write touches.
#[derive(Default)]
pub(super) struct Touched {
    withdrawals: HashSet<WithdrawalId>,
    devices: HashSet<(InstitutionId, DeviceId)>,
    /// Whether the version of the entry is looked at, and not only raised.
    entries: HashMap<LimitKey, bool>,
}

impl Touched {
    /// Takes a write up, unless it touches what one before it touches. One that has to wait is noted as well: nothing may overtake it.
    fn admits(&mut self, work: &Work) -> bool {
        match work {
            Work::Append(append) => self.admits_append(append),
            Work::PutDevice(device, _) => self.devices.insert((device.institution.clone(), device.device.clone())),
            Work::Notice { .. } | Work::Remark(_) | Work::KeyEvents(_) | Work::Publish(_) => true,
        }
    }

    fn admits_append(&mut self, append: &Append) -> bool {
        let mut admitted = true;
        let its_own: HashSet<WithdrawalId> = append.steps.iter().map(|step| step.withdrawal).collect();
        for withdrawal in its_own {
            admitted &= self.withdrawals.insert(withdrawal);
        }
        let mut entries: HashMap<&LimitKey, bool> = HashMap::new();
        for raise in &append.raises {
            *entries.entry(&raise.key).or_default() |= raise.computed_from.is_some();
        }
        for (key, looked_at) in entries {
            let before = self.entries.insert(key.clone(), looked_at);
            admitted &= before.is_none_or(|before| !before && !looked_at);
        }
        admitted
    }
}

/// Takes writes from the front of what waits, up to the limit; those that have to wait for one of them stay, in their order.
pub(super) fn next_group(waiting: &mut VecDeque<Write>, rows_max: usize) -> Vec<Write> {
    let (mut group, mut left, mut touched, mut rows) = (Vec::new(), VecDeque::new(), Touched::default(), 0);
    while let Some(write) = waiting.pop_front() {
        let size = write.work.rows();
        if rows >= rows_max || group.len() >= rows_max {
            left.push_back(write);
            break;
        }
        if touched.admits(&write.work) {
            rows += size;
            group.push(write);
        } else {
            left.push_back(write);
        }
    }
    left.append(waiting);
    *waiting = left;
    group
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
}
