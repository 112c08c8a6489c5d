//! Customers with their phones: those who do as they should, and those who do not.

use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::ids::{KeyId, Nonce};
use cashgate_withdrawal::lane::{
    Answer, Approval, CancelSubject, Cancellation, ConfirmCode, FromAtm, Input, Scan, VerifiedCode,
};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::time::Timestamp;

use crate::boundary::{AccountNo, AtmNo, PhoneNo};
use crate::errands::digest;
use crate::event::{Act, Answered, AtmSays, Caller, Code, Event, PhoneAsks};
use crate::faults::FaultKind;
use crate::names::{self, yen};
use crate::world::World;

/// How long an app waits before it asks again.
const APP_PATIENCE_MS: u64 = 10_000;
/// How long a customer stays at a machine at most.
const CUSTOMER_PATIENCE_MS: u64 = 300_000;

/// One customer's visit to a machine.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) begins_at: u64,
    pub(crate) atm: AtmNo,
    pub(crate) phone: PhoneNo,
    pub(crate) account: AccountNo,
    pub(crate) amount: u64,
    at_atm: bool,
    pub(crate) stage: Stage,
    queued: u32,
    code: Option<Code>,
    approvals: u32,
    withdrawal: Option<WithdrawalId>,
    confirm_code: Option<ConfirmCode>,
    asked_for_code: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Coming,
    Waiting,
    Scanning,
    Choosing,
    Approving,
    Paying,
    Gone,
}

impl Visit {
    pub(crate) fn new(
        begins_at: u64,
        atm: AtmNo,
        phone: PhoneNo,
        account: AccountNo,
        amount: u64,
        at_atm: bool,
    ) -> Self {
        Self {
            begins_at,
            atm,
            phone,
            account,
            amount,
            at_atm,
            stage: Stage::Coming,
            queued: 0,
            code: None,
            approvals: 0,
            withdrawal: None,
            confirm_code: None,
            asked_for_code: false,
        }
    }
}

impl World {
    /// Whether no customer is still under way.
    pub(crate) fn nobody_waits(&self) -> bool {
        self.visits.iter().all(|visit| visit.stage == Stage::Gone)
    }

    pub(crate) fn acts(&mut self, number: usize, act: Act) {
        let Some(visit) = self.visits.get(number).cloned() else { return };
        match act {
            Act::Arrives => self.arrives(number, &visit),
            Act::Leaves => self.leaves(number),
            Act::Scans if visit.stage == Stage::Waiting => self.scans(number, &visit),
            Act::ScansAgain if visit.stage == Stage::Scanning => {
                if let Some(code) = visit.code {
                    self.phone_asks(number, visit.phone, PhoneAsks::Scan { code, second_phone: false });
                }
            }
            Act::Approves if visit.stage == Stage::Choosing => {
                self.stage(number, Stage::Approving);
                self.approves(number, &visit);
                if self.strikes(FaultKind::DoubleTap, visit.phone).is_some() {
                    self.approves(number, &visit);
                }
            }
            Act::ApprovesAgain if visit.stage == Stage::Approving && visit.approvals < 4 => {
                self.approves(number, &visit);
            }
            Act::Cancels => match (visit.withdrawal, visit.code) {
                (Some(id), _) => self.phone_asks(number, visit.phone, PhoneAsks::CancelWithdrawal(id)),
                (None, Some(code)) => self.phone_asks(number, visit.phone, PhoneAsks::CancelQrSession(code.qr_session)),
                (None, None) => {}
            },
            Act::Types => self.types(number, &visit),
            _ => {}
        }
    }

