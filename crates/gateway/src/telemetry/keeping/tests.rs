use opentelemetry::KeyValue;
use opentelemetry::trace::Link;

use super::testing::{context, span};
use super::*;

fn failed(trace: u128, id: u64) -> SpanData {
    SpanData { status: Status::error("no"), ..span(trace, id) }
}

fn linked(trace: u128, id: u64, with: u128) -> SpanData {
    let mut span = span(trace, id);
    span.links.links.push(Link::with_context(context(with, 1, false)));
    span
}

/// The told spans, by trace and span.
fn told(held: &mut HeldBack, span: SpanData) -> Vec<(u128, u64)> {
    let told = held.sort(span).told;
    assert!(told.iter().all(|span| span.span_context.is_sampled()), "a collector may look at the flag");
    let number = |span: &SpanData| {
        let context = &span.span_context;
        (u128::from_be_bytes(context.trace_id().to_bytes()), u64::from_be_bytes(context.span_id().to_bytes()))
    };
    told.iter().map(number).collect()
}

#[test]
fn what_goes_well_is_held_back_until_something_goes_wrong_and_then_all_of_it_is_told() {
    let mut held = HeldBack::of(100);
    assert_eq!(told(&mut held, span(1, 1)), []);
    assert_eq!(told(&mut held, span(2, 1)), []);
    assert_eq!(told(&mut held, span(1, 2)), []);
    assert_eq!(told(&mut held, failed(1, 3)), [(1, 1), (1, 2), (1, 3)]);
    assert_eq!(told(&mut held, span(1, 4)), [(1, 4)], "and what ends later");
    let mut says = span(2, 2);
    says.attributes.push(KeyValue::new(KEPT_FOR, "suspect"));
    assert_eq!(told(&mut held, says), [(2, 1), (2, 2)]);
    assert_eq!(held.spans, 0);
}

#[test]
fn a_sampled_span_is_told_at_once() {
    let mut held = HeldBack::of(100);
    let sampled = SpanData { span_context: context(1, 1, true), ..span(1, 1) };
    assert_eq!(told(&mut held, sampled), [(1, 1)]);
}

#[test]
fn linked_traces_are_told_together_whichever_of_them_went_wrong() {
    let mut held = HeldBack::of(100);
    // The caller's rpc ends before the withdrawal does.
    assert_eq!(told(&mut held, linked(7, 1, 1)), []);
    assert_eq!(told(&mut held, linked(1, 1, 7)), []);
    assert_eq!(told(&mut held, failed(1, 2)), [(1, 1), (7, 1), (1, 2)]);
    assert_eq!(told(&mut held, linked(8, 1, 1)), [(8, 1)], "a link to what is told");
    let mut to_sampled = span(9, 1);
    to_sampled.links.links.push(Link::with_context(context(10, 1, true)));
    assert_eq!(told(&mut held, to_sampled), [(9, 1)], "and to what is sampled");
}

#[test]
fn it_never_holds_more_than_it_may() {
    let mut held = HeldBack::of(10);
    let mut let_go = 0;
    for trace in 0..1_000 {
        let_go += held.sort(span(trace, 1)).let_go;
        assert!(held.spans <= 10 && held.order.len() <= 10 && held.traces.len() <= 10);
    }
    assert_eq!(let_go, 990);
    for id in 0..1_000 {
        held.sort(failed(id, 2));
    }
    for trace in 0..10_000 {
        held.sort(failed(trace, 1));
    }
    assert_eq!((held.told.len(), held.told_order.len()), (TOLD_MAX, TOLD_MAX));
    let mut one = HeldBack::of(1_000);
    let let_go: usize = (0..500).map(|id| one.sort(span(1, id)).let_go).sum();
    assert_eq!((one.spans, let_go), (SPANS_EACH_MAX, 500 - SPANS_EACH_MAX), "one trace does not take it all");
}
