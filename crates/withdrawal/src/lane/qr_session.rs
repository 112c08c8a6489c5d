//! The part of a lane that shows codes: from the customer's touch to an accepted approval.

use super::serving::Open;
use super::{
    Action, Admission, Admitted, Answer, Approval, Cancellation, ConfirmCode, Lane, Machine, MintedCode, QrSessionEnd,
    Record, Scan, ToAtm, Turn, VerifiedCode, tell,
};
use crate::event::Event;
use crate::evidence::EvidenceGrade;
use crate::ids::{CommandNonce, DeviceId, InstitutionId, QrSessionId, QrTokenDigest, WithdrawalId};
use crate::money::Money;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use crate::withdrawal::{Terms, Withdrawal};

/// The most codes of a QR session that may be valid at one time: the one shown and the one it replaced.
const CODES_SHOWN_MAX: usize = 2;

/// The time in which one ATM shows codes for one customer.
#[derive(Clone, Debug)]
pub(super) struct QrSession {
    pub(super) id: QrSessionId,
    amount: Option<Money>,
    command_nonce: Option<CommandNonce>,
    expires_at: Timestamp,
    /// The digests of the codes that were shown and may still be valid, with the moment from which they are not.
    pub(super) shown: Vec<(QrTokenDigest, Timestamp)>,
    pub(super) stage: Stage,
}

#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Codes are shown; a fresh one is to be made at `refresh_at`, or is being made.
    Showing { refresh_at: Option<Timestamp> },
    /// A phone has scanned one of them; so many approvals since were not its own.
    Claimed { claim: Claim, since: Timestamp, approve_before: Timestamp, failed: u8 },
    /// An approval was accepted; repeated, it gets the same answer.
    Approved { approval: Box<Approval>, withdrawal: WithdrawalId, confirm_code: Option<ConfirmCode> },
}

/// Who scanned, and which code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) institution: InstitutionId,
    pub(super) device: DeviceId,
    pub(super) digest: QrTokenDigest,
}

impl QrSession {
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Showing { refresh_at } => Some(refresh_at.map_or(self.expires_at, |at| at.min(self.expires_at))),
            Stage::Claimed { approve_before, .. } => Some(*approve_before),
            Stage::Approved { .. } => None,
        }
    }

    /// Whether no phone has scanned yet.
    pub(super) const fn is_showing(&self) -> bool {
        matches!(self.stage, Stage::Showing { .. })
    }

    /// Whether a phone has scanned and its customer is choosing.
    pub(super) const fn is_claimed(&self) -> bool {
        matches!(self.stage, Stage::Claimed { .. })
    }

    /// Who scanned before an approval was accepted.
    #[cfg(feature = "planted")]
    pub(super) fn claim_of_approval(&self) -> Option<Claim> {
        let Stage::Approved { approval, .. } = &self.stage else { return None };
        let (institution, device) = (approval.institution.clone(), approval.device.clone());
        Some(Claim { institution, device, digest: approval.code.digest })
    }

    fn has_shown(&self, code: &VerifiedCode, now: Timestamp) -> Result<(), Refusal> {
        if now >= code.expires_at {
            return Err(Refusal::QrTokenExpired);
        }
        let known = self.shown.iter().any(|(digest, expires_at)| *digest == code.digest && now < *expires_at);
        if known { Ok(()) } else { Err(Refusal::QrTokenInvalid) }
    }
}

