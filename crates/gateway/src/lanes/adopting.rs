//! How this replica comes to have a machine's lane, and how it loses one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cashgate_ledger::Epoch;
use cashgate_withdrawal::ids::AtmId;
use cashgate_withdrawal::refusal::Refusal;
use tokio::sync::{oneshot, watch};

use super::driver::Driver;
use super::{LaneHandle, Lanes, Order, Recovered, Surroundings, adopt};
use crate::clock;
use crate::ledger_reads;
use crate::replica::Member;

/// How many adoptions may run at once, about.
pub(super) const AT_ONCE: usize = 64;

/// How long a lane is waited for when the gateway stops.
const HAND_OVER_MAX: std::time::Duration = std::time::Duration::from_millis(500);

/// In which epoch a lane is this replica's, and whether it still is.
#[derive(Clone, Debug)]
pub(super) struct Ownership {
    pub(super) member: Arc<Member>,
    pub(super) epoch: Epoch,
    /// Set when the ledger, or another replica, said that it is another's.
    lost: Arc<watch::Sender<bool>>,
    /// The lanes that it is one of, to take it out of them.
    lanes: std::sync::Weak<Lanes>,
}

impl Ownership {
    pub(super) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Waits until it is another's.
    pub(super) async fn lost(&self) {
        // The sender is part of this.
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await;
    }

    /// The lane is gone from this replica: an ATM that connects here claims it anew.
    pub(super) fn ended(&self, atm: &AtmId) {
        let Some(lanes) = self.lanes.upgrade() else { return };
        let mut lanes = lanes.lanes();
        let is_same =
            |handle: &LaneHandle| handle.ownership.as_ref().is_some_and(|own| Arc::ptr_eq(&own.lost, &self.lost));
        if lanes.get(atm).is_some_and(is_same) {
            lanes.remove(atm);
        }
    }
}

impl Lanes {
    /// The lane of an ATM that connects here: this replica's already, or taken over. Whoever has it and lives is asked to let it go first.
    pub(super) async fn of_connecting_among(
        self: &Arc<Self>,
        member: &Arc<Member>,
        atm: &AtmId,
    ) -> Result<LaneHandle, Refusal> {
        let _one_at_a_time = self.turn_of(atm).lock().await;
        if self.draining.load(Ordering::Acquire) {
            return Err(Refusal::Overloaded);
        }
        if let Some(lane) = self.held_lane(atm) {
            return Ok(lane);
        }
        if member.is_served_elsewhere() {
            tracing::info!(%atm, "the ledger is not heard here: the ATM is sent elsewhere");
            return Err(Refusal::Overloaded);
        }
        let registry = member.registry();
        let asked = async {
            let owner = registry.owner_of_lane(atm).await?;
            if let Some((peer, owner)) = member.living_peer(owner).zip(owner) {
                member.peers().ask_to_let_go(peer, atm, owner.epoch).await;
            }
            registry.claim_lane(atm).await
        };
        let (epoch, before) = asked.await.map_err(|error| {
            tracing::warn!(%atm, %error, "whose lane it is cannot be asked: the ATM is sent elsewhere");
            Refusal::Overloaded
        })?;
        let how = if before.is_some_and(|owner| owner.replica.is_some()) { "from_another" } else { "unowned" };
        self.take_over_or_release(member, atm, epoch, how).await
    }

    /// Takes the lane of a replica that is dead, because there are open withdrawals in it and the machine stays away.
    pub(crate) async fn adopt_orphan(self: &Arc<Self>, atm: &AtmId) {
        let Some(member) = self.surroundings.member.clone() else { return };
        let _one_at_a_time = self.turn_of(atm).lock().await;
        if self.held_lane(atm).is_some() {
            return;
        }
        match member.registry().claim_lane(atm).await {
            Ok((epoch, _)) => drop(self.take_over_or_release(&member, atm, epoch, "from_the_dead").await),
            Err(error) => tracing::warn!(%atm, %error, "an orphaned lane could not be claimed"),
        }
    }

    /// A lane that was claimed and cannot be driven is given back: nobody would take it from a replica that lives.
    async fn take_over_or_release(
        self: &Arc<Self>,
        member: &Arc<Member>,
        atm: &AtmId,
        epoch: Epoch,
        how: &'static str,
    ) -> Result<LaneHandle, Refusal> {
        let taken = self.take_over(member, atm, epoch, how).await;
        if taken.is_err()
            && let Err(error) = member.registry().release_lane(atm, epoch).await
        {
            tracing::error!(%atm, %error, "a lane is this replica's and nobody drives it until its ATM connects");
        }
        taken
    }

