//! The table `[telemetry]`: where traces are told, and which of them.

use std::path::PathBuf;

use super::reader::Reader;

/// What the configuration says of telemetry. Without it nothing is traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetrySection {
    /// The OTLP/gRPC collector: `http://` in plain text (a collector on this machine), or `https://` with the gateway's own certificate.
    pub endpoint: String,
    /// The authority of the collector's certificate, PEM; none for that of every other peer.
    pub ca: Option<PathBuf>,
    /// This process among its equals (`service.instance.id`).
    pub instance: String,
    /// How many of 1,000 traces are told whatever happens in them. Those in which something goes wrong are told besides.
    pub sampled_of_1000: u64,
    /// How many spans may wait for the collector; more are dropped and counted. Each takes about 800 bytes.
    pub queue_spans: usize,
    /// How many spans of traces that are not sampled are held back, in case something goes wrong in them yet.
    pub held_back_spans: usize,
}

pub(super) fn read(root: &Reader) -> Option<Option<TelemetrySection>> {
    if !root.has("telemetry") {
        return Some(None);
    }
    let table = root.table("telemetry");
    let endpoint = table.text("endpoint");
    if endpoint.as_ref().is_some_and(|endpoint| !endpoint.starts_with("http://") && !endpoint.starts_with("https://")) {
        table.error("endpoint", "must begin with http:// or https://");
    }
    let ca = if table.has("ca") {
        table.existing_file("ca", "put the PEM file there, or correct the name").map(Some)
    } else {
        Some(None)
    };
    let instance = if table.has("instance") { table.text("instance") } else { Some("cashgate".to_owned()) };
    let sampled_of_1000 = table.number("sampled_of_1000", Some(50), 0..=1_000);
    let count = |key, usual, range| table.number(key, Some(usual), range).and_then(|many| usize::try_from(many).ok());
    let (queue_spans, held_back_spans) =
        (count("queue_spans", 8_192, 1..=1_000_000), count("held_back_spans", 32_768, 0..=1_000_000));
    table.close();
    Some(Some(TelemetrySection {
        endpoint: endpoint?,
        ca: ca?,
        instance: instance?,
        sampled_of_1000: sampled_of_1000?,
        queue_spans: queue_spans?,
        held_back_spans: held_back_spans?,
    }))
}
