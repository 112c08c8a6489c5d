//! The table: what each attack came to.

use std::time::Duration;

use serde_json::json;

use crate::honest::Latency;
use crate::raw::NEVER;

/// How long the gateway may bear a bad peer, with room for a busy machine: 10 s are promised.
const CLOSED_WITHIN: Duration = Duration::from_secs(12);
/// How much memory an attack may cost, with room for what the allocator keeps: 64 MiB are promised.
const MEMORY_MIB_MAX: f64 = 80.0;

/// What an attack came to.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    /// Connections that attacked.
    pub(crate) attackers: usize,
    /// How long the longest of them was borne; `None` if one was never closed.
    pub(crate) borne: Option<Duration>,
    /// What else was looked at, and whether it was as it should be.
    pub(crate) found: Result<String, String>,
    pub(crate) memory_mib: f64,
    pub(crate) cpu_s: f64,
    pub(crate) before: [Latency; 3],
    pub(crate) during: [Latency; 3],
}

/// All outcomes so far.
pub(crate) struct Report(Vec<Outcome>);

impl Report {
    /// Prints the head of the table.
    pub(crate) fn begin() -> Self {
        println!(
            "| attack | peers | closed after | memory | gateway CPU | code p99 ms (before, during, ratio) | list p99 ms | connect worst ms | found |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        Self(Vec::new())
    }

    /// Prints a row.
    pub(crate) fn add(&mut self, outcome: Outcome) {
        println!("{}", row(&outcome));
        self.0.push(outcome);
    }

    /// Everything as JSON.
    pub(crate) fn json(&self) -> String {
        let latency = |one: &Latency| json!({ "p99_ms": one.p99_ms, "worst_ms": one.worst_ms, "samples": one.many });
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|one| {
                json!({
                    "attack": one.name,
                    "peers": one.attackers,
                    "closed_after_s": one.borne.map(|borne| borne.as_secs_f64()),
                    "memory_mib": one.memory_mib,
                    "cpu_s": one.cpu_s,
                    "found": one.found.clone().unwrap_or_else(|problem| problem),
                    "as_it_should_be": one.problems().is_empty(),
                    "before": { "code": latency(&one.before[0]), "list": latency(&one.before[1]), "connect": latency(&one.before[2]) },
                    "during": { "code": latency(&one.during[0]), "list": latency(&one.during[1]), "connect": latency(&one.during[2]) },
                })
            })
            .collect();
        format!("{:#}\n", json!({ "attacks": rows }))
    }

    /// What is not as it should be.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.0.iter().flat_map(Outcome::problems).collect()
    }
}

impl Outcome {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match self.borne {
            None => problems.push(format!("{}: an attacker was not closed within {NEVER:?}", self.name)),
            Some(borne) if borne > CLOSED_WITHIN => {
                problems.push(format!("{}: an attacker was borne for {borne:.1?}", self.name));
            }
            Some(_) => {}
        }
        if self.memory_mib > MEMORY_MIB_MAX {
            problems.push(format!("{}: it cost {:.0} MiB", self.name, self.memory_mib));
        }
        if let Err(found) = &self.found {
            problems.push(format!("{}: {found}", self.name));
        }
        problems
    }
}

fn row(one: &Outcome) -> String {
    let closed = one
        .borne
        .map_or_else(|| format!("**not in {} s**", NEVER.as_secs()), |borne| format!("{:.1} s", borne.as_secs_f64()));
    let both = |before: Latency, during: Latency| {
        format!("{:.1}, {:.1}, {:.1}x", before.p99_ms, during.p99_ms, during.p99_ms / before.p99_ms.max(0.1))
    };
    let ([codes, lists, connects], [codes_now, lists_now, connects_now]) = (one.before, one.during);
    let connect = format!("{:.0}, {:.0}", connects.worst_ms, connects_now.worst_ms);
    let found = one.found.clone().unwrap_or_else(|problem| format!("**{problem}**"));
    format!(
        "| {} | {} | {closed} | {:+.1} MiB | {:.1} s | {} | {} | {connect} | {found} |",
        one.name,
        one.attackers,
        one.memory_mib,
        one.cpu_s,
        both(codes, codes_now),
        both(lists, lists_now)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome {
            name: "test",
            attackers: 1,
            borne: Some(Duration::from_secs(5)),
            found: Ok(String::new()),
            memory_mib: 1.0,
            cpu_s: 0.1,
            before: [Latency::default(); 3],
            during: [Latency::default(); 3],
        }
    }

    #[test]
    fn each_promise_that_is_broken_is_told() {
        assert!(outcome().problems().is_empty());
        let broken = [
            Outcome { borne: None, ..outcome() },
            Outcome { borne: Some(Duration::from_secs(20)), ..outcome() },
            Outcome { memory_mib: 200.0, ..outcome() },
            Outcome { found: Err("it was let in".to_owned()), ..outcome() },
        ];
        assert!(broken.iter().all(|one| one.problems().len() == 1));
    }
}