    /// What is open at the machine is read now that nobody else writes it, and goes on here as after a restart.
    async fn take_over(
        self: &Arc<Self>,
        member: &Arc<Member>,
        atm: &AtmId,
        epoch: Epoch,
        how: &'static str,
    ) -> Result<LaneHandle, Refusal> {
        let Surroundings { ledger, desk, settings, metrics, watchers, .. } = self.surroundings.as_ref();
        let of = atm.clone();
        let read = ledger_reads::read(ledger.reader(), move |reader| reader.open_withdrawals_of(&of)).await;
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%atm, %error, "what is open at a machine cannot be read");
            Refusal::Overloaded
        };
        let open = read.map_err(|error| failed(&error))?;
        let adopted = adopt(atm.clone(), open, desk, settings, clock::now()).map_err(|error| failed(&error))?;
        let Recovered { attendant, first, open } = adopted;
        tracing::info!(%atm, epoch = epoch.0, open = open.len(), how, "the lane is this replica's");
        metrics.adopted(how);
        for withdrawal in open {
            metrics.recovered(withdrawal.state.name());
            watchers.changed(withdrawal);
        }
        let lost = Arc::new(watch::Sender::new(false));
        let ownership = Ownership { member: Arc::clone(member), epoch, lost, lanes: Arc::downgrade(self) };
        let surroundings = Arc::clone(&self.surroundings);
        let handle = Driver::start(attendant, Some(first), surroundings, self.serving.clone(), Some(ownership));
        self.lanes().insert(atm.clone(), handle.clone());
        Ok(handle)
    }

    /// The lanes that are this replica's, with their epochs.
    #[must_use]
    pub(crate) fn held(&self) -> Vec<(AtmId, Epoch)> {
        let lanes = self.lanes();
        let held = |(atm, lane): (&AtmId, &LaneHandle)| Some((atm.clone(), lane.ownership.as_ref()?.epoch));
        lanes.iter().filter_map(held).collect()
    }

    /// A lane is another's: it does nothing more, and ends.
    pub(crate) fn lose(&self, atm: &AtmId, why: &'static str) {
        drop(self.begin_to_lose(atm, None, why));
    }

    /// Another replica asks for a lane. Returns when nothing of it goes on here any more; `false` if it is not this replica's in that epoch
    /// or an earlier one.
    pub(crate) async fn let_go(&self, atm: &AtmId, epoch: Epoch) -> bool {
        match self.begin_to_lose(atm, Some(epoch), "asked") {
            Some(ended) => {
                // A lane that waits for the ledger is let go all the same: what it waits for is refused.
                let _ = ended.await;
                true
            }
            None => false,
        }
    }

    /// Gives up every lane, so that others take them at once: what is still open goes on there.
    pub(crate) async fn hand_over(&self) {
        let Some(member) = &self.surroundings.member else { return };
        for (atm, epoch) in self.held() {
            if let Some(ended) = self.begin_to_lose(&atm, None, "stopping") {
                let _ = tokio::time::timeout(HAND_OVER_MAX, ended).await;
            }
            if let Err(error) = member.registry().release_lane(&atm, epoch).await {
                tracing::warn!(%atm, %error, "a lane was not given back; others take it once this replica counts as dead");
                return;
            }
        }
    }

    fn begin_to_lose(&self, atm: &AtmId, up_to: Option<Epoch>, why: &'static str) -> Option<oneshot::Receiver<()>> {
        let lane = self.held_lane(atm)?;
        let ownership = lane.ownership.as_ref()?;
        if up_to.is_some_and(|epoch| ownership.epoch > epoch) {
            return None;
        }
        tracing::info!(%atm, why, "the lane is let go");
        self.surroundings.metrics.let_go(why);
        ownership.lost.send_replace(true);
        let (ended, has_ended) = oneshot::channel();
        // A full inbox wakes the driver as well.
        let _ = lane.inbox.try_send(Box::new(Order::LetGo(ended)));
        Some(has_ended)
    }

    fn held_lane(&self, atm: &AtmId) -> Option<LaneHandle> {
        let lane = self.find(atm)?;
        let is_held = lane.ownership.as_ref().is_none_or(|ownership| !ownership.is_lost());
        (is_held && !lane.inbox.is_closed()).then_some(lane)
    }

    fn turn_of(&self, atm: &AtmId) -> &tokio::sync::Mutex<()> {
        let (first, others) = &self.adopting;
        let hash = atm.as_str().bytes().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        others.get(hash % AT_ONCE).unwrap_or(first)
    }
}
