//! The connections whose peer is known: how many there are of whom, and a handle to close each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use atomic_waker::AtomicWaker;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Cut, GuardMetrics, PortGuard, WhenFull};

/// Why a peer that is known was not let in. Its name is a label of `cashgate_connections_turned_away_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// The port has all the connections that it may have.
    PortFull,
    /// This identity has.
    PeerFull,
    /// This identity connects again and again.
    TooOften,
}

impl Stranger {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PortFull => "port_full",
            Self::PeerFull => "peer_full",
            Self::TooOften => "peer_too_often",
        }
    }
}

/// The connections of one port.
#[derive(Debug)]
pub(crate) struct Registry {
    guard: PortGuard,
    metrics: GuardMetrics,
    open: Mutex<Open>,
    connects: DefaultKeyedRateLimiter<String>,
    requests: DefaultKeyedRateLimiter<String>,
    messages: DefaultKeyedRateLimiter<String>,
    in_flight: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    /// Oldest first.
    of: HashMap<String, Vec<Arc<Link>>>,
}

/// One connection, for whoever must close it or count what is under way on it.
#[derive(Debug)]
pub struct Link {
    registry: Arc<Registry>,
    who: String,
    cut: AtomicU8,
    connection: AtomicWaker,
    requests: AtomicUsize,
}

/// A place among the connections. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Link>);

/// A request that is under way: counted until its answer has been sent or given up.
#[derive(Debug)]
pub(crate) struct UnderWay {
    link: Arc<Link>,
    _of_all: OwnedSemaphorePermit,
}

/// Why a request is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shed {
    /// Its peer asks too often, and may go on after this time.
    TooFast(Duration),
    /// The gateway has its hands full.
    Overloaded,
}

impl Registry {
    /// No connections yet.
    pub(crate) fn new(guard: PortGuard, metrics: GuardMetrics) -> Arc<Self> {
        Arc::new(Self {
            connects: RateLimiter::keyed(guard.connects.quota()),
            requests: RateLimiter::keyed(guard.requests.quota()),
            messages: RateLimiter::keyed(guard.messages.quota()),
            in_flight: Arc::new(Semaphore::new(guard.in_flight_max.min(Semaphore::MAX_PERMITS))),
            open: Mutex::default(),
            guard,
            metrics,
        })
    }

    pub(crate) const fn guard(&self) -> &PortGuard {
        &self.guard
    }

    pub(crate) const fn metrics(&self) -> &GuardMetrics {
        &self.metrics
    }

    /// Lets a peer in whose certificate was accepted.
    pub(crate) fn admit(self: &Arc<Self>, who: String) -> Result<Seat, Stranger> {
        self.connects.check_key(&who).map_err(|_| Stranger::TooOften)?;
        let link = Arc::new(Link {
            registry: Arc::clone(self),
            who: who.clone(),
            cut: AtomicU8::new(0),
            connection: AtomicWaker::new(),
            requests: AtomicUsize::new(0),
        });
        let mut open = self.open();
        if open.total >= self.guard.connections_max {
            return Err(Stranger::PortFull);
        }
        let theirs = open.of.entry(who).or_default();
        let still_there = theirs.iter().filter(|one| one.cut_for().is_none());
        if still_there.clone().count() >= self.guard.connections_per_peer_max {
            match self.guard.when_full {
                WhenFull::RefuseTheNewest => return Err(Stranger::PeerFull),
                WhenFull::CutTheOldest => still_there.take(1).for_each(|oldest| oldest.cut(Cut::Replaced)),
            }
        }
        theirs.push(Arc::clone(&link));
        open.total += 1;
        drop(open);
        self.metrics.opened(self.guard.port, 1);
        Ok(Seat(link))
    }

    /// Has every connection look again whether its certificate would still be accepted.
    pub(crate) fn look_again(&self) {
        self.open().of.values().flatten().for_each(|link| link.connection.wake());
    }

