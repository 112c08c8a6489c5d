//! The gateway's disk, with the ledger on it.
//!
//! A model of what `ledger` promises over SQLite: steps go in by groups, a group is durable once it is synced, a torn group is no group. The
//! bytes of a step, its seal and its row's check are production's own, and so is the check that finds damage.

use std::collections::{BTreeMap, BTreeSet};

use cashgate_gateway::lanes::History;
use cashgate_gateway::notice_board::in_ledger;
use cashgate_ledger::{
    ApprovedRow, AttemptsPart, Damage, Fault, Notice as LedgerNotice, ReadError, RowCheck, Seal, Sequence, StepRecord,
    StoredNotice, StoredStep, WithdrawalRow, WithdrawalSummary, check_chain,
};
use cashgate_wire::notices;
use cashgate_withdrawal::ids::{AtmId, WithdrawalId};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::notice::{Happening, Notice, RefusedApproval};
use cashgate_withdrawal::time::Timestamp;

use crate::chance::Chance;

/// How many steps and notices a reader is told of at once.
const PART: u64 = 6;
/// How many groups the reserve takes once the disk is full.
const RESERVE_GROUPS: u32 = 400;

/// The disk.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: BTreeMap<WithdrawalId, Entry>,
    nonces: BTreeMap<[u8; 16], WithdrawalId>,
    last: u64,
    notices: Vec<u64>,
    /// Those that tell who asked for money, and of alarms.
    told: Vec<StoredNotice>,
    /// Steps that were refused and are told all the same.
    #[cfg(feature = "planted")]
    ghosts: Vec<(WithdrawalSummary, StoredStep)>,
    unsynced: Option<Vec<StepRecord>>,
    pub(crate) full: bool,
    used_of_reserve: u32,
    /// The backup's copy of what damage has changed on the disk.
    backup: Option<(WithdrawalId, Entry)>,
}

#[derive(Clone, Debug)]
struct Entry {
    summary: WithdrawalSummary,
    check: RowCheck,
    steps: Vec<StoredStep>,
    /// Whether the index of open withdrawals has it: a flipped bit in the row does not change that, and recovery walks the index.
    open_in_index: bool,
}

/// Why a group did not become durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotAppended {
    /// The row that a step follows on is damaged.
    Damaged(String),
    /// The step breaks the ledger's own rules; that must never happen.
    Refused(String),
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Into the file.
    Ample,
    /// Into the reserve.
    Reserve,
    /// Nowhere: the reserve is used up too.
    NoRoom,
}

impl Journal {
    /// Writes a group. It is not durable before [`Journal::sync`].
    pub(crate) fn write(&mut self, group: Vec<StepRecord>) -> Written {
        if self.full {
            if self.used_of_reserve >= RESERVE_GROUPS {
                return Written::NoRoom;
            }
            self.used_of_reserve += 1;
        }
        self.unsynced = Some(group);
        if self.full { Written::Reserve } else { Written::Ample }
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&mut self) -> Result<(), NotAppended> {
        let Some(group) = self.unsynced.take() else { return Ok(()) };
        for step in group {
            self.insert(step)?;
        }
        Ok(())
    }

    /// What was written is gone.
    pub(crate) fn drop_unsynced(&mut self) {
        self.unsynced = None;
    }

    pub(crate) fn has_unsynced(&self) -> bool {
        self.unsynced.is_some()
    }

    /// There is space again, and the reserve is made again.
    pub(crate) fn has_space(&mut self) {
        self.full = false;
        self.used_of_reserve = 0;
    }

