//! This replica among the others: its number, its pulse, and what it asks of the registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cashgate_ledger::{LaneOwner, ReplicaError, ReplicaId, ReplicaRow, Replicas};
use tokio::sync::watch;

use super::Pulse;
use super::peers::Peers;
use crate::clock::{self, Stopwatch};
use crate::lanes::Lanes;

/// This replica.
#[derive(Debug)]
pub struct Member {
    registry: Replicas,
    pulse: Pulse,
    peers: Peers,
    dead_after: Duration,
    heartbeat_every: Duration,
    draining: AtomicBool,
    heard: watch::Sender<u64>,
    /// Whether this replica does not hear the ledger, and another does.
    elsewhere: watch::Sender<bool>,
}

/// How often one that does not hear the ledger asks whether others do.
const LOOK_ELSEWHERE_EVERY: Duration = Duration::from_millis(250);

impl Member {
    /// A member that has not been heard of yet.
    #[must_use]
    pub fn new(registry: Replicas, peers: Peers, dead_after: Duration, heartbeat_every: Duration) -> Self {
        let (pulse, draining, heard) = (Pulse::new(dead_after), AtomicBool::new(false), watch::Sender::new(0));
        let elsewhere = watch::Sender::new(false);
        Self { registry, pulse, peers, dead_after, heartbeat_every, draining, heard, elsewhere }
    }

    /// Its number, as codes and peers name it.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.registry.id()
    }

    /// The registry of replicas and lanes.
    #[must_use]
    pub const fn registry(&self) -> &Replicas {
        &self.registry
    }

    /// When it last heard from the ledger.
    #[must_use]
    pub const fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// The other replicas.
    #[must_use]
    pub const fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Whether an owner of a lane is another process that lives, as far as is known here.
    #[must_use]
    pub fn living_peer(&self, owner: Option<LaneOwner>) -> Option<ReplicaId> {
        let (id, incarnation) = owner?.replica?;
        (id != self.id() && self.peers.lives(id, incarnation)).then_some(id)
    }

    /// It takes no new customers from now on, and says so.
    pub fn drains(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Waits until the replica may act on what it believes to be its own.
    pub async fn may_act(&self) {
        let mut heard = self.heard.subscribe();
        while !self.pulse.may_act(clock::now()) {
            // The sender is part of this, so there will always be another.
            let _ = heard.changed().await;
        }
    }

    /// Whether ATMs do well to connect here: see [`Pulse::takes_atms`].
    #[must_use]
    pub fn takes_atms(&self) -> bool {
        self.pulse.takes_atms(clock::now()) && !self.draining.load(Ordering::Acquire)
    }

    /// Whether ATMs are to go to other replicas, because they hear the ledger and this one does not.
    #[must_use]
    pub fn is_served_elsewhere(&self) -> bool {
        *self.elsewhere.borrow()
    }

    /// Waits until that is so.
    pub async fn served_elsewhere(&self) {
        // The sender is part of this.
        let _ = self.elsewhere.subscribe().wait_for(|is_so| *is_so).await;
    }

    /// Has ATMs go elsewhere while this replica waits for the ledger's word and another does not. If all of them wait they stay: they would only be sent
    /// round in circles.
    pub async fn look_elsewhere(self: Arc<Self>, lanes: Arc<Lanes>) {
        loop {
            tokio::time::sleep(LOOK_ELSEWHERE_EVERY).await;
            let is_so = !self.pulse.may_act(clock::now())
                && self.peers.any_takes_atms().await
                && !self.pulse.may_act(clock::now());
            if self.elsewhere.send_replace(is_so) != is_so {
                if is_so {
                    tracing::warn!("the ledger is not heard here and is elsewhere: ATMs are sent there");
                    // Lanes that wait for an order look as well.
                    lanes.look_again();
                } else {
                    tracing::info!("ATMs are taken here again");
                }
            }
        }
    }

    /// Says again and again that it lives, hears which of its lanes are another's, and takes those of the dead. Ends with the reason why the process
    /// must stop.
    pub async fn beat(self: Arc<Self>, lanes: Arc<Lanes>) -> String {
        loop {
            let asking = Stopwatch::start();
            let pause = match self.beat_once(&lanes).await {
                Ok(()) => until_next(self.heartbeat_every, asking.elapsed()),
                Err(error @ ReplicaError::PutOut { .. }) => return error.to_string(),
                Err(error) => {
                    tracing::warn!(%error, "no heartbeat: the replica acts on nothing until the ledger answers");
                    self.heartbeat_every
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn beat_once(&self, lanes: &Arc<Lanes>) -> Result<(), ReplicaError> {
        let asked_at = clock::now();
        self.registry.heartbeat(self.draining.load(Ordering::Acquire)).await?;
        let held = lanes.held();
        let (replicas, lost) = tokio::try_join!(self.registry.list(), self.registry.lost_lanes(&held))?;
        self.peers.learn(&replicas, self.dead_after);
        for atm in lost {
            lanes.lose(&atm, "heard_of_another_owner");
        }
        self.pulse.heard(asked_at);
        self.heard.send_modify(|beats| *beats = beats.wrapping_add(1));
        if self.pulse.may_sweep(clock::now()) && !self.draining.load(Ordering::Acquire) {
            for atm in self.registry.orphaned_lanes(self.dead_after).await? {
                lanes.adopt_orphan(&atm).await;
            }
        }
        Ok(())
    }
}

/// How long to wait after a heartbeat that took so long. What takes long to be answered is not asked for more rarely: a ledger that is slow for
/// everybody would be silent for everybody, and machines would be sent round in circles.
const fn until_next(every: Duration, took: Duration) -> Duration {
    every.saturating_sub(took)
}

/// The others that live, with their addresses.
#[must_use]
pub(super) fn living(rows: &[ReplicaRow], own: ReplicaId, dead_after: Duration) -> Vec<&ReplicaRow> {
    rows.iter().filter(|row| row.identity.id != own && row.lives(dead_after)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_come_as_often_when_their_answers_take_long() {
        let (every, ms) = (Duration::from_secs(1), Duration::from_millis);
        for (took, pause) in [(0, 1_000), (300, 700), (1_000, 0), (2_500, 0)] {
            assert_eq!(until_next(every, ms(took)), ms(pause), "{took}");
        }
    }
}
