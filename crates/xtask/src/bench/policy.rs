//! What the fraud rules cost an approval.

// Ratios of measured figures; no money here.
#![allow(clippy::float_arithmetic)]

use serde_json::Value;

use super::program::{figure, figures_of_bench};
use super::row::{Row, Target};

pub(super) const NAMES: [&str; 2] = ["policy_decide", "policy_share"];

/// One thread: the 99th percentile of a decision with the built-in rules against its median; prints what gathering the facts costs beside it.
pub(super) fn measure() -> Result<Vec<Row>, String> {
    let found = figures_of_bench("cashgate-policy", "decide", &[])?;
    println!(
        "facts of a withdrawal, gathered and remembered: {} ns, {} bytes an account; forgetting holds others up for {} us at most",
        figure(&found, "withdrawal_ns")?,
        figure(&found, "bytes_per_account")?,
        figure(&found, "sweep_us")?
    );
    let (ours, baseline) = (figure(&found, "decide_p99_ns")? / 1_000.0, figure(&found, "decide_p50_ns")? / 1_000.0);
    let decide = Row::single("policy_decide", ours, baseline, "us", Target::None);
    Ok(vec![decide, share()?])
}

/// What the rules add to the processor time of an approval, against all of it before anything is written: two signatures and the desk.
fn share() -> Result<Row, String> {
    let found = admission()?;
    let (admit, without) = (figure(&found, "admit_us")?, figure(&found, "admit_without_rules_us")?);
    let (ours, baseline) = (admit - without, admit + 2.0 * figure(&found, "signature_us")?);
    Ok(Row::single("policy_share", ours, baseline, "us", Target::None))
}

/// Processor time of one P-256 verification, in us.
pub(super) fn signature_us() -> Result<f64, String> {
    figure(&admission()?, "signature_us")
}

fn admission() -> Result<Value, String> {
    figures_of_bench("cashgate-gateway", "admit", &[])
}
