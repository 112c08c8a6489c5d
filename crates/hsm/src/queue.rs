//! The one queue before all workers of all slots: full is refused at once, what a failed worker held comes back to the front.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::batcher::Batcher;
use crate::card::Card;
use crate::error::HsmError;
use crate::job::{MacJob, OrderJob, Work};

/// What breaks so many workers more than there are is given back to its caller: it may be the order that breaks the HSM. One event, such as a
/// device that starts again, can break every worker there is, each with the same order in its hands.
const FAILURES_BEYOND_WORKERS_MAX: u16 = 2;

/// After so long without work a worker sees whether the HSM is still there, so that it is not a customer who finds out.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// How often a worker whose key may not sign asks whether it may.
const MAY_SIGN_EVERY: Duration = Duration::from_millis(50);

pub(crate) struct Queue<B: Batcher> {
    waiting: Mutex<Waiting<B>>,
    changed: Condvar,
    length_max: usize,
    batch_max: usize,
    failures_max: u16,
}

struct Waiting<B: Batcher> {
    macs: VecDeque<MacJob>,
    orders: VecDeque<OrderJob<B>>,
    /// Workers that come back for more. What waits is shared out among them.
    workers: usize,
    /// Of these, the ones that stand aside because their key may not sign.
    barred: usize,
    /// An authentication code was the last work that was taken.
    mac_was_last: bool,
    door: Door,
}

/// What a worker gets from the queue.
pub(crate) enum Taken<B: Batcher> {
    /// Something to do.
    Work(Work<B>),
    /// Its card or the signing key has changed.
    Changed,
    /// Nothing for so long that it should see whether the HSM is still there.
    Idle,
    /// Nothing, and nothing will come.
    Nothing,
}

/// Whether work is taken in.
#[derive(Clone)]
enum Door {
    Open,
    /// No HSM answers: refused at once, so that nobody waits in vain.
    Lost(String),
    Closed,
}