impl Lane {
    pub(super) fn start_qr_session(
        &mut self,
        amount: Option<Money>,
        command_nonce: Option<CommandNonce>,
        fresh: QrSessionId,
        has_dispense_key: impl FnOnce() -> bool,
        now: Timestamp,
        turn: &mut Turn,
    ) -> Result<(), Refusal> {
        if self.occupant().is_some() {
            return Err(Refusal::AtmBusy);
        }
        let end_to_end = self.facts.as_ref().is_some_and(|facts| facts.end_to_end);
        if end_to_end && !has_dispense_key() {
            return Err(Refusal::DispenseKeyMissing);
        }
        if end_to_end != command_nonce.is_some() {
            let detail = "must be there if hello declared end_to_end, and only then".to_owned();
            return Err(Refusal::FieldInvalid { field: "start_qr_session.command_nonce", detail });
        }
        if let Some(amount) = amount {
            self.can_pay_out(amount)?;
        }
        self.qr_session = Some(QrSession {
            id: fresh,
            amount,
            command_nonce,
            expires_at: now.after(self.settings.qr_session_lifetime),
            shown: Vec::new(),
            stage: Stage::Showing { refresh_at: None },
        });
        turn.actions.push(Action::Mint { qr_session: fresh, amount });
        Ok(())
    }

    pub(super) fn code_minted(&mut self, code: MintedCode, now: Timestamp, turn: &mut Turn) {
        let refresh_before = self.settings.qr_refresh_before_expiry;
        let Some(qr) = self.qr_session.as_mut().filter(|qr| qr.id == code.qr_session) else { return };
        let Stage::Showing { refresh_at } = &mut qr.stage else { return };
        let left = code.expires_at.since(now).saturating_sub(refresh_before);
        *refresh_at = Some(now.after(left.max(std::time::Duration::from_secs(1))));
        qr.shown.push((code.digest, code.expires_at));
        if qr.shown.len() > CODES_SHOWN_MAX {
            qr.shown.remove(0);
        }
        let qr_session_expires_at = qr.expires_at;
        tell(turn, ToAtm::ShowQr { code, qr_session_expires_at });
    }

    /// A code that is still shown stays valid until it expires; then, or if there is none, the customer has to come back.
    pub(super) fn mint_failed(&mut self, qr_session: QrSessionId, now: Timestamp, turn: &mut Turn) {
        let after = self.settings.retry_first.saturating_mul(4);
        let Some(qr) = self.qr_session.as_mut().filter(|qr| qr.id == qr_session) else { return };
        let Stage::Showing { refresh_at } = &mut qr.stage else { return };
        if qr.shown.iter().any(|(_, expires_at)| now < *expires_at) {
            *refresh_at = Some(now.after(after));
        } else {
            self.qr_session = None;
            tell(turn, ToAtm::TryLater { after, refusal: Refusal::HsmUnavailable });
        }
    }

    pub(super) fn scanned(&mut self, scan: Scan, now: Timestamp, turn: &mut Turn) -> Result<Answer, Refusal> {
        let facts = self.facts.clone().filter(|_| self.link.is_some()).ok_or(Refusal::AtmUnavailable)?;
        let approve_within = self.settings.approve_within;
        let qr = self.qr_session_of(&scan.code)?;
        let claim = Claim { institution: scan.institution, device: scan.device, digest: scan.code.digest };
        let approve_before = match &qr.stage {
            Stage::Claimed { claim: first, approve_before, .. } if *first == claim => *approve_before,
            Stage::Claimed { .. } | Stage::Approved { .. } => return Err(Refusal::QrTokenClaimed),
            Stage::Showing { .. } => {
                qr.has_shown(&scan.code, now)?;
                let approve_before = now.after(approve_within);
                qr.stage = Stage::Claimed { claim, since: now, approve_before, failed: 0 };
                tell(turn, ToAtm::QrClaimed(qr.id));
                approve_before
            }
        };
        Ok(Answer::Scanned { qr_session: qr.id, facts, amount: qr.amount, approve_before })
    }

    pub(super) fn approved(
        &mut self,
        approval: Approval,
        now: Timestamp,
        admission: &mut dyn Admission,
        turn: &mut Turn,
    ) {
        let request = approval.request;
        // The answer follows the records, and what the approval sets off follows the answer.
        let mut opening = Turn::default();
        let answer = self.accept(approval, now, admission, &mut opening);
        turn.records.append(&mut opening.records);
        turn.answer(request, answer);
        turn.actions.append(&mut opening.actions);
    }