    fn arrives(&mut self, number: usize, visit: &Visit) {
        let is_replicated = self.is_replicated();
        let free = self
            .atm(visit.atm)
            .is_some_and(|atm| atm.customer.is_none() && atm.link.is_some() && (atm.welcomed || !is_replicated));
        if visit.stage != Stage::Coming {
            return;
        }
        if !free {
            if visit.queued >= 20 {
                return self.stage(number, Stage::Gone);
            }
            if let Some(visit) = self.visits.get_mut(number) {
                visit.queued += 1;
            }
            return self.after(15_000, Event::Visit { visit: number, act: Act::Arrives });
        }
        if let Some(atm) = self.atm(visit.atm) {
            atm.customer = Some(number);
        }
        self.stage(number, Stage::Waiting);
        let amount = visit.at_atm.then(|| yen(visit.amount));
        self.touches(visit.atm, amount);
        self.after(CUSTOMER_PATIENCE_MS, Event::Visit { visit: number, act: Act::Leaves });
        if self.strikes(FaultKind::WalksAway, visit.atm).is_some() {
            let after = self.network.between(1_000, 60_000);
            self.after(after, Event::Visit { visit: number, act: Act::Leaves });
        }
    }

    pub(crate) fn customer_sees_code(&mut self, atm: AtmNo, shown: Code) {
        let Some(number) = self.atm(atm).and_then(|atm| atm.customer) else { return };
        let Some(visit) = self.visits.get_mut(number).filter(|visit| visit.stage == Stage::Waiting) else { return };
        let before = visit.code.replace(shown);
        self.old_codes.extend(before);
        let late = self.strikes(FaultKind::LateScan, atm).is_some();
        let after = if late { self.network.between(28_000, 34_000) } else { self.network.between(1_000, 5_000) };
        self.after(after, Event::Visit { visit: number, act: Act::Scans });
    }

    fn scans(&mut self, number: usize, visit: &Visit) {
        let Some(mut code) = visit.code else { return };
        if let Some(mut chance) = self.strikes(FaultKind::OldCode, visit.phone)
            && let Some(old) = chance.pick(&self.old_codes)
        {
            code = old;
        }
        self.stage(number, Stage::Scanning);
        if let Some(visit) = self.visits.get_mut(number) {
            visit.code = Some(code);
        }
        self.old_codes.push(code);
        if self.strikes(FaultKind::TwoPhones, visit.atm).is_some() {
            let other = (visit.phone + 1) % self.plan.phones.max(2);
            self.phone_asks(number, other, PhoneAsks::Scan { code, second_phone: true });
        }
        self.phone_asks(number, visit.phone, PhoneAsks::Scan { code, second_phone: false });
        self.after(APP_PATIENCE_MS, Event::Visit { visit: number, act: Act::ScansAgain });
    }

    fn approves(&mut self, number: usize, visit: &Visit) {
        let Some(code) = visit.code else { return };
        if let Some(visit) = self.visits.get_mut(number) {
            visit.approvals += 1;
        }
        self.phone_asks(number, visit.phone, PhoneAsks::Approve { code, amount: visit.amount });
        self.after(APP_PATIENCE_MS, Event::Visit { visit: number, act: Act::ApprovesAgain });
        if self.strikes(FaultKind::CancelsAfterApproval, visit.phone).is_some() {
            let after = self.network.between(0, 15_000);
            self.after(after, Event::Visit { visit: number, act: Act::Cancels });
        }
    }

    pub(crate) fn customer_is_asked(&mut self, atm: AtmNo, id: WithdrawalId) {
        let Some(number) = self.atm(atm).and_then(|atm| atm.customer) else { return };
        let Some(visit) = self.visits.get_mut(number) else { return };
        visit.asked_for_code = true;
        visit.withdrawal.get_or_insert(id);
        let after = self.network.between(2_000, 9_000);
        self.after(after, Event::Visit { visit: number, act: Act::Types });
    }

    fn types(&mut self, number: usize, visit: &Visit) {
        let at_atm = self.atm(visit.atm).is_some_and(|atm| atm.customer == Some(number));
        let (Some(withdrawal), Some(mut code), true) = (visit.withdrawal, visit.confirm_code, at_atm) else { return };
        if self.strikes(FaultKind::WrongCode, visit.atm).is_some() {
            code = ConfirmCode(*b"0000");
        }
        self.send_from_atm(visit.atm, AtmSays::Said(FromAtm::EnterConfirmCode { withdrawal, code }));
    }

