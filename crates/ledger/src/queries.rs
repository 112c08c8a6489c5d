//! The questions that can be asked.

use cashgate_withdrawal::ids::{InstitutionId, Nonce, WithdrawalId};
use cashgate_withdrawal::time::{CalendarDay, Timestamp};
use rusqlite::{Connection, Params, Row, ToSql, params};

use crate::columns::{self, signed};
use crate::damage::Damage;
use crate::error::ReadError;
use crate::reader::LedgerReader;
use crate::records::{
    DeviceRow, Remarks, Sequence, Spent, StateCount, StepPage, StoredStep, WithdrawalFilter, WithdrawalPage,
    WithdrawalSummary,
};
use crate::seal::check_chain;

/// The most withdrawals in a page, and the most steps in a part of the feed.
pub const PAGE_SIZE_MAX: u32 = 1000;

/// How many steps one call of [`LedgerReader::steps_after`] looks at, at most, to find those of one institution.
pub const STEPS_LOOKED_AT_MAX: u64 = 10_000;

const OPEN_WITHDRAWALS: &str = "SELECT * FROM withdrawals WHERE open = 1 ORDER BY id";
const STEPS_OF_OPEN: &str = "SELECT steps.* FROM withdrawals INDEXED BY withdrawals_open
    CROSS JOIN steps ON steps.withdrawal = withdrawals.id WHERE withdrawals.open = 1 ORDER BY withdrawals.id, steps.number";
const SPENT_SINCE: &str = "SELECT * FROM withdrawals WHERE open = 0 AND dispensed > 0 AND day >= ?1";
/// Ids of version 7 begin with their moment, so the primary key finds recent ones.
const ENDED_SINCE: &str = "SELECT * FROM withdrawals WHERE id >= ?1 AND open = 0 AND approved_at_ms >= ?2";
/// How far an id's moment and that of its approval may lie apart.
const ID_MARGIN_MS: u64 = 24 * 3_600 * 1_000;
const STEPS_OF: &str = "SELECT * FROM steps WHERE withdrawal = ?1 ORDER BY number";
/// With the seal of the withdrawal's step before, without which no seal can be checked.
const STEPS_AFTER: &str = "SELECT *, (SELECT seal FROM steps AS previous
        WHERE previous.withdrawal = steps.withdrawal AND previous.number = steps.number - 1) AS previous_seal
    FROM steps WHERE sequence > ?1 AND sequence <= ?2 AND (?3 IS NULL OR institution = ?3) ORDER BY sequence LIMIT ?4";
const REMARKS_OF: &str = "SELECT * FROM remarks WHERE withdrawal = ?1 ORDER BY number";
const REMARKS_LEFT_OUT_OF: &str = "SELECT * FROM remarks_left_out WHERE withdrawal = ?1";
const COUNTS_BY_STATE: &str = "SELECT state, open, count(*) FROM withdrawals GROUP BY 1, 2 ORDER BY 1, 2";
const OPEN_COUNTS_BY_STATE: &str =
    "SELECT state, open, count(*) FROM withdrawals WHERE open = 1 GROUP BY 1, 2 ORDER BY 1, 2";

impl LedgerReader {
    /// All open withdrawals with all their steps, in the order of their ids: what recovery replays. The cost grows with what is open,
    /// not with history.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every query here.
    pub fn open_withdrawals(&self) -> Result<Vec<(WithdrawalSummary, Vec<StoredStep>)>, ReadError> {
        self.read(|connection| {
            let open = rows(connection, OPEN_WITHDRAWALS, [], columns::withdrawal)?;
            // One walk over both, in the same order: a question for each withdrawal costs twice the time.
            let mut steps = rows(connection, STEPS_OF_OPEN, [], columns::step)?.into_iter().peekable();
            open.into_iter()
                .map(|withdrawal| {
                    let its_own = std::iter::from_fn(|| steps.next_if(|step| step.withdrawal == withdrawal.id));
                    let its_own: Vec<StoredStep> = its_own.collect();
                    check_chain(&withdrawal, &its_own).map_err(ReadError::Damaged)?;
                    Ok((withdrawal, its_own))
                })
                .collect()
        })
    }

    /// What left machines in ended withdrawals of `day` and later, in no particular order: limits are rebuilt from it and from what is
    /// open. The cost grows with those days. The day is each institution's own: pass the earliest that still counts anywhere.
    pub fn spent_since(&self, day: CalendarDay) -> Result<Vec<Spent>, ReadError> {
        self.read(|connection| rows(connection, SPENT_SINCE, [day.0], columns::spent))
    }

    /// Ended withdrawals that were approved at `moment` or later, those included of which nothing left (`dispensed` is then zero): limits of
    /// pace count attempts. In no particular order; the cost grows with what was approved since.
    pub fn ended_since(&self, moment: Timestamp) -> Result<Vec<Spent>, ReadError> {
        let from_ms = moment.unix_ms().saturating_sub(ID_MARGIN_MS);
        let first_id = format!("{:08x}-{:04x}-", (from_ms >> 16) & 0xffff_ffff, from_ms & 0xffff);
        self.read(|connection| {
            rows(connection, ENDED_SINCE, params![first_id, signed(moment.unix_ms())], columns::spent)
        })
    }

