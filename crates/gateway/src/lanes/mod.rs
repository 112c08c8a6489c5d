//! The lanes of all ATMs: one task each, found by the ATM's id.

mod adopting;
mod attendant;
mod driver;
mod errands;
#[cfg(feature = "planted")]
pub(crate) mod planted;
mod records;
mod recovery;
mod sharing;
mod showing;
mod traces;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cashgate_ledger::Ledger;
use cashgate_wire::customer::PinBlock;
use cashgate_wire::proto::atm::v1::GatewayMessage;
use cashgate_withdrawal::dispense::OutcomeReport;
use cashgate_withdrawal::ids::{AtmId, WithdrawalId};
use cashgate_withdrawal::lane::{Answer, AtmFacts, FromAtm, Input, LaneSettings, LaneView, LinkId, RequestId};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::time::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::Status;

use crate::admission::Desk;
use crate::clock;
use crate::core_banking::CoreBanks;
use crate::devices::Devices;
use crate::metrics::Metrics;
use crate::minting::Mint;
use crate::replica::Member;
use crate::telemetry::{Span, Traceparent, Tracing};
use crate::watchers::Watchers;
use adopting::Ownership;
pub use attendant::{Attendant, Errand, Intent};
use driver::Driver;
pub use records::step_record;
pub(crate) use recovery::read_back;
pub use recovery::{History, Recovered, RecoveryError, adopt, recover};
pub use showing::Showing;

/// How many inputs may wait for one lane. An ATM serves one customer; more than this is a flood.
const INBOX_LENGTH_MAX: usize = 64;
/// How many messages may wait for one ATM before it counts as gone. One Hello may call for an answer to each of its 64 reports, and a
/// question about each open withdrawal.
pub const OUTBOX_LENGTH_MAX: usize = 256;

/// The sending half of an ATM's stream.
pub type Outbox = mpsc::Sender<Boxed>;

/// A message to an ATM, or how its stream ends. In a box, like orders for lanes: a channel allocates room for 32 of what it carries, for
/// each of thousands of ATMs that say nothing.
pub type Boxed = Box<Result<GatewayMessage, Status>>;

/// What every lane works with.
#[derive(Debug)]
pub struct Surroundings {
    /// Makes codes.
    pub mint: Mint,
    /// Makes records durable.
    pub ledger: Ledger,
    /// Decides about approvals.
    pub desk: Arc<Desk>,
    /// The phones, and what is counted of them.
    pub devices: Arc<Devices>,
    /// Holds and settles.
    pub core_banks: CoreBanks,
    /// Tells those who follow.
    pub watchers: Watchers,
    /// Which ATM shows which QR session.
    pub showing: Showing,
    /// Counts.
    pub metrics: Metrics,
    /// Begins the spans of customers.
    pub tracing: Tracing,
    /// How long to wait for what.
    pub settings: Arc<LaneSettings>,
    /// This replica among others; none where there is one gateway alone.
    pub member: Option<Arc<Member>>,
    /// Set once when the process must stop because what it knows can no longer be trusted to be on disk.
    pub halted: watch::Sender<Option<String>>,
}

/// Something for a lane.
pub(crate) enum Order {
    /// The ATM connected.
    Connected { facts: AtmFacts, unresolved: Vec<(WithdrawalId, OutcomeReport)>, link: LinkId, outbox: Outbox },
    /// The outcome of an action came in, or a connection ended.
    Input(Input),
    /// The ATM said something.
    Said {
        link: LinkId,
        message: FromAtm,
        /// The trace context that came with it.
        from: Option<Traceparent>,
    },
    /// What [`Errand::Recall`] was to find could not be read.
    RecallFailed,
    /// A caller asks and waits.
    Request {
        input: Box<dyn FnOnce(RequestId) -> Input + Send>,
        pin_block: Option<PinBlock>,
        reply: oneshot::Sender<Result<Answer, Refusal>>,
        /// The span that the caller asks in.
        caller: Span,
    },
    /// An operator looks.
    View(oneshot::Sender<LaneView>),
    /// Look whether what has begun may go on.
    LookAgain,
    /// Let the lane go: it is another replica's. Answered when nothing of it goes on any more.
    LetGo(oneshot::Sender<()>),
    /// Have the ATM connect anew as soon as nobody is at it, if this is still its connection.
    MoveOn(LinkId),
    /// Send the ATM elsewhere as soon as nobody is being served; codes that are shown may be scanned until `scan_before`. Answered once the lane
    /// counts among those that serve somebody, or not.
    Drain { scan_before: Timestamp, counted: oneshot::Sender<()> },
}

/// One lane, from outside.
#[derive(Clone, Debug)]
pub struct LaneHandle {
    inbox: mpsc::Sender<Box<Order>>,
    /// Set while an order to look again is on its way, so that there is never more than one.
    looks_again: Arc<AtomicBool>,
    /// With several replicas: in which epoch it is this one's, and whether it still is.
    ownership: Option<Ownership>,
}

/// All lanes.
#[derive(Debug)]
pub struct Lanes {
    surroundings: Arc<Surroundings>,
    lanes: Mutex<BTreeMap<AtmId, LaneHandle>>,
    next_link: AtomicU64,
    draining: AtomicBool,
    serving: watch::Sender<usize>,
    /// One adoption of a machine at a time; machines that meet in one of these wait for each other.
    adopting: (tokio::sync::Mutex<()>, Box<[tokio::sync::Mutex<()>]>),
}

