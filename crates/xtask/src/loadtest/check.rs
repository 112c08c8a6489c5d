//! A load test of ten seconds as a stage of the tests: it passes, it fails when it should, and its report can be read.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{Order, run};
use crate::command::{self, Build};
use crate::packages;

/// Every part of a load test once, in ten seconds.
const SCENARIO: &str = "crates/xtask/src/loadtest/short.toml";
const ATMS: u32 = 20;
/// Debian's name, and what others call it.
const BROWSERS: [&str; 2] = ["chromium", "google-chrome"];
/// A page of white has one colour, and its picture is small whatever its size.
const BLANK_BYTES_MAX: u64 = 20_000;

/// Runs it.
pub(crate) fn stage() -> Result<(), String> {
    packages::ensure(&[packages::CHROMIUM])?;
    let scenario = command::root().join(SCENARIO).display().to_string();
    let out = run(&Order { scenario: &scenario, atms: ATMS, how: Build::Debug, replicated: false, options: &[] })?;
    let report = read(&out.join("report.json"))?;
    let report: Value = serde_json::from_str(&report).map_err(|error| format!("report.json: {error}"))?;
    shows_something(&report)?;
    seen_in_a_browser(&out.join("report.html"))
}

/// A run in which nobody was paid, or no ATM reconnected, would show nothing.
fn shows_something(report: &Value) -> Result<(), String> {
    for pointer in [
        "/visits/customers/paid",
        "/visits/thieves",
        "/latency_ms/connect/count",
        "/books/machines_paid",
        "/means/qr_tokens_per_s",
    ] {
        let value = report.pointer(pointer).unwrap_or(&Value::Null);
        if value.is_null() || value.as_f64() == Some(0.0) {
            return Err(format!("the short load test shows too little: {pointer} is {value}"));
        }
    }
    Ok(())
}

/// The page is laid out by a real browser: its picture is not blank, and every plot has lines in it.
fn seen_in_a_browser(page: &Path) -> Result<(), String> {
    let browser = BROWSERS.iter().find(|name| command::succeeds(name, &["--version"]));
    let browser = browser.ok_or("no Chromium to look at the report with")?;
    let picture = page.with_extension("png");
    let headless = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1100,3000"];
    let mut screenshot = Command::new(browser);
    screenshot
        .args(headless)
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("file://{}", page.display()));
    command::output(&mut screenshot)?;
    let bytes = fs::metadata(&picture).map_err(|error| format!("{}: {error}", picture.display()))?.len();
    if bytes <= BLANK_BYTES_MAX {
        return Err(format!("{} has {bytes} bytes: the report is blank", picture.display()));
    }
    let html = read(page)?;
    let plots: Vec<&str> = html.split("<svg").skip(1).collect();
    let empty = plots.iter().filter(|plot| !plot.contains("<polyline")).count();
    if plots.len() < 6 || empty > 0 {
        return Err(format!("{}: {} plots, {empty} of them without a line", page.display(), plots.len()));
    }
    println!("the report has {} plots, and its picture {bytes} bytes: {}", plots.len(), picture.display());
    Ok(())
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_that_shows_nothing_is_no_proof() {
        let full = json!({
            "visits": {"customers": {"paid": 60}, "thieves": {"approve: NOT_ALLOWED": 5}},
            "latency_ms": {"connect": {"count": 20}}, "books": {"machines_paid": 100_000}, "means": {"qr_tokens_per_s": 8.0},
        });
        assert_eq!(shows_something(&full), Ok(()));
        let mut nobody_paid = full.clone();
        nobody_paid["visits"]["customers"] = json!({"no ATM free": 60});
        assert!(shows_something(&nobody_paid).unwrap_err().contains("/visits/customers/paid"));
        let mut no_storm = full;
        no_storm["latency_ms"]["connect"]["count"] = json!(0);
        assert!(shows_something(&no_storm).unwrap_err().contains("connect"));
    }
}
