//! The part of a lane that ends what may not go on: after too many failed approvals, and when the kill switch is thrown.

use super::qr_session::Stage;
use super::{FailedApproval, Lane, QrSessionEnd, Turn};
use crate::event::{Event, ReversalCause};
use crate::ids::WithdrawalId;
use crate::stop::StopScope;
use crate::time::Timestamp;

/// How many approvals with a wrong signature end a QR session. (PSD2 RTS article 4(3)(b) allows at most five failures in a row over all;
/// those are the device's.)
pub const FAILED_APPROVALS_MAX: u8 = 3;

impl Lane {
    /// Counts against the QR session only what is said to come from the phone that claimed it: nobody ends another's.
    pub(super) fn approval_failed(&mut self, failed: &FailedApproval, turn: &mut Turn) {
        let Some(qr) = self.qr_session.as_mut().filter(|qr| qr.id == failed.code.qr_session) else { return };
        let Stage::Claimed { claim, failed: count, .. } = &mut qr.stage else { return };
        let theirs = claim.institution == failed.institution
            && claim.device == failed.device
            && claim.digest == failed.code.digest;
        if !theirs {
            return;
        }
        *count = count.saturating_add(1);
        if *count >= FAILED_APPROVALS_MAX {
            self.end_qr_session(QrSessionEnd::Failed, turn);
        }
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
