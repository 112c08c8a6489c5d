//! The database's answer to a batch, as the answers to its writes.

use std::collections::HashMap;

use cashgate_withdrawal::ids::WithdrawalId;
use tokio_postgres::Row;

use super::batch::Batch;
use super::encoding::AGAIN;
use crate::claim::{Append, LimitKey};
use crate::damage::{Damage, Fault};
use crate::error::{AppendError, LedgerFailure, ReadError, StorageError};
use crate::records::{Sequence, StepRecord};
use crate::tail::TailMark;
use crate::work::{Work, Written};

/// What `cashgate_commit` or `cashgate_claim` returned.
pub(super) struct Answer {
    pub(super) state: State,
    head_before: i64,
    /// `None`: all was written.
    verdicts: Option<Vec<i16>>,
    details: Option<Vec<Option<String>>>,
    /// Of the batch's entries, before it.
    versions: Option<Vec<i64>>,
    remarks: Option<Vec<i64>>,
    pub(super) mark: TailMark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Done,
    /// Claims that `cashgate_commit` has to say more about; nothing was changed.
    Judge,
    /// Committed before; some of the answer is lost.
    Again,
    PutOut,
    Lost,
    Unknown,
}

impl Answer {
    pub(super) fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let number = |column| Ok(u64::try_from(row.try_get::<_, Option<i64>>(column)?.unwrap_or(0)).unwrap_or(0));
        let state: &str = row.try_get("state")?;
        Ok(Self {
            state: match state {
                "done" => State::Done,
                "judge" => State::Judge,
                "again" => State::Again,
                "put_out" => State::PutOut,
                "lost" => State::Lost,
                _ => State::Unknown,
            },
            head_before: row.try_get::<_, Option<i64>>("head_before")?.unwrap_or(0),
            verdicts: row.try_get("verdicts")?,
            details: row.try_get("details")?,
            versions: row.try_get("versions")?,
            remarks: row.try_get("remarks")?,
            mark: TailMark {
                sequence: Sequence(number("last_sequence")?),
                key_events: number("key_events")?,
                device_changes: number("device_changes")?,
            },
        })
    }

    /// The outcome of each write, `None` if it has to come again, and what is known now of remarks that were left out. A failure says that a row is damaged.
    pub(super) fn outcomes(
        &self,
        batch: &Batch,
        left_out: &mut HashMap<WithdrawalId, i64>,
    ) -> Result<Vec<Option<Result<Written, AppendError>>>, LedgerFailure> {
        let kept = self.kept(batch, left_out);
        let (mut last, mut spendings) = (Sequence(u64::try_from(self.head_before).unwrap_or(0)), 0);
        let mut versions = self.versions.clone().unwrap_or_default();
        let mut outcomes = Vec::with_capacity(batch.group.len());
        let mut steps_before = 0;
        for (place, write) in batch.group.iter().enumerate() {
            let verdict = self.verdicts.as_ref().and_then(|verdicts| verdicts.get(place)).copied().unwrap_or(0);
            if verdict == 0 {
                last.0 += items(&write.work);
                let rows = match &write.work {
                    Work::Remark(_) => kept.get(&place).copied().unwrap_or(0),
                    other => other.rows(),
                };
                let raised = match &write.work {
                    Work::Append(append) if !append.raises.is_empty() => {
                        (self.state == State::Done).then(|| raised(append, batch, &mut versions))
                    }
                    Work::Append(_) => Some(Vec::new()),
                    _ => None,
                };
                outcomes.push(Some(Ok(Written { last, rows, raised })));
            } else if verdict == AGAIN {
                outcomes.push(None);
            } else if let Work::Append(append) = &write.work {
                let detail = self.details.as_ref().and_then(|details| details.get(place)).cloned().flatten();
                let versions = self.versions.as_deref().unwrap_or_default();
                let detail = detail.unwrap_or_default();
                let refused = Refused { append, detail, steps_before, spendings, batch, versions };
                outcomes.push(Some(Err(refused.error(verdict)?)));
            } else if let Work::KeyEvents(_) = &write.work {
                let said = self.details.as_ref().and_then(|details| details.get(place)).cloned().flatten();
                let broken = said.and_then(|said| said.parse().ok()).unwrap_or(0);
                let damage = ReadError::Damaged(Damage::of_key_event(broken, Fault::Seal));
                return Err(LedgerFailure { doing: "writing", cause: damage.to_string().into() });
            } else {
                outcomes.push(Some(Err(AppendError::Constraint(StorageError::said("the database refused it")))));
            }
            if let Work::Append(append) = &write.work {
                steps_before += append.steps.len();
                spendings += append.spending.len();
            }
        }
        Ok(outcomes)
    }

    /// How many remarks of each write were kept.
    fn kept(&self, batch: &Batch, left_out: &mut HashMap<WithdrawalId, i64>) -> HashMap<usize, usize> {
        let mut kept: HashMap<usize, usize> = HashMap::new();
        for ((place, withdrawal), said) in batch.remarks.iter().zip(self.remarks.iter().flatten()) {
            if *said == 1 {
                *kept.entry(*place).or_default() += 1;
            } else if *said < 0 {
                left_out.insert(*withdrawal, said.saturating_neg());
            }
        }
        kept
    }
}

