//! So many in all, and of these so many of one source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places that are given out.
#[derive(Debug)]
pub(crate) struct Shares {
    all_max: usize,
    per_source_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

/// A place. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<Shares>,
    source: IpAddr,
}

impl Shares {
    /// None is taken.
    pub(crate) fn new(all_max: usize, per_source_max: usize) -> Arc<Self> {
        Arc::new(Self { all_max, per_source_max, taken: Mutex::default() })
    }

    /// Takes a place, or says why there is none: the word is a label of `cashgate_connections_turned_away_total`.
    pub(crate) fn take(self: &Arc<Self>, source: IpAddr) -> Result<Share, &'static str> {
        let mut taken = self.taken();
        if taken.all >= self.all_max {
            return Err("door_full");
        }
        let theirs = taken.of.entry(source).or_default();
        if *theirs >= self.per_source_max {
            return Err("source_full");
        }
        *theirs += 1;
        taken.all += 1;
        drop(taken);
        Ok(Share { of: Arc::clone(self), source })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Whose it is.
    pub(crate) const fn source(&self) -> IpAddr {
        self.source
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        taken.all -= 1;
        if let Some(theirs) = taken.of.get_mut(&self.source) {
            *theirs -= 1;
            if *theirs == 0 {
                taken.of.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn one_source_cannot_take_all_and_what_is_given_back_is_forgotten() {
        let [one, other] = [1, 2].map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)));
        let shares = Shares::new(4, 3);
        let taken: Vec<_> = (0..3).map(|_| shares.take(one).unwrap()).collect();
        assert_eq!(shares.take(one).unwrap_err(), "source_full");
        let last = shares.take(other).unwrap();
        assert_eq!(shares.take(other).unwrap_err(), "door_full");
        drop((taken, last));
        let left = shares.taken();
        assert_eq!((left.all, left.of.len()), (0, 0));
        drop(left);
        assert!(shares.take(one).is_ok());
    }
}
