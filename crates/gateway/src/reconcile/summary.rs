//! Counts and sums, to the minor unit, a line a currency.
//!
//! For each currency: `gateway.confirmed` and the differences of all core banking findings make `core_banking.confirmed`, and with those
//! of all ATM findings they make `atms.stayed_out`.

use std::collections::BTreeMap;
use std::fmt;

use cashgate_withdrawal::money::Currency;
use serde::Serialize;

use super::book::{BookState, Entry};
use super::counter::Counter;
use super::finding::{Finding, Kind, as_text_if_any};
use super::judging::Stage;
use super::posting::{Posting, Standing};

/// What was compared, and what it came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Withdrawals whose end was compared.
    pub ended: u64,
    /// Withdrawals that are open, or ended only after the moment of comparison.
    pub open: u64,
    /// How many of those are suspects.
    pub suspects: u64,
    /// Rows that were read.
    pub rows: Rows,
    totals: BTreeMap<Currency, SideTotals>,
    kinds: BTreeMap<(Kind, Option<Currency>), KindTotal>,
}

/// Rows that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// From the core banking file.
    pub core_banking: u64,
    /// From the ATM counters.
    pub atms: u64,
    /// Passed over: of withdrawals before or after the window.
    pub outside_the_window: u64,
    /// Passed over: ATM rows of other institutions' withdrawals.
    pub of_other_institutions: u64,
}

/// What each side counts in one currency, in minor units. Open withdrawals stand apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SideTotals {
    /// What left machines by the gateway's books.
    pub gateway_confirmed_minor_units: i128,
    /// What core banking booked.
    pub core_banking_confirmed_minor_units: i128,
    /// What core banking still holds for withdrawals that have ended.
    pub core_banking_held_minor_units: i128,
    /// What left machines and stayed out by the ATMs' counters.
    pub atms_stayed_out_minor_units: i128,
    /// Open withdrawals.
    pub open: Open,
}

/// What each side says of open withdrawals in one currency, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Open {
    /// What was approved.
    pub approved_minor_units: i128,
    /// What core banking holds.
    pub core_banking_held_minor_units: i128,
    /// What core banking has booked already.
    pub core_banking_confirmed_minor_units: i128,
    /// What has left and stayed out already.
    pub atms_stayed_out_minor_units: i128,
}

/// All findings of one kind in one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindTotal {
    /// How many.
    pub count: u64,
    /// What those withdrawals were approved for, in minor units.
    pub approved_minor_units: i128,
    /// The sum of their differences, in minor units.
    pub difference_minor_units: i128,
}

impl Summary {
    /// The sums of each currency.
    pub fn totals(&self) -> impl Iterator<Item = (Currency, &SideTotals)> {
        self.totals.iter().map(|(currency, totals)| (*currency, totals))
    }

    /// The kinds that were found, with their sums by currency.
    pub fn kinds(&self) -> impl Iterator<Item = (Kind, Option<Currency>, &KindTotal)> {
        self.kinds.iter().map(|((kind, currency), total)| (*kind, *currency, total))
    }

    pub(super) fn count(&mut self, entry: &Entry, stage: Stage) {
        if stage == Stage::Settled {
            self.ended += 1;
            let totals = self.totals.entry(entry.approved.currency()).or_default();
            totals.gateway_confirmed_minor_units += i128::from(entry.dispensed);
            // The rows' own currency is this one, or they are of nothing.
            totals.add_posting(entry.posting.as_ref());
            totals.add_counter(entry.counter.as_ref());
            return;
        }
        self.open += 1;
        self.suspects += u64::from(entry.state == BookState::Suspect);
        let (held, confirmed) = entry.posting.as_ref().map_or((0, 0), held_and_confirmed);
        let open = &mut self.totals.entry(entry.approved.currency()).or_default().open;
        open.approved_minor_units += i128::from(entry.approved.minor_units());
        open.core_banking_held_minor_units += held;
        open.core_banking_confirmed_minor_units += confirmed;
        open.atms_stayed_out_minor_units += stayed_out(entry.counter.as_ref());
    }

    /// A row that belongs to no withdrawal.
    pub(super) fn count_posting(&mut self, posting: &Posting) {
        if let Some(currency) = posting.currency {
            self.totals.entry(currency).or_default().add_posting(Some(posting));
        }
    }

