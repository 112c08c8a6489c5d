//! The questions that can be asked.

use cashgate_withdrawal::ids::{AtmId, Nonce, WithdrawalId};
use rusqlite::{Connection, Params, Row, ToSql};

use crate::columns;
use crate::error::ReadError;
use crate::reads::Whole;
use crate::records::{Remarks, StateCount, StoredStep, WithdrawalFilter, WithdrawalSummary};
use crate::seal::check_chain;

const OPEN_WITHDRAWALS: &str = "SELECT * FROM withdrawals WHERE open = 1 ORDER BY id";
const STEPS_OF_OPEN: &str = "SELECT steps.* FROM withdrawals INDEXED BY withdrawals_open
    CROSS JOIN steps ON steps.withdrawal = withdrawals.id WHERE withdrawals.open = 1 ORDER BY withdrawals.id, steps.number";
const STEPS_OF: &str = "SELECT * FROM steps WHERE withdrawal = ?1 ORDER BY number";
const REMARKS_OF: &str = "SELECT * FROM remarks WHERE withdrawal = ?1 ORDER BY number";
const REMARKS_LEFT_OUT_OF: &str = "SELECT * FROM remarks_left_out WHERE withdrawal = ?1";
const COUNTS_BY_STATE: &str = "SELECT state, open, count(*) FROM withdrawals GROUP BY 1, 2 ORDER BY 1, 2";
const OPEN_COUNTS_BY_STATE: &str =
    "SELECT state, open, count(*) FROM withdrawals WHERE open = 1 GROUP BY 1, 2 ORDER BY 1, 2";

/// All that are open, or those of one ATM.
pub(super) fn open_withdrawals(connection: &Connection, atm: Option<&AtmId>) -> Result<Vec<Whole>, ReadError> {
    let open = rows(connection, OPEN_WITHDRAWALS, [], |row| columns::withdrawal(row))?;
    if let Some(atm) = atm {
        let its_own = open.into_iter().filter(|withdrawal| withdrawal.row.atm == *atm);
        return its_own.map(|withdrawal| history(connection, &withdrawal).map(|steps| (withdrawal, steps))).collect();
    }
    // One walk over both, in the same order: a question for each withdrawal costs twice the time.
    let mut steps = rows(connection, STEPS_OF_OPEN, [], |row| columns::step(row))?.into_iter().peekable();
    open.into_iter()
        .map(|withdrawal| {
            let its_own = std::iter::from_fn(|| steps.next_if(|step| step.withdrawal == withdrawal.id));
            let its_own: Vec<StoredStep> = its_own.collect();
            check_chain(&withdrawal, &its_own).map_err(ReadError::Damaged)?;
            Ok((withdrawal, its_own))
        })
        .collect()
}

pub(super) fn withdrawal(connection: &Connection, id: WithdrawalId) -> Result<Option<Whole>, ReadError> {
    let sql = "SELECT * FROM withdrawals WHERE id = ?1";
    let found = rows(connection, sql, [id.to_string()], |row| columns::withdrawal(row))?;
    let Some(withdrawal) = found.into_iter().next() else { return Ok(None) };
    let steps = history(connection, &withdrawal)?;
    Ok(Some((withdrawal, steps)))
}

pub(super) fn withdrawal_of_nonce(connection: &Connection, nonce: Nonce) -> Result<Option<WithdrawalId>, ReadError> {
    let sql = "SELECT * FROM withdrawals WHERE nonce = ?1";
    let found = rows(connection, sql, [nonce.0.as_slice()], |row| columns::withdrawal(row))?;
    Ok(found.into_iter().next().map(|withdrawal| withdrawal.id))
}

pub(super) fn list(
    connection: &Connection,
    filter: &WithdrawalFilter,
    before: Option<WithdrawalId>,
    limit: u32,
) -> Result<Vec<WithdrawalSummary>, ReadError> {
    let (sql, values) = listing(filter, before, limit);
    let values: Vec<&dyn ToSql> = values.iter().map(|value| value as &dyn ToSql).collect();
    rows(connection, &sql, values.as_slice(), |row| columns::withdrawal(row))
}

pub(super) fn counts_by_state(connection: &Connection, open_only: bool) -> Result<Vec<StateCount>, ReadError> {
    rows(connection, if open_only { OPEN_COUNTS_BY_STATE } else { COUNTS_BY_STATE }, [], state_count)
}

pub(super) fn remarks(connection: &Connection, id: WithdrawalId) -> Result<Remarks, ReadError> {
    let id = id.to_string();
    let kept = rows(connection, REMARKS_OF, [&id], |row| columns::remark(row))?;
    let left_out = rows(connection, REMARKS_LEFT_OUT_OF, [&id], |row| columns::remarks_left_out(row))?;
    Ok(Remarks {
        kept: kept.into_iter().map(|(_, remark)| remark).collect(),
        left_out: left_out.into_iter().next().unwrap_or(0),
    })
}

/// All the steps of a withdrawal, if they are what its row says.
pub(super) fn history(connection: &Connection, withdrawal: &WithdrawalSummary) -> Result<Vec<StoredStep>, ReadError> {
    let steps = rows(connection, STEPS_OF, [withdrawal.id.to_string()], |row| columns::step(row))?;
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

pub(super) fn rows<T>(
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
    use crate::sqlite::schema;
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
