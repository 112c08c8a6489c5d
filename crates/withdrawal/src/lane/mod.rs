//! The lane of one ATM: its QR session, its open withdrawals, their timers and retries, as one sequential state machine without IO.
//!
//! Inputs and the time go in; records and actions come out. Whoever drives it makes the records of a turn durable and only then
//! carries out the turn's actions, in their order. An ATM serves one customer at a time, so nothing here needs a lock.

mod end_to_end;
mod input;
#[cfg(feature = "planted")]
mod planted;
mod qr_session;
mod remark;
mod reporting;
mod retry;
mod serving;
mod stopping;
mod turn;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use input::*;
use qr_session::QrSession;
pub use remark::{OUTCOME_CONTRADICTS_END, Remark};
use serving::Open;
pub use stopping::{Begun, FAILED_APPROVALS_MAX};
pub use turn::*;

use crate::event::{Event, ReversalCause};
use crate::ids::{AtmId, WithdrawalId};
use crate::refusal::Refusal;
use crate::time::Timestamp;
use crate::withdrawal::{State, Withdrawal};

/// How long an ATM waits before it asks again for a code while withdrawals are stopped.
const STOPPED_PAUSE: Duration = Duration::from_secs(60);

/// How long a lane waits for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSettings {
    /// A fresh code is made this long before the one shown expires.
    pub qr_refresh_before_expiry: Duration,
    /// How long a QR session shows codes if nobody scans.
    pub qr_session_lifetime: Duration,
    /// How long after a scan the approval may come.
    pub approve_within: Duration,
    /// How long core banking has for a hold.
    pub hold_timeout: Duration,
    /// How long a held withdrawal waits for its ATM to be there.
    pub held_timeout: Duration,
    /// How long the customer has to type the code.
    pub code_timeout: Duration,
    /// How long after the command the ATM may begin to pay out.
    pub dispense_within: Duration,
    /// How long a commanded withdrawal may stay without a clear outcome before it becomes a suspect.
    pub outcome_deadline: Duration,
    /// The first pause before a confirmation, reversal or question is repeated; it doubles each time.
    pub retry_first: Duration,
    /// The longest such pause.
    pub retry_max: Duration,
}

impl Default for LaneSettings {
    fn default() -> Self {
        Self {
            qr_refresh_before_expiry: Duration::from_secs(10),
            qr_session_lifetime: Duration::from_secs(120),
            approve_within: Duration::from_secs(120),
            hold_timeout: Duration::from_secs(10),
            held_timeout: Duration::from_secs(30),
            code_timeout: Duration::from_secs(90),
            dispense_within: Duration::from_secs(30),
            outcome_deadline: Duration::from_secs(15 * 60),
            retry_first: Duration::from_millis(500),
            retry_max: Duration::from_secs(60),
        }
    }
}

/// The lane of one ATM.
#[derive(Clone, Debug)]
pub struct Lane {
    atm: AtmId,
    settings: Arc<LaneSettings>,
    link: Option<LinkId>,
    /// What the ATM said of itself when it last connected.
    facts: Option<AtmFacts>,
    qr_session: Option<QrSession>,
    open: BTreeMap<WithdrawalId, Open>,
}

/// What an operator sees of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneView {
    /// What the ATM said of itself when it last connected.
    pub facts: Option<AtmFacts>,
    /// Whether it is connected.
    pub connected: bool,
    /// How many of its withdrawals are open.
    pub open_withdrawals: usize,
}

impl Lane {
    /// A lane without a past.
    #[must_use]
    pub fn new(atm: AtmId, settings: Arc<LaneSettings>) -> Self {
        Self { atm, settings, link: None, facts: None, qr_session: None, open: BTreeMap::new() }
    }

