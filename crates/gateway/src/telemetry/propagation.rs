//! The W3C Trace Context (<https://www.w3.org/TR/trace-context/>) in gRPC metadata and in the messages of an ATM.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::codegen::http::HeaderMap;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

const TRACEPARENT: &str = "traceparent";

/// A `traceparent`: which trace something belongs to, and the span in it. `tracestate` is neither taken nor given: it is free text from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traceparent(SpanContext);

impl Traceparent {
    /// As it stands in a message; nothing if it is empty or none.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Text(text));
        let span = context.span();
        let found = span.span_context();
        found.is_valid().then(|| Self(found.clone()))
    }

    /// As it stands in the headers of a request.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(Self::from_text)
    }

    pub(super) fn of(context: &Context) -> Option<Self> {
        let span = context.span();
        let found = span.span_context();
        found.is_valid().then(|| Self(found.clone()))
    }

    pub(super) fn within(&self, base: &Context) -> Context {
        base.with_remote_span_context(self.0.clone())
    }

    pub(super) const fn span_context(&self) -> &SpanContext {
        &self.0
    }

    /// As it stands in a message.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = TextOut(String::new());
        let context = Context::new().with_remote_span_context(self.0.clone());
        TraceContextPropagator::new().inject_context(&context, &mut text);
        text.0
    }

    /// Puts it into the metadata of a request.
    pub(super) fn into_metadata(self, metadata: &mut MetadataMap) {
        if let Ok(value) = AsciiMetadataValue::try_from(self.to_text()) {
            metadata.insert(TRACEPARENT, value);
        }
    }
}

struct Text<'a>(&'a str);

impl Extractor for Text<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

struct TextOut(String);

impl Injector for TextOut {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACEPARENT {
            self.0 = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_written_as_the_standard_says() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(Traceparent::from_text(text).unwrap().to_text(), text);
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "acct-1",
        ] {
            assert_eq!(Traceparent::from_text(wrong), None, "{wrong:?}");
        }
    }
}
