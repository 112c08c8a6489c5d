//! An append with all that it depends on: who owns the lane, and what the approval in it was computed from.
//!
//! One process on one ledger needs none of this: it is the only writer, and its memory is the latest truth. Of several replicas each holds
//! copies. The ledger, which sees all commits in one order, says whether a copy was still the latest when the write came.

use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::money::Currency;

use crate::records::{Sequence, StepRecord};
use crate::replicas::Epoch;

/// Whose withdrawals a limit entry counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitKey {
    /// An account of an institution.
    Account(InstitutionId, AccountId),
    /// A phone of an institution.
    Device(InstitutionId, DeviceId),
    /// A machine.
    Atm(AtmId),
}

/// A limit entry that an append changes. The ledger raises its version by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raise {
    /// Which entry.
    pub key: LimitKey,
    /// For an approval: the version that it was computed from; an entry that was never raised has version 0. The append is refused if the
    /// ledger has another one ([`crate::AppendError::LimitsMoved`]). `None`: raised, whatever the version is, as at the end of a withdrawal.
    pub computed_from: Option<u64>,
}

/// What all withdrawals of an institution's customers may come to within some hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstitutionCaps {
    /// The largest sum, in minor units.
    pub sum: Option<u64>,
    /// The largest number of withdrawals.
    pub withdrawals: Option<u64>,
    /// The largest sum with new devices, in minor units.
    pub new_device_sum: Option<u64>,
    /// The largest number of withdrawals with new devices.
    pub new_device_withdrawals: Option<u64>,
}

/// What an append adds to, or takes from, what an institution's customers withdrew. No copy of this is kept anywhere: the ledger adds it up,
/// by the hour of the approval, because a version of it would move with every withdrawal of the bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstitutionSpending {
    /// Whose customers.
    pub institution: InstitutionId,
    /// In which currency.
    pub currency: Currency,
    /// The hour of the approval, in hours since 1970.
    pub hour: u32,
    /// In minor units: what was approved; at the end, negative, what of it did not leave the machine.
    pub amount: i64,
    /// 1 for an approval; -1 for an end without money, 0 for another end.
    pub withdrawals: i32,
    /// Whether it counts among those with new devices.
    pub is_new_device: bool,
    /// What the sums may come to, this append included; the append is refused otherwise ([`crate::AppendError::InstitutionCapped`]).
    pub caps: InstitutionCaps,
    /// From which hour on is added up, in hours since 1970.
    pub since_hour: u32,
}

/// Steps to make durable, and what they depend on: all of it holds and all steps are written, or none is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The steps, as for [`crate::Ledger::append`].
    pub steps: Vec<StepRecord>,
    /// The lane whose steps these are and the epoch in which this replica owns it. `None`: whoever writes need not own it.
    pub lane: Option<(AtmId, Epoch)>,
    /// The limit entries that they change.
    pub raises: Vec<Raise>,
    /// What they add to an institution's sums, or take from them.
    pub spending: Vec<InstitutionSpending>,
}

impl Append {
    /// The most limit entries, and the most sums, that one append may change.
    pub const RAISES_MAX: usize = 4 * StepRecord::PER_APPEND_MAX;

    /// Whether a withdrawal begins with it, at a lane, and nothing else happens.
    #[must_use]
    pub fn is_claim(&self) -> bool {
        self.lane.is_some() && matches!(&self.steps[..], [step] if step.number == 1)
    }
}

impl From<Vec<StepRecord>> for Append {
    /// Steps that depend on nothing but the steps before them.
    fn from(steps: Vec<StepRecord>) -> Self {
        Self { steps, lane: None, raises: Vec::new(), spending: Vec::new() }
    }
}

/// An append that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The sequence of its last step.
    pub last: Sequence,
    /// The versions of the entries that it raised, in the order of [`Append::raises`]. `None`: it went through, and the answer that named
    /// them was lost with a connection.
    pub raised: Option<Vec<(LimitKey, u64)>>,
}