    /// One withdrawal with its whole history, or `None` if there is no such.
    pub fn withdrawal(&self, id: WithdrawalId) -> Result<Option<(WithdrawalSummary, Vec<StoredStep>)>, ReadError> {
        self.read(|connection| {
            let found =
                rows(connection, "SELECT * FROM withdrawals WHERE id = ?1", [id.to_string()], columns::withdrawal)?;
            found
                .into_iter()
                .next()
                .map(|withdrawal| {
                    let steps = history(connection, &withdrawal)?;
                    Ok((withdrawal, steps))
                })
                .transpose()
        })
    }

    /// The withdrawal that claimed a nonce, or `None` if nobody has.
    pub fn withdrawal_of_nonce(&self, nonce: Nonce) -> Result<Option<WithdrawalId>, ReadError> {
        self.read(|connection| {
            let sql = "SELECT * FROM withdrawals WHERE nonce = ?1";
            let found = rows(connection, sql, [nonce.0.as_slice()], columns::withdrawal)?;
            Ok(found.into_iter().next().map(|withdrawal| withdrawal.id))
        })
    }

    /// Withdrawals that pass `filter`, newest first, starting below `before`; at most `size` of them (1 to [`PAGE_SIZE_MAX`]; what is
    /// outside is brought to the nearer end).
    ///
    /// Without `open_only`, a rare ATM or account is found by walking through history: fine for a person, not for a loop.
    pub fn list(
        &self,
        filter: &WithdrawalFilter,
        before: Option<WithdrawalId>,
        size: u32,
    ) -> Result<WithdrawalPage, ReadError> {
        let size = size.clamp(1, PAGE_SIZE_MAX);
        let (sql, values) = listing(filter, before, size + 1);
        let values: Vec<&dyn ToSql> = values.iter().map(|value| value as &dyn ToSql).collect();
        let mut withdrawals = self.read(|connection| rows(connection, &sql, values.as_slice(), columns::withdrawal))?;
        // One more than asked for was read, only to know whether there is more.
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = withdrawals.len() > size;
        withdrawals.truncate(size);
        let next = withdrawals.last().filter(|_| more).map(|last| last.id);
        Ok(WithdrawalPage { withdrawals, next })
    }

    /// The steps after `after`, ascending, at most `limit` (1 to [`PAGE_SIZE_MAX`]); of one institution, if it is given.
    ///
    /// This is the event feed. There is one writer, so a step never appears below one that was already seen: go on from
    /// [`StepPage::through`], and nothing is missed or seen twice. To find one institution's steps, a call looks at
    /// [`STEPS_LOOKED_AT_MAX`] steps at most; call again while `through` lies below the ledger's last sequence.
    pub fn steps_after(
        &self,
        after: Sequence,
        institution: Option<&InstitutionId>,
        limit: u32,
    ) -> Result<StepPage, ReadError> {
        let limit = limit.clamp(1, PAGE_SIZE_MAX);
        self.read(|connection| {
            let last = crate::append::last_sequence(connection).map_err(storage)?;
            // Sequences have no gaps, so a span of them is a number of steps.
            let end = Sequence(after.0.saturating_add(STEPS_LOOKED_AT_MAX)).min(last);
            let steps = rows(
                connection,
                STEPS_AFTER,
                params![signed(after.0), signed(end.0), institution.map(InstitutionId::as_str), limit],
                columns::step_after_previous,
            )?;
            if institution.is_none() {
                check_no_gap(after, end, &steps)?;
            }
            let full = u32::try_from(steps.len()).is_ok_and(|found| found >= limit);
            let through = match steps.last() {
                Some(step) if full => step.sequence,
                // A caller ahead of the ledger stays where it is.
                _ => end.max(after),
            };
            Ok(StepPage { steps, through })
        })
    }

    /// The sequence of the last step there is.
    pub fn last_sequence(&self) -> Result<Sequence, ReadError> {
        self.read(|connection| crate::append::last_sequence(connection).map_err(storage))
    }

    /// How many withdrawals stand in each state. Walks through all of history, and counts only: no row is checked.
    pub fn counts_by_state(&self) -> Result<Vec<StateCount>, ReadError> {
        self.read(|connection| rows(connection, COUNTS_BY_STATE, [], state_count))
    }

    /// How many open withdrawals stand in each state. The cost grows with what is open: fit for a metric. Counts only: no row is
    /// checked.
    pub fn open_counts_by_state(&self) -> Result<Vec<StateCount>, ReadError> {
        self.read(|connection| rows(connection, OPEN_COUNTS_BY_STATE, [], state_count))
    }

    /// The remarks about one withdrawal: what was said about it without changing it. None for a withdrawal that is not known.
    pub fn remarks(&self, id: WithdrawalId) -> Result<Remarks, ReadError> {
        let id = id.to_string();
        self.read(|connection| {
            let kept = rows(connection, REMARKS_OF, [&id], columns::remark)?;
            let left_out = rows(connection, REMARKS_LEFT_OUT_OF, [&id], columns::remarks_left_out)?;
            Ok(Remarks {
                kept: kept.into_iter().map(|(_, remark)| remark).collect(),
                left_out: left_out.into_iter().next().unwrap_or(0),
            })
        })
    }

