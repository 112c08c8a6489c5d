//! `cashgate reconcile`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use cashgate_gateway::clock;
use cashgate_gateway::config::{Config, LedgerSection};
use cashgate_gateway::reconcile::{Plan, Reconciliation, Window, reconcile};
use cashgate_withdrawal::ids::InstitutionId;
use cashgate_withdrawal::time::Timestamp;
use clap::Args;
use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::Failure;
use super::output::say_lines;

const FILES: &str = "\
Both files are CSV in UTF-8 with a header line; columns may stand in any order, and further ones are ignored. Amounts are whole numbers of
minor units (1 = 1 yen). docs/reconciliation.md says more, also what each finding means.

The core banking file has one row for each withdrawal that core banking ever heard of:
  withdrawal_id,account,currency,held_minor_units,confirmed_minor_units,standing,posted_at_unix_ms
    held_minor_units   what was ever set aside, also after the hold has ended; 0 if nothing was
    standing           held, confirmed, reversed or declined
    posted_at_unix_ms  may be empty

The ATM counters have one row for each dispense command on a machine's record:
  atm_id,withdrawal_id,currency,presented_minor_units,retracted_minor_units
    retracted_minor_units  empty while the retract bin is not counted

Make both exports first, then run this: the ledger is read as it is now, also while the gateway runs.";

#[derive(Debug, Args)]
#[command(after_help = FILES)]
pub(crate) struct Arguments {
    /// The gateway's configuration, which names the ledger.
    #[arg(long, required_unless_present = "ledger")]
    config: Option<PathBuf>,
    /// The ledger file, in place of the configuration's.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Core banking's postings, CSV.
    #[arg(long, value_name = "FILE")]
    corebank: PathBuf,
    /// The ATMs' counters, CSV; one file or many.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    atm_counters: Vec<PathBuf>,
    /// Whose core banking the file is from. May be left out if the books hold withdrawals of one institution only.
    #[arg(long, value_name = "ID")]
    institution: Option<InstitutionId>,
    /// Only withdrawals begun at this moment or later: 2026-11-22T00:00:00+09:00, or a date, which begins at midnight in the
    /// institution's time zone. Open withdrawals are looked at whenever they began.
    #[arg(long, value_name = "MOMENT")]
    since: Option<String>,
    /// Only withdrawals begun before this moment; if left out, when the oldest of the files was last written. Of those that ended later only
    /// what can never be right is a finding.
    #[arg(long, value_name = "MOMENT")]
    until: Option<String>,
    /// A suspect approved longer ago is a finding.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    suspects_older_than: Duration,
    /// Any other open withdrawal approved longer ago is a finding.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    open_longer_than: Duration,
    /// One JSON object a line: the findings, then the summary.
    #[arg(long)]
    json: bool,
}

