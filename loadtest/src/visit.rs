//! One customer's visit: touch, scan, approve, perhaps type a code, take the cash.
//!
//! A visit never holds another one up: each is a task of its own, begun by the clock. Where a real customer would wait, this one waits, as long as its
//! patience lasts; where a real app would ask again, this one asks again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cashgate_fleet::atm::{Command, ScreenEvent};
use cashgate_fleet::phone::ApprovalRequest;
use cashgate_fleet::place::Place;
use cashgate_fleet::rpc_error::RpcError;
use cashgate_wire::proto::customer::v1::{ApproveResponse, ScanResponse};
use cashgate_wire::proto::withdrawal::v1 as shared;
use cashgate_withdrawal::money::{Currency, Money};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status};

use crate::books::{Approval, PhonesBook};
use crate::following;
use crate::parties::atms::{Machine, Machines, Shown};
use crate::parties::phones::Customer;
use crate::recording::{PAID, Recorder, Step, Who};
use crate::scenario::Customer as Manner;

/// How long an app, or a customer in front of a screen, waits before it tries again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// How long the next customer waits behind somebody who leaves without cash, for the screen to return to its start.
const CLEARING: Duration = Duration::from_secs(2);

/// What all visits have in common.
pub(crate) struct Hall {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) machines: Machines,
    pub(crate) manner: Manner,
    pub(crate) place: Place,
    pub(crate) phones_book: PhonesBook,
    /// True once nobody is to be waited for any more.
    pub(crate) closed: watch::Receiver<bool>,
    /// How many withdrawals are being followed.
    pub(crate) following: AtomicUsize,
}

/// Somebody who comes.
pub(crate) struct Arrival {
    /// When, by plan.
    pub(crate) at: Instant,
    pub(crate) who: Who,
    pub(crate) customer: Arc<Customer>,
    pub(crate) amount: u64,
}

/// Why a visit ended without cash.
struct Left {
    /// A stable word for the report.
    why: String,
    /// Whether a customer would begin again: the QR session went with the ATM's line.
    begins_again: bool,
    /// Whether patience ended. Then every step that was waited for counts with the time until then: leaving out those who waited for longest would make the
    /// figures better the worse it gets.
    gave_up: bool,
}

impl Left {
    fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), begins_again: false, gave_up: false }
    }

    fn out_of_patience(why: impl Into<String>) -> Self {
        Self { gave_up: true, ..Self::because(why) }
    }
}

/// One visit from its intended beginning to its end.
pub(crate) async fn make(hall: Arc<Hall>, arrival: Arrival) {
    hall.recorder.done(Step::Late, arrival.at);
    let deadline = arrival.at + hall.manner.patience;
    let (ending, scans) = match hall.machines.take(deadline).await {
        None => {
            for step in [Step::Machine, Step::Code, Step::Whole] {
                hall.recorder.done(step, arrival.at);
            }
            ("no ATM free".to_owned(), 0)
        }
        Some(mut machine) => {
            hall.recorder.done(Step::Machine, arrival.at);
            let mut visit = Visit {
                hall: &hall,
                arrival: &arrival,
                machine: &mut machine,
                deadline,
                own: Duration::ZERO,
                scans: 0,
            };
            let served = visit.served().await;
            let (own, scans) = (visit.own, visit.scans);
            if served.as_ref().map_or_else(|left| left.gave_up, |()| true) {
                let whole = arrival.at.elapsed().saturating_sub(own);
                hall.recorder.took(Step::Whole, arrival.at, whole);
            }
            hall.machines.give_back(machine);
            (served.map_or_else(|left| left.why, |()| PAID.to_owned()), scans)
        }
    };
    hall.recorder.ended(arrival.at, arrival.who, ending, scans);
}

struct Visit<'a> {
    hall: &'a Arc<Hall>,
    arrival: &'a Arrival,
    machine: &'a mut Machine,
    deadline: Instant,
    /// What the customer and the dispenser took for themselves.
    own: Duration,
    /// How many codes were scanned.
    scans: u32,
}

