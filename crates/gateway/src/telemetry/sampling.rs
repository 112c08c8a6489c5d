//! Which traces are told whatever happens in them.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};

/// So many of a thousand traces, chosen by the trace's id, so that every process with the same share chooses the same ones. A caller's own wish is
/// not asked: no peer can order work here. The rest is recorded all the same, because it may still go wrong ([`super::keeping`]).
#[derive(Clone, Debug)]
pub(super) struct Head {
    of_1000: u64,
}

impl Head {
    pub(super) const fn new(of_1000: u64) -> Self {
        Self { of_1000 }
    }

    fn takes(&self, trace: TraceId) -> bool {
        // The last seven bytes are the random ones (W3C Trace Context level 2, "random-trace-id").
        let [.., a, b, c, d, e, f, g] = trace.to_bytes();
        u64::from_be_bytes([0, a, b, c, d, e, f, g]) % 1_000 < self.of_1000
    }
}

impl ShouldSample for Head {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let inherited = parent.and_then(|parent| {
            let span = parent.span();
            let context = span.span_context();
            (context.is_valid() && !context.is_remote()).then(|| context.is_sampled())
        });
        let decision = if inherited.unwrap_or_else(|| self.takes(trace)) {
            SamplingDecision::RecordAndSample
        } else {
            SamplingDecision::RecordOnly
        };
        SamplingResult { decision, attributes: Vec::new(), trace_state: TraceState::NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_about_what_was_asked_for() {
        for of_1000 in [0, 50, 500, 1_000] {
            let head = Head::new(of_1000);
            let taken = (0..10_000_u128).filter(|n| head.takes(trace(*n))).count();
            assert!(taken.abs_diff(usize::try_from(of_1000).unwrap() * 10) < 250, "{of_1000}: {taken} of 10,000");
        }
    }

    /// Ids that look random, the same in every run.
    fn trace(n: u128) -> TraceId {
        TraceId::from((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }
}