/// Code 1 says that the books differ; whatever keeps them from being compared ends with code 2.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let found = compare(arguments).map_err(Failure::unusable)?;
    let summary = &found.summary;
    if arguments.json {
        say_lines(found.findings.iter().map(|finding| finding.json()).chain([summary.json()]))
    } else {
        say_lines(found.findings.iter().map(ToString::to_string).chain([summary.to_string()]))
    }
    .map_err(Failure::unusable)?;
    Ok(if found.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn compare(arguments: &Arguments) -> Result<Reconciliation, Box<dyn std::error::Error>> {
    let config = arguments.config.as_deref().map(Config::load).transpose()?;
    let zone = time_zone(config.as_ref(), arguments.institution.as_ref())?;
    let moment = |option: &str, text: &Option<String>| {
        text.as_deref().map(|text| moment(option, text, zone.as_ref())).transpose()
    };
    let until = match moment("--until", &arguments.until)? {
        Some(until) => until,
        None => oldest_export(arguments)?,
    };
    let window = Window { since: moment("--since", &arguments.since)?, until: Some(until) };
    let given = arguments.ledger.clone().map(LedgerSection::File);
    let ledger = given.or(config.as_ref().map(|config| config.ledger.clone()));
    let ledger = ledger.ok_or("name the ledger with --ledger, or the configuration with --config")?;
    let plan = Plan {
        institution: arguments.institution.clone(),
        window,
        now: clock::now(),
        suspects_older_than: arguments.suspects_older_than,
        open_longer_than: arguments.open_longer_than,
    };
    let reader = ledger.reader()?;
    Ok(reconcile(&reader, &plan, &arguments.corebank, &arguments.atm_counters)?)
}

/// When the oldest of the files was last written: the other books have moved on since, the ledger's too.
fn oldest_export(arguments: &Arguments) -> Result<Timestamp, String> {
    let written = |file: &PathBuf| {
        let written = std::fs::metadata(file).and_then(|about| about.modified());
        let written = written.map_err(|error| format!("{}: {error}", file.display()))?;
        let ms = written.duration_since(std::time::UNIX_EPOCH).map(|since| since.as_millis()).unwrap_or_default();
        Ok(Timestamp::from_unix_ms(u64::try_from(ms).unwrap_or(u64::MAX)))
    };
    let files = arguments.atm_counters.iter().chain([&arguments.corebank]);
    files
        .map(written)
        .min_by_key(|written| written.as_ref().map_or(Timestamp::from_unix_ms(0), |at| *at))
        .unwrap_or_else(|| Ok(clock::now()))
}

/// The zone in which dates begin: the institution's, or the one that all institutions share.
fn time_zone(config: Option<&Config>, institution: Option<&InstitutionId>) -> Result<Option<TimeZone>, String> {
    let Some(config) = config else { return Ok(None) };
    if let Some(id) = institution {
        let known = config.institutions.iter().find(|one| one.id == *id);
        let known = known.ok_or_else(|| format!("--institution {id}: the configuration has no such institution"))?;
        return Ok(Some(known.time_zone.clone()));
    }
    let mut zones = config.institutions.iter().map(|one| &one.time_zone);
    let first = zones.next();
    Ok(first.filter(|first| zones.all(|zone| zone == *first)).cloned())
}

fn moment(option: &str, text: &str, zone: Option<&TimeZone>) -> Result<Timestamp, String> {
    let wrong = |why: &str| format!("{option} {text}: {why}");
    let found = match (text.parse::<jiff::Timestamp>(), text.parse::<jiff::civil::Date>(), zone) {
        (Ok(found), ..) => found,
        (_, Ok(date), Some(zone)) => {
            let begins = date.to_zoned(zone.clone()).map_err(|_| wrong("there is no such day in the time zone"))?;
            begins.timestamp()
        }
        (_, Ok(_), None) => {
            return Err(wrong(
                "a date needs a time zone: name the institution and the configuration, or write 2026-11-22T00:00:00+09:00",
            ));
        }
        _ => return Err(wrong("must be a date such as 2026-11-22 or a moment such as 2026-11-22T00:00:00+09:00")),
    };
    let ms = u64::try_from(found.as_millisecond()).map_err(|_| wrong("must not lie before 1970"))?;
    Ok(Timestamp::from_unix_ms(ms))
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Option<SignedDuration> = text.parse().ok();
    let positive = parsed.and_then(|duration| Duration::try_from(duration).ok());
    positive.ok_or_else(|| "must be a time such as 24h or 90m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_begins_at_midnight_in_the_institutions_time_zone() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        let ms = |text, zone| moment("--since", text, zone).map(Timestamp::unix_ms);
        assert_eq!(ms("2026-11-22", Some(&tokyo)), Ok(1_795_273_200_000));
        assert_eq!(ms("2026-11-22T00:00:00+09:00", None), Ok(1_795_273_200_000));
        assert_eq!(ms("2026-11-21T15:00:00Z", Some(&tokyo)), Ok(1_795_273_200_000));
        for (text, zone, word) in [
            ("2026-11-22", None, "needs a time zone"),
            ("yesterday", Some(&tokyo), "must be a date"),
            ("2026-02-30", Some(&tokyo), "must be a date"),
            ("1969-12-31T00:00:00Z", None, "before 1970"),
        ] {
            assert!(ms(text, zone).unwrap_err().contains(word), "{text}");
        }
    }

    #[test]
    fn a_time_is_positive_and_has_a_unit() {
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("90m"), Ok(Duration::from_secs(5_400)));
        for wrong in ["", "24", "-1h", "a while"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }
}
