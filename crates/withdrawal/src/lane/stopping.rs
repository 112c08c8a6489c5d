//! The part of a lane that ends what may not go on: after too many failed approvals, and when the kill switch is thrown.

use super::qr_session::{Claim, Stage};
use super::{Answer, FailedApproval, Lane, QrSessionEnd, Turn};
use crate::event::{Event, ReversalCause};
use crate::ids::{AccountId, DeviceId, InstitutionId, WithdrawalId};
use crate::refusal::Refusal;
use crate::stop::StopScope;
use crate::time::Timestamp;
use crate::withdrawal::Terms;

/// How many approvals with a wrong signature end a QR session. (PSD2 RTS article 4(3)(b) allows at most five failures in a row over all;
/// those are the device's.)
pub const FAILED_APPROVALS_MAX: u8 = 3;

/// Something that a customer has begun at this machine.
#[derive(Clone, Copy, Debug)]
pub struct Begun<'a> {
    /// Whose customer.
    pub institution: &'a InstitutionId,
    /// From which account; not known before the approval.
    pub account: Option<&'a AccountId>,
    /// With which phone.
    pub device: &'a DeviceId,
    /// When the phone scanned, or the approval was accepted.
    pub since: Timestamp,
}

impl Lane {
    /// Counts only what is said to come from the phone that claimed the QR session, while it may still approve: nobody ends another's,
    /// and nobody makes another phone fail. Answers whether it was counted.
    pub(super) fn approval_failed(&mut self, failed: &FailedApproval, turn: &mut Turn) -> Result<Answer, Refusal> {
        let qr = self.qr_session_of(&failed.code)?;
        let Stage::Claimed { claim, failed: count, .. } = &mut qr.stage else { return Err(Refusal::ScanRequired) };
        let theirs = claim.institution == failed.institution
            && claim.device == failed.device
            && claim.digest == failed.code.digest;
        if !theirs {
            return Err(Refusal::QrTokenClaimed);
        }
        *count = count.saturating_add(1);
        if *count >= FAILED_APPROVALS_MAX {
            self.end_qr_session(QrSessionEnd::Failed, turn);
        }
        Ok(Answer::Done)
    }

    /// Whether there is anything that a stop could end here.
    #[must_use]
    pub fn may_be_stopped(&self) -> bool {
        self.qr_session.is_some() || self.open.values().any(|open| open.state().occupies_atm_before_command())
    }

    /// For whom something has begun here that no machine was commanded to pay yet.
    pub fn begun(&self) -> impl Iterator<Item = Begun<'_>> {
        let claim = self.qr_session.as_ref().and_then(|qr| match &qr.stage {
            Stage::Claimed { claim, since, .. } => {
                let Claim { institution, device, .. } = claim;
                Some(Begun { institution, account: None, device, since: *since })
            }
            Stage::Showing { .. } | Stage::Approved { .. } => None,
        });
        let withdrawals = self.open.values().filter(|open| open.state().occupies_atm_before_command());
        claim.into_iter().chain(withdrawals.map(|open| {
            let Terms { institution, account, device, approved_at, .. } = &open.withdrawal().terms;
            Begun { institution, account: Some(account), device, since: *approved_at }
        }))
    }

    /// Ends the covered QR session, and reverses the covered withdrawals that have not been commanded. What is past the point of no
    /// return goes on.
    pub(super) fn stopped(&mut self, scope: &StopScope, now: Timestamp, turn: &mut Turn) {
        let covered = self.open.iter().filter(|(_, open)| {
            let may_end = open.state().occupies_atm_before_command();
            #[cfg(feature = "planted")]
            let may_end = may_end || crate::planted::is(crate::planted::Bug::StopReversesCommanded);
            may_end && scope.covers(&open.withdrawal().terms)
        });
        let covered: Vec<WithdrawalId> = covered.map(|(id, _)| *id).collect();
        for id in covered {
            self.take(id, Event::Abandoned { cause: ReversalCause::Stopped }, now, turn);
        }
        let ends = self.qr_session.as_ref().is_some_and(|qr| match &qr.stage {
            Stage::Showing { .. } => scope.covers_atm(&self.atm),
            Stage::Claimed { claim, .. } => scope.covers_claim(&claim.institution, &claim.device, &self.atm),
            Stage::Approved { .. } => false,
        });
        if ends {
            self.end_qr_session(QrSessionEnd::Failed, turn);
        }
    }
}