impl<B: Batcher> Queue<B> {
    /// `workers_max`: how many there will be, of all slots.
    pub(crate) fn new(length_max: usize, batch_max: usize, workers_max: usize) -> Self {
        let failures_max = u16::try_from(workers_max).unwrap_or(u16::MAX).saturating_add(FAILURES_BEYOND_WORKERS_MAX);
        let waiting = Waiting {
            macs: VecDeque::new(),
            orders: VecDeque::new(),
            workers: 0,
            barred: 0,
            mac_was_last: false,
            door: Door::Open,
        };
        Self { waiting: Mutex::new(waiting), changed: Condvar::new(), length_max, batch_max, failures_max }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<B>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an order, or says at once why not.
    pub(crate) fn put_order(&self, job: OrderJob<B>) -> Result<(), HsmError> {
        let mut waiting = self.lock();
        waiting.admit(self.length_max)?;
        if waiting.is_barred() {
            return Err(no_key_may_sign());
        }
        waiting.orders.push_back(job);
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    /// As [`Self::put_order`].
    pub(crate) fn put_mac(&self, job: MacJob) -> Result<(), HsmError> {
        let mut waiting = self.lock();
        waiting.admit(self.length_max)?;
        waiting.macs.push_back(job);
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for work.
    ///
    /// What waits is shared out: a worker takes its part and no more, so that codes stay small while the HSM keeps up, and grows
    /// towards the largest batch when it does not. No timer holds back a lone order.
    ///
    /// `may_sign` says whether orders may be taken at all.
    pub(crate) fn take(&self, card: &Card<B>, key_epoch: u64, may_sign: impl Fn() -> bool) -> Taken<B> {
        let mut waiting = self.lock();
        loop {
            if card.is_revoked() || card.key_epoch() != key_epoch {
                return Taken::Changed;
            }
            let barred = !waiting.orders.is_empty() && !may_sign();
            // Codes first now and then: whoever has authentication codes verified without end must not stop everybody else.
            let orders_first = waiting.mac_was_last && !waiting.orders.is_empty() && !barred;
            if !orders_first && let Some(mac) = waiting.macs.pop_front() {
                waiting.mac_was_last = true;
                return Taken::Work(Work::Mac(mac));
            }
            if !waiting.orders.is_empty() && !barred {
                waiting.mac_was_last = false;
                let share = waiting.orders.len().div_ceil(waiting.workers.max(1)).min(self.batch_max);
                return Taken::Work(Work::Orders(waiting.orders.drain(..share).collect()));
            }
            if matches!(waiting.door, Door::Closed) {
                return Taken::Nothing;
            }
            if barred {
                waiting = self.stand_aside(waiting);
                continue;
            }
            let (woken, slept) = self.changed.wait_timeout(waiting, IDLE_MAX).unwrap_or_else(PoisonError::into_inner);
            waiting = woken;
            if slept.timed_out() {
                return Taken::Idle;
            }
        }
    }

    /// Leaves the orders to workers whose key may sign. If there is none, nobody waits in vain.
    fn stand_aside<'queue>(
        &'queue self,
        mut waiting: MutexGuard<'queue, Waiting<B>>,
    ) -> MutexGuard<'queue, Waiting<B>> {
        waiting.barred += 1;
        let refused = if waiting.is_barred() { std::mem::take(&mut waiting.orders) } else { VecDeque::new() };
        drop(waiting);
        refused.into_iter().for_each(|order| drop(order.reply.send(Err(no_key_may_sign()))));
        // Whoever was woken for the order passes it on once, and stays away from where others are woken.
        self.changed.notify_one();
        std::thread::sleep(MAY_SIGN_EVERY);
        let mut waiting = self.lock();
        waiting.barred -= 1;
        waiting
    }

    /// Takes back what a worker held when the HSM failed it. It goes to the front: it has waited longest.
    pub(crate) fn put_back(&self, work: Work<B>, error: impl Fn() -> HsmError) {
        let mut waiting = self.lock();
        let door = waiting.door.clone();
        let refusal = |failures: u16| match &door {
            Door::Lost(reason) => Some(HsmError::Lost { reason: reason.clone() }),
            Door::Closed => Some(HsmError::Closed),
            Door::Open => (failures >= self.failures_max).then(&error),
        };
        match work {
            Work::Mac(mut mac) => {
                mac.failures = mac.failures.saturating_add(1);
                match refusal(mac.failures) {
                    Some(error) => mac.refuse(error),
                    None => waiting.macs.push_front(mac),
                }
            }
            Work::Orders(orders) => {
                for mut order in orders.into_iter().rev() {
                    order.failures = order.failures.saturating_add(1);
                    match refusal(order.failures) {
                        Some(error) => drop(order.reply.send(Err(error))),
                        None => waiting.orders.push_front(order),
                    }
                }
            }
        }
        drop(waiting);
        self.changed.notify_all();
    }

    /// From now on `workers` take work.
    pub(crate) fn workers_are(&self, workers: usize) {
        self.lock().workers = workers;
        self.changed.notify_all();
    }

    /// Has every waiting worker look at its card.
    pub(crate) fn wake_all(&self) {
        // Under the lock: a worker between looking at its card and waiting would miss it otherwise.
        let _waiting = self.lock();
        self.changed.notify_all();
    }

    /// No HSM answers: everything that waits is answered, and what comes is refused, until [`Self::open`].
    pub(crate) fn lose(&self, reason: &str) {
        self.shut(Door::Lost(reason.to_owned()), || HsmError::Lost { reason: reason.to_owned() });
    }

    /// Work is taken in again.
    pub(crate) fn open(&self) {
        let mut waiting = self.lock();
        if matches!(waiting.door, Door::Lost(_)) {
            waiting.door = Door::Open;
        }
    }

    /// Takes nothing in any more. Workers do what waits, then end.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        waiting.door = Door::Closed;
        drop(waiting);
        self.changed.notify_all();
    }

    /// Answers what still waits after the last worker has ended.
    pub(crate) fn empty(&self) {
        self.shut(Door::Closed, || HsmError::Closed);
    }

    fn shut(&self, door: Door, error: impl Fn() -> HsmError) {
        let mut waiting = self.lock();
        if !matches!(waiting.door, Door::Closed) {
            waiting.door = door;
        }
        let (macs, orders) = (std::mem::take(&mut waiting.macs), std::mem::take(&mut waiting.orders));
        drop(waiting);
        macs.into_iter().for_each(|mac| mac.refuse(error()));
        orders.into_iter().for_each(|order| drop(order.reply.send(Err(error()))));
    }

