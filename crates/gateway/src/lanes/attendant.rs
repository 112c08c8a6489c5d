//! A lane, its desk and its errands, still without IO: all that decides what leaves the gateway, and when.
//!
//! The one rule stands here as types. An input gives an [`Intent`]: records to make durable, and errands that nobody sees before the
//! intent is handed back to [`Attendant::carry_out`]. The driver does that when the ledger has answered; so does the simulation.

mod errand;

pub use errand::Errand;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use cashgate_limits::Reservation;
use cashgate_wire::customer::PinBlock;
use cashgate_withdrawal::dispense::OutcomeReport;
use cashgate_withdrawal::evidence::DispenseToken;
use cashgate_withdrawal::ids::{AtmId, CommandNonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::lane::{Action, Input, Lane, LaneSettings, LaneView, Record, Remark, Turn};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;
use cashgate_withdrawal::withdrawal::{Terms, Withdrawal};

use crate::admission::{Basis, Desk, Intended, LaneDesk, LimitKey};

/// How many reports may wait to be read back or verified: as many as one Hello may bring.
const REPORTS_WAITING_MAX: usize = 64;
/// How many of the nonces that a machine was asked with about one withdrawal may still be answered: more than there are questions before the
/// deadline for an outcome, since a line may hold its answers for minutes. A later one replaces the oldest.
const NONCES_MAX: usize = 64;
/// About how many withdrawals nonces are kept; more are open only after long outages.
const ASKED_MAX: usize = 64;

/// One ATM's lane with what it keeps between inputs.
#[derive(Debug)]
pub struct Attendant {
    lane: Lane,
    desk: LaneDesk,
    minting: Minting,
    recalling: OneAtATime<(WithdrawalId, OutcomeReport)>,
    verifying: OneAtATime<(WithdrawalId, OutcomeReport, DispenseToken)>,
    /// The nonces that the machine was asked for its present status with. Forgotten in a restart: then it is asked again.
    asked_with: HashMap<WithdrawalId, VecDeque<CommandNonce>>,
}

/// What an input led to. Whoever drops it stops the lane for good: its memory is then ahead of the ledger.
#[derive(Debug)]
#[must_use = "its records are to be made durable and its errands carried out"]
pub struct Intent {
    records: Vec<Record>,
    remarks: Vec<Remark>,
    pub(super) actions: Vec<Action>,
    pin_block: Option<PinBlock>,
    /// Of an approval that the ledger may not take, because another replica was first.
    undo: Option<Box<Undo>>,
}

/// The lane as it was before an input, and the input.
#[derive(Debug)]
struct Undo {
    lane: Lane,
    input: Input,
}

impl Intent {
    /// To be made durable, all of them and in this order, before the intent is carried out.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// To be kept as evidence, at leisure.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// The withdrawal that it opens, if it does.
    fn opens(&self) -> Option<WithdrawalId> {
        self.records.iter().find(|record| record.event.is_none()).map(|record| record.after.terms.withdrawal)
    }
}

/// At most one code of an ATM is being made at a time, so that no ATM can fill the HSM's queue.
#[derive(Debug, Default)]
struct Minting {
    busy: bool,
    /// What is to be made next; a newer wish replaces an older.
    next: Option<(QrSessionId, Option<Money>)>,
}

/// At most one thing of a kind is under way at a time; a few more may wait, the rest the ATM will repeat.
#[derive(Debug)]
struct OneAtATime<T> {
    busy: bool,
    next: VecDeque<T>,
}

impl<T> OneAtATime<T> {
    const fn new() -> Self {
        Self { busy: false, next: VecDeque::new() }
    }

    /// Gives it back if it may begin now; keeps it otherwise.
    fn begin(&mut self, one: T) -> Option<T> {
        if !self.busy {
            self.busy = true;
            return Some(one);
        }
        if self.next.len() < REPORTS_WAITING_MAX {
            self.next.push_back(one);
        }
        None
    }

    /// What was under way is done; gives what waited longest.
    fn done(&mut self) -> Option<T> {
        self.busy = false;
        self.next.pop_front()
    }
}

impl Attendant {
    /// An attendant whose ATM has no open withdrawals.
    #[must_use]
    pub fn new(atm: AtmId, settings: Arc<LaneSettings>, desk: Arc<Desk>) -> Self {
        Self::over(Lane::new(atm, settings), LaneDesk::new(desk, HashMap::new()))
    }

    /// An attendant after a restart, with what was found open, and the intent to begin with.
    pub(super) fn recovered(
        atm: AtmId,
        settings: Arc<LaneSettings>,
        desk: Arc<Desk>,
        open: Vec<(Withdrawal, u32)>,
        reservations: HashMap<WithdrawalId, Reservation>,
        now: Timestamp,
    ) -> (Self, Intent) {
        let (lane, turn) = Lane::recovered(atm, settings, open, now);
        (Self::over(lane, LaneDesk::new(desk, reservations)), intent(turn, None))
    }

    /// An attendant whose ATM was another replica's before, with what is open there, and the intent to begin with: the same as after a restart,
    /// but for the limits, which count what is open wherever it is.
    pub(super) fn adopting(
        atm: AtmId,
        settings: Arc<LaneSettings>,
        desk: Arc<Desk>,
        open: Vec<(Withdrawal, u32)>,
        now: Timestamp,
    ) -> (Self, Intent) {
        let keys =
            |withdrawal: &Withdrawal| (withdrawal.terms.withdrawal, desk.limit_keys(intended(&withdrawal.terms)));
        let lane_desk = LaneDesk::adopting(Arc::clone(&desk), open.iter().map(|(withdrawal, _)| keys(withdrawal)));
        let (lane, turn) = Lane::recovered(atm, settings, open, now);
        (Self::over(lane, lane_desk), intent(turn, None))
    }

    fn over(lane: Lane, desk: LaneDesk) -> Self {
        let (minting, asked_with) = (Minting::default(), HashMap::new());
        Self { lane, desk, minting, recalling: OneAtATime::new(), verifying: OneAtATime::new(), asked_with }
    }

    /// Takes one input. The next is to come only after the intent was carried out. `pin_block` is that of an approval.
    pub fn take(&mut self, input: Input, pin_block: Option<PinBlock>, now: Timestamp) -> Intent {
        let minted = matches!(input, Input::CodeMinted(_) | Input::MintFailed { .. });
        let recalled = matches!(input, Input::Recalled { .. });
        let verified = matches!(input, Input::PresentTokenVerified { .. });
        let undo = (self.desk.is_shared() && matches!(input, Input::Approved(_)))
            .then(|| Box::new(Undo { lane: self.lane.clone(), input: input.clone() }));
        // First what may not go on, so that nothing that was stopped is commanded by what comes now.
        let stopped = self.stop(now);
        let mut turn = stopped.and_then(self.lane.apply(input, now, &mut self.desk));
        if minted {
            self.minting.busy = false;
            let next = self.minting.next.take();
            turn.actions.extend(next.map(|(qr_session, amount)| Action::Mint { qr_session, amount }));
        }
        if recalled {
            let next = self.recalling.done();
            turn.actions.extend(next.map(|(withdrawal, report)| Action::Recall { withdrawal, report }));
        }
        if verified {
            let next = self.verifying.done();
            turn.actions.extend(next.map(|(withdrawal, report, dispense_token)| Action::VerifyPresentToken {
                withdrawal,
                report,
                dispense_token,
            }));
        }
        Intent { undo, ..intent(turn, pin_block) }
    }

    /// From which versions of the limits' entries an intent was computed, if the ledger has to hold it against them.
    #[must_use]
    pub fn basis(&self, intent: &Intent) -> Option<&Basis> {
        self.desk.basis(intent.opens()?)
    }

    /// The ledger did not take an intent because its limits had moved: it is as if its input had not come. Gives the input back, to be taken again
    /// once the entries have been counted anew.
    pub fn take_back(&mut self, refused: Intent) -> Option<(Input, Option<PinBlock>)> {
        if let Some(opened) = refused.opens() {
            self.desk.take_back(opened);
        }
        let Undo { lane, input } = *refused.undo?;
        self.lane = lane;
        Some((input, refused.pin_block))
    }

    /// The ledger took what this lane wrote, and with it these entries came to these versions; `None` if that is not known.
    pub fn raised(&self, entries: Option<&[(LimitKey, u64)]>) {
        self.desk.raised(entries);
    }

    /// The lane is another replica's from now on.
    pub fn let_go(&mut self) {
        self.desk.let_go();
    }

    /// The entries that an approval here is computed from and that have to be read first.
    #[must_use]
    pub fn unread(&self, input: &Input) -> Vec<LimitKey> {
        match input {
            Input::Approved(approval) => self.desk.unread(approval, self.lane.atm()),
            _ => Vec::new(),
        }
    }

    /// Ends what was begun here and may not go on: stopped, or by a phone that was revoked, locked or given another key.
    fn stop(&mut self, now: Timestamp) -> Turn {
        if !self.lane.may_be_stopped() {
            return Turn::default();
        }
        let scopes = self.desk.stopped(&self.lane);
        scopes.into_iter().fold(Turn::default(), |turn, scope| {
            turn.and_then(self.lane.apply(Input::Stopped(scope), now, &mut self.desk))
        })
    }

    /// What a planted bug lets leave before the records are durable.
    #[cfg(feature = "planted")]
    #[must_use]
    pub fn too_early(&mut self, intent: &mut Intent) -> Vec<Errand> {
        let mut pin_block = None;
        intent.spoilt().into_iter().filter_map(|action| self.errand(action, &mut pin_block)).collect()
    }

    /// The errands of an intent whose records are durable, to be run in their order.
    #[must_use]
    pub fn carry_out(&mut self, durable: Intent) -> Vec<Errand> {
        let mut pin_block = durable.pin_block;
        durable.actions.into_iter().filter_map(|action| self.errand(action, &mut pin_block)).collect()
    }

    /// What [`Errand::Recall`] was to find could not be read. The ATM will repeat its report.
    #[must_use]
    pub fn recall_failed(&mut self) -> Option<Errand> {
        let (withdrawal, report) = self.recalling.done()?;
        self.recall(withdrawal, report)
    }

    /// The machine is being asked for its present status with this nonce: a token that answers it is fresh.
    pub fn asked_with(&mut self, withdrawal: WithdrawalId, nonce: CommandNonce) {
        if self.asked_with.len() >= ASKED_MAX {
            let open: HashSet<WithdrawalId> = self.lane.open_withdrawals().map(|open| open.terms.withdrawal).collect();
            self.asked_with.retain(|id, _| open.contains(id));
        }
        let nonces = self.asked_with.entry(withdrawal).or_default();
        if nonces.len() >= NONCES_MAX {
            nonces.pop_front();
        }
        nonces.push_back(nonce);
    }

    /// When [`Input::TimePassed`] is to come at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.lane.next_deadline()
    }

    /// The ATM.
    #[must_use]
    pub const fn atm(&self) -> &AtmId {
        self.lane.atm()
    }

    /// Whether a customer stands at the connected ATM.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.lane.is_serving()
    }

    /// Whether the connected ATM shows codes that nobody has scanned yet.
    #[must_use]
    pub fn shows_codes(&self) -> bool {
        self.lane.shows_codes()
    }

    /// The open withdrawals.
    pub(super) fn open(&self) -> impl Iterator<Item = &Withdrawal> {
        self.lane.open_withdrawals()
    }

    /// What an operator sees.
    #[must_use]
    pub fn view(&self) -> LaneView {
        self.lane.view()
    }

    fn errand(&mut self, action: Action, pin_block: &mut Option<PinBlock>) -> Option<Errand> {
        Some(match action {
            Action::Tell(message) => Errand::Tell(message),
            Action::CloseLink(link) => Errand::LinkReplaced(link),
            Action::Answer { request, answer } => Errand::Answer { request, answer },
            Action::PlaceHold(terms) => Errand::PlaceHold { terms, pin_block: pin_block.take() },
            Action::Settle { terms, hold, settlement } => Errand::Settle { terms, hold, settlement },
            Action::EndReservation { withdrawal, dispensed } => {
                self.desk.end_reservation(withdrawal, dispensed);
                return None;
            }
            Action::Mint { qr_session, amount } if self.minting.busy => {
                self.minting.next = Some((qr_session, amount));
                return None;
            }
            Action::Mint { qr_session, amount } => {
                self.minting.busy = true;
                Errand::Mint { qr_session, amount }
            }
            Action::Recall { withdrawal, report } => return self.recall(withdrawal, report),
            Action::AskOutcome { withdrawal, with_status } => Errand::AskOutcome { withdrawal, with_status },
            Action::MakeDispenseToken { withdrawal, nonce, amount } => {
                Errand::MakeDispenseToken { withdrawal, nonce, amount }
            }
            Action::VerifyPresentToken { withdrawal, report, dispense_token } => {
                return self.verify(withdrawal, report, dispense_token);
            }
        })
    }

    fn recall(&mut self, withdrawal: WithdrawalId, report: OutcomeReport) -> Option<Errand> {
        let (withdrawal, report) = self.recalling.begin((withdrawal, report))?;
        Some(Errand::Recall { withdrawal, report })
    }

    fn verify(&mut self, id: WithdrawalId, report: OutcomeReport, dispense_token: DispenseToken) -> Option<Errand> {
        let (withdrawal, report, dispense_token) = self.verifying.begin((id, report, dispense_token))?;
        let asked_with = self.asked_with.get(&withdrawal).into_iter().flatten().cloned().collect();
        Some(Errand::VerifyPresentToken { withdrawal, report, dispense_token, asked_with })
    }
}

fn intent(turn: Turn, pin_block: Option<PinBlock>) -> Intent {
    Intent { records: turn.records, remarks: turn.remarks, actions: turn.actions, pin_block, undo: None }
}

fn intended(terms: &Terms) -> Intended<'_> {
    let Terms { institution, account, device, atm, .. } = terms;
    Intended { institution, account, device, atm }
}
