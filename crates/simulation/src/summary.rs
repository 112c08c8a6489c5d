//! What a run has seen, in columns for a person.

use std::io::{self, Write};

use crate::coverage::Coverage;
use crate::faults::{FaultKind, Faults};
use crate::plan::Shape;
use crate::timeline::grouped;

/// From so many worlds on, a run must have seen everything; fewer may miss what is rare.
pub const WORLDS_FOR_COVERAGE: u64 = 20_000;
/// The same for worlds with several replicas.
pub const WORLDS_FOR_COVERAGE_OVER_REPLICAS: u64 = 1_000;

/// Writes the counts. A single world's are its faults only.
///
/// # Errors
///
/// Whatever writing gives.
pub fn write(coverage: &Coverage, shape: Shape, out: &mut dyn Write) -> io::Result<()> {
    let faults: Vec<(FaultKind, u64)> = match shape {
        Shape::OneGateway => coverage.faults(),
        Shape::Replicas => Faults::all_over_replicas().map(|kind| (kind, coverage.struck_by(kind))).collect(),
    };
    let totals = [
        ("worlds", coverage.worlds),
        ("withdrawals", coverage.withdrawals()),
        ("events", coverage.events),
        ("faults", faults.iter().map(|(_, count)| count).sum()),
        ("bits flipped", coverage.flipped),
        ("damage found", coverage.damage_found),
        ("groups in the reserve", coverage.reserve_used),
    ];
    writeln!(out)?;
    for (what, count) in totals {
        writeln!(out, "{what:<22} {:>14}", grouped(count))?;
    }
    if shape == Shape::Replicas {
        writeln!(out, "\nwhat replicas and their database went through")?;
        for (what, count) in coverage.over_replicas() {
            writeln!(out, "  {what:<40} {:>12}", grouped(count))?;
        }
    }
    let is_single = coverage.worlds == 1;
    writeln!(out, "\nfaults that struck")?;
    for (kind, count) in faults.into_iter().filter(|(_, count)| !is_single || *count > 0) {
        writeln!(out, "  {:<22} {:>12}  {}", kind.to_string(), grouped(count), kind.meaning())?;
    }
    if is_single {
        return Ok(());
    }
    writeln!(out, "\nstates that were entered")?;
    for (state, count) in coverage.states() {
        writeln!(out, "  {state:<22} {:>12}", grouped(count))?;
    }
    writeln!(out, "\ntransitions that were taken")?;
    for ((before, event, after), count) in coverage.transitions() {
        writeln!(out, "  {before:<18}  {event:<24}  {after:<18} {:>12}", grouped(count))?;
    }
    Ok(())
}

/// Writes what was never seen. Says whether the run fails for it.
///
/// # Errors
///
/// Whatever writing gives.
pub fn write_gaps(coverage: &Coverage, shape: Shape, out: &mut dyn Write) -> io::Result<bool> {
    let (gaps, needed) = match shape {
        Shape::OneGateway => (coverage.gaps(), WORLDS_FOR_COVERAGE),
        Shape::Replicas => (coverage.gaps_over_replicas(), WORLDS_FOR_COVERAGE_OVER_REPLICAS),
    };
    let counts = coverage.worlds >= needed;
    if coverage.worlds == 1 {
        return Ok(false);
    }
    if gaps.is_empty() {
        writeln!(out, "\nno gap: every fault struck, every state was entered, every transition was taken")?;
        return Ok(false);
    }
    if counts {
        writeln!(out, "\n{} gaps: what was never seen was not tested", gaps.len())?;
    } else {
        let needed = grouped(needed);
        writeln!(out, "\n{} gaps, for information: a run fails for them from {needed} worlds on", gaps.len())?;
    }
    for gap in gaps {
        writeln!(out, "  {gap}")?;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_fail_a_run_that_is_long_enough_to_have_none() {
        let fails = |worlds| {
            write_gaps(&Coverage { worlds, ..Coverage::default() }, Shape::OneGateway, &mut Vec::new()).unwrap()
        };
        assert!(!fails(1) && !fails(WORLDS_FOR_COVERAGE - 1));
        assert!(fails(WORLDS_FOR_COVERAGE));
    }

    #[test]
    fn the_columns_are_aligned() {
        let mut written = Vec::new();
        write(&Coverage { worlds: 12_345, events: 1_234_567, ..Coverage::default() }, Shape::OneGateway, &mut written)
            .unwrap();
        let written = String::from_utf8(written).unwrap();
        assert!(written.contains("\nworlds                         12,345\nwithdrawals                         0\n"));
        assert!(written.contains("\nevents                      1,234,567\n"));
    }
}