    /// A lane after a restart, with the open withdrawals that the ledger gave back and the number of each one's last step, and the turn to
    /// begin with.
    ///
    /// What had not reached the dispense command and cannot go on is reversed: the customer's PIN block and confirm code are never
    /// stored, and an answer to the hold request may be lost.
    #[must_use]
    pub fn recovered(
        atm: AtmId,
        settings: Arc<LaneSettings>,
        open: impl IntoIterator<Item = (Withdrawal, u32)>,
        now: Timestamp,
    ) -> (Self, Turn) {
        let mut lane = Self::new(atm, settings);
        let mut turn = Turn::default();
        let recovered =
            |(w, steps): (Withdrawal, u32)| (w.terms.withdrawal, Open::recovered(w, steps, &lane.settings, now));
        lane.open = open.into_iter().map(recovered).collect();
        let stranded: Vec<WithdrawalId> = lane
            .open
            .iter()
            .filter(|(_, open)| matches!(open.state(), State::HoldRequested | State::AwaitingCode { .. }))
            .map(|(id, _)| *id)
            .collect();
        for id in stranded {
            let event = Event::Abandoned { cause: ReversalCause::GatewayRestarted };
            lane.take(id, event, now, &mut turn);
        }
        #[cfg(feature = "planted")]
        lane.spoil_recovered();
        (lane, turn)
    }

    /// The ATM.
    #[must_use]
    pub const fn atm(&self) -> &AtmId {
        &self.atm
    }

    /// What an operator sees.
    #[must_use]
    pub fn view(&self) -> LaneView {
        LaneView { facts: self.facts.clone(), connected: self.link.is_some(), open_withdrawals: self.open.len() }
    }

    /// The open withdrawals, in the order of their ids.
    pub fn open_withdrawals(&self) -> impl Iterator<Item = &Withdrawal> {
        self.open.values().map(Open::withdrawal)
    }

