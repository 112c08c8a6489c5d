//! Which traces are told: those that were sampled, and those in which something went wrong, whenever that turns out.
//!
//! What is not sampled is held back, trace by trace, up to a number of spans; the oldest trace is let go for a new one. A span that failed, or
//! that says why its trace is to be kept, releases what is held back of it, and of the traces that it is linked with; so does a link to a trace that is
//! told. What ends later in such a trace is told at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::trace::{SpanContext, Status, TraceFlags, TraceId};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use super::counts::{Fate, SpanCounts};
use super::exporting::Queue;
use super::span::KEPT_FOR;

/// How many traces are remembered as told, for their later spans.
const TOLD_MAX: usize = 4_096;
/// How many spans of one trace are held back. A withdrawal has about twenty.
const SPANS_EACH_MAX: usize = 128;

#[derive(Debug)]
pub(super) struct Keeper {
    held: Mutex<HeldBack>,
    queue: Queue,
    counts: Arc<SpanCounts>,
}

impl Keeper {
    pub(super) fn new(queue: Queue, spans_max: usize, counts: Arc<SpanCounts>) -> Self {
        Self { held: Mutex::new(HeldBack::of(spans_max)), queue, counts }
    }
}

impl SpanProcessor for Keeper {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        let sorted = self.held.lock().unwrap_or_else(PoisonError::into_inner).sort(span);
        self.counts.count(Fate::HeldBack, sorted.let_go);
        for span in sorted.told {
            self.queue.put(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        // The task behind the queue is closed by whoever owns it.
        Ok(())
    }
}

/// What came of a span that ended.
#[derive(Debug, Default)]
struct Sorted {
    told: Vec<SpanData>,
    let_go: usize,
}

/// Spans of traces that are not told so far.
#[derive(Debug)]
struct HeldBack {
    spans_max: usize,
    spans: usize,
    traces: HashMap<TraceId, Vec<SpanData>>,
    /// The traces in the order in which they came; some may be released already.
    order: VecDeque<TraceId>,
    told: HashSet<TraceId>,
    told_order: VecDeque<TraceId>,
}

impl HeldBack {
    fn of(spans_max: usize) -> Self {
        Self {
            spans_max,
            spans: 0,
            traces: HashMap::new(),
            order: VecDeque::new(),
            told: HashSet::new(),
            told_order: VecDeque::new(),
        }
    }

    fn sort(&mut self, span: SpanData) -> Sorted {
        let mut sorted = Sorted::default();
        let trace = span.span_context.trace_id();
        let is_linked = span
            .links
            .iter()
            .any(|link| link.span_context.is_sampled() || self.told.contains(&link.span_context.trace_id()));
        let goes_on = self.told.contains(&trace);
        if goes_on || is_linked || says_so(&span) {
            if !goes_on {
                self.tell(trace, &mut sorted.told);
            }
            self.tell_linked(&span, &mut sorted.told);
            sorted.told.push(sampled(span));
        } else if span.span_context.is_sampled() {
            // Nothing of it is held back, and what it is linked with shows when that ends.
            self.tell_linked(&span, &mut sorted.told);
            sorted.told.push(span);
        } else {
            self.hold(trace, span, &mut sorted);
        }
        sorted
    }

    fn tell_linked(&mut self, span: &SpanData, told: &mut Vec<SpanData>) {
        for link in span.links.iter() {
            let other = link.span_context.trace_id();
            if !link.span_context.is_sampled() && !self.told.contains(&other) {
                self.tell(other, told);
            }
        }
    }

    /// Releases a trace, and those it is linked with.
    fn tell(&mut self, first: TraceId, told: &mut Vec<SpanData>) {
        let mut next = vec![first];
        while let Some(trace) = next.pop() {
            if !self.told.insert(trace) {
                continue;
            }
            self.told_order.push_back(trace);
            if self.told_order.len() > TOLD_MAX
                && let Some(oldest) = self.told_order.pop_front()
            {
                self.told.remove(&oldest);
            }
            for span in self.traces.remove(&trace).unwrap_or_default() {
                self.spans = self.spans.saturating_sub(1);
                next.extend(span.links.iter().map(|link| link.span_context.trace_id()));
                told.push(sampled(span));
            }
        }
    }

    fn hold(&mut self, trace: TraceId, span: SpanData, sorted: &mut Sorted) {
        let held = self.traces.entry(trace).or_insert_with(|| {
            self.order.push_back(trace);
            Vec::new()
        });
        if held.len() >= SPANS_EACH_MAX {
            sorted.let_go += 1;
            return;
        }
        held.push(span);
        self.spans += 1;
        // `order` also has what was released since, and never more than one entry for each span that came.
        while self.spans > self.spans_max || self.order.len() > self.spans_max {
            let Some(oldest) = self.order.pop_front() else { break };
            let gone = self.traces.remove(&oldest).map_or(0, |spans| spans.len());
            self.spans = self.spans.saturating_sub(gone);
            sorted.let_go += gone;
        }
    }
}

fn says_so(span: &SpanData) -> bool {
    matches!(span.status, Status::Error { .. }) || span.attributes.iter().any(|one| one.key.as_str() == KEPT_FOR)
}

/// The same span, marked as told: a collector may look at the flag.
fn sampled(span: SpanData) -> SpanData {
    let SpanData { span_context: context, .. } = &span;
    let span_context = SpanContext::new(
        context.trace_id(),
        context.span_id(),
        context.trace_flags() | TraceFlags::SAMPLED,
        context.is_remote(),
        context.trace_state().clone(),
    );
    SpanData { span_context, ..span }
}

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