    /// Flips a bit of something that is on the disk. Says what, or that there is nothing yet.
    pub(crate) fn flip_a_bit(&mut self, chance: &mut Chance) -> Option<String> {
        if self.backup.is_some() {
            return None;
        }
        let ids: Vec<WithdrawalId> = self.entries.keys().copied().collect();
        let id = chance.pick(&ids)?;
        let entry = self.entries.get_mut(&id)?;
        let whole = entry.clone();
        let at = usize::try_from(chance.below(entry.steps.len() as u64)).unwrap_or(0);
        let (step, bit) = (entry.steps.get_mut(at)?, chance.bits());
        let what = match chance.below(4) {
            0 => {
                let byte = usize::try_from(bit % step.body.len().max(1) as u64).unwrap_or(0);
                *step.body.get_mut(byte)? ^= 1 << (bit >> 32 & 7);
                format!("step {} of {id}: a bit of its body", step.number)
            }
            1 => {
                step.at = Timestamp::from_unix_ms(step.at.unix_ms() ^ 1 << (bit & 31));
                format!("step {} of {id}: a bit of its time", step.number)
            }
            2 => {
                let units = entry.summary.row.amount.minor_units() ^ 1 << (bit & 15);
                entry.summary.row.amount = Money::from_minor_units(units, entry.summary.row.amount.currency()).ok()?;
                format!("row of {id}: a bit of its amount")
            }
            _ => {
                entry.summary.row.open = !entry.summary.row.open;
                format!("row of {id}: whether it is open")
            }
        };
        self.backup = Some((id, whole));
        Some(what)
    }

    /// Whether damage lies on the disk.
    pub(crate) fn is_damaged(&self) -> bool {
        self.backup.is_some()
    }

    /// Restores what was damaged from the backup.
    pub(crate) fn restore(&mut self) {
        if let Some((id, whole)) = self.backup.take() {
            self.entries.insert(id, whole);
        }
    }

    /// Looks at everything, as `cashgate ledger verify` does.
    pub(crate) fn verify(&self) -> Result<(), ReadError> {
        self.entries.values().try_for_each(Entry::verified)
    }

    /// A withdrawal with its steps, checked.
    pub(crate) fn withdrawal(&self, id: WithdrawalId) -> Result<Option<&[StoredStep]>, ReadError> {
        let Some(entry) = self.entries.get(&id) else { return Ok(None) };
        entry.verified()?;
        Ok(Some(&entry.steps))
    }

    /// The withdrawal that has claimed a nonce.
    pub(crate) fn of_nonce(&self, nonce: [u8; 16]) -> Option<(WithdrawalId, &WithdrawalRow)> {
        let entry = self.entries.get(self.nonces.get(&nonce)?)?;
        Some((entry.summary.id, &entry.summary.row))
    }

    /// Every withdrawal with its steps, unchecked.
    pub(crate) fn all(&self) -> impl Iterator<Item = (WithdrawalId, &[StoredStep])> {
        self.entries.iter().map(|(id, entry)| (*id, entry.steps.as_slice()))
    }

    /// Withdrawals that need a person, with their machines.
    pub(crate) fn suspects(&self) -> Vec<(WithdrawalId, AtmId)> {
        let suspects = self.entries.values().filter(|entry| entry.summary.row.state == "suspect");
        suspects.map(|entry| (entry.summary.id, entry.summary.row.atm.clone())).collect()
    }

    /// The number of what became durable last.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// Something beside withdrawals becomes durable; gives its number.
    pub(crate) fn notice(&mut self) -> u64 {
        self.last += 1;
        self.notices.push(self.last);
        self.last
    }

    /// What was told becomes durable; gives its number.
    pub(crate) fn tell(&mut self, notice: &Notice) -> u64 {
        let (sequence, notice) = (Sequence(self.notice()), in_ledger(notice));
        let row_check = RowCheck::of_notice(sequence, &notice);
        let LedgerNotice { at, kind, institution, body } = notice;
        self.told.push(StoredNotice { sequence, at, kind: kind.to_owned(), institution, body, row_check });
        sequence.0
    }