    fn leaves(&mut self, number: usize) {
        let Some(atm) = self.visits.get(number).map(|visit| visit.atm) else { return };
        self.stage(number, Stage::Gone);
        let session = self.visits.get(number).and_then(|visit| visit.code).map(|code| code.qr_session);
        if let Some(machine) = self.atm(atm).filter(|machine| machine.customer == Some(number)) {
            machine.customer = None;
            if let Some(qr_session) = session {
                self.send_from_atm(atm, AtmSays::Said(FromAtm::EndQrSession { qr_session }));
            }
        }
    }

    /// Nothing is left to do at the machine.
    pub(crate) fn customer_leaves(&mut self, atm: AtmNo) {
        if let Some(number) = self.atm(atm).and_then(|machine| machine.customer.take()) {
            self.stage(number, Stage::Gone);
        }
    }

    fn stage(&mut self, number: usize, stage: Stage) {
        if let Some(visit) = self.visits.get_mut(number).filter(|visit| visit.stage != Stage::Gone) {
            visit.stage = stage;
        }
    }

    fn phone_asks(&mut self, visit: usize, phone: PhoneNo, asks: PhoneAsks) {
        let after = self.network.between(20, 300);
        self.after(after, Event::PhoneAsks { phone, visit, asks });
    }

    /// A phone's request reaches the gateway, which has verified its token and its signature.
    pub(crate) fn phone_reaches_gateway(&mut self, phone: PhoneNo, visit: usize, asks: PhoneAsks) {
        if !self.enter_by_balancer() {
            return;
        }
        let atm = self.atm_of(visit, &asks);
        if self.is_replicated() && self.gateway.slot(atm).is_none() {
            return self.forwards(phone, visit, asks);
        }
        self.phone_asks_here(phone, visit, asks);
    }

    fn atm_of(&self, visit: usize, asks: &PhoneAsks) -> AtmNo {
        match asks {
            PhoneAsks::Scan { code, .. } | PhoneAsks::Approve { code, .. } => code.atm,
            _ => self.visits.get(visit).map_or(0, |visit| visit.atm),
        }
    }

    /// The lane is another replica's: the one that the code names, or that the withdrawal's machine has.
    fn forwards(&mut self, phone: PhoneNo, visit: usize, asks: PhoneAsks) {
        let from = self.gateway.replica;
        let to = match &asks {
            PhoneAsks::Scan { code, .. } | PhoneAsks::Approve { code, .. } => Some(code.replica),
            _ => {
                let owner = self.database.owner(self.atm_of(visit, &asks));
                let of = |life: u32| self.gateways().find(|one| one.life == life).map(|one| one.replica);
                owner.and_then(|owner| of(owner.life))
            }
        };
        let found = self.gateways().find(|one| Some(one.replica) == to && one.up && one.replica != from);
        let Some((life, peer_cut)) = found.map(|one| (one.life, one.members.peers_cut_until_ms)) else {
            return self.answer_phone(visit, phone, asks, Err(Refusal::AtmUnavailable));
        };
        if self.now < peer_cut.max(self.gateway.members.peers_cut_until_ms) {
            return self.count("requests lost between replicas"); // what became of it is not known: the app asks again
        }
        self.count("requests forwarded");
        let after = self.network.between(1, 5);
        self.after(after, Event::Forwarded { life, phone, visit, asks });
    }

