//! A group of writes as the arrays of one statement.

use std::collections::{HashMap, HashSet};

use cashgate_withdrawal::ids::{InstitutionId, Nonce, WithdrawalId};
use cashgate_withdrawal::time::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::claim::{Append, InstitutionSpending, LimitKey, Raise};
use crate::columns::{signed, signed_money};
use crate::devices::DeviceRow;
use crate::key_events::KeyEvent;
use crate::notices::Notice;
use crate::records::{Remark, StepRecord, WithdrawalRow};
use crate::row_check::{RowCheck, RowColumns};
use crate::seal::Seal;
use crate::work::Work;

/// The verdict on a claim of a nonce that another write of the same batch claims: it comes again when that one is decided.
pub(super) const AGAIN: i16 = 9;

/// Makes a struct of arrays, and hands them out as the parameters of a statement in the order in which they stand. What is behind a `;` can be had by itself:
/// all that is written, where nothing has to be judged.
macro_rules! arrays {
    ($name:ident { $($place:ident: $number:ty),*; $($field:ident: $type:ty),* $(,)? }) => {
        arrays!($name { $($place: $number,)* $($field: $type,)* });

        impl $name {
            fn contents<'batch>(&'batch self, into: &mut Vec<&'batch (dyn ToSql + Sync)>) {
                $( into.push(&self.$field); )*
            }
        }
    };
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Default)]
        pub(super) struct $name { $($field: Vec<$type>,)* }

        impl $name {
            fn parameters<'batch>(&'batch self, into: &mut Vec<&'batch (dyn ToSql + Sync)>) {
                $( into.push(&self.$field); )*
            }
        }
    };
}

arrays!(Lanes { write: i32; atm: String, epoch: i64 });
arrays!(Steps {
    write: i32, item: i32, number: i32, offset: i32, before: i32, is_last: bool, fault: i16, head: Vec<u8>, check_head: Vec<u8>;
    id: Uuid, at: i64, kind: &'static str, body: Vec<u8>, state: String, open: i16, institution: String, account: String, device: String,
    atm: String, qr_session: Uuid, nonce: Vec<u8>, currency: String, amount: i64, dispensed: Option<i64>, hold: Option<String>, day: i32,
    approved_at: i64, policy: String, key_id: String,
});
// Of first steps: what seals them is known here, of others only where the step before is.
arrays!(Firsts { seal: Vec<u8>, row_check: Vec<u8> });
arrays!(Raises { write: i32, entry: i32 });
arrays!(Entries { kind: i16, key: String, from: Option<i64>, raises: i32 });
arrays!(Spendings {
    write: i32; institution: String, currency: String, hour: i32, amount: i64, count: i32, is_new: bool, caps: Option<i64>, since: i32,
});
arrays!(Notices {
    write: i32, item: i32, at: i64, kind: &'static str, institution: Option<String>, body: Vec<u8>, tail: Vec<u8>,
});
arrays!(Devices {
    write: i32, institution: String, device: String, key: Vec<u8>, key_since: i64, registered: i64, bound: i64, channel: String,
    attestation: Option<i16>, failed: i16, locked: Option<i64>, revoked: Option<i64>, check: Vec<u8>,
});
arrays!(Remarks {
    id: Uuid, at: i64, kind: &'static str, detail: String, head: Vec<u8>, tail: Vec<u8>, counted: Option<i64>, left_out_head: Vec<u8>,
});
arrays!(KeyEvents {
    write: i32, at: i64, actor: String, action: &'static str, key_id: String, label: String, token: String, public: Vec<u8>,
    use_from: Option<i64>, reason: String, tail: Vec<u8>,
});

/// The arrays of all that a group writes. Writes and items are numbered from 1.
#[derive(Default)]
pub(super) struct Encoded {
    pub(super) writes: i32,
    item_write: Vec<i32>,
    lanes: Lanes,
    steps: Steps,
    firsts: Firsts,
    raises: Raises,
    entries: Entries,
    spendings: Spendings,
    notices: Notices,
    devices: Devices,
    remarks: Remarks,
    key_events: KeyEvents,
    /// Those that are claimed in it.
    nonces: HashSet<Nonce>,
    /// Where each entry stands in `entries`.
    places: HashMap<LimitKey, usize>,
}

