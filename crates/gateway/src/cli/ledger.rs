//! `cashgate ledger`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use cashgate_gateway::audit::{AuditFinding, AuditReport, audit};
use cashgate_gateway::config::{Config, LedgerSection};
use clap::{Args, Subcommand};
use serde_json::json;

use super::Failure;
use super::output::say;

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Checks every record, every step against the rules, every row against its steps, and the money of every account. Only reads, also
    /// while the gateway runs. Exit code 0: nothing is wrong, 1: something is, 2: nothing could be checked.
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The gateway's configuration, which names the ledger.
    #[arg(long, required_unless_present = "ledger")]
    config: Option<PathBuf>,
    /// The ledger file, in place of the configuration's.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// One JSON object a line: the findings, then the summary.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(task: &Task) -> Result<ExitCode, Failure> {
    let Task::Verify(arguments) = task;
    let config = arguments.config.as_deref().map(Config::load).transpose().map_err(Failure::unusable)?;
    let named = arguments.ledger.clone().map(LedgerSection::File).or(config.map(|config| config.ledger));
    let ledger = named.ok_or_else(|| Failure::unusable("name the ledger with --ledger, or the configuration"))?;
    // Printed as they are found: a damaged ledger may have many, and a large one takes a while.
    let report = audit(&ledger, &mut |finding| {
        let line = if arguments.json { as_json(&finding) } else { finding.to_string() };
        // A reader that has seen enough does not change what is found.
        let _ = writeln!(std::io::stdout(), "{line}");
    })
    .map_err(Failure::unusable)?;
    say(&if arguments.json { summary_json(&report) } else { summary(&report) }).map_err(Failure::unusable)?;
    Ok(if report.findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn as_json(finding: &AuditFinding) -> String {
    json!({ "finding": { "kind": finding.kind(), "said": finding.to_string() } }).to_string()
}

fn summary(report: &AuditReport) -> String {
    let ledger = &report.ledger;
    let mut text = format!(
        "{} withdrawals ({} open), {} steps, {} devices, {} remarks, {} accounts; last sequence {}",
        ledger.withdrawals,
        ledger.open,
        ledger.steps,
        ledger.devices,
        ledger.remarks,
        report.accounts,
        ledger.last_sequence
    );
    for (currency, (approved, parts)) in &report.totals {
        text.push_str(&format!("\n{currency}  {approved} approved: {parts}"));
    }
    if ledger.running {
        text.push_str("\na gateway runs on this ledger, so its log was not looked at");
    }
    // One with a commit mark is among the findings.
    if let Some(torn) = ledger.torn_tail.filter(|torn| !torn.commit_mark) {
        text.push_str(&format!("\n{torn}"));
    }
    text.push_str(&match report.findings {
        0 => "\nnothing is wrong".to_owned(),
        count => format!("\nsomething is wrong: {count} findings"),
    });
    text
}

fn summary_json(report: &AuditReport) -> String {
    let ledger = &report.ledger;
    let totals: Vec<_> = report
        .totals
        .iter()
        .map(|(currency, (approved, parts))| {
            // Sums of a ledger's amounts fit 64 bits by far; one that does not is a text.
            let number = |sum: u128| u64::try_from(sum).map_or_else(|_| json!(sum.to_string()), |sum| json!(sum));
            json!({
                "currency": currency.to_string(),
                "approved_minor_units": number(*approved),
                "confirmed_minor_units": number(parts.confirmed),
                "given_back_minor_units": number(parts.given_back),
                "declined_minor_units": number(parts.declined),
                "open_minor_units": number(parts.open),
                "suspect_minor_units": number(parts.suspect),
            })
        })
        .collect();
    json!({ "summary": {
        "findings": report.findings,
        "withdrawals": ledger.withdrawals,
        "open": ledger.open,
        "steps": ledger.steps,
        "step_bytes": ledger.step_bytes,
        "devices": ledger.devices,
        "remarks": ledger.remarks,
        "accounts": report.accounts,
        "last_sequence": ledger.last_sequence.0,
        "gateway_running": ledger.running,
        "torn_tail": ledger.torn_tail.as_ref().map(ToString::to_string),
        "totals": totals,
    } })
    .to_string()
}
