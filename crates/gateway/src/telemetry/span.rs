//! A span as a value.

use std::borrow::Cow;

use opentelemetry::context::FutureExt;
use opentelemetry::trace::{SpanBuilder, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, ContextGuard, KeyValue, Value};
use opentelemetry_semantic_conventions::attribute;
use tonic::metadata::MetadataMap;

use super::{Traceparent, tracer_of};

/// Why a trace is told although it was not sampled: an attribute of the span that says so.
pub(super) const KEPT_FOR: &str = "cashgate.kept_for";
/// [`Span::keep`] for a request that was refused.
pub const REFUSED: &str = "refusal";

/// Something that takes time, or nothing at all while nothing is traced. Clones are the same span; it ends with [`Span::end`] or with the last clone.
#[derive(Clone, Debug, Default)]
pub struct Span(Option<Context>);

impl Span {
    /// Nothing.
    pub const OFF: Self = Self(None);

    pub(super) fn begin(parent: &Context, name: &'static str, kind: SpanKind) -> Self {
        let Some(tracer) = tracer_of(parent) else { return Self::OFF };
        let builder = SpanBuilder::from_name(name).with_kind(kind);
        Self(Some(parent.with_span(tracer.build_with_context(builder, parent))))
    }

    /// The span that the running code belongs to ([`Span::within`], [`Span::enter`]).
    #[must_use]
    pub fn current() -> Self {
        Context::map_current(|context| Self(context.has_active_span().then(|| context.clone())))
    }

    /// Whether there is one.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A part of this one.
    #[must_use]
    pub fn child(&self, name: &'static str) -> Self {
        self.child_of_kind(name, SpanKind::Internal)
    }

    /// A call of another service's rpc, as part of this span.
    #[must_use]
    pub fn client(&self, rpc: &'static str) -> Self {
        let call = self.child_of_kind(rpc, SpanKind::Client);
        call.is_of_rpc(rpc);
        call
    }

    /// Something that an ATM is told to do, or reports: a part of this one. It is handed over on a stream, not called.
    #[must_use]
    pub fn message(&self, name: &'static str, kind: SpanKind) -> Self {
        self.child_of_kind(name, kind)
    }

    /// A message that came with a context of its own: a child of that if it belongs to this trace, else a child of this with a link to it.
    #[must_use]
    pub fn continued(&self, name: &'static str, from: Option<&Traceparent>) -> Self {
        let Some(context) = &self.0 else { return Self::OFF };
        match from {
            Some(remote) if remote.span_context().trace_id() == context.span().span_context().trace_id() => {
                // A remote parent would be sampled anew, with the same result: the choice follows from the trace's id.
                Self::begin(&remote.within(context), name, SpanKind::Server)
            }
            remote => {
                let span = self.child_of_kind(name, SpanKind::Server);
                if let (Some(remote), Some(context)) = (remote, &span.0) {
                    context.span().add_link(remote.span_context().clone(), Vec::new());
                }
                span
            }
        }
    }

    fn child_of_kind(&self, name: &'static str, kind: SpanKind) -> Self {
        self.0.as_ref().map_or(Self::OFF, |parent| Self::begin(parent, name, kind))
    }

    pub(super) fn is_of_rpc(&self, rpc: &'static str) {
        self.set(attribute::RPC_SYSTEM_NAME, || "grpc");
        self.set(attribute::RPC_METHOD, || rpc);
    }

    /// Sets an attribute; its value is made only if there is a span.
    pub fn set<V: Into<Value>>(&self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(key, value()));
        }
    }

    /// Notes a moment.
    pub fn note(&self, what: &'static str) {
        if let Some(context) = &self.0 {
            context.span().add_event(what, Vec::new());
        }
    }

    /// Has this trace told, whatever the sampling says.
    pub fn keep(&self, why: &'static str) {
        self.set(KEPT_FOR, || why);
    }

    /// It failed. The trace is told.
    pub fn fail(&self, why: &'static str) {
        if let Some(context) = &self.0 {
            context.span().set_status(Status::Error { description: Cow::Borrowed(why) });
        }
    }

    /// Connects two spans of different traces, each with the other.
    pub fn link_both_ways(&self, other: &Self) {
        if let (Some(one), Some(other)) = (&self.0, &other.0) {
            let (one, other) = (one.span(), other.span());
            one.add_link(other.span_context().clone(), Vec::new());
            other.add_link(one.span_context().clone(), Vec::new());
        }
    }

    /// Over.
    pub fn end(&self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }

    /// Runs a future as this span's code; the span itself goes on until it is ended.
    pub async fn within<F: Future>(&self, future: F) -> F::Output {
        match &self.0 {
            Some(context) => future.with_context(context.clone()).await,
            None => future.await,
        }
    }

    /// What follows belongs to this span until the guard is dropped. Not to be held over an `await`: see [`Span::within`].
    pub fn enter(&self) -> Option<ContextGuard> {
        self.0.as_ref().map(|context| context.clone().attach())
    }

    /// What tells another process that it works on this span's behalf.
    #[must_use]
    pub fn traceparent(&self) -> Option<Traceparent> {
        self.0.as_ref().and_then(Traceparent::of)
    }

    /// The same in the metadata of a request.
    pub fn inject(&self, metadata: &mut MetadataMap) {
        if let Some(traceparent) = self.traceparent() {
            traceparent.into_metadata(metadata);
        }
    }
}