    /// Who asked for money behind a number: the next part of it.
    pub(crate) fn attempts_after(&self, after: Sequence) -> AttemptsPart {
        let last = Sequence(self.last);
        let through = Sequence(after.0 + PART).min(last);
        let is_in = |sequence: Sequence| after < sequence && sequence <= through;
        let firsts = self.entries.values().filter_map(|entry| Some((&entry.summary, entry.steps.first()?)));
        let firsts = firsts.filter(|(_, first)| is_in(first.sequence));
        let mut approved: Vec<_> = firsts.map(|(summary, first)| (summary.clone(), first.clone())).collect();
        #[cfg(feature = "planted")]
        approved.extend(self.ghosts.iter().filter(|(_, first)| is_in(first.sequence)).cloned());
        approved.sort_by_key(|(_, first)| first.sequence);
        let notices = self.told.iter().filter(|notice| is_in(notice.sequence)).cloned().collect();
        AttemptsPart { approved, notices, through, is_whole: through >= last }
    }

    /// The number with which a withdrawal was approved.
    pub(crate) fn approved_as(&self, id: WithdrawalId) -> Option<u64> {
        self.entries.get(&id)?.steps.first().map(|first| first.sequence.0)
    }

    /// The numbers of everything, in the order of the feed.
    pub(crate) fn sequence(&self) -> Vec<u64> {
        let steps = self.entries.values().flat_map(|entry| entry.steps.iter().map(|step| step.sequence.0));
        let mut all: Vec<u64> = steps.chain(self.notices.iter().copied()).collect();
        all.sort_unstable();
        all
    }

    /// Whether exactly this step is there.
    pub(crate) fn has(&self, step: &StepRecord) -> bool {
        let known = self
            .entries
            .get(&step.withdrawal)
            .and_then(|entry| entry.steps.iter().find(|stored| stored.number == step.number));
        known.is_some_and(|stored| stored.body == step.body)
    }

    /// Makes one step durable, or says why not; then nothing has changed.
    pub(crate) fn append(&mut self, step: StepRecord) -> Result<(), NotAppended> {
        self.insert(step)
    }

    /// The open withdrawals at a machine, with their steps.
    pub(crate) fn open_at(&self, atm: &AtmId) -> Vec<(WithdrawalSummary, Vec<StoredStep>)> {
        let open = self.entries.values().filter(|entry| entry.summary.row.open && entry.summary.row.atm == *atm);
        open.map(|entry| (entry.summary.clone(), entry.steps.clone())).collect()
    }

    /// The machines with open withdrawals.
    pub(crate) fn open_atms(&self) -> BTreeSet<AtmId> {
        let open = self.entries.values().filter(|entry| entry.summary.row.open);
        open.map(|entry| entry.summary.row.atm.clone()).collect()
    }

    /// Whether all that is on the disk has ended.
    pub(crate) fn has_nothing_open(&self) -> bool {
        self.unsynced.is_none() && self.entries.values().all(|entry| !entry.summary.row.open)
    }

    /// A step that was refused is told with the next one that is not.
    #[cfg(feature = "planted")]
    pub(crate) fn haunt(&mut self, step: &StepRecord) {
        if step.number == 1 && !self.entries.contains_key(&step.withdrawal) {
            let sequence = Sequence(self.last + 1);
            let (id, seal) = (step.withdrawal, Seal::of_step(None, step));
            let stored = stored(step.clone(), sequence, seal);
            let summary =
                WithdrawalSummary { id, row: step.row.clone(), last_step: 1, changed_at: step.at, last_seal: seal };
            self.ghosts.push((summary, stored));
        }
    }