    pub(crate) fn depth(&self) -> usize {
        let waiting = self.lock();
        waiting.macs.len() + waiting.orders.len()
    }
}

fn no_key_may_sign() -> HsmError {
    HsmError::Refused { why: "no HSM has a key that may sign now".to_owned() }
}

impl<B: Batcher> Waiting<B> {
    /// Whether every worker stands aside.
    const fn is_barred(&self) -> bool {
        self.workers > 0 && self.barred >= self.workers
    }

    fn admit(&self, length_max: usize) -> Result<(), HsmError> {
        match &self.door {
            Door::Closed => Err(HsmError::Closed),
            Door::Lost(reason) => Err(HsmError::Lost { reason: reason.clone() }),
            Door::Open if self.macs.len() + self.orders.len() >= length_max => Err(HsmError::Busy),
            Door::Open => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::*;
    use crate::signing_key::SigningPublicKey;

    struct Numbers;

    impl Batcher for Numbers {
        type Order = u32;
        type Batch = ();
        type Signed = u32;

        fn may_sign(&self, _: &SigningPublicKey) -> bool {
            true
        }

        fn batch(&self, _: &SigningPublicKey, _: &[(u32, [u8; 16])]) -> Result<(), String> {
            Ok(())
        }

        fn digest(&self, (): &()) -> [u8; 32] {
            [0; 32]
        }

        fn signed(&self, (): (), _: [u8; 64]) -> Option<Vec<u32>> {
            None
        }
    }

    type Answer = oneshot::Receiver<Result<u32, HsmError>>;

    fn put(queue: &Queue<Numbers>, order: u32) -> Answer {
        let (reply, answer) = oneshot::channel();
        queue.put_order(OrderJob { order, reply, failures: 0 }).expect("taken in");
        answer
    }

    fn card() -> Card<Numbers> {
        Card::new(Arc::default())
    }

    fn taken(queue: &Queue<Numbers>) -> Vec<u32> {
        match queue.take(&card(), 0, || true) {
            Taken::Work(Work::Orders(orders)) => orders.iter().map(|job| job.order).collect(),
            _ => panic!("no orders"),
        }
    }

    #[test]
    fn what_waits_is_shared_out_among_the_workers_up_to_a_batch() {
        let queue = Queue::new(1_000, 64, 4);
        queue.workers_are(4);
        let _answers: Vec<Answer> = (0..10).map(|order| put(&queue, order)).collect();
        assert_eq!(taken(&queue), [0, 1, 2], "a quarter of ten, rounded up");
        assert_eq!(taken(&queue), [3, 4], "a quarter of seven");
        let _more: Vec<Answer> = (10..600).map(|order| put(&queue, order)).collect();
        assert_eq!(taken(&queue).len(), 64, "never more than a batch");
    }

    #[test]
    fn one_alone_goes_alone() {
        let queue = Queue::new(10, 64, 4);
        queue.workers_are(4);
        let _answer = put(&queue, 7);
        assert_eq!(taken(&queue), [7]);
    }

    #[test]
    fn a_worker_whose_key_may_not_sign_leaves_orders_to_others() {
        let queue = Arc::new(Queue::new(10, 64, 4));
        let _answer = put(&queue, 7);
        let idle = Arc::new(card());
        let (their_queue, their_card) = (Arc::clone(&queue), Arc::clone(&idle));
        let waiting = std::thread::spawn(move || matches!(their_queue.take(&their_card, 0, || false), Taken::Changed));
        assert_eq!(taken(&queue), [7]);
        idle.revoke();
        queue.wake_all();
        assert!(waiting.join().expect("it ends"), "it took nothing");
    }

    #[test]
    fn orders_that_nobody_may_sign_are_refused_and_so_is_what_comes_after_them() {
        let queue = Arc::new(Queue::new(10, 64, 4));
        queue.workers_are(1);
        let mut answer = put(&queue, 7);
        let idle = Arc::new(card());
        let (their_queue, their_card) = (Arc::clone(&queue), Arc::clone(&idle));
        let waiting = std::thread::spawn(move || drop(their_queue.take(&their_card, 0, || false)));
        let refused = loop {
            match answer.try_recv() {
                Ok(answer) => break answer,
                Err(_) => std::thread::yield_now(),
            }
        };
        assert_eq!(refused, Err(no_key_may_sign()));
        assert_eq!(queue.depth(), 0);
        idle.revoke();
        queue.wake_all();
        waiting.join().expect("it ends");
    }

    #[test]
    fn whoever_has_codes_verified_without_end_does_not_stop_everybody_else() {
        let queue = Queue::new(10, 64, 4);
        queue.workers_are(1);
        let mut codes = Vec::new();
        for _ in 0..3 {
            let (reply, code) = oneshot::channel();
            codes.push(code);
            let wanted = crate::job::MacWanted::Made(reply);
            queue.put_mac(MacJob { key_label: String::new(), message: vec![], wanted, failures: 0 }).expect("taken in");
        }
        let _answer = put(&queue, 7);
        assert!(matches!(queue.take(&card(), 0, || true), Taken::Work(Work::Mac(_))));
        assert_eq!(taken(&queue), [7]);
        assert!(matches!(queue.take(&card(), 0, || true), Taken::Work(Work::Mac(_))));
    }

    #[test]
    fn authentication_codes_go_first() {
        let queue = Queue::new(10, 64, 4);
        queue.workers_are(1);
        let _answer = put(&queue, 7);
        let (reply, _code) = oneshot::channel();
        let wanted = crate::job::MacWanted::Made(reply);
        let mac = MacJob { key_label: String::new(), message: vec![], wanted, failures: 0 };
        queue.put_mac(mac).expect("taken in");
        assert!(matches!(queue.take(&card(), 0, || true), Taken::Work(Work::Mac(_))));
        assert_eq!(taken(&queue), [7]);
    }

    #[test]
    fn what_a_failed_worker_held_comes_first_again_and_is_given_up_when_it_failed_more_often_than_there_are_workers() {
        let queue = Queue::new(10, 2, 1);
        queue.workers_are(1);
        let mut answers: Vec<Answer> = (1..=3).map(|order| put(&queue, order)).collect();
        for failure in 1..=2 {
            let Taken::Work(work) = queue.take(&card(), 0, || true) else { panic!("no orders") };
            queue.put_back(work, || HsmError::Failed { why: format!("failure {failure}") });
            assert_eq!(queue.depth(), 3);
        }
        let Taken::Work(work) = queue.take(&card(), 0, || true) else { panic!("no orders") };
        queue.put_back(work, || HsmError::Failed { why: "failure 3".to_owned() });
        let given_up = Ok(Err(HsmError::Failed { why: "failure 3".to_owned() }));
        assert_eq!([answers[0].try_recv(), answers[1].try_recv()], [given_up.clone(), given_up]);
        assert_eq!(taken(&queue), [3], "the third was in nobody's hands");
    }

    #[test]
    fn while_it_is_lost_nothing_waits_in_vain() {
        let queue = Queue::new(10, 64, 4);
        let lost = || HsmError::Lost { reason: "unplugged".to_owned() };
        let mut waiting = put(&queue, 1);
        let _second = put(&queue, 2);
        queue.workers_are(2);
        let Taken::Work(held) = queue.take(&card(), 0, || true) else { panic!("no orders") };
        queue.lose("unplugged");
        assert_eq!(queue.depth(), 0);
        queue.put_back(held, || HsmError::TimedOut);
        assert_eq!(waiting.try_recv(), Ok(Err(lost())));
        let (reply, _) = oneshot::channel();
        assert_eq!(queue.put_order(OrderJob { order: 3, reply, failures: 0 }), Err(lost()));
        queue.open();
        let _third = put(&queue, 3);
        assert_eq!(taken(&queue), [3]);
    }

    #[test]
    fn closed_is_for_ever_and_what_waits_is_still_done() {
        let queue = Queue::new(10, 64, 4);
        let _answer = put(&queue, 1);
        queue.close();
        queue.open();
        let (reply, _) = oneshot::channel();
        assert_eq!(queue.put_order(OrderJob { order: 2, reply, failures: 0 }), Err(HsmError::Closed));
        assert_eq!(taken(&queue), [1]);
        assert!(matches!(queue.take(&card(), 0, || true), Taken::Nothing));
    }
}
