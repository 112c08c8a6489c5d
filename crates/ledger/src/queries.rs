//! The questions that can be asked.

use cashgate_withdrawal::ids::{Nonce, WithdrawalId};
use rusqlite::{Connection, Params, Row, ToSql};

use crate::columns;
use crate::error::ReadError;
use crate::reader::LedgerReader;
use crate::records::{Remarks, Sequence, StateCount, StoredStep, WithdrawalFilter, WithdrawalPage, WithdrawalSummary};
use crate::seal::check_chain;

/// The most withdrawals in a page, and the most entries in a part of the feed.
pub const PAGE_SIZE_MAX: u32 = 1000;

const OPEN_WITHDRAWALS: &str = "SELECT * FROM withdrawals WHERE open = 1 ORDER BY id";
const STEPS_OF_OPEN: &str = "SELECT steps.* FROM withdrawals INDEXED BY withdrawals_open
    CROSS JOIN steps ON steps.withdrawal = withdrawals.id WHERE withdrawals.open = 1 ORDER BY withdrawals.id, steps.number";
const STEPS_OF: &str = "SELECT * FROM steps WHERE withdrawal = ?1 ORDER BY number";
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

    /// The sequence of the last step or notice there is.
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
}

/// All the steps of a withdrawal, if they are what its row says.
pub(crate) fn history(connection: &Connection, withdrawal: &WithdrawalSummary) -> Result<Vec<StoredStep>, ReadError> {
    let steps = rows(connection, STEPS_OF, [withdrawal.id.to_string()], columns::step)?;
    check_chain(withdrawal, &steps).map_err(ReadError::Damaged)?;
    Ok(steps)
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
pub(crate) mod tests {
    use super::*;
    use crate::schema;
    use std::path::Path;

    /// How SQLite would run a statement, on a ledger without statistics, as every ledger is.
    #[track_caller]
    pub(crate) fn check_plan(sql: &str, values: &[&dyn ToSql], expected: &str) {
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
    }

    #[test]
    fn metrics_and_lists_of_what_is_open_do_not_walk_through_history() {
        check_plan(OPEN_COUNTS_BY_STATE, &[], "USING INDEX withdrawals_open");
        let filter = WithdrawalFilter { open_only: true, ..WithdrawalFilter::default() };
        check_plan(&listing(&filter, None, 10).0, &[], "USING INDEX withdrawals_open");
    }
}
