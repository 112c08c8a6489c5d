//! The gateway's own metrics: one plain HTTP request, and a few names out of the answer. A name that is not there is not shown.

#![allow(clippy::float_arithmetic, reason = "metrics are floats; no money")]

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer that takes longer is of no use any more.
const PATIENCE: Duration = Duration::from_millis(800);

/// Where the metrics are, typed as `http://HOST:PORT/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsAddress {
    authority: String,
    path: String,
}

/// A text is no such address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not http://HOST:PORT/PATH, such as http://127.0.0.1:7445/metrics")]
pub struct MetricsAddressError(String);

impl FromStr for MetricsAddress {
    type Err = MetricsAddressError;

    fn from_str(text: &str) -> Result<Self, MetricsAddressError> {
        let rest = text.strip_prefix("http://");
        let parts = rest.and_then(|rest| rest.split_once('/')).filter(|(authority, _)| authority.contains(':'));
        let (authority, path) = parts.ok_or_else(|| MetricsAddressError(text.to_owned()))?;
        Ok(Self { authority: authority.to_owned(), path: format!("/{path}") })
    }
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

impl MetricsAddress {
    /// What the gateway exports now; nothing if it does not answer.
    pub(super) async fn scrape(&self) -> Option<Scrape> {
        let text = tokio::time::timeout(PATIENCE, self.fetch()).await.ok()?.ok()?;
        let is_metrics = text.starts_with("HTTP/1.") && text.contains("\ncashgate_");
        is_metrics.then_some(Scrape(text))
    }

    async fn fetch(&self) -> std::io::Result<String> {
        let mut socket = TcpStream::connect(&self.authority).await?;
        let request = format!("GET {} HTTP/1.0\r\nHost: {}\r\n\r\n", self.path, self.authority);
        socket.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        socket.read_to_string(&mut text).await?;
        Ok(text)
    }
}

/// What was exported at one moment, in Prometheus' text form.
pub(super) struct Scrape(String);

impl Scrape {
    /// What all of them export now; nothing if there are none, or one does not answer: a sum without it would look like a loss.
    pub(super) async fn of_all(addresses: &[MetricsAddress]) -> Option<Self> {
        let mut all = String::new();
        for address in addresses {
            all.push_str(&address.scrape().await?.0);
            all.push('\n');
        }
        (!all.is_empty()).then_some(Self(all))
    }

    pub(super) fn hsm_queue(&self) -> Option<f64> {
        self.sum("cashgate_hsm_queue_depth")
    }

    pub(super) fn hsm_signatures(&self) -> Option<f64> {
        self.sum("cashgate_hsm_signature_seconds_count")
    }

    /// Without those that could not be signed.
    pub(super) fn qr_tokens(&self) -> Option<f64> {
        self.sum_of("cashgate_qr_tokens_minted_total", |labels| !labels.contains("\"failed\""))
    }

    pub(super) fn durable_steps(&self) -> Option<f64> {
        self.sum("cashgate_withdrawal_steps_total")
    }

    /// Over all labels.
    fn sum(&self, name: &str) -> Option<f64> {
        self.sum_of(name, |_| true)
    }

    fn sum_of(&self, name: &str, is_it: impl Fn(&str) -> bool) -> Option<f64> {
        let values = self.0.lines().filter_map(|line| {
            let behind = line.strip_prefix(name).filter(|behind| behind.starts_with(['{', ' ']))?;
            let (labels, value) = behind.rsplit_once(' ')?;
            value.parse::<f64>().ok().filter(|_| is_it(labels))
        });
        values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }
}

/// The rate of a counter; nothing if it went back, as a restart sets it back.
pub(super) fn per_second(before: f64, now: f64, passed: Duration) -> Option<f64> {
    (now >= before && !passed.is_zero()).then(|| (now - before) / passed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_and_a_path() {
        let address: MetricsAddress = "http://127.0.0.1:7445/metrics".parse().unwrap();
        assert_eq!((address.authority.as_str(), address.path.as_str()), ("127.0.0.1:7445", "/metrics"));
        for wrong in ["127.0.0.1:7445/metrics", "https://a:1/metrics", "http://a/metrics", "http://a:1"] {
            assert!(wrong.parse::<MetricsAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_metric_is_summed_over_its_labels_and_not_taken_for_a_longer_name() {
        let text = "HTTP/1.0 200 OK\n\n# HELP cashgate_withdrawal_steps_total x\ncashgate_withdrawal_steps_total{event=\"a\"} 3\n\
                    cashgate_withdrawal_steps_total{event=\"b\"} 4\ncashgate_hsm_queue_depth_max 9\ncashgate_hsm_queue_depth 2\n";
        let scrape = Scrape(text.to_owned());
        assert_eq!((scrape.durable_steps(), scrape.hsm_queue(), scrape.qr_tokens()), (Some(7.0), Some(2.0), None));
    }

    #[test]
    fn a_token_that_could_not_be_signed_was_not_minted() {
        let minted = "cashgate_qr_tokens_minted_total{result=\"signed\"} 5\ncashgate_qr_tokens_minted_total{result=\"failed\"} 9\n";
        assert_eq!(Scrape(minted.to_owned()).qr_tokens(), Some(5.0));
    }

    #[test]
    fn a_counter_that_was_set_back_has_no_rate() {
        assert_eq!(per_second(10.0, 30.0, Duration::from_secs(2)), Some(10.0));
        assert_eq!(per_second(30.0, 10.0, Duration::from_secs(2)), None);
    }
}
