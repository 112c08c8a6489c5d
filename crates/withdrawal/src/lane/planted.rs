//! What a lane does wrong with a planted bug; see [`crate::planted`].

use super::qr_session::Stage;
use super::{Action, Input, Lane, ToAtm, Turn};
use crate::event::{Event, ReversalCause};
use crate::ids::WithdrawalId;
use crate::planted::{Bug, is};
use crate::time::Timestamp;
use crate::withdrawal::State;

impl Lane {
    /// Spoils an input before it is taken.
    pub(super) fn spoil_input(&mut self, input: &mut Input, turn: &mut Turn, now: Timestamp) {
        match input {
            Input::Scanned(scan) => self.spoil_scan(scan),
            Input::Approved(_) if is(Bug::ApprovedTwice) => {
                if let Some(qr) = &mut self.qr_session
                    && let Some(claim) = qr.claim_of_approval()
                {
                    let approve_before = now.after(self.settings.approve_within);
                    qr.stage = Stage::Claimed { claim, since: now, approve_before, failed: 0 };
                }
            }
            Input::AtmDisconnected { link } if self.link == Some(*link) => {
                if is(Bug::ForgottenWhenLineBreaks) {
                    self.open.retain(|_, open| !matches!(open.state(), State::DispenseCommanded { .. }));
                }
                if is(Bug::GivesUpWhenLineBreaks) {
                    for id in self.open.keys().copied().collect::<Vec<WithdrawalId>>() {
                        self.take(id, Event::Abandoned { cause: ReversalCause::AtmUnavailable }, now, turn);
                    }
                }
            }
            _ => {}
        }
    }

    fn spoil_scan(&mut self, scan: &mut super::Scan) {
        let Some(qr) = &mut self.qr_session else { return };
        let for_ever = Timestamp::from_unix_ms(u64::MAX);
        if is(Bug::ClaimWithoutGuard) && matches!(qr.stage, Stage::Claimed { .. }) {
            qr.stage = Stage::Showing { refresh_at: None };
        }
        if is(Bug::ExpiredCodeAccepted) {
            scan.code.expires_at = for_ever;
            qr.shown.iter_mut().for_each(|(_, expires_at)| *expires_at = for_ever);
        }
        if is(Bug::OldCodeAccepted) && qr.id != scan.code.qr_session {
            qr.id = scan.code.qr_session;
            scan.code.expires_at = for_ever;
            qr.shown.push((scan.code.digest, for_ever));
        }
    }

    /// Spoils what came out of an input.
    pub(super) fn spoil_turn(&mut self, connected: bool, turn: &mut Turn, now: Timestamp) {
        let commanded = turn.records.iter().any(|record| record.name() == "dispense_commanded");
        for action in &mut turn.actions {
            if let Action::Tell(ToAtm::Dispense(command)) = action {
                if is(Bug::CommandNotIdentical) && !commanded {
                    command.start_before = now.after(self.settings.dispense_within);
                }
                if is(Bug::CommandForMore) {
                    command.amount = command.amount.checked_add(command.amount).unwrap_or(command.amount);
                }
                if is(Bug::TokenRemadeOnResend) && !commanded {
                    let other = command.dispense_token.as_ref().and_then(|token| token.as_str().get(1..)?.parse().ok());
                    command.dispense_token = other;
                }
            }
            if let Action::MakeDispenseToken { amount, .. } = action
                && is(Bug::TokenForMore)
            {
                *amount = amount.checked_add(*amount).unwrap_or(*amount);
            }
        }
        if is(Bug::NoRetry) {
            self.open.values_mut().filter(|open| open.is_settling()).for_each(|open| open.never_repeat());
        }
        if is(Bug::AcknowledgedAskedAgain) && connected {
            let settling = self.open.iter().filter(|(_, open)| matches!(open.state(), State::Confirming { .. }));
            let asked: Vec<WithdrawalId> = settling.map(|(id, _)| *id).collect();
            turn.actions
                .extend(asked.into_iter().map(|withdrawal| Action::AskOutcome { withdrawal, with_status: false }));
        }
    }

    /// Spoils a lane that was just recovered.
    pub(super) fn spoil_recovered(&mut self) {
        if is(Bug::NoRetryAfterRestart) {
            self.open.values_mut().filter(|open| open.is_settling()).for_each(|open| open.never_repeat());
        }
    }
}