/// A code on the screen.
struct ShownCode {
    shown_at: Instant,
    qr_session: String,
    qr_text: String,
}

impl Visit<'_> {
    async fn served(&mut self) -> Result<(), Left> {
        let mut code = self.touch().await.inspect_err(|left| self.waited_in_vain(Step::Code, self.arrival.at, left))?;
        self.timed(Step::Code, self.arrival.at, code.shown_at);
        loop {
            match self.approved(&code).await {
                Ok((approved, sent_at)) => {
                    self.follow(&approved, sent_at);
                    return self.take_cash(&code, approved, sent_at).await;
                }
                Err(left) => {
                    self.walk_away().await;
                    if !left.begins_again || Instant::now() >= self.deadline {
                        return Err(left);
                    }
                    self.hall.recorder.touched_again();
                    sleep(AGAIN_AFTER).await;
                    code = self.touch().await?;
                }
            }
        }
    }

    /// Touches the screen until there is a code.
    async fn touch(&mut self) -> Result<ShownCode, Left> {
        let mut touched = false;
        loop {
            while !self.machine.connected() {
                self.look("no connected ATM").await?;
            }
            if std::mem::replace(&mut touched, true) {
                self.hall.recorder.touched_again();
            }
            self.machine.tell(Command::Start(None)).await;
            loop {
                let Shown { at, event } = self.look("no code in time").await?;
                match event {
                    ScreenEvent::ShowQr { qr_session_id, qr_text, .. } => {
                        return Ok(ShownCode { shown_at: at, qr_session: qr_session_id, qr_text });
                    }
                    ScreenEvent::TryLater { reason, .. } => return Err(Left::because(format!("try later: {reason}"))),
                    ScreenEvent::Refused { reason, withdrawal_id, .. } if withdrawal_id.is_empty() => {
                        if reason != "ATM_BUSY" {
                            return Err(Left::because(format!("touch: {reason}")));
                        }
                        // The last customer's withdrawal is still being ended here.
                        sleep(AGAIN_AFTER).await;
                        break;
                    }
                    ScreenEvent::Disconnected { .. }
                    | ScreenEvent::Reconnect { .. }
                    | ScreenEvent::BadCommand { .. } => {
                        sleep(AGAIN_AFTER).await;
                        break;
                    }
                    _ => {}
                }
            }
        }
    }

    /// Scans and approves. Gives the answer, and when the approval left the phone.
    async fn approved(&mut self, code: &ShownCode) -> Result<(ApproveResponse, Instant), Left> {
        let recorder = Arc::clone(&self.hall.recorder);
        self.think().await;
        let began = Instant::now();
        self.scan(code).await.inspect_err(|left| self.waited_in_vain(Step::Scan, began, left))?;
        recorder.done(Step::Scan, began);
        self.scans += 1;
        self.think().await;
        let signature = self.signature(code)?;
        let sent_at = Instant::now();
        let approved = self.approve(code, signature).await;
        let approved = approved.inspect_err(|left| self.waited_in_vain(Step::Approve, sent_at, left))?;
        recorder.done(Step::Approve, sent_at);
        Ok((approved, sent_at))
    }

    async fn scan(&self, code: &ShownCode) -> Result<ScanResponse, Left> {
        let Customer { app, account, .. } = &*self.arrival.customer;
        loop {
            let mut app = app.clone();
            let answer = timeout_at(self.deadline, app.scan(&code.qr_text, account)).await;
            match answer {
                Ok(Ok(scanned)) => return Ok(scanned),
                Ok(Err(status)) if is_passing(&status) => sleep(AGAIN_AFTER).await,
                Ok(Err(status)) => return Err(refused("scan", &status)),
                Err(_) => return Err(Left::out_of_patience("scan: no answer in time")),
            }
        }
    }

    fn signature(&self, code: &ShownCode) -> Result<Vec<u8>, Left> {
        let Customer { phone, account, .. } = &*self.arrival.customer;
        let amount = Money::from_minor_units(self.arrival.amount, Currency::JPY);
        let amount = amount.map_err(|_| Left::because("the amount is too large for money"))?;
        phone.approval_signature(&code.qr_text, account, amount).map_err(|_| Left::because("the phone cannot sign"))
    }

    /// Asks until there is an answer: the same request again gives the same withdrawal.
    async fn approve(&self, code: &ShownCode, signature: Vec<u8>) -> Result<ApproveResponse, Left> {
        let Customer { app, account, .. } = &*self.arrival.customer;
        let minor_units = i64::try_from(self.arrival.amount).unwrap_or(i64::MAX);
        loop {
            let request = ApprovalRequest {
                qr_text: &code.qr_text,
                account_id: account,
                amount: shared::Money { minor_units, currency: "JPY".to_owned() },
                signature: signature.clone(),
                pin_block: None,
                place: Some(self.hall.place),
            };
            let mut app = app.clone();
            match timeout_at(self.deadline, app.approve(request)).await {
                Ok(Ok(approved)) => return Ok(approved),
                Ok(Err(status)) if is_passing(&status) => sleep(AGAIN_AFTER).await,
                Ok(Err(status)) => return Err(refused("approve", &status)),
                Err(_) => return Err(Left::out_of_patience("approve: no answer in time")),
            }
        }
    }

    /// The app follows the withdrawal to its end, however long that takes; the customer does not wait for it.
    fn follow(&self, approved: &ApproveResponse, sent_at: Instant) {
        let customer = Arc::clone(&self.arrival.customer);
        let approval = Approval {
            withdrawal: approved.withdrawal_id.clone(),
            account: customer.account.clone(),
            amount: self.arrival.amount,
        };
        self.hall.phones_book.approved(approval);
        self.hall.following.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(following::to_the_end(Arc::clone(self.hall), customer, approved.withdrawal_id.clone(), sent_at));
    }

    /// Waits for the notes, types the code if one is wanted, and leaves when the screen returns to its start.
    async fn take_cash(&mut self, code: &ShownCode, approved: ApproveResponse, sent_at: Instant) -> Result<(), Left> {
        let id = approved.withdrawal_id;
        let (mut typed, mut commanded, mut reported_at, mut paid) = (false, false, None, false);
        loop {
            let looked = self.look("no cash in time").await;
            let Shown { at, event } = looked.inspect_err(|left| {
                if !typed && !commanded {
                    self.waited_in_vain(Step::Dispense, sent_at, left);
                }
            })?;
            match event {
                ScreenEvent::AskConfirmCode { withdrawal_id, .. } if withdrawal_id == id => {
                    typed = true;
                    self.machine.tell(Command::Code(approved.confirm_code.clone())).await;
                }
                ScreenEvent::Dispense { withdrawal_id, .. } if withdrawal_id == id => {
                    if !typed {
                        self.timed(Step::Dispense, sent_at, at);
                    }
                    commanded = true;
                    self.own += self.hall.manner.present;
                }
                ScreenEvent::Outcome { withdrawal_id, presented, .. } if withdrawal_id == id => {
                    paid = presented > 0;
                    reported_at = Some(at);
                }
                ScreenEvent::OutcomeRecorded { withdrawal_id } if withdrawal_id == id => {
                    if let Some(reported_at) = reported_at.take() {
                        self.timed(Step::Outcome, reported_at, at);
                    }
                    return if paid { Ok(()) } else { Err(Left::because("no notes left the ATM")) };
                }
                // What ends before a note has moved ends without cash.
                ScreenEvent::QrSessionEnded { end, qr_session_id } if !paid && qr_session_id == code.qr_session => {
                    return Err(Left::because(format!("ended: {end}")));
                }
                _ => {}
            }
        }
    }

    /// Gives the machine free for the next customer.
    async fn walk_away(&mut self) {
        self.machine.tell(Command::End).await;
        let until = Instant::now() + CLEARING;
        while let Some(shown) = self.machine.shown(until).await {
            let gone = matches!(
                shown.event,
                ScreenEvent::QrSessionEnded { .. } | ScreenEvent::Disconnected { .. } | ScreenEvent::BadCommand { .. }
            );
            if gone {
                return;
            }
        }
    }

    async fn look(&mut self, or_else: &str) -> Result<Shown, Left> {
        self.machine.shown(self.deadline).await.ok_or_else(|| Left::out_of_patience(or_else))
    }

    /// Somebody who gave up counts with the time until then.
    fn waited_in_vain(&self, step: Step, meant_to_begin: Instant, left: &Left) {
        if left.gave_up {
            self.hall.recorder.done(step, meant_to_begin);
        }
    }

    fn timed(&self, step: Step, meant_to_begin: Instant, at: Instant) {
        self.hall.recorder.took(step, meant_to_begin, at.saturating_duration_since(meant_to_begin));
    }

    async fn think(&mut self) {
        let began = Instant::now();
        sleep(self.hall.manner.think).await;
        self.own += began.elapsed();
    }
}