    /// A phone's request is at the replica that has the lane, or nobody has it. A forwarded request is not forwarded again.
    pub(crate) fn phone_asks_here(&mut self, phone: PhoneNo, visit: usize, asks: PhoneAsks) {
        let atm = self.atm_of(visit, &asks);
        if self.gateway.slot(atm).is_none() {
            return self.answer_phone(visit, phone, asks, Err(Refusal::AtmUnavailable));
        }
        let request = self.gateway.request(atm, Caller::Phone { visit, phone, asks: asks.clone() });
        let (institution, device) = (names::institution(), names::phone(phone));
        let cancel = |subject| {
            Input::Cancelled(Cancellation {
                request,
                institution: names::institution(),
                device: names::phone(phone),
                subject,
            })
        };
        let account = self.visits.get(visit).map_or(0, |visit| visit.account);
        let mut pin_block = None;
        let input = match asks {
            PhoneAsks::Scan { code, .. } => {
                Input::Scanned(Scan { request, code: verified(&code), institution, device })
            }
            PhoneAsks::Approve { code, amount } => {
                pin_block = Some(Self::pin_block());
                Input::Approved(Approval {
                    request,
                    fresh: WithdrawalId::from_bytes(self.gateway.fresh(self.now).to_be_bytes()),
                    code: verified(&code),
                    institution,
                    account: names::account(account),
                    device,
                    amount: yen(amount),
                    location: None,
                })
            }
            PhoneAsks::CancelQrSession(id) => cancel(CancelSubject::QrSession(id)),
            PhoneAsks::CancelWithdrawal(id) => cancel(CancelSubject::Withdrawal(id)),
        };
        self.put(atm, input, pin_block);
    }

    pub(crate) fn phone_hears(&mut self, number: usize, answered: Answered) {
        let Answered { asks, answer } = answered;
        self.note(|| format!("phone of visit {number}: {}", said(&answer)));
        match (&asks, answer) {
            (PhoneAsks::Scan { second_phone: true, .. }, _) => {}
            // It asks again.
            (_, Err(Refusal::OutcomeUnknown)) => {}
            (PhoneAsks::Scan { .. }, Ok(Answer::Scanned { .. })) => self.chooses(number),
            (PhoneAsks::Scan { .. }, Err(_)) => self.leaves(number),
            (PhoneAsks::Approve { .. }, Ok(Answer::Approved { withdrawal, confirm_code })) => {
                self.stage(number, Stage::Paying);
                let Some(visit) = self.visits.get_mut(number) else { return };
                (visit.withdrawal, visit.confirm_code) = (Some(withdrawal), confirm_code);
                if visit.asked_for_code {
                    self.after(2_000, Event::Visit { visit: number, act: Act::Types });
                }
            }
            (PhoneAsks::Approve { .. }, Err(_))
                if self.visits.get(number).is_some_and(|visit| visit.stage == Stage::Approving) =>
            {
                self.leaves(number);
            }
            _ => {}
        }
    }

    fn chooses(&mut self, number: usize) {
        let Some(visit) = self.visits.get(number).filter(|visit| visit.stage == Stage::Scanning).cloned() else {
            return;
        };
        self.stage(number, Stage::Choosing);
        let late = self.strikes(FaultKind::LateApproval, visit.phone).is_some();
        let after = if late { self.network.between(118_000, 130_000) } else { self.network.between(2_000, 20_000) };
        self.after(after, Event::Visit { visit: number, act: Act::Approves });
        if self.strikes(FaultKind::CancelsBeforeApproval, visit.phone).is_some() {
            let cancels = self.network.between(0, after);
            self.after(cancels, Event::Visit { visit: number, act: Act::Cancels });
        }
    }
}

/// What verification gives of a token that the HSM signed.
fn verified(code: &Code) -> VerifiedCode {
    VerifiedCode {
        qr_session: code.qr_session,
        digest: digest(code),
        nonce: Nonce(code.nonce.to_be_bytes()),
        key: KeyId([1, 2, 3, 4]),
        expires_at: Timestamp::from_unix_ms(code.expires_at_ms),
    }
}

fn said(answer: &Result<Answer, Refusal>) -> String {
    match answer {
        Ok(Answer::Scanned { .. }) => "scanned".to_owned(),
        Ok(Answer::Approved { withdrawal, .. }) => format!("approved as {withdrawal}"),
        Ok(Answer::Done) => "done".to_owned(),
        Err(refusal) => format!("refused: {}", refusal.reason()),
    }
}
