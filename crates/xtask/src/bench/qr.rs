//! What a QR token costs those who make and those who verify it, and how large its picture is.

use serde_json::Value;

use super::program::figures_of_bench;
use super::row::{Row, Target};

pub(super) const NAMES: [&str; 2] = ["qr_make", "qr_verify"];

/// One thread, a token in a batch of 64 against one alone; prints the table of pictures too.
pub(super) fn measure() -> Result<Vec<Row>, String> {
    let found = figures_of_bench("cashgate-qr", "tokens", &["--json"])?;
    print_pictures(&found);
    let us = |which: &str, batch: u64| -> Result<f64, String> {
        let rows = found.get(which).and_then(Value::as_array).ok_or("the bench says nothing of it")?;
        let row = rows.iter().find(|row| row.get("batch").and_then(Value::as_u64) == Some(batch));
        let ns = row.and_then(|row| row.get("ns_per_token")).and_then(Value::as_f64).ok_or("a batch is missing")?;
        Ok(ns / 1_000.0)
    };
    let row = |name: &str, which: &str| -> Result<Row, String> {
        let (ours, baseline) = (us(which, 64)?, us(which, 1)?);
        Ok(Row::single(name, ours, baseline, "us", Target::None))
    };
    Ok(vec![row("qr_make", "make")?, row("qr_verify", "verify")?])
}

fn print_pictures(found: &Value) {
    println!("a QR token by how many share a signature (level M):");
    for picture in found.get("pictures").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| picture.get(name).and_then(Value::as_u64).unwrap_or_default();
        let amount = if picture.get("amount_yen").is_some_and(Value::is_u64) { "with an amount" } else { "without" };
        let network = picture.get("network").and_then(Value::as_str).unwrap_or_default();
        println!(
            "  {:>2} codes, network {network:<8} {amount:<14}: {} bytes, version {} ({} modules)",
            field("batch"),
            field("bytes"),
            field("version"),
            field("modules")
        );
    }
}
