//! What is asked of the desk: an approval at a machine, by a phone that is known, under the rules of one moment.

use cashgate_limits::LimitRequest;
use cashgate_policy::patterns::{Attempt, Gathered, Place};
use cashgate_policy::{Attestation, Channel, Facts};
use cashgate_withdrawal::lane::{Approval, Machine};
use cashgate_withdrawal::time::Timestamp;

use super::{Intended, day_began, local_hour};
use crate::config::Institution;
use crate::devices::Device;

/// An approval with all that is needed to decide about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) institution: &'a Institution,
    pub(super) device: &'a Device,
    pub(super) approval: &'a Approval,
    pub(super) machine: Machine<'a>,
    pub(super) now: Timestamp,
}

impl<'a> Asked<'a> {
    /// As the kill switch sees it.
    pub(super) const fn intended(&self) -> Intended<'a> {
        let Approval { institution, account, device, .. } = self.approval;
        Intended { institution, account, device, atm: self.machine.atm }
    }

    /// As the memory of patterns sees it.
    pub(super) fn attempt(&self) -> Attempt<'a> {
        let Intended { institution, account, device, atm } = self.intended();
        let device_age = self.device.age(self.now);
        Attempt {
            institution,
            account,
            device,
            atm,
            place: self.machine.facts.location.map(Place::from),
            amount: self.approval.amount,
            device_age,
            is_new_device: self.institution.limits.is_new(device_age),
            now: self.now,
        }
    }

    /// As the limits see it.
    pub(super) fn limit_request(&self) -> LimitRequest<'a> {
        let Intended { institution, account, device, atm } = self.intended();
        LimitRequest {
            institution,
            account,
            device,
            atm,
            amount: self.approval.amount,
            device_age: self.device.age(self.now),
            day_began: day_began(self.institution, self.now),
            now: self.now,
        }
    }

    /// As the rules see it.
    pub(super) fn facts(&self, gathered: Gathered, failed_attempts: u8) -> Facts {
        let Intended { institution, account, device, atm } = self.intended();
        let phone = self.approval.location.map(Place::from);
        let machine = self.machine.facts;
        gathered.onto(Facts {
            amount_chosen_at_atm: self.machine.amount_chosen_there,
            local_hour: local_hour(self.institution, self.now),
            device_age: self.device.age(self.now),
            device_channel: Channel::of(&self.device.channel),
            device_attestation: match self.device.attestation {
                None => Attestation::None,
                Some(true) => Attestation::Passed,
                Some(false) => Attestation::Failed,
            },
            distance_phone_atm_m: phone.and_then(|phone| Some(phone.distance_m(machine.location.map(Place::from)?))),
            failed_attempts,
            evidence_grade: machine.evidence_grade,
            ..Facts::unknown(institution.clone(), account.clone(), device.clone(), atm.clone(), self.approval.amount)
        })
    }
}
