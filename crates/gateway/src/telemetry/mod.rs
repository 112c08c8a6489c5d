//! Traces: what happened to one customer, from the touch at the ATM to the confirmed hold, told to an OTLP collector.
//!
//! A withdrawal begins in one task and ends in others, minutes later, so spans are values that lie beside the lane ([`Span`]) and not scopes of
//! code. Off, a span is nothing and costs nothing. On, what ends goes through `keeping` (which traces are told) and `exporting` (a bounded
//! queue before the collector); neither ever waits, and what is dropped is counted in [`SpanCounts`].
//!
//! **Absent: accounts, devices, PIN blocks, QR tokens and codes.** A span names ATM, institution, QR session and withdrawal, nothing else of a customer.

mod connecting;
mod counts;
mod exporting;
mod keeping;
pub mod logging;
mod propagation;
mod rpc;
mod sampling;
mod span;

use std::sync::Arc;

pub use counts::SpanCounts;
use exporting::{EXPORT_MAX, Exporting, Queue};
use keeping::Keeper;
use opentelemetry::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use opentelemetry_semantic_conventions::attribute;
pub use propagation::Traceparent;
pub(crate) use rpc::{CALLED, OTHER, SERVED, called};
pub use rpc::{Observed, called_rpc};
use sampling::Head;
pub use span::{REFUSED, Span};

use crate::config::{Config, TelemetrySection};

/// The telemetry of a process: what begins spans, and the task that tells them.
#[derive(Debug)]
pub struct Telemetry {
    tracing: Tracing,
    counts: Arc<SpanCounts>,
    running: Option<(SdkTracerProvider, Exporting)>,
}

/// The telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.endpoint {endpoint}: {why}; correct it, or leave [telemetry] out")]
pub struct TelemetryError {
    endpoint: String,
    why: String,
}

impl Telemetry {
    /// Nothing is traced.
    #[must_use]
    pub fn off() -> Self {
        Self { tracing: Tracing::default(), counts: Arc::default(), running: None }
    }

    /// As the configuration says. Connects when there is something to tell, and never waits for the collector. Must run on a tokio runtime.
    ///
    /// # Errors
    /// The endpoint is none, or the TLS files cannot be used. A collector that is not there is no error.
    pub fn start(config: &Config) -> Result<Self, TelemetryError> {
        let Some(section) = &config.telemetry else { return Ok(Self::off()) };
        let counts = Arc::new(SpanCounts::default());
        let resource = resource(section);
        let exporter = connecting::exporter(section, config, &resource, EXPORT_MAX)
            .map_err(|why| TelemetryError { endpoint: section.endpoint.clone(), why })?;
        let (queue, exporting) = Queue::before(exporter, section.queue_spans, Arc::clone(&counts));
        let keeper = Keeper::new(queue, section.held_back_spans, Arc::clone(&counts));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(Head::new(section.sampled_of_1000))
            .with_span_processor(keeper)
            .build();
        let tracing = Tracing(Some(Context::new().with_value(provider.tracer("cashgate"))));
        Ok(Self { tracing, counts, running: Some((provider, exporting)) })
    }

    /// What begins spans.
    #[must_use]
    pub const fn tracing(&self) -> &Tracing {
        &self.tracing
    }

    /// What became of the spans.
    #[must_use]
    pub const fn counts(&self) -> &Arc<SpanCounts> {
        &self.counts
    }

    /// Tells what is queued, for a few seconds at most.
    pub async fn close(self) {
        let Some((provider, exporting)) = self.running else { return };
        // No span is taken any more; those in the queue are still told.
        if let Err(error) = provider.shutdown() {
            tracing::debug!(%error, "the tracer was shut down already");
        }
        exporting.close().await;
    }
}

fn resource(section: &TelemetrySection) -> Resource {
    use opentelemetry::KeyValue;
    Resource::builder_empty()
        .with_service_name("cashgate")
        .with_attributes([
            KeyValue::new(attribute::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
            KeyValue::new(attribute::SERVICE_INSTANCE_ID, section.instance.clone()),
        ])
        .build()
}

/// Begins spans that have no parent here. Clones are the same; the default traces nothing.
#[derive(Clone, Debug, Default)]
pub struct Tracing(Option<Context>);

impl Tracing {
    /// Whether anything is traced.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The root of a trace, or of this gateway's part of the caller's.
    #[must_use]
    pub fn root(&self, name: &'static str, parent: Option<&Traceparent>) -> Span {
        let Some(base) = &self.0 else { return Span::OFF };
        let parent = parent.map_or_else(|| base.clone(), |remote| remote.within(base));
        Span::begin(&parent, name, opentelemetry::trace::SpanKind::Server)
    }
}

/// The tracer that a context carries.
fn tracer_of(context: &Context) -> Option<&SdkTracer> {
    context.get::<SdkTracer>()
}