/// How many places in the order a write takes.
fn items(work: &Work) -> u64 {
    let count = match work {
        Work::Append(append) => append.steps.len(),
        Work::Notice { .. } | Work::PutDevice(_, Some(_)) => 1,
        Work::PutDevice(_, None) | Work::Remark(_) | Work::KeyEvents(_) | Work::Publish(_) => 0,
    };
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The versions that an append's entries have after it. `versions`: those of all entries before it, and then after it.
fn raised(append: &Append, batch: &Batch, versions: &mut [i64]) -> Vec<u64> {
    let its_own = append.raises.iter().map(|raise| {
        let version = batch.encoded.entry(&raise.key).and_then(|entry| versions.get_mut(entry));
        version.map_or(0, |version| {
            *version += 1;
            u64::try_from(*version).unwrap_or(0)
        })
    });
    its_own.collect()
}

/// An append that was refused.
struct Refused<'batch> {
    append: &'batch Append,
    detail: String,
    /// How many steps, and sums, of other appends come before its own.
    steps_before: usize,
    spendings: usize,
    batch: &'batch Batch,
    /// Of the batch's entries, as the ledger has them.
    versions: &'batch [i64],
}

impl Refused<'_> {
    /// What the verdict says. An error here is the end: the row is damaged.
    fn error(&self, verdict: i16) -> Result<AppendError, LedgerFailure> {
        let unknown = || AppendError::Constraint(StorageError::said("the database refused it and did not say why"));
        if verdict == 1 {
            let lane = self.append.lane.clone();
            return Ok(lane.map_or_else(unknown, |(atm, epoch)| AppendError::NotOwner { atm, epoch }));
        }
        if verdict == 6 {
            return Ok(AppendError::LimitsMoved { moved: self.moved() });
        }
        if verdict == 7 {
            let place = self.detail.parse::<usize>().ok().and_then(|place| place.checked_sub(1 + self.spendings));
            let capped = place.and_then(|place| self.append.spending.get(place));
            return Ok(capped
                .map_or_else(unknown, |one| AppendError::InstitutionCapped { institution: one.institution.clone() }));
        }
        let mut words = self.detail.split(' ');
        let place = words.next().and_then(|word| word.parse::<usize>().ok());
        let step = place.and_then(|place| self.append.steps.get(place.checked_sub(1 + self.steps_before)?));
        let Some(&StepRecord { withdrawal, number, .. }) = step else { return Ok(unknown()) };
        let expected = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        Ok(match verdict {
            2 => AppendError::WithdrawalEnded { withdrawal },
            3 => AppendError::StepOutOfOrder { withdrawal, expected, found: number },
            4 => match words.next().and_then(|word| word.parse().ok()) {
                Some(by) => AppendError::NonceAlreadyClaimed { withdrawal, by },
                None => unknown(),
            },
            5 => AppendError::ApprovalChanged { withdrawal, number },
            8 => {
                let damage = Damage::of_withdrawal(withdrawal, Fault::RowCheck);
                let cause = ReadError::Damaged(damage).to_string().into();
                return Err(LedgerFailure { doing: "writing", cause });
            }
            _ => unknown(),
        })
    }

    fn moved(&self) -> Vec<(LimitKey, u64)> {
        let found = self.append.raises.iter().filter_map(|raise| {
            let version = self.versions.get(self.batch.encoded.entry(&raise.key)?)?;
            let version = u64::try_from(*version).unwrap_or(0);
            raise.computed_from.filter(|from| *from != version).map(|_| (raise.key.clone(), version))
        });
        found.collect()
    }
}
