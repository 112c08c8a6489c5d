//! What goes on between replicas. A gateway alone has none of these.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter, MeterProvider};

use super::Metrics;
use crate::clock;
use crate::replica::Member;

/// Ways to come to a lane, and to lose one.
const ADOPTED: [&str; 3] = ["unowned", "from_another", "from_the_dead"];
const LET_GO: [&str; 4] = ["asked", "heard_of_another_owner", "refused_write", "stopping"];
/// What becomes of a request that is handed on.
const FORWARDED: [&str; 3] = ["answered", "refused", "unanswered"];

/// The counters.
#[derive(Clone, Debug)]
pub(super) struct BetweenReplicas {
    forwarded: Counter<u64>,
    adopted: Counter<u64>,
    let_go: Counter<u64>,
    limits_moved: Counter<u64>,
    sent_elsewhere: Counter<u64>,
}

impl BetweenReplicas {
    pub(super) fn counted_by(meter: &Meter) -> Self {
        let counter =
            |name: &'static str, meaning: &'static str| meter.u64_counter(name).with_description(meaning).build();
        Self {
            forwarded: counter(
                "cashgate_replica_forwarded",
                "Requests handed on to the replica that has the lane, by rpc and result",
            ),
            adopted: counter("cashgate_replica_lanes_adopted", "ATMs' lanes that this replica took over, by how"),
            let_go: counter("cashgate_replica_lanes_let_go", "ATMs' lanes that this replica let go, by why"),
            limits_moved: counter(
                "cashgate_replica_limits_moved",
                "Approvals that were computed again because another replica had changed their limits",
            ),
            sent_elsewhere: counter(
                "cashgate_replica_atms_sent_elsewhere",
                "ATMs that were sent to other replicas because they hear the ledger and this one does not",
            ),
        }
    }
}

impl Metrics {
    /// A request was handed on to another replica.
    pub fn forwarded(&self, rpc: &'static str, result: &'static str) {
        self.between.forwarded.add(1, &[KeyValue::new("rpc", rpc), KeyValue::new("result", result)]);
    }

    /// This replica has come to have a lane.
    pub fn adopted(&self, how: &'static str) {
        self.between.adopted.add(1, &[KeyValue::new("how", how)]);
    }

    /// This replica has lost a lane.
    pub fn let_go(&self, why: &'static str) {
        self.between.let_go.add(1, &[KeyValue::new("why", why)]);
    }

    /// A withdrawal that was open here goes on elsewhere.
    pub fn let_go_of(&self, state: &'static str) {
        self.open.add(-1, &[KeyValue::new("state", state)]);
    }

    /// An approval is computed again.
    pub fn limits_moved(&self) {
        self.between.limits_moved.add(1, &[]);
    }

    /// An ATM is sent to another replica, which hears the ledger.
    pub fn sent_elsewhere(&self) {
        self.between.sent_elsewhere.add(1, &[]);
    }

    /// Has this replica's pulse exported whenever the metrics are read, and what alerts count begin at zero.
    pub fn observe_member(&self, member: Arc<Member>) {
        for rpc in ["Scan", "Approve", "Cancel", "Watch", "ResolveSuspect"] {
            for result in FORWARDED {
                self.between.forwarded.add(0, &[KeyValue::new("rpc", rpc), KeyValue::new("result", result)]);
            }
        }
        ADOPTED.iter().for_each(|how| self.between.adopted.add(0, &[KeyValue::new("how", *how)]));
        LET_GO.iter().for_each(|why| self.between.let_go.add(0, &[KeyValue::new("why", *why)]));
        self.between.limits_moved.add(0, &[]);
        self.between.sent_elsewhere.add(0, &[]);
        let meter = self.provider.meter("cashgate");
        let of = Arc::clone(&member);
        let _behind = meter
            .f64_observable_gauge("cashgate_replica_tail_age_seconds")
            .with_description(
                "How long ago it was known here what all replicas wrote; from 1 on no new withdrawals begin",
            )
            .with_callback(move |observer| {
                if let Some(behind) = of.pulse().behind(clock::now()) {
                    observer.observe(behind.as_secs_f64(), &[]);
                }
            })
            .build();
        let of = Arc::clone(&member);
        let _acts = meter
            .u64_observable_gauge("cashgate_replica_acts")
            .with_description(
                "1 while the ledger's word that its lanes are its own holds, 0 while this replica waits for it",
            )
            .with_callback(move |observer| observer.observe(u64::from(of.pulse().may_act(clock::now())), &[]))
            .build();
        let _peers = meter
            .u64_observable_gauge("cashgate_replica_peers")
            .with_description("Other replicas that live, as the ledger says")
            .with_callback(move |observer| observer.observe(u64::try_from(member.peers().count()).unwrap_or(0), &[]))
            .build();
    }
}
