//! Where connections wait until it is known who they are. No certificate has been seen yet, so the only thing to count by is the source address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::PortGuard;
use super::shares::{Share, Shares};

/// How many connections wait in all. Until its first byte one costs a socket and a small task.
const WAITING_MAX: usize = 8_192;
/// Of these, from one source. A fleet behind one address reconnects at once; what does not fit tries again.
const WAITING_PER_SOURCE_MAX: usize = 4_096;
/// How many handshakes run at once. Each is a signature and memory for a certificate chain; more at once would only make all of them slower.
const HANDSHAKES_MAX: usize = 256;

/// The door of one port.
#[derive(Debug)]
pub(crate) struct Door {
    waiting: Arc<Shares>,
    handshakes: Arc<Semaphore>,
    handshakes_per_source: usize,
    /// The turns of each source, for as long as any of its visitors is here.
    sources: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
}

/// A connection at the door. Gives its place back when dropped.
#[derive(Debug)]
pub(crate) struct Visitor {
    door: Arc<Door>,
    place: Share,
    turns: Option<Arc<Semaphore>>,
}

/// The right to a handshake.
#[derive(Debug)]
pub(crate) struct Turn {
    of_source: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Door {
    /// The door of a port.
    pub(crate) fn new(guard: &PortGuard) -> Arc<Self> {
        Self::with(WAITING_MAX, WAITING_PER_SOURCE_MAX, HANDSHAKES_MAX, guard.handshakes_per_address_max)
    }

    fn with(waiting: usize, per_source: usize, handshakes: usize, handshakes_per_source: usize) -> Arc<Self> {
        Arc::new(Self {
            waiting: Shares::new(waiting, per_source),
            handshakes: Arc::new(Semaphore::new(handshakes)),
            handshakes_per_source,
            sources: Mutex::default(),
        })
    }

    /// Lets a connection wait here, or says why not.
    pub(crate) fn enter(self: &Arc<Self>, source: IpAddr) -> Result<Visitor, &'static str> {
        let place = self.waiting.take(source)?;
        let mut sources = self.sources();
        let known = sources.get(&source).and_then(Weak::upgrade);
        let turns = known.unwrap_or_else(|| {
            let turns = Arc::new(Semaphore::new(self.handshakes_per_source));
            sources.insert(source, Arc::downgrade(&turns));
            turns
        });
        drop(sources);
        Ok(Visitor { door: Arc::clone(self), place, turns: Some(turns) })
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<IpAddr, Weak<Semaphore>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Lets other sources go on, and keeps those of its own waiting.
    pub(crate) fn of_source_only(self) -> OwnedSemaphorePermit {
        self.of_source
    }
}

impl Visitor {
    /// Waits for its turn. First among those of its own source, so that a source with many can take only its share of all handshakes.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        let of_source = Arc::clone(self.turns.as_ref()?).acquire_owned().await.ok()?;
        let of_all = Arc::clone(&self.door.handshakes).acquire_owned().await.ok()?;
        Some(Turn { of_source, _of_all: of_all })
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let mut sources = self.door.sources();
        drop(self.turns.take());
        if sources.get(&self.place.source()).is_some_and(|turns| turns.strong_count() == 0) {
            sources.remove(&self.place.source());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    #[tokio::test]
    async fn a_source_with_many_takes_only_its_share_of_the_handshakes() {
        let door = Door::with(10, 10, 2, 1);
        let (first, second) = (door.enter(ONE).unwrap(), door.enter(ONE).unwrap());
        let turn = first.turn().await.unwrap();
        let mut waiting = pin!(second.turn());
        assert!(is_pending(waiting.as_mut()), "its source has one already");
        let other = door.enter(OTHER).unwrap();
        assert!(other.turn().await.is_some(), "another source is not kept waiting");
        let kept = turn.of_source_only();
        assert!(is_pending(waiting.as_mut()), "after a failure its source waits on");
        drop(kept);
        assert!(waiting.await.is_some());
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_source_that_has_left() {
        let door = Door::with(10, 10, 2, 1);
        let (first, second) = (door.enter(ONE).unwrap(), door.enter(ONE).unwrap());
        drop(first);
        assert_eq!(door.sources().len(), 1, "one is still here");
        let turn = second.turn().await;
        drop(turn);
        drop(second);
        assert!(door.sources().is_empty());
    }

    fn is_pending<F: Future>(future: Pin<&mut F>) -> bool {
        matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
    }
}
