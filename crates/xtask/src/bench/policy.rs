//! What the fraud rules cost an approval.

// Ratios of measured figures; no money here.
#![allow(clippy::float_arithmetic)]

use serde_json::Value;

use super::row::{Row, Target};
use crate::command;

pub(super) const NAMES: [&str; 2] = ["policy_decide", "policy_share"];

/// One thread: the 99th percentile of a decision with the built-in rules against its median; prints what gathering the facts costs beside it.
pub(super) fn measure() -> Result<Vec<Row>, String> {
    let bench = ["bench", "--quiet", "-p", "cashgate-policy", "--bench", "decide"];
    let line = command::output(command::cargo().args(bench))?;
    let found: Value =
        serde_json::from_str(line.trim()).map_err(|error| format!("the bench wrote no JSON: {error}"))?;
    let figure = |name: &str| found.get(name).and_then(Value::as_f64).ok_or_else(|| format!("{name} is missing"));
    println!(
        "facts of a withdrawal, gathered and remembered: {} ns, {} bytes an account; forgetting holds others up for {} us at most",
        figure("withdrawal_ns")?,
        figure("bytes_per_account")?,
        figure("sweep_us")?
    );
    let (ours, baseline) = (figure("decide_p99_ns")? / 1_000.0, figure("decide_p50_ns")? / 1_000.0);
    let decide = Row { name: "policy_decide".to_owned(), ours, baseline, unit: "us", target: Target::None };
    Ok(vec![decide, share()?])
}

/// What the rules add to the processor time of an approval, against all of it before anything is written: two signatures and the desk.
fn share() -> Result<Row, String> {
    let bench = ["bench", "--quiet", "-p", "cashgate-gateway", "--bench", "admit"];
    let line = command::output(command::cargo().args(bench))?;
    let found: Value =
        serde_json::from_str(line.trim()).map_err(|error| format!("the bench wrote no JSON: {error}"))?;
    let figure = |name: &str| found.get(name).and_then(Value::as_f64).ok_or_else(|| format!("{name} is missing"));
    let (admit, without, signature) = (figure("admit_us")?, figure("admit_without_rules_us")?, figure("signature_us")?);
    let (ours, baseline) = (admit - without, admit + 2.0 * signature);
    Ok(Row { name: "policy_share".to_owned(), ours, baseline, unit: "us", target: Target::None })
}