impl Entries {
    fn raise_again(&mut self, place: usize, from: Option<i64>) {
        if let (Some(raises), Some(known)) = (self.raises.get_mut(place), self.from.get_mut(place)) {
            *raises += 1;
            *known = match (*known, from) {
                // Of two that differ one is not the latest: no version is both.
                (Some(one), Some(other)) if one != other => Some(-1),
                (known, from) => known.or(from),
            };
        }
    }
}

/// A remark that is to be kept, with what is known of how many were left out.
pub(super) struct ToRemark<'group> {
    pub(super) remark: &'group Remark,
    pub(super) counted: Option<i64>,
}

impl Encoded {
    /// The parameters of `cashgate_commit` behind the first five.
    pub(super) fn commit_parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut all: Vec<&(dyn ToSql + Sync)> = vec![&self.writes, &self.item_write];
        self.lanes.parameters(&mut all);
        self.steps.parameters(&mut all);
        self.raises.parameters(&mut all);
        self.entries.parameters(&mut all);
        self.spendings.parameters(&mut all);
        self.notices.parameters(&mut all);
        self.devices.parameters(&mut all);
        self.remarks.parameters(&mut all);
        self.key_events.parameters(&mut all);
        all
    }

    /// Whether it is nothing but claims: each write is one first step at a lane.
    pub(super) fn is_claims(&self) -> bool {
        let Self { item_write, lanes, steps, .. } = self;
        let is_each = |places: &[i32]| places.len() == usize::try_from(self.writes).unwrap_or(0);
        [item_write, &lanes.write, &steps.write].into_iter().all(|places| is_each(places))
            && steps.number.iter().all(|number| *number == 1)
            && steps.fault.iter().all(|fault| *fault == 0)
    }

    /// The parameters of `cashgate_claim` behind the first five, for nothing but claims.
    pub(super) fn claim_parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut all = Vec::new();
        self.lanes.contents(&mut all);
        self.steps.contents(&mut all);
        self.firsts.parameters(&mut all);
        self.entries.parameters(&mut all);
        self.spendings.contents(&mut all);
        all
    }

    /// Adds a write; remarks come in [`Encoded::add_remarks`].
    pub(super) fn add(&mut self, work: &Work) {
        self.writes += 1;
        match work {
            Work::Append(append) => self.append(append),
            Work::Notice { notice, .. } => self.notice(notice),
            Work::PutDevice(device, notice) => {
                self.device(device);
                notice.iter().for_each(|notice| self.notice(notice));
            }
            Work::KeyEvents(events) => events.iter().for_each(|event| self.key_event(event)),
            Work::Remark(_) | Work::Publish(_) => {}
        }
    }

    fn item(&mut self) -> i32 {
        self.item_write.push(self.writes);
        number(self.item_write.len())
    }

    fn append(&mut self, append: &Append) {
        if let Some((atm, epoch)) = &append.lane {
            self.lanes.write.push(self.writes);
            self.lanes.atm.push(atm.to_string());
            self.lanes.epoch.push(signed(epoch.0));
        }
        for (place, step) in append.steps.iter().enumerate() {
            self.step(step, &append.steps, place);
        }
        append.raises.iter().for_each(|raise| self.raise(raise));
        append.spending.iter().for_each(|spending| self.spending(spending));
    }

    fn step(&mut self, step: &StepRecord, all: &[StepRecord], place: usize) {
        let item = self.item();
        let of_same = |steps: &[StepRecord]| steps.iter().filter(|one| one.withdrawal == step.withdrawal).count();
        let before = all.get(..place).unwrap_or_default();
        let first = all.iter().find(|one| one.withdrawal == step.withdrawal);
        let before_it = before.iter().rposition(|one| one.withdrawal == step.withdrawal);
        let ended = before.iter().any(|one| one.withdrawal == step.withdrawal && !one.row.open);
        let changed = first.is_some_and(|first| !is_same_approval(&first.row, &step.row));
        let claimed_before = step.number == 1 && !self.nonces.insert(step.row.nonce);
        let id = step.withdrawal.to_string();
        let last_step = step.number;
        let steps = &mut self.steps;
        steps.write.push(self.writes);
        steps.item.push(item);
        steps.id.push(uuid(step.withdrawal));
        steps.number.push(i32::try_from(step.number).unwrap_or(i32::MAX));
        steps.offset.push(number(of_same(before)));
        // Counted from 1, over all steps of the batch; 0: none.
        steps.before.push(before_it.map_or(0, |of_append| number(steps.before.len() - place + of_append + 1)));
        steps.is_last.push(of_same(all.get(place + 1..).unwrap_or_default()) == 0);
        steps.fault.push(match (ended, changed, claimed_before) {
            (true, ..) => 2,
            (false, true, _) => 5,
            (false, false, true) => AGAIN,
            (false, false, false) => 0,
        });
        steps.at.push(ms(step.at));
        steps.kind.push(step.kind);
        steps.body.push(step.body.clone());
        steps.head.push(Seal::head_of_step(step));
        let columns = RowColumns::before_last_seal(&id, &step.row, last_step, step.at);
        if step.number == 1 {
            let seal = Seal::of_step(None, step);
            self.firsts.row_check.push(columns.clone().with_last_seal(&seal).as_bytes().to_vec());
            self.firsts.seal.push(seal.as_bytes().to_vec());
        }
        steps.check_head.push(columns.into_bytes());
        self.row(&step.row);
    }

    fn row(&mut self, row: &WithdrawalRow) {
        let steps = &mut self.steps;
        steps.state.push(row.state.to_string());
        steps.open.push(i16::from(row.open));
        steps.institution.push(row.institution.to_string());
        steps.account.push(row.account.to_string());
        steps.device.push(row.device.to_string());
        steps.atm.push(row.atm.to_string());
        steps.qr_session.push(Uuid::from_bytes(*row.qr_session.as_bytes()));
        steps.nonce.push(row.nonce.0.to_vec());
        steps.currency.push(row.amount.currency().to_string());
        steps.amount.push(signed_money(row.amount));
        steps.dispensed.push(row.dispensed.map(signed_money));
        steps.hold.push(row.hold.as_ref().map(ToString::to_string));
        steps.day.push(row.day.0);
        steps.approved_at.push(ms(row.approved_at));
        steps.policy.push(row.policy_version.clone());
        steps.key_id.push(row.key_id.to_string());
    }

    fn raise(&mut self, raise: &Raise) {
        let from = raise.computed_from.map(signed);
        let place = match self.places.get(&raise.key) {
            Some(&place) => {
                self.entries.raise_again(place, from);
                place
            }
            None => {
                let (kind, key) = limit_key(&raise.key);
                let place = self.places.len();
                self.places.insert(raise.key.clone(), place);
                self.entries.kind.push(kind);
                self.entries.key.push(key);
                self.entries.from.push(from);
                self.entries.raises.push(1);
                place
            }
        };
        self.raises.write.push(self.writes);
        self.raises.entry.push(number(place + 1));
    }

    /// Which entry a limit key of this batch is.
    pub(super) fn entry(&self, key: &LimitKey) -> Option<usize> {
        self.places.get(key).copied()
    }

    fn spending(&mut self, spending: &InstitutionSpending) {
        let InstitutionSpending { institution, currency, hour, amount, withdrawals, is_new_device, caps, since_hour } =
            spending;
        let all = &mut self.spendings;
        all.write.push(self.writes);
        all.institution.push(institution.to_string());
        all.currency.push(currency.to_string());
        all.hour.push(i32::try_from(*hour).unwrap_or(i32::MAX));
        all.amount.push(*amount);
        all.count.push(*withdrawals);
        all.is_new.push(*is_new_device);
        let caps = [caps.sum, caps.withdrawals, caps.new_device_sum, caps.new_device_withdrawals];
        all.caps.extend(caps.map(|cap| cap.map(signed)));
        all.since.push(i32::try_from(*since_hour).unwrap_or(i32::MAX));
    }

    fn notice(&mut self, notice: &Notice) {
        let item = self.item();
        let mut tail = RowColumns::part();
        notice.add_to(&mut tail);
        let all = &mut self.notices;
        all.write.push(self.writes);
        all.item.push(item);
        all.at.push(ms(notice.at));
        all.kind.push(notice.kind);
        all.institution.push(notice.institution.as_ref().map(InstitutionId::to_string));
        all.body.push(notice.body.clone());
        all.tail.push(tail.into_bytes());
    }

    fn device(&mut self, device: &DeviceRow) {
        let all = &mut self.devices;
        all.write.push(self.writes);
        all.institution.push(device.institution.to_string());
        all.device.push(device.device.to_string());
        all.key.push(device.public_key.clone());
        all.key_since.push(ms(device.key_since));
        all.registered.push(ms(device.registered_at));
        all.bound.push(ms(device.bound_at));
        all.channel.push(device.channel.clone());
        all.attestation.push(device.attestation.map(i16::from));
        all.failed.push(i16::from(device.failed_attempts));
        all.locked.push(device.locked_at.map(ms));
        all.revoked.push(device.revoked_at.map(ms));
        all.check.push(RowCheck::of_device(device).as_bytes().to_vec());
    }

    /// Adds remarks, those of one withdrawal side by side.
    pub(super) fn add_remarks(&mut self, remarks: &[ToRemark<'_>]) {
        for ToRemark { remark, counted } in remarks {
            let id = remark.withdrawal.to_string();
            let detail = kept_detail(remark);
            let mut head = RowColumns::of_remarks();
            head.text(&id);
            let mut tail = RowColumns::part();
            tail.integer(ms(remark.at)).text(remark.kind).text(&detail);
            let mut left_out = RowColumns::of_remarks_left_out();
            left_out.text(&id);
            let all = &mut self.remarks;
            all.id.push(uuid(remark.withdrawal));
            all.at.push(ms(remark.at));
            all.kind.push(remark.kind);
            all.detail.push(detail);
            all.head.push(head.into_bytes());
            all.tail.push(tail.into_bytes());
            all.counted.push(*counted);
            all.left_out_head.push(left_out.into_bytes());
        }
    }

    fn key_event(&mut self, event: &KeyEvent) {
        let all = &mut self.key_events;
        all.write.push(self.writes);
        all.at.push(ms(event.at));
        all.actor.push(event.actor.clone());
        all.action.push(event.action.name());
        all.key_id.push(event.key_id.to_string());
        all.label.push(event.label.clone());
        all.token.push(event.token_label.clone());
        all.public.push(event.public_key.to_vec());
        all.use_from.push(event.action.use_from().map(ms));
        all.reason.push(event.reason.clone());
        all.tail.push(event.sealed_behind_sequence());
    }
}

/// What is kept of a remark's detail. PostgreSQL's texts cannot hold the character 0, which may come from outside.
fn kept_detail(remark: &Remark) -> String {
    let end = remark.detail.floor_char_boundary(Remark::DETAIL_BYTES_MAX);
    remark.detail.get(..end).unwrap_or_default().replace('\0', " ")
}

fn is_same_approval(first: &WithdrawalRow, row: &WithdrawalRow) -> bool {
    let told = WithdrawalRow { state: first.state.clone(), hold: first.hold.clone(), ..row.clone() };
    told == WithdrawalRow { open: row.open, dispensed: row.dispensed, ..first.clone() }
}

/// As `limit_versions` has it.
pub(super) fn limit_key(key: &LimitKey) -> (i16, String) {
    match key {
        LimitKey::Account(institution, account) => (0, format!("{institution}/{account}")),
        LimitKey::Device(institution, device) => (1, format!("{institution}/{device}")),
        LimitKey::Atm(atm) => (2, atm.to_string()),
    }
}

pub(super) fn uuid(id: WithdrawalId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

fn ms(moment: Timestamp) -> i64 {
    signed(moment.unix_ms())
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