    /// A row that belongs to no withdrawal.
    pub(super) fn count_counter(&mut self, counter: &Counter) {
        if let Some(currency) = counter.currency {
            self.totals.entry(currency).or_default().add_counter(Some(counter));
        }
    }

    pub(super) fn count_finding(&mut self, finding: &Finding) {
        let total = self.kinds.entry((finding.kind, finding.currency)).or_default();
        total.count += 1;
        total.approved_minor_units += i128::from(finding.approved());
        total.difference_minor_units += i128::from(finding.difference_minor_units.unwrap_or(0));
    }

    /// One line of JSON.
    #[must_use]
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Line<T> {
            summary: T,
        }
        serde_json::to_string(&Line { summary: self }).unwrap_or_default()
    }
}

impl SideTotals {
    fn add_posting(&mut self, posting: Option<&Posting>) {
        let (held, confirmed) = posting.map_or((0, 0), held_and_confirmed);
        self.core_banking_held_minor_units += held;
        self.core_banking_confirmed_minor_units += confirmed;
    }

    fn add_counter(&mut self, counter: Option<&Counter>) {
        self.atms_stayed_out_minor_units += stayed_out(counter);
    }
}

/// What is held now, and what was booked.
fn held_and_confirmed(posting: &Posting) -> (i128, i128) {
    let held = if posting.standing == Standing::Held { posting.held } else { 0 };
    (i128::from(held), i128::from(posting.confirmed))
}

/// What is not counted yet is in no sum.
fn stayed_out(counter: Option<&Counter>) -> i128 {
    i128::from(counter.and_then(Counter::stayed_out).unwrap_or(0))
}

impl Serialize for Summary {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Lines<'a> {
            agrees: bool,
            ended: u64,
            open: u64,
            suspects: u64,
            rows: Rows,
            totals: Vec<InCurrency<&'a SideTotals>>,
            findings: Vec<OfKind<'a>>,
        }
        #[derive(Serialize)]
        struct InCurrency<T> {
            #[serde(serialize_with = "as_text_if_any")]
            currency: Option<Currency>,
            #[serde(flatten)]
            of: T,
        }
        #[derive(Serialize)]
        struct OfKind<'a> {
            kind: Kind,
            #[serde(flatten)]
            total: InCurrency<&'a KindTotal>,
        }
        let of_kind = |(kind, currency, of)| OfKind { kind, total: InCurrency { currency, of } };
        Lines {
            agrees: self.kinds.is_empty(),
            ended: self.ended,
            open: self.open,
            suspects: self.suspects,
            rows: self.rows,
            totals: self.totals().map(|(currency, of)| InCurrency { currency: Some(currency), of }).collect(),
            findings: self.kinds().map(of_kind).collect(),
        }
        .serialize(serializer)
    }
}

impl fmt::Display for Summary {
    /// Some lines for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rows { core_banking, atms, outside_the_window, of_other_institutions } = self.rows;
        write!(f, "{} ended withdrawals compared, {} open ({} suspect)", self.ended, self.open, self.suspects)?;
        write!(f, "; {core_banking} rows of core banking, {atms} of ATMs")?;
        write!(f, " ({outside_the_window} outside the window, {of_other_institutions} of other institutions)")?;
        for (currency, totals) in self.totals() {
            let SideTotals { open, .. } = totals;
            write!(
                f,
                "\n{currency}  gateway: {} confirmed; core banking: {} confirmed, {} held; ATMs: {} stayed out",
                totals.gateway_confirmed_minor_units,
                totals.core_banking_confirmed_minor_units,
                totals.core_banking_held_minor_units,
                totals.atms_stayed_out_minor_units,
            )?;
            write!(
                f,
                "\n{currency}  open: {} approved; core banking: {} confirmed, {} held; ATMs: {} stayed out",
                open.approved_minor_units,
                open.core_banking_confirmed_minor_units,
                open.core_banking_held_minor_units,
                open.atms_stayed_out_minor_units,
            )?;
        }
        for (kind, currency, total) in self.kinds() {
            let currency = currency.map_or_else(|| "-".to_owned(), |currency| currency.to_string());
            write!(
                f,
                "\n{:<25} {:>6}  approved {} {currency}, difference {:+} {currency}",
                kind.name(),
                total.count,
                total.approved_minor_units,
                total.difference_minor_units
            )?;
        }
        let count: u64 = self.kinds.values().map(|total| total.count).sum();
        if count == 0 { write!(f, "\nthe books agree") } else { write!(f, "\nthe books differ: {count} findings") }
    }
}