impl Lanes {
    /// No lanes yet. [`Lanes::recover`] comes before anything else.
    #[must_use]
    pub fn new(surroundings: Arc<Surroundings>) -> Self {
        Self {
            surroundings,
            lanes: Mutex::default(),
            next_link: AtomicU64::new(1),
            draining: AtomicBool::new(false),
            serving: watch::Sender::new(0),
            adopting: (
                tokio::sync::Mutex::default(),
                (1..adopting::AT_ONCE).map(|_| tokio::sync::Mutex::default()).collect(),
            ),
        }
    }

    /// What the lanes work with.
    #[must_use]
    pub const fn surroundings(&self) -> &Arc<Surroundings> {
        &self.surroundings
    }

    /// A number for a connection, higher than all before.
    #[must_use]
    pub fn next_link(&self) -> LinkId {
        LinkId(self.next_link.fetch_add(1, Ordering::Relaxed))
    }

    /// The lane of an ATM, if there is one.
    #[must_use]
    pub fn find(&self, atm: &AtmId) -> Option<LaneHandle> {
        self.lanes().get(atm).cloned()
    }

    /// The lane of an ATM that connects: made if this is its first time, taken over if it is another replica's. Refused while draining.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`]: the gateway is stopping, or the ledger cannot be asked whose the lane is. The ATM connects again, elsewhere.
    pub async fn of_connecting(self: &Arc<Self>, atm: &AtmId) -> Result<LaneHandle, Refusal> {
        match &self.surroundings.member {
            None => self.of_connecting_alone(atm),
            Some(member) => self.of_connecting_among(member, atm).await,
        }
    }

    fn of_connecting_alone(&self, atm: &AtmId) -> Result<LaneHandle, Refusal> {
        let mut lanes = self.lanes();
        // Under the same lock that draining takes, so that no lane comes up unnoticed.
        if self.draining.load(Ordering::Acquire) {
            return Err(Refusal::Overloaded);
        }
        if let Some(lane) = lanes.get(atm) {
            return Ok(lane.clone());
        }
        let Surroundings { settings, desk, .. } = self.surroundings.as_ref();
        let attendant = Attendant::new(atm.clone(), Arc::clone(settings), Arc::clone(desk));
        let handle = Driver::start(attendant, None, Arc::clone(&self.surroundings), self.serving.clone(), None);
        lanes.insert(atm.clone(), handle.clone());
        Ok(handle)
    }

    /// Every lane, in the order of the ATMs' ids.
    #[must_use]
    pub fn all(&self) -> Vec<(AtmId, LaneHandle)> {
        self.lanes().iter().map(|(atm, lane)| (atm.clone(), lane.clone())).collect()
    }

    /// Has every lane look again whether what it has begun may go on: after a stop, and after a change of a phone. A lane whose inbox is full looks
    /// with whatever it takes next, since it always looks first.
    pub fn look_again(&self) {
        for lane in self.lanes().values() {
            if !lane.looks_again.swap(true, Ordering::AcqRel) {
                let _ = lane.inbox.try_send(Box::new(Order::LookAgain));
            }
        }
    }

    /// Takes no more ATMs, sends those away that serve nobody, and returns when nobody is being served any more. A code that is shown may still be
    /// scanned for `scan_within`.
    pub async fn drain(&self, scan_within: Duration) {
        let scan_before = clock::now().after(scan_within);
        let lanes = {
            let lanes = self.lanes();
            self.draining.store(true, Ordering::Release);
            lanes.values().cloned().collect::<Vec<_>>()
        };
        for lane in lanes {
            let (counted, is_counted) = oneshot::channel();
            // A lane that is gone has nobody to send away.
            if lane.inbox.send(Box::new(Order::Drain { scan_before, counted })).await.is_ok() {
                let _ = is_counted.await;
            }
        }
        let mut serving = self.serving.subscribe();
        let _ = serving.wait_for(|serving| *serving == 0).await;
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<AtmId, LaneHandle>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LaneHandle {
    /// The ATM connected.
    pub async fn connected(
        &self,
        facts: AtmFacts,
        unresolved: Vec<(WithdrawalId, OutcomeReport)>,
        link: LinkId,
        outbox: Outbox,
    ) {
        self.order(Order::Connected { facts, unresolved, link, outbox }).await;
    }

    /// The ATM said something, in the context that came with it.
    pub async fn said(&self, link: LinkId, message: FromAtm, from: Option<Traceparent>) {
        self.order(Order::Said { link, message, from }).await;
    }

    /// The connection is old: the ATM is to connect anew once it serves nobody.
    pub async fn move_on(&self, link: LinkId) {
        self.order(Order::MoveOn(link)).await;
    }

    /// The connection ended.
    pub async fn disconnected(&self, link: LinkId) {
        self.order(Order::Input(Input::AtmDisconnected { link })).await;
    }

    /// Asks the lane and waits for its answer. If the lane cannot take it now, the caller is told to try again.
    pub async fn ask(
        &self,
        pin_block: Option<PinBlock>,
        input: impl FnOnce(RequestId) -> Input + Send + 'static,
    ) -> Result<Answer, Refusal> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Request { input: Box::new(input), pin_block, reply, caller: Span::current() };
        self.inbox.try_send(Box::new(order)).map_err(|_| Refusal::Overloaded)?;
        answer.await.unwrap_or(Err(Refusal::Overloaded))
    }

    /// What an operator sees.
    pub async fn view(&self) -> Option<LaneView> {
        let (reply, view) = oneshot::channel();
        self.inbox.send(Box::new(Order::View(reply))).await.ok()?;
        view.await.ok()
    }

    async fn order(&self, order: Order) {
        // A lane ends only with the process.
        let _ = self.inbox.send(Box::new(order)).await;
    }
}
