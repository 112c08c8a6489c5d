//! Tables of bad requests: each row must be refused in exactly its words, counted, and change nothing.

use std::collections::BTreeMap;

use tonic::{Response, Status};
use tonic_types::StatusExt;

use super::Site;

/// Checks row after row and fails at the end with all that was wrong.
pub(crate) struct Refusals<'site> {
    site: &'site Site,
    rpc: &'static str,
    counted: BTreeMap<String, u64>,
    rows: (usize, usize),
    core_banking_calls: usize,
    problems: Vec<String>,
}

impl<'site> Refusals<'site> {
    /// A table of one rpc. Nobody else may use the gateway meanwhile.
    pub(crate) async fn of(site: &'site Site, rpc: &'static str) -> Self {
        let core_banking_calls = site.core_bank.call_count();
        Self { site, rpc, counted: counts(site, rpc).await, rows: rows(site), core_banking_calls, problems: Vec::new() }
    }

    /// One row. `expected` is the gRPC code, the reason, and the field if one is named.
    pub(crate) async fn row<T>(&mut self, what: &str, answer: Result<Response<T>, Status>, expected: &str) {
        let found = match &answer {
            Ok(_) => "accepted".to_owned(),
            Err(status) => in_words(status),
        };
        self.heard(what, &found, expected).await;
    }

    /// The same for a refusal that has been put into words.
    pub(crate) async fn heard(&mut self, what: &str, found: &str, expected: &str) {
        if found != expected {
            self.problems.push(format!("{what}: {found} instead of {expected}"));
        }
        let reason = expected.split(' ').nth(1).unwrap_or(expected).to_owned();
        *self.counted.entry(reason).or_default() += 1;
        let counted = counts(self.site, self.rpc).await;
        if counted != self.counted {
            self.problems
                .push(format!("{what}: the refusals are counted as {counted:?} instead of {:?}", self.counted));
            self.counted = counted;
        }
        let rows = rows(self.site);
        if rows != self.rows {
            self.problems
                .push(format!("{what}: the ledger changed from {:?} steps and devices to {rows:?}", self.rows));
            self.rows = rows;
        }
    }

    /// Fails with everything that was not as it should be.
    pub(crate) fn done(self) {
        let calls = self.site.core_bank.call_count();
        assert!(self.problems.is_empty(), "{}:\n  {}", self.rpc, self.problems.join("\n  "));
        assert_eq!(calls, self.core_banking_calls, "core banking was called");
    }
}

/// The code, the reason, and the field if one is named.
pub(crate) fn in_words(status: &Status) -> String {
    let Some(info) = status.get_details_error_info() else {
        return format!("{:?} without a reason ({})", status.code(), status.message());
    };
    let domain = if info.domain == "cashgate" { "" } else { " of a foreign domain" };
    let field = info.metadata.get("field").map(|field| format!(" {field}")).unwrap_or_default();
    format!("{:?} {}{field}{domain}", status.code(), info.reason)
}

/// How often an rpc's requests were refused, by reason.
async fn counts(site: &Site, rpc: &str) -> BTreeMap<String, u64> {
    let page = site.page("/metrics").await;
    let mut counts = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("cashgate_refused_total{")) {
        let label = |name: &str| line.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
        if label("rpc") == Some(rpc) {
            let value: u64 = line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a count");
            *counts.entry(label("reason").expect("a reason").to_owned()).or_default() += value;
        }
    }
    counts
}

/// How many steps and devices the ledger holds.
fn rows(site: &Site) -> (usize, usize) {
    (site.steps().len(), site.ledger().devices().unwrap().len())
}
