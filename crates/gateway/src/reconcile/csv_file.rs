//! A CSV file with a header (RFC 4180): UTF-8 with or without byte order mark, lines ending in LF or CRLF, fields quoted or not.

mod line_ends;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::str::FromStr;

use cashgate_withdrawal::money::{Currency, Money};
use csv::{ByteRecord, Position, ReaderBuilder, StringRecord};

use self::line_ends::LineEnds;
use super::ReconcileError;

/// Hands every row of a file to `take`. Columns are found by the names in the header, in any order; further ones are ignored, because a
/// bank's export may carry more.
pub(super) fn each_row<const N: usize>(
    path: &Path,
    columns: &[&'static str; N],
    mut take: impl FnMut(&CsvRow<'_>) -> Result<(), ReconcileError>,
) -> Result<(), ReconcileError> {
    let file = path.display().to_string();
    let opened = File::open(path).map_err(|source| ReconcileError::File { file: file.clone(), source })?;
    let mut rows = Rows::of(&file, opened);
    let (_, header) = rows.next()?.unwrap_or_default();
    let places = places(&header, columns).map_err(|problem| ReconcileError::Header { file: file.clone(), problem })?;
    while let Some((line, record)) = rows.next()? {
        if record.len() != header.len() {
            let (fields, expected) = (record.len(), header.len());
            let problem = format!(
                "has {fields} fields and the header has {expected}; a field that holds a comma must stand in double quotes"
            );
            return Err(ReconcileError::Line { file, line, problem });
        }
        take(&CsvRow { file: &file, line, record: &record, columns, places: &places })?;
    }
    Ok(())
}

/// Rows with the lines on which they begin.
struct Rows<'a, R> {
    file: &'a str,
    reader: csv::Reader<LineEnds<BufReader<R>>>,
    bytes: ByteRecord,
}

impl<'a, R: Read> Rows<'a, R> {
    fn of(file: &'a str, from: R) -> Self {
        // Lengths are checked here, where the line is known.
        let mut builder = ReaderBuilder::new();
        let reader = builder.has_headers(false).flexible(true).from_reader(LineEnds::of(BufReader::new(from)));
        Self { file, reader, bytes: ByteRecord::new() }
    }

    fn next(&mut self) -> Result<Option<(u64, StringRecord)>, ReconcileError> {
        let file = || self.file.to_owned();
        let more = self.reader.read_byte_record(&mut self.bytes);
        if !more.map_err(|error| ReconcileError::File { file: file(), source: error.into() })? {
            return Ok(None);
        }
        // The reader stands behind the row's line feed. Where it believes that the row began there may be empty lines; but for a row
        // whose quotes are never closed it is the better answer.
        let began = self.bytes.position().map_or(1, Position::line);
        let within = self.bytes.iter().flatten().filter(|byte| **byte == b'\n').count();
        let line = self.reader.position().line().saturating_sub(1).saturating_sub(u64::try_from(within).unwrap_or(0));
        let line = line.max(began);
        match StringRecord::from_byte_record(std::mem::take(&mut self.bytes)) {
            Ok(record) => Ok(Some((line, record))),
            Err(_) => {
                let problem = "is not UTF-8; export the file as UTF-8".to_owned();
                Err(ReconcileError::Line { file: file(), line, problem })
            }
        }
    }
}

/// One row.
pub(super) struct CsvRow<'a> {
    file: &'a str,
    line: u64,
    record: &'a StringRecord,
    columns: &'a [&'static str],
    places: &'a [usize],
}

impl CsvRow<'_> {
    /// The line on which the row begins, from 1.
    pub(super) const fn line(&self) -> u64 {
        self.line
    }

    /// A value as it stands there; nothing is trimmed.
    pub(super) fn text(&self, column: &'static str) -> &str {
        let place = self.columns.iter().zip(self.places).find(|(name, _)| **name == column);
        place.and_then(|(_, place)| self.record.get(*place)).unwrap_or_default()
    }

    pub(super) fn parsed<T: FromStr>(&self, column: &'static str, must_be: &str) -> Result<T, ReconcileError> {
        self.text(column).parse().map_err(|_| self.wrong(column, must_be))
    }

    /// `None` if the field is empty.
    pub(super) fn parsed_if_any<T: FromStr>(
        &self,
        column: &'static str,
        must_be: &str,
    ) -> Result<Option<T>, ReconcileError> {
        if self.text(column).is_empty() { Ok(None) } else { self.parsed(column, must_be).map(Some) }
    }

    /// An amount in minor units: digits and nothing else.
    pub(super) fn amount(&self, column: &'static str) -> Result<u64, ReconcileError> {
        let must_be =
            format!("must be a whole number of minor units from 0 to {}, such as 30000", Money::MINOR_UNITS_MAX);
        let text = self.text(column);
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let amount = text.parse().ok().filter(|amount| digits && *amount <= Money::MINOR_UNITS_MAX);
        amount.ok_or_else(|| self.wrong(column, &must_be))
    }

    /// The same, or `None` if the field is empty.
    pub(super) fn amount_if_any(&self, column: &'static str) -> Result<Option<u64>, ReconcileError> {
        if self.text(column).is_empty() { Ok(None) } else { self.amount(column).map(Some) }
    }

    /// A currency; none is needed where no amount is above zero.
    pub(super) fn currency(&self, column: &'static str, amounts: &[u64]) -> Result<Option<Currency>, ReconcileError> {
        let currency = self.parsed_if_any(column, "must be an ISO 4217 code of three capital letters, such as JPY")?;
        if currency.is_none() && amounts.iter().any(|amount| *amount > 0) {
            return Err(self.wrong(column, "is empty, but the row has an amount: name its currency, such as JPY"));
        }
        Ok(currency)
    }

    pub(super) fn wrong(&self, column: &'static str, problem: &str) -> ReconcileError {
        let (file, line) = (self.file.to_owned(), self.line);
        ReconcileError::Value { file, line, column, problem: problem.to_owned() }
    }
}

/// Where the columns are.
fn places<const N: usize>(header: &StringRecord, columns: &[&'static str; N]) -> Result<[usize; N], String> {
    let mut places = [0; N];
    let mut missing = Vec::new();
    for (column, place) in columns.iter().zip(&mut places) {
        let mut found = header.iter().enumerate().filter(|(_, name)| name == column);
        match (found.next(), found.next()) {
            (Some((only, _)), None) => *place = only,
            (Some(_), Some(_)) => return Err(format!("the column {column} is there twice; leave one")),
            (None, _) => missing.push(*column),
        }
    }
    if missing.is_empty() {
        return Ok(places);
    }
    let (missing, all) = (missing.join(", "), columns.join(","));
    Err(format!("the header lacks {missing}; it must name these columns, separated by commas: {all}"))
}