/// Whether the gateway, or the way to it, was only away for a moment. Among replicas it may say so itself: nobody knows what became of the request, or the
/// ATM has just moved. The same request again finds out.
fn is_passing(status: &Status) -> bool {
    match RpcError::from(status).reason.as_str() {
        "" => matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal),
        reason => matches!(reason, "OUTCOME_UNKNOWN" | "OVERLOADED"),
    }
}

fn refused(rpc: &str, status: &Status) -> Left {
    let RpcError { code, reason, .. } = RpcError::from(status);
    let begins_again = ["QR_SESSION_ENDED", "ATM_UNAVAILABLE", "QR_TOKEN_EXPIRED"].contains(&reason.as_str());
    Left { why: format!("{rpc}: {}", if reason.is_empty() { code } else { &reason }), begins_again, gave_up: false }
}

#[cfg(test)]
mod tests {
    use cashgate_fleet::phone::{App, Phone};
    use tonic::transport::Endpoint;

    use super::*;
    use crate::parties::atms::Model;

    #[tokio::test]
    async fn who_gives_up_waiting_counts_with_the_time_until_then() {
        let patience = Duration::from_millis(30);
        let manner = Manner { amounts: vec![10_000], think: Duration::ZERO, patience, present: Duration::ZERO };
        let place: Place = "35.6595,139.7005".parse().unwrap();
        let model = Model { present: Duration::ZERO, point: place, records: None };
        let (_close, closed) = watch::channel(false);
        let hall = Arc::new(Hall {
            recorder: Arc::new(Recorder::new(Duration::from_secs(10), Duration::ZERO)),
            machines: Machines::switch_on(vec![], &model),
            manner,
            place,
            phones_book: PhonesBook::default(),
            closed,
            following: AtomicUsize::new(0),
        });
        let app = App::new(Endpoint::from_static("http://127.0.0.1:1").connect_lazy(), "p");
        let customer = Customer { phone: Phone::ephemeral("sakura", "p").unwrap(), account: "a".to_owned(), app };
        let arrival = Arrival { at: Instant::now(), who: Who::Honest, customer: Arc::new(customer), amount: 10_000 };
        make(Arc::clone(&hall), arrival).await;
        let recording = hall.recorder.recording();
        assert_eq!(recording.visits[0].ending, "no ATM free");
        for step in [Step::Machine, Step::Code, Step::Whole] {
            let waited = recording.percentile(step, 50.0);
            assert!(waited.is_some_and(|waited| waited >= patience), "{step:?}: {waited:?}");
        }
    }
}