    fn accept(
        &mut self,
        approval: Approval,
        now: Timestamp,
        admission: &mut dyn Admission,
        turn: &mut Turn,
    ) -> Result<Answer, Refusal> {
        let qr = self.qr_session_of(&approval.code)?;
        let (chosen_at_atm, command_nonce) = (qr.amount, qr.command_nonce.clone());
        match &qr.stage {
            Stage::Showing { .. } => return Err(Refusal::ScanRequired),
            Stage::Approved { approval: first, withdrawal, confirm_code } => {
                let again = same_approval(first, &approval);
                let answer = Answer::Approved { withdrawal: *withdrawal, confirm_code: *confirm_code };
                return if again { Ok(answer) } else { Err(Refusal::QrTokenClaimed) };
            }
            Stage::Claimed { claim, approve_before, .. } => {
                let theirs = claim.institution == approval.institution
                    && claim.device == approval.device
                    && claim.digest == approval.code.digest;
                if !theirs {
                    return Err(Refusal::QrTokenClaimed);
                }
                if now >= *approve_before {
                    return Err(Refusal::QrSessionEnded);
                }
            }
        }
        if self.link.is_none() {
            return Err(Refusal::AtmUnavailable);
        }
        if chosen_at_atm.is_some_and(|chosen| chosen != approval.amount) {
            return Err(Refusal::AmountDiffers);
        }
        self.can_pay_out(approval.amount)?;
        let facts = self.facts.as_ref().ok_or(Refusal::AtmUnavailable)?;
        let machine = Machine { atm: &self.atm, facts, amount_chosen_there: chosen_at_atm.is_some() };
        let admitted = admission.admit(&approval, machine, now)?;
        let withdrawal = approval.fresh;
        let confirm_code = admitted.confirm_code;
        let terms = self.terms(&approval, admitted, command_nonce, now);
        self.open_withdrawal(terms, confirm_code, now, turn);
        if let Some(qr) = &mut self.qr_session {
            qr.stage = Stage::Approved { approval: Box::new(approval), withdrawal, confirm_code };
        }
        Ok(Answer::Approved { withdrawal, confirm_code })
    }

    fn terms(&self, approval: &Approval, admitted: Admitted, nonce: Option<CommandNonce>, now: Timestamp) -> Terms {
        // A dispenser that can prove what it did has to, for as long as the withdrawal lives.
        let provable = if nonce.is_some() { EvidenceGrade::A } else { EvidenceGrade::C };
        Terms {
            withdrawal: approval.fresh,
            institution: approval.institution.clone(),
            account: approval.account.clone(),
            device: approval.device.clone(),
            atm: self.atm.clone(),
            qr_session: approval.code.qr_session,
            nonce: approval.code.nonce,
            amount: approval.amount,
            approved_at: now,
            decision: admitted.decision,
            command_nonce: nonce,
            evidence_demanded: admitted.evidence_demanded.max(provable),
        }
    }

    fn open_withdrawal(&mut self, terms: Terms, code: Option<ConfirmCode>, now: Timestamp, turn: &mut Turn) {
        let id = terms.withdrawal;
        let (withdrawal, effects) = Withdrawal::open(terms);
        turn.records.push(Record { number: 1, at: now, event: None, after: withdrawal.clone() });
        self.open.insert(id, Open::opened(withdrawal, code));
        self.carry_out(id, effects, now, turn);
    }

