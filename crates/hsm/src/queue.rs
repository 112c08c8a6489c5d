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
    /// Workers that sleep until something changes.
    asleep: usize,
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
            asleep: 0,
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
        self.wake_one(waiting);
        Ok(())
    }

    /// As [`Self::put_order`].
    pub(crate) fn put_mac(&self, job: MacJob) -> Result<(), HsmError> {
        let mut waiting = self.lock();
        waiting.admit(self.length_max)?;
        waiting.macs.push_back(job);
        self.wake_one(waiting);
        Ok(())
    }

    /// Wakes a worker for what was put in, if one sleeps. Under load none does, and a condition variable makes a system call even then.
    fn wake_one(&self, waiting: MutexGuard<'_, Waiting<B>>) {
        let somebody_sleeps = waiting.asleep > 0;
        drop(waiting);
        if somebody_sleeps {
            self.changed.notify_one();
        }
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
            waiting.asleep += 1;
            let (woken, slept) = self.changed.wait_timeout(waiting, IDLE_MAX).unwrap_or_else(PoisonError::into_inner);
            waiting = woken;
            waiting.asleep -= 1;
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
mod tests;