    /// Forgets the rates of peers that have not been seen for so long that they start afresh anyway.
    pub(crate) fn forget_idle(&self) {
        for rates in [&self.connects, &self.requests, &self.messages] {
            rates.retain_recent();
            rates.shrink_to_fit();
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// Has the connection closed. The first reason counts.
    pub fn cut(&self, why: Cut) {
        if self.cut.compare_exchange(0, why as u8, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.connection.wake();
        }
    }

    /// Why it is to be closed, if it is.
    pub(crate) fn cut_for(&self) -> Option<Cut> {
        Cut::of(self.cut.load(Ordering::Acquire))
    }

    /// Who wakes the connection's task.
    pub(crate) fn waking(&self, waker: &Waker) {
        self.connection.register(waker);
    }

    /// Who it is, for the log.
    pub(crate) fn who(&self) -> &str {
        &self.who
    }

    pub(crate) fn guard(&self) -> &PortGuard {
        &self.registry.guard
    }

    pub(crate) fn metrics(&self) -> &GuardMetrics {
        &self.registry.metrics
    }

    /// How many requests are under way on it.
    pub(crate) fn requests_under_way(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }

    /// Takes up a request, or says why not.
    pub(crate) fn takes_up(self: &Arc<Self>) -> Result<UnderWay, Shed> {
        let shed = |why: Shed, name| {
            self.registry.metrics.shed(self.registry.guard.port, name);
            why
        };
        if let Err(not_until) = self.registry.requests.check_key(&self.who) {
            return Err(shed(Shed::TooFast(not_until.wait_time_from(DefaultClock::default().now())), "peer_too_fast"));
        }
        let permit = Arc::clone(&self.registry.in_flight).try_acquire_owned();
        let permit = permit.map_err(|_| shed(Shed::Overloaded, "port_overloaded"))?;
        self.requests.fetch_add(1, Ordering::AcqRel);
        Ok(UnderWay { link: Arc::clone(self), _of_all: permit })
    }

    /// How long its next message must wait before it is asked again; `None`: it may be listened to, and counts. An ATM's messages are not refused
    /// for their number, only read more slowly: one of them may be an outcome.
    pub(crate) fn message_pause(&self) -> Option<Duration> {
        let not_until = self.registry.messages.check_key(&self.who).err()?;
        Some(not_until.wait_time_from(DefaultClock::default().now()))
    }

    /// About how long this connection is kept: up to a fifth more or less than the setting, so that not all end together.
    pub(crate) fn age(&self) -> Duration {
        let age = self.registry.guard.age;
        // Without random bits all would end together, once.
        let random = crate::clock::random_u32().unwrap_or_default() % 1_000;
        age * 4 / 5 + age * 2 / 5 * random / 1_000
    }
}

impl Seat {
    pub(crate) const fn link(&self) -> &Arc<Link> {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let registry = &self.0.registry;
        let mut open = registry.open();
        open.total -= 1;
        if let Some(theirs) = open.of.get_mut(&self.0.who) {
            theirs.retain(|one| !Arc::ptr_eq(one, &self.0));
            if theirs.is_empty() {
                open.of.remove(&self.0.who);
            }
        }
        drop(open);
        registry.metrics.opened(registry.guard.port, -1);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.link.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Now the connection's idle time begins.
            self.link.connection.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::metrics::SdkMeterProvider;

    use super::*;
    use crate::config::GuardSection;

    fn registry(guard: PortGuard) -> Arc<Registry> {
        Registry::new(guard, GuardMetrics::new(&SdkMeterProvider::default().meter("test")))
    }

    fn atm_port() -> PortGuard {
        PortGuard::atm(&GuardSection::default())
    }

    #[test]
    fn an_atm_that_connects_again_and_again_keeps_its_newest_two() {
        let registry = registry(atm_port());
        let seats: Vec<Seat> = (0..4).map(|_| registry.admit("atm/A1".to_owned()).unwrap()).collect();
        let cut: Vec<_> = seats.iter().map(|seat| seat.link().cut_for()).collect();
        assert_eq!(cut, [Some(Cut::Replaced), Some(Cut::Replaced), None, None]);
        let other = registry.admit("atm/A2".to_owned()).unwrap();
        assert_eq!(other.link().cut_for(), None, "another ATM is another matter");
        drop((seats, other));
        let left = registry.open();
        assert_eq!((left.total, left.of.len()), (0, 0), "nothing is kept of who has left");
    }

    #[test]
    fn an_app_back_end_with_too_many_connections_gets_no_more_and_loses_none() {
        let registry = registry(PortGuard { connections_per_peer_max: 2, ..PortGuard::api(&GuardSection::default()) });
        let seats = [(); 2].map(|()| registry.admit("institution/sakura".to_owned()).unwrap());
        assert_eq!(registry.admit("institution/sakura".to_owned()).unwrap_err(), Stranger::PeerFull);
        assert!(seats.iter().all(|seat| seat.link().cut_for().is_none()));
        drop(seats);
        assert!(registry.admit("institution/sakura".to_owned()).is_ok());
    }

    #[test]
    fn a_full_port_and_a_peer_that_storms_are_turned_away() {
        let registry = registry(PortGuard { connections_max: 1, ..atm_port() });
        let seat = registry.admit("atm/A1".to_owned()).unwrap();
        assert_eq!(registry.admit("atm/A2".to_owned()).unwrap_err(), Stranger::PortFull);
        drop(seat);
        let tries = (0..1_000).map(|_| registry.admit("atm/A3".to_owned()).map(drop));
        assert!(tries.into_iter().any(|tried| tried == Err(Stranger::TooOften)));
        assert!(registry.admit("atm/A4".to_owned()).is_ok(), "others are not counted with it");
    }

    #[test]
    fn requests_are_shed_by_peer_and_by_port_and_counted_until_they_end() {
        let rate = super::super::Rate { burst: 3, per_s: 1 };
        let registry = registry(PortGuard { requests: rate, in_flight_max: 2, ..atm_port() });
        let seat = registry.admit("atm/A1".to_owned()).unwrap();
        let requests = [(); 2].map(|()| seat.link().takes_up().unwrap());
        assert_eq!(seat.link().requests_under_way(), 2);
        assert_eq!(seat.link().takes_up().unwrap_err(), Shed::Overloaded);
        drop(requests);
        assert_eq!(seat.link().requests_under_way(), 0);
        assert!(matches!(seat.link().takes_up().unwrap_err(), Shed::TooFast(pause) if pause > Duration::ZERO));
    }

    #[test]
    fn the_first_reason_to_cut_counts() {
        let registry = registry(atm_port());
        let seat = registry.admit("atm/A1".to_owned()).unwrap();
        seat.link().cut(Cut::Revoked);
        seat.link().cut(Cut::Aged);
        assert_eq!(seat.link().cut_for(), Some(Cut::Revoked));
    }

    #[test]
    fn ages_differ_by_a_fifth_at_most() {
        let registry = registry(PortGuard { age: Duration::from_secs(1_000), ..atm_port() });
        let seat = registry.admit("atm/A1".to_owned()).unwrap();
        let ages: Vec<u64> = (0..100).map(|_| seat.link().age().as_secs()).collect();
        assert!(ages.iter().all(|age| (800..=1_200).contains(age)), "{ages:?}");
        assert!(ages.iter().any(|age| *age != ages[0]), "they are drawn");
    }
}