    /// All phones, the revoked ones included, by institution and name.
    pub fn devices(&self) -> Result<Vec<DeviceRow>, ReadError> {
        self.read(|connection| {
            rows(connection, "SELECT * FROM devices ORDER BY institution, device", [], columns::device)
        })
    }
}

/// All the steps of a withdrawal, if they are what its row says.
pub(crate) fn history(connection: &Connection, withdrawal: &WithdrawalSummary) -> Result<Vec<StoredStep>, ReadError> {
    let steps = rows(connection, STEPS_OF, [withdrawal.id.to_string()], columns::step)?;
    check_chain(withdrawal, &steps).map_err(ReadError::Damaged)?;
    Ok(steps)
}

/// Whether `steps`, up to where they end, are all that lie after `after` and up to `end`.
fn check_no_gap(after: Sequence, end: Sequence, steps: &[StoredStep]) -> Result<(), ReadError> {
    let gap = |expected| Err(ReadError::Damaged(Damage::of_gap(Sequence(expected))));
    for (step, expected) in steps.iter().zip(after.0 + 1..) {
        if step.sequence.0 != expected {
            return gap(expected);
        }
    }
    // `end` is the sequence of a step, or lies below one.
    if steps.is_empty() && after < end { gap(after.0 + 1) } else { Ok(()) }
}

/// The statement for a list and its values. Only what is asked for stands in it, so that SQLite can use its indexes.
fn listing(filter: &WithdrawalFilter, before: Option<WithdrawalId>, limit: u32) -> (String, Vec<String>) {
    let asked = [
        ("id < ?", before.map(|id| id.to_string())),
        ("institution = ?", filter.institution.as_ref().map(ToString::to_string)),
        ("atm = ?", filter.atm.as_ref().map(ToString::to_string)),
        ("account = ?", filter.account.as_ref().map(ToString::to_string)),
        ("state = ?", filter.state.clone()),
    ];
    let (mut conditions, values): (Vec<&str>, Vec<String>) =
        asked.into_iter().filter_map(|(condition, value)| value.map(|value| (condition, value))).unzip();
    if filter.open_only {
        // Literally the condition of the index of open withdrawals.
        conditions.push("open = 1");
    }
    let conditions = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
    (format!("SELECT * FROM withdrawals WHERE {conditions} ORDER BY id DESC LIMIT {limit}"), values)
}

fn state_count(row: &Row<'_>) -> Result<StateCount, ReadError> {
    let count: i64 = row.get(2).map_err(storage)?;
    Ok(StateCount {
        state: row.get(0).map_err(storage)?,
        open: row.get(1).map_err(storage)?,
        count: u64::try_from(count).unwrap_or(0),
    })
}

pub(crate) fn rows<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, ReadError>,
) -> Result<Vec<T>, ReadError> {
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let mut rows = statement.query(values).map_err(storage)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(storage)? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn storage(error: rusqlite::Error) -> ReadError {
    ReadError::storage(&error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;
    use std::path::Path;

    /// How SQLite would run a statement, on a ledger without statistics, as every ledger is.
    #[track_caller]
    fn check_plan(sql: &str, values: &[&dyn ToSql], expected: &str) {
        let connection = Connection::open_in_memory().unwrap();
        schema::migrate(&connection, Path::new("test"), schema::MIGRATIONS).unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> = statement.query_map(values, |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        let plan = plan.join("; ");
        assert!(plan.contains(expected), "{sql}\nruns as: {plan}");
        assert!(!plan.contains("TEMP B-TREE FOR ORDER BY"), "{sql}\nruns as: {plan}");
    }

    #[test]
    fn recovery_reads_what_is_open_and_no_more() {
        check_plan(OPEN_WITHDRAWALS, &[], "SCAN withdrawals USING INDEX withdrawals_open");
        check_plan(
            STEPS_OF_OPEN,
            &[],
            "SCAN withdrawals USING COVERING INDEX withdrawals_open; SEARCH steps USING INDEX sqlite_autoindex_steps_1 (withdrawal=?)",
        );
        check_plan(STEPS_OF, &[&"x"], "SEARCH steps USING INDEX sqlite_autoindex_steps_1 (withdrawal=?)");
        check_plan(SPENT_SINCE, &[&1], "SEARCH withdrawals USING INDEX withdrawals_spent (day>?)");
    }

    #[test]
    fn metrics_and_lists_of_what_is_open_do_not_walk_through_history() {
        check_plan(OPEN_COUNTS_BY_STATE, &[], "USING INDEX withdrawals_open");
        let filter = WithdrawalFilter { open_only: true, ..WithdrawalFilter::default() };
        check_plan(&listing(&filter, None, 10).0, &[], "USING INDEX withdrawals_open");
    }

    #[test]
    fn the_feed_reads_steps_in_the_order_they_lie() {
        check_plan(
            STEPS_AFTER,
            params![1, 2, None::<String>, 3],
            "SEARCH steps USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        );
    }
}
