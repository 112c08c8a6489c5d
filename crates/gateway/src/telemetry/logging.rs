//! Log lines as JSON, with the trace that they belong to.

use std::fmt::{self, Write as _};

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What is logged if nobody says otherwise.
const USUAL: &str = "info";

/// Logs to standard error from now on, as much as `CASHGATE_LOG` says: a level, or more exactly
/// (<https://docs.rs/tracing-subscriber/latest/tracing_subscriber/filter/struct.EnvFilter.html>).
pub fn to_stderr() {
    let said = std::env::var("CASHGATE_LOG").unwrap_or_else(|_| USUAL.to_owned());
    let filter = understood(&said);
    let is_understood = filter.is_some();
    let filter = filter.unwrap_or_else(|| EnvFilter::new(USUAL));
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(WithTrace(tracing_subscriber::fmt::format().json()))
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(|line| may_be_told(line.target(), line.level())))
        .with(lines)
        .init();
    if !is_understood {
        tracing::warn!(
            said,
            "CASHGATE_LOG is no level (error, warn, info, debug, trace, off) and no list of MODULE=LEVEL: info holds"
        );
    }
}

/// The filter that is meant; none if it cannot be read, or if a word stands alone that is no level. To the library that would be a module, and nothing
/// but that would be logged: a gateway with `CASHGATE_LOG=warning` would be mute.
fn understood(said: &str) -> Option<EnvFilter> {
    let is_level =
        |word: &str| !word.is_empty() && (word.contains(['=', '[']) || word.trim().parse::<LevelFilter>().is_ok());
    said.split(',').all(is_level).then(|| EnvFilter::try_new(said).ok()).flatten()
}

/// Whatever `CASHGATE_LOG` says: the database's client tells every statement with its values, accounts among them, as soon as it is let.
fn may_be_told(target: &str, level: &Level) -> bool {
    *level <= Level::INFO || !target.starts_with("tokio_postgres")
}

/// JSON with `trace_id` and `span_id` at the end of a line that was written within a span.
struct WithTrace(Format<Json>);

impl<S, N> FormatEvent<S, N> for WithTrace
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    Format<Json>: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let within = Context::map_current(|current| {
            let span = current.span();
            let found = span.span_context();
            found.is_valid().then(|| found.clone())
        });
        let Some(within) = within else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&with_ids(&line, &within))
    }
}

fn with_ids(line: &str, within: &SpanContext) -> String {
    let Some(open) = line.trim_end().strip_suffix('}') else { return line.to_owned() };
    let mut whole = String::with_capacity(line.len() + 80);
    whole.push_str(open);
    // Writing into a String does not fail.
    let _ = writeln!(whole, ",\"trace_id\":\"{}\",\"span_id\":\"{}\"}}", within.trace_id(), within.span_id());
    whole
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};

    use super::*;

    #[test]
    fn a_level_that_is_none_does_not_make_the_gateway_mute() {
        for said in ["info", "WARN", "off", "info,cashgate_hsm=debug", "cashgate_gateway::lanes=trace,warn"] {
            assert!(understood(said).is_some(), "{said}");
        }
        for said in ["warning", "verbose", "", "info,hsm", "cashgate_hsm=loud"] {
            assert!(understood(said).is_none(), "{said}");
        }
    }

    #[test]
    fn no_level_has_statements_told_with_their_values() {
        for (target, level, told) in [
            ("tokio_postgres::query", Level::DEBUG, false),
            ("tokio_postgres::connection", Level::TRACE, false),
            ("tokio_postgres::connection", Level::INFO, true),
            ("cashgate_ledger::postgres", Level::TRACE, true),
        ] {
            assert_eq!(may_be_told(target, &level), told, "{target} {level}");
        }
    }

    #[test]
    fn the_ids_become_fields_of_the_line() {
        let within = SpanContext::new(
            TraceId::from(0x4bf9_u128),
            SpanId::from(0x00f0_u64),
            TraceFlags::default(),
            false,
            TraceState::NONE,
        );
        let line = with_ids("{\"level\":\"INFO\",\"fields\":{\"message\":\"}\"}}\n", &within);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["trace_id"], "00000000000000000000000000004bf9");
        assert_eq!(value["span_id"], "00000000000000f0");
        assert_eq!(value["fields"]["message"], "}");
        assert!(line.ends_with("}\n"));
    }
}