    fn insert(&mut self, step: StepRecord) -> Result<(), NotAppended> {
        let id = step.withdrawal;
        let known = self.entries.get(&id);
        if let Some(Err(damage)) = known.map(Entry::row_verified) {
            return Err(NotAppended::Damaged(damage.to_string()));
        }
        let refused = |why: String| Err(NotAppended::Refused(why));
        let expected = known.map_or(1, |entry| entry.summary.last_step + 1);
        if step.number != expected {
            return refused(format!("step {} of {id} came where {expected} should be", step.number));
        }
        if known.is_some_and(|entry| !entry.summary.row.open) {
            return refused(format!("{id} has ended and was to change"));
        }
        if step.number == 1 {
            if self.nonces.contains_key(&step.row.nonce.0) {
                return refused(format!("{id} claims a nonce that was claimed before"));
            }
            self.nonces.insert(step.row.nonce.0, id);
        }
        self.last += 1;
        let seal = Seal::of_step(known.map(|entry| &entry.summary.last_seal), &step);
        let (number, at, row) = (step.number, step.at, step.row.clone());
        let stored = stored(step, Sequence(self.last), seal);
        let summary = WithdrawalSummary { id, row, last_step: number, changed_at: at, last_seal: seal };
        let check = RowCheck::of(&summary);
        if let Some((_, whole)) = self.backup.as_mut().filter(|(damaged, _)| *damaged == id) {
            // The backup is of the stream of writes, so it has this one too.
            whole.steps.push(stored.clone());
            (whole.summary, whole.check) = (summary.clone(), RowCheck::of(&summary));
            whole.open_in_index = summary.row.open;
        }
        let mut steps = self.entries.remove(&id).map(|entry| entry.steps).unwrap_or_default();
        steps.push(stored);
        let open_in_index = summary.row.open;
        self.entries.insert(id, Entry { summary, check, steps, open_in_index });
        Ok(())
    }
}

fn stored(step: StepRecord, sequence: Sequence, seal: Seal) -> StoredStep {
    let (withdrawal, institution, kind) = (step.withdrawal, step.row.institution, step.kind.to_owned());
    StoredStep { sequence, withdrawal, institution, number: step.number, at: step.at, kind, body: step.body, seal }
}

impl Entry {
    fn verified(&self) -> Result<(), ReadError> {
        self.row_verified()?;
        check_chain(&self.summary, &self.steps).map_err(ReadError::Damaged)
    }

    fn row_verified(&self) -> Result<(), ReadError> {
        if RowCheck::of(&self.summary) == self.check {
            return Ok(());
        }
        Err(ReadError::Damaged(Damage {
            table: "withdrawals",
            record: format!("withdrawal {}", self.summary.id),
            fault: Fault::RowCheck,
        }))
    }
}

impl History for Journal {
    fn open_withdrawals(&self) -> Result<Vec<(WithdrawalSummary, Vec<StoredStep>)>, ReadError> {
        let open = self.entries.values().filter(|entry| entry.open_in_index);
        open.map(|entry| entry.verified().map(|()| (entry.summary.clone(), entry.steps.clone()))).collect()
    }

    fn for_each_approved_since(&self, since: Timestamp, each: &mut dyn FnMut(ApprovedRow)) -> Result<u64, ReadError> {
        let mut count = 0;
        for entry in self.entries.values().filter(|entry| entry.summary.row.approved_at >= since) {
            entry.row_verified()?;
            let row = &entry.summary.row;
            count += 1;
            each(ApprovedRow {
                withdrawal: entry.summary.id,
                open: entry.open_in_index,
                institution: row.institution.clone(),
                account: row.account.clone(),
                device: row.device.clone(),
                atm: row.atm.clone(),
                amount: row.amount,
                dispensed: row.dispensed,
                day: row.day,
                approved_at: row.approved_at,
            });
        }
        Ok(count)
    }

    fn for_each_refused_since(
        &self,
        since: Timestamp,
        each: &mut dyn FnMut(Timestamp, RefusedApproval),
    ) -> Result<(), ReadError> {
        for stored in self.told.iter().filter(|stored| stored.at >= since) {
            if let Ok(Happening::ApprovalRefused(refused)) = notices::decode(&stored.body).map(|notice| notice.what) {
                each(stored.at, *refused);
            }
        }
        Ok(())
    }
}
