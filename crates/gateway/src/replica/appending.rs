//! What an append of one replica depends on and changes beside its steps: whose the lane is, and whose limits move.

use std::collections::BTreeMap;

use cashgate_ledger::{Append, Epoch, InstitutionCaps, InstitutionSpending, LimitKey, Raise};
use cashgate_limits::SumCaps;
use cashgate_withdrawal::ids::AtmId;
use cashgate_withdrawal::lane::Record;
use cashgate_withdrawal::time::Timestamp;
use cashgate_withdrawal::withdrawal::Terms;

use crate::admission::{Basis, Desk};
use crate::lanes::step_record;

const HOUR_MS: u64 = 3_600_000;
/// As far back as an institution's caps reach, and the hour that has begun: so it is up to an hour more, never less.
const CAPS_REACH_HOURS: u32 = 24;

/// Some records of one lane with all that the ledger is to hold against them. `basis` is what an approval among them was computed from.
#[must_use]
pub fn append_of(records: &[Record], lane: (AtmId, Epoch), basis: Option<&Basis>, desk: &Desk) -> Append {
    let mut raises: BTreeMap<LimitKey, Option<u64>> = BTreeMap::new();
    let mut spending = Vec::new();
    for record in records {
        let (terms, state) = (&record.after.terms, &record.after.state);
        let begins = record.event.is_none();
        if begins || state.is_ended() {
            // Whether there are limits to hold against them or not: another replica may have other figures for a moment.
            for key in keys_of(terms) {
                raises.entry(key).or_default();
            }
        }
        if begins {
            spending.push(begun(terms, desk));
        }
        if state.is_ended() {
            spending.push(ended(record, desk));
        }
    }
    for (key, version) in basis.into_iter().flat_map(Basis::versions) {
        raises.insert(key.clone(), Some(version));
    }
    Append {
        steps: records.iter().map(step_record).collect(),
        lane: Some(lane),
        raises: raises.into_iter().map(|(key, computed_from)| Raise { key, computed_from }).collect(),
        spending,
    }
}

/// The entries that count a withdrawal.
#[must_use]
pub fn keys_of(terms: &Terms) -> [LimitKey; 3] {
    let Terms { institution, account, device, atm, .. } = terms;
    [
        LimitKey::Account(institution.clone(), account.clone()),
        LimitKey::Device(institution.clone(), device.clone()),
        LimitKey::Atm(atm.clone()),
    ]
}

/// An approval adds to what its institution's customers withdrew, and is held against what they may all together.
fn begun(terms: &Terms, desk: &Desk) -> InstitutionSpending {
    let rules = desk.rules();
    let caps = rules.institution(&terms.institution).map(|of| caps(of.limits.institution())).unwrap_or_default();
    InstitutionSpending { caps, ..spending(terms, signed(terms.amount.minor_units()), 1, desk) }
}

/// What did not leave the machine counts no more, and one of which nothing left is no withdrawal.
fn ended(record: &Record, desk: &Desk) -> InstitutionSpending {
    let terms = &record.after.terms;
    let left = record.after.state.dispensed().map_or(0, |left| left.minor_units());
    let difference = signed(left).saturating_sub(signed(terms.amount.minor_units()));
    spending(terms, difference, if left == 0 { -1 } else { 0 }, desk)
}

fn spending(terms: &Terms, amount: i64, withdrawals: i32, desk: &Desk) -> InstitutionSpending {
    let hour = hour(terms.approved_at);
    InstitutionSpending {
        institution: terms.institution.clone(),
        currency: terms.amount.currency(),
        hour,
        amount,
        withdrawals,
        is_new_device: desk.was_new_device(terms),
        caps: InstitutionCaps::default(),
        since_hour: hour.saturating_sub(CAPS_REACH_HOURS),
    }
}

fn caps(caps: &SumCaps) -> InstitutionCaps {
    InstitutionCaps {
        sum: caps.per_24h,
        withdrawals: caps.withdrawals_per_24h.map(u64::from),
        new_device_sum: caps.new_device_per_24h,
        new_device_withdrawals: caps.new_device_withdrawals_per_24h.map(u64::from),
    }
}

fn hour(at: Timestamp) -> u32 {
    u32::try_from(at.unix_ms() / HOUR_MS).unwrap_or(u32::MAX)
}

fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}
