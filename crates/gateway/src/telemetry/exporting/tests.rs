use std::sync::Mutex;

use opentelemetry_sdk::error::OTelSdkResult;

use super::super::keeping::testing::span;
use super::*;

/// A collector that keeps what it gets.
#[derive(Clone, Debug, Default)]
struct Takes(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Takes {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// A collector that takes a request and never answers.
#[derive(Debug)]
struct Hangs;

impl SpanExporter for Hangs {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        std::future::pending().await
    }
}

fn fates(counts: &SpanCounts) -> [u64; 4] {
    counts.all().map(|(_, many)| many)
}

#[tokio::test]
async fn what_is_queued_is_told_when_it_closes_and_no_more_is_queued_than_may_be() {
    let (exporter, counts) = (Takes::default(), Arc::new(SpanCounts::default()));
    let (queue, exporting) = Queue::before(exporter.clone(), 8, Arc::clone(&counts));
    // In one thread, so the task behind the queue has not run yet.
    (0..100).for_each(|id| queue.put(span(1, id)));
    assert_eq!(fates(&counts), [0, 92, 0, 0]);
    exporting.close().await;
    assert_eq!((exporter.0.lock().unwrap().len(), fates(&counts)), (8, [8, 92, 0, 0]));
    queue.put(span(1, 1));
    assert_eq!(fates(&counts), [8, 93, 0, 0], "after the end nothing is taken, and it is counted");
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_the_end_back_for_ever() {
    let counts = Arc::new(SpanCounts::default());
    let (queue, exporting) = Queue::before(Hangs, 8, Arc::clone(&counts));
    queue.put(span(1, 1));
    exporting.close().await;
    assert_eq!(fates(&counts), [0, 0, 0, 0], "it was given up");
}
