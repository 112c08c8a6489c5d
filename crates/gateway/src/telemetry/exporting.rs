//! From the end of a span to the collector: a bounded queue, and one task that empties it in batches.
//!
//! The library's own batch processor drops silently and keeps a thread; here every span that does not arrive is counted, and a collector that
//! hangs costs at most the queue and one batch.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::counts::{Fate, SpanCounts};

/// The most spans in one request.
const BATCH_MAX: usize = 512;
/// How long a batch waits to become full.
const LINGER: Duration = Duration::from_secs(1);
/// How long the collector has for a batch. Then the batch is dropped, not repeated: what comes is newer.
pub(super) const EXPORT_MAX: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the collector.
const CLOSE_MAX: Duration = Duration::from_secs(3);

/// Where spans that are told wait.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    counts: Arc<SpanCounts>,
}

/// The task that empties it.
#[derive(Debug)]
pub(super) struct Exporting {
    task: JoinHandle<()>,
    close: oneshot::Sender<()>,
}

impl Queue {
    /// A queue for so many spans, and the task behind it.
    pub(super) fn before(
        exporter: impl SpanExporter + 'static,
        spans_max: usize,
        counts: Arc<SpanCounts>,
    ) -> (Self, Exporting) {
        let (spans, waiting) = mpsc::channel(spans_max);
        let (close, closing) = oneshot::channel();
        let task = tokio::spawn(export(exporter, waiting, closing, Arc::clone(&counts)));
        (Self { spans, counts }, Exporting { task, close })
    }

    /// Never waits.
    pub(super) fn put(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.counts.count(Fate::QueueFull, 1);
        }
    }
}

impl Exporting {
    pub(super) async fn close(self) {
        let Self { mut task, close } = self;
        // A task that has ended by itself has nothing more to tell.
        let _ = close.send(());
        if tokio::time::timeout(CLOSE_MAX, &mut task).await.is_err() {
            tracing::warn!("the collector did not take the last spans in time");
            task.abort();
        }
    }
}

async fn export(
    exporter: impl SpanExporter,
    mut waiting: mpsc::Receiver<SpanData>,
    mut closing: oneshot::Receiver<()>,
    counts: Arc<SpanCounts>,
) {
    let mut failing = false;
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            many = waiting.recv_many(&mut batch, BATCH_MAX) => if many == 0 { return },
            _ = &mut closing, if !waiting.is_closed() => { waiting.close(); continue }
        }
        fill(&mut batch, &mut waiting, &mut closing).await;
        let many = batch.len();
        let why = match tokio::time::timeout(EXPORT_MAX, exporter.export(batch)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer in {} s", EXPORT_MAX.as_secs())),
        };
        counts.count(if why.is_none() { Fate::Exported } else { Fate::ExportFailed }, many);
        // Said when it begins and when it ends, not at every batch.
        match &why {
            Some(why) if !failing => {
                tracing::warn!(why, "the collector does not take spans; they are dropped and counted")
            }
            None if failing => tracing::info!("the collector takes spans again"),
            _ => {}
        }
        failing = why.is_some();
    }
}

/// Waits a moment for more, so that a quiet gateway does not send each span by itself.
async fn fill(batch: &mut Vec<SpanData>, waiting: &mut mpsc::Receiver<SpanData>, closing: &mut oneshot::Receiver<()>) {
    let lingering = tokio::time::sleep(LINGER);
    tokio::pin!(lingering);
    while batch.len() < BATCH_MAX {
        let room = BATCH_MAX - batch.len();
        tokio::select! {
            many = waiting.recv_many(batch, room) => if many == 0 { return },
            () = &mut lingering => return,
            _ = &mut *closing, if !waiting.is_closed() => waiting.close(),
        }
    }
}

#[cfg(test)]
mod tests;