    /// Whether a customer stands at the connected ATM, so that stopping now would strand somebody.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.link.is_some()
            && (self.occupant().is_some() || self.qr_session.as_ref().is_some_and(QrSession::is_claimed))
    }

    /// Whether the connected ATM shows codes that nobody has scanned yet, or waits for one to show.
    #[must_use]
    pub fn shows_codes(&self) -> bool {
        self.link.is_some() && self.qr_session.as_ref().is_some_and(QrSession::is_showing)
    }

    /// Takes one input and says what is to be made durable and done.
    pub fn apply(&mut self, input: Input, now: Timestamp, admission: &mut dyn Admission) -> Turn {
        let mut turn = Turn::default();
        #[cfg(feature = "planted")]
        let (connects, mut input) = (matches!(&input, Input::AtmConnected { .. }), input);
        #[cfg(feature = "planted")]
        self.spoil_input(&mut input, &mut turn, now);
        // A lane may be woken late. What has expired has expired, whatever comes now; only evidence is never too late.
        self.run_qr_timers(now, &mut turn);
        self.run_timers(now, &mut turn, State::occupies_atm_before_command);
        match input {
            Input::AtmConnected { link, facts, unresolved } => self.connected(link, facts, unresolved, now, &mut turn),
            Input::AtmDisconnected { link } => self.disconnected(link),
            Input::AtmSaid { link, message } => {
                if self.link == Some(link) {
                    self.atm_said(message, now, admission, &mut turn);
                }
            }
            Input::CodeMinted(code) => self.code_minted(code, now, &mut turn),
            Input::MintFailed { qr_session } => self.mint_failed(qr_session, now, &mut turn),
            Input::DispenseTokenMade { withdrawal, token } => {
                self.dispense_token_made(withdrawal, token, now, &mut turn);
            }
            Input::DispenseTokenFailed { withdrawal } => self.dispense_token_failed(withdrawal, now, &mut turn),
            Input::PresentTokenVerified { withdrawal, report } => {
                self.outcome_verified(withdrawal, report, now, &mut turn);
            }
            Input::Scanned(scan) => {
                let (request, answer) = (scan.request, self.scanned(scan, now, &mut turn));
                turn.answer(request, answer);
            }
            Input::Approved(approval) => self.approved(approval, now, admission, &mut turn),
            Input::ApprovalFailed(failed) => {
                let (request, answer) = (failed.request, self.approval_failed(&failed, &mut turn));
                turn.answer(request, answer);
            }
            Input::Stopped(scope) => self.stopped(&scope, now, &mut turn),
            Input::Cancelled(cancellation) => {
                let (request, answer) = (cancellation.request, self.cancelled(&cancellation, now, &mut turn));
                turn.answer(request, answer);
            }
            Input::HoldAnswered { withdrawal, answer } => {
                self.take(withdrawal, answer.into(), now, &mut turn);
            }
            Input::SettlementAnswered { withdrawal, settlement, answer } => {
                self.settlement_answered(withdrawal, settlement, answer, now, &mut turn);
            }
            Input::Recalled { withdrawal, id, report } => Self::recalled(withdrawal, id, report, now, &mut turn),
            Input::Resolved(resolution) => {
                let (request, answer) = (resolution.request, self.resolved(resolution, now, &mut turn));
                turn.answer(request, answer);
            }
            Input::TimePassed => {}
        }
        self.run_timers(now, &mut turn, |_| true);
        #[cfg(feature = "planted")]
        self.spoil_turn(connects, &mut turn, now);
        turn
    }

    /// When [`Input::TimePassed`] is to come at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let withdrawals = self.open.values().filter_map(|open| open.next_deadline(&self.settings, self.link.is_some()));
        self.qr_session.as_ref().and_then(QrSession::next_deadline).into_iter().chain(withdrawals).min()
    }

    fn connected(
        &mut self,
        link: LinkId,
        facts: AtmFacts,
        unresolved: Vec<(WithdrawalId, crate::dispense::OutcomeReport)>,
        now: Timestamp,
        turn: &mut Turn,
    ) {
        if let Some(replaced) = self.link.replace(link) {
            turn.actions.push(Action::CloseLink(replaced));
        }
        self.facts = Some(facts);
        self.end_unapproved_qr_session();
        turn.actions.push(Action::Tell(ToAtm::Welcome { now, atm: self.atm.clone() }));
        for (id, report) in unresolved {
            self.outcome_reported(id, report, now, turn);
        }
        let open: Vec<WithdrawalId> = self.open.keys().copied().collect();
        for id in open {
            self.resume(id, now, turn);
        }
    }

    fn disconnected(&mut self, link: LinkId) {
        if self.link == Some(link) {
            self.link = None;
            self.end_unapproved_qr_session();
        }
    }

    fn atm_said(&mut self, message: FromAtm, now: Timestamp, admission: &dyn Admission, turn: &mut Turn) {
        match message {
            FromAtm::StartQrSession { amount, command_nonce, fresh } => {
                if let Err(refusal) = admission.may_show_codes(&self.atm) {
                    return tell(turn, ToAtm::TryLater { after: STOPPED_PAUSE, refusal });
                }
                let atm = self.atm.clone();
                let has_key = || admission.has_dispense_key(&atm);
                if let Err(refusal) = self.start_qr_session(amount, command_nonce, fresh, has_key, now, turn) {
                    tell(turn, ToAtm::Refused { refusal, withdrawal: None });
                }
            }
            FromAtm::EndQrSession { qr_session } => self.end_qr_session_by_atm(qr_session, turn),
            FromAtm::EnterConfirmCode { withdrawal, code } => self.code_entered(withdrawal, code, now, turn),
            FromAtm::Outcome { withdrawal, report } => self.outcome_reported(withdrawal, report, now, turn),
            FromAtm::UpdateCassettes { cassettes } => {
                if let Some(facts) = &mut self.facts {
                    facts.cassettes = cassettes;
                }
            }
        }
    }

    fn cancelled(&mut self, cancel: &Cancellation, now: Timestamp, turn: &mut Turn) -> Result<Answer, Refusal> {
        match cancel.subject {
            CancelSubject::QrSession(id) => self.cancel_qr_session(id, cancel, now, turn)?,
            CancelSubject::Withdrawal(id) => {
                let theirs = self.open.get(&id).map(|open| &open.withdrawal().terms);
                if theirs.is_none_or(|t| t.institution != cancel.institution || t.device != cancel.device) {
                    return Err(Refusal::WithdrawalUnknown);
                }
                if !self.take(id, Event::CustomerCancelled, now, turn) {
                    return Err(Refusal::TooLate);
                }
            }
        }
        Ok(Answer::Done)
    }

    fn run_timers(&mut self, now: Timestamp, turn: &mut Turn, concerned: impl Fn(&State) -> bool) {
        let connected = self.link.is_some();
        let is_due = |open: &Open| open.next_deadline(&self.settings, connected).is_some_and(|at| at <= now);
        let due = self.open.iter().filter(|(_, open)| concerned(open.state()) && is_due(open));
        let due: Vec<WithdrawalId> = due.map(|(id, _)| *id).collect();
        for id in due {
            self.withdrawal_due(id, now, turn);
        }
    }
}

fn tell(turn: &mut Turn, message: ToAtm) {
    turn.actions.push(Action::Tell(message));
}
