//! What became of spans.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters from the start of the process.
#[derive(Debug, Default)]
pub struct SpanCounts {
    exported: AtomicU64,
    queue_full: AtomicU64,
    export_failed: AtomicU64,
    held_back: AtomicU64,
}

/// What became of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The collector has it.
    Exported,
    /// Dropped: the queue before the collector was full.
    QueueFull,
    /// Dropped: the collector did not take it, or not in time.
    ExportFailed,
    /// Let go as it should be: not sampled, and nothing went wrong as long as it was remembered.
    HeldBack,
}

impl SpanCounts {
    pub(super) fn count(&self, fate: Fate, spans: usize) {
        self.counter(fate).fetch_add(u64::try_from(spans).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Every fate by its name, for the metrics.
    #[must_use]
    pub fn all(&self) -> [(&'static str, u64); 4] {
        let of = |fate| self.counter(fate).load(Ordering::Relaxed);
        [
            ("exported", of(Fate::Exported)),
            ("dropped_queue_full", of(Fate::QueueFull)),
            ("dropped_export_failed", of(Fate::ExportFailed)),
            ("not_sampled", of(Fate::HeldBack)),
        ]
    }

    const fn counter(&self, fate: Fate) -> &AtomicU64 {
        match fate {
            Fate::Exported => &self.exported,
            Fate::QueueFull => &self.queue_full,
            Fate::ExportFailed => &self.export_failed,
            Fate::HeldBack => &self.held_back,
        }
    }
}