    pub(super) fn cancel_qr_session(
        &mut self,
        id: QrSessionId,
        cancel: &Cancellation,
        now: Timestamp,
        turn: &mut Turn,
    ) -> Result<(), Refusal> {
        let qr = self.qr_session.as_ref().filter(|qr| qr.id == id).ok_or(Refusal::QrSessionUnknown)?;
        match &qr.stage {
            Stage::Claimed { claim, .. }
                if claim.institution == cancel.institution && claim.device == cancel.device =>
            {
                self.end_qr_session(QrSessionEnd::Cancelled, turn);
                Ok(())
            }
            // The app may not have heard that its approval was accepted.
            Stage::Approved { approval, withdrawal, .. }
                if approval.institution == cancel.institution && approval.device == cancel.device =>
            {
                let withdrawal = *withdrawal;
                let cancelled = self.take(withdrawal, Event::CustomerCancelled, now, turn);
                if cancelled { Ok(()) } else { Err(Refusal::TooLate) }
            }
            _ => Err(Refusal::QrSessionUnknown),
        }
    }

    pub(super) fn end_qr_session_by_atm(&mut self, id: QrSessionId, turn: &mut Turn) {
        let unapproved =
            self.qr_session.as_ref().is_some_and(|qr| qr.id == id && !matches!(qr.stage, Stage::Approved { .. }));
        if unapproved {
            self.end_qr_session(QrSessionEnd::Cancelled, turn);
        }
    }

    /// The ATM went away or came back with an empty screen: a session that no approval was accepted for is over.
    pub(super) fn end_unapproved_qr_session(&mut self) {
        self.qr_session = self.qr_session.take().filter(|qr| matches!(qr.stage, Stage::Approved { .. }));
    }

    /// The withdrawal no longer needs the ATM's screen.
    pub(super) fn end_qr_session_of(&mut self, id: WithdrawalId, end: QrSessionEnd, turn: &mut Turn) {
        let its_own = self
            .qr_session
            .as_ref()
            .is_some_and(|qr| matches!(&qr.stage, Stage::Approved { withdrawal, .. } if *withdrawal == id));
        if its_own {
            self.end_qr_session(end, turn);
        }
    }

    pub(super) fn run_qr_timers(&mut self, now: Timestamp, turn: &mut Turn) {
        let Some(qr) = &mut self.qr_session else { return };
        match &mut qr.stage {
            Stage::Showing { .. } if now >= qr.expires_at => self.end_qr_session(QrSessionEnd::Expired, turn),
            Stage::Claimed { approve_before, .. } if now >= *approve_before => {
                self.end_qr_session(QrSessionEnd::Expired, turn);
            }
            Stage::Showing { refresh_at } if refresh_at.is_some_and(|at| now >= at) => {
                *refresh_at = None;
                turn.actions.push(Action::Mint { qr_session: qr.id, amount: qr.amount });
            }
            _ => {}
        }
    }

    pub(super) fn end_qr_session(&mut self, end: QrSessionEnd, turn: &mut Turn) {
        if let Some(qr) = self.qr_session.take()
            && self.link.is_some()
        {
            tell(turn, ToAtm::QrSessionEnded { qr_session: qr.id, end });
        }
    }

    pub(super) fn qr_session_of(&mut self, code: &VerifiedCode) -> Result<&mut QrSession, Refusal> {
        self.qr_session.as_mut().filter(|qr| qr.id == code.qr_session).ok_or(Refusal::QrSessionEnded)
    }

    fn can_pay_out(&self, amount: Money) -> Result<(), Refusal> {
        let cassettes = &self.facts.as_ref().ok_or(Refusal::AtmUnavailable)?.cassettes;
        if amount.currency() != cassettes.currency() {
            return Err(Refusal::CurrencyDiffers);
        }
        cassettes.notes_for(amount).map(|_| ()).ok_or(Refusal::AmountNotDispensable)
    }
}

/// Whether an approval is a repetition: the same but for who waits for the answer and the unused fresh id.
fn same_approval(first: &Approval, again: &Approval) -> bool {
    let plain = |a: &Approval| (a.code.digest, a.institution.clone(), a.account.clone(), a.device.clone(), a.amount);
    plain(first) == plain(again)
}
