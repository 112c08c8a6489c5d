//! What the guard counts.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter, UpDownCounter};

use super::Cut;
use crate::tls::Expiry;

/// The guard's counters. No source address and no identity becomes a label: there are as many as there are peers.
#[derive(Clone, Debug)]
pub struct GuardMetrics {
    open: UpDownCounter<i64>,
    cut: Counter<u64>,
    turned_away: Counter<u64>,
    shed: Counter<u64>,
    tls_reloads: Counter<u64>,
    tls_expires: Gauge<u64>,
}

impl GuardMetrics {
    /// Counters at zero.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        let counter =
            |name: &'static str, meaning: &'static str| meter.u64_counter(name).with_description(meaning).build();
        let metrics = Self {
            open: meter
                .i64_up_down_counter("cashgate_connections_open")
                .with_description("Connections whose peer is known, by port")
                .build(),
            cut: counter("cashgate_connections_cut", "Open connections that the gateway closed, by port and reason"),
            turned_away: counter(
                "cashgate_connections_turned_away",
                "Connections that came to nothing before or when their peer was known, by port and reason",
            ),
            shed: counter("cashgate_requests_shed", "Requests refused before they were looked at, by port and reason"),
            tls_reloads: counter(
                "cashgate_tls_reloads",
                "Certificates, keys, authorities and revocation lists that were read again, by result",
            ),
            tls_expires: meter
                .u64_gauge("cashgate_tls_expires_timestamp_seconds")
                .with_description("When the gateway's or replica's certificate, the first authority and the first revocation list of its set end; 0 without one")
                .build(),
        };
        metrics.begin_at_zero();
        metrics
    }

    /// A series that appears with its first event hides it from alerts.
    fn begin_at_zero(&self) {
        for result in ["taken", "refused"] {
            self.tls_reloads.add(0, &[KeyValue::new("result", result)]);
        }
        for port in ["atm", "api"] {
            self.opened(port, 0);
            for counter in [&self.cut, &self.turned_away, &self.shed] {
                counter.add(0, &[KeyValue::new("port", port), KeyValue::new("reason", "")]);
            }
        }
    }

    pub(super) fn opened(&self, port: &'static str, change: i64) {
        self.open.add(change, &[KeyValue::new("port", port)]);
    }

    pub(crate) fn cut(&self, port: &'static str, cut: Cut) {
        self.cut.add(1, &[KeyValue::new("port", port), KeyValue::new("reason", cut.name())]);
    }

    pub(crate) fn turned_away(&self, port: &'static str, why: &'static str) {
        self.turned_away.add(1, &[KeyValue::new("port", port), KeyValue::new("reason", why)]);
    }

    pub(super) fn shed(&self, port: &'static str, why: &'static str) {
        self.shed.add(1, &[KeyValue::new("port", port), KeyValue::new("reason", why)]);
    }

    pub(crate) fn tls_reloaded(&self, result: &'static str) {
        self.tls_reloads.add(1, &[KeyValue::new("result", result)]);
    }

    /// With what certificate, authorities and lists are called.
    pub(crate) fn tls_expires(&self, called: [&'static str; 3], expiry: Expiry) {
        let Expiry { certificate_s, ca_s, crl_s } = expiry;
        for (what, at) in called.into_iter().zip([certificate_s, ca_s, crl_s]) {
            self.tls_expires.record(at, &[KeyValue::new("what", what)]);
        }
    }
}
