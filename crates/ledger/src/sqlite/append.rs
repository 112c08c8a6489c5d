//! One append, inside the writer's transaction: checked first, so that every refusal is precise, then written.

use rusqlite::{Connection, OptionalExtension as _, Statement, params};

use crate::columns::{self, Standing, signed, signed_money};
use crate::error::AppendError;
use crate::records::{Sequence, StepRecord};
use crate::row_check::RowCheck;
use crate::seal::Seal;
use crate::sqlite::writer::WriteFault;
use crate::work::Written;

/// The sequence of the last step or notice there is.
pub(crate) fn last_sequence(connection: &Connection) -> rusqlite::Result<Sequence> {
    let sql =
        "SELECT max((SELECT coalesce(max(sequence), 0) FROM steps), (SELECT coalesce(max(sequence), 0) FROM notices))";
    let last: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(Sequence(u64::try_from(last).unwrap_or(0)))
}

/// Writes the steps after `last`. The caller rolls back if this fails.
pub(crate) fn apply(connection: &Connection, steps: &[StepRecord], last: Sequence) -> Result<Written, WriteFault> {
    if !(1..=StepRecord::PER_APPEND_MAX).contains(&steps.len()) {
        return Err(WriteFault::Refused(AppendError::StepCount { found: steps.len() }));
    }
    let mut sequence = last;
    for step in steps {
        let id = step.withdrawal.to_string();
        let follows = standing(connection, &id)?;
        check(step, follows.as_ref()).map_err(WriteFault::Refused)?;
        sequence = Sequence(sequence.0 + 1);
        let seal = Seal::of_step(follows.as_ref().map(|standing| &standing.last_seal), sequence, step);
        match follows {
            None => {
                check_nonce(connection, step)?;
                insert_step(connection, step, &id, sequence, &seal)?;
                insert_withdrawal(connection, step, &id, &seal)?;
            }
            Some(_) => {
                insert_step(connection, step, &id, sequence, &seal)?;
                update_withdrawal(connection, step, &id, &seal)?;
            }
        }
    }
    Ok(Written::of(sequence, steps.len()))
}

/// Reads all of the row, for its check: a step must not be chained to a damaged one.
fn standing(connection: &Connection, id: &str) -> Result<Option<Standing>, WriteFault> {
    let mut statement = connection.prepare_cached("SELECT * FROM withdrawals WHERE id = ?1")?;
    let mut rows = statement.query([id])?;
    match rows.next()? {
        Some(row) => columns::standing(row).map(Some).map_err(WriteFault::from),
        None => Ok(None),
    }
}

fn check(step: &StepRecord, standing: Option<&Standing>) -> Result<(), AppendError> {
    let &StepRecord { withdrawal, number, .. } = step;
    let expected = standing.map_or(1, |standing| standing.last_step.saturating_add(1));
    if standing.is_some_and(|standing| !standing.open) {
        Err(AppendError::WithdrawalEnded { withdrawal })
    } else if number != expected {
        Err(AppendError::StepOutOfOrder { withdrawal, expected, found: number })
    } else if step.row.dispensed.is_some_and(|dispensed| dispensed.currency() != step.row.amount.currency()) {
        Err(AppendError::CurrenciesDiffer { withdrawal, number })
    } else if step.body.len() > StepRecord::BODY_BYTES_MAX {
        Err(AppendError::BodyTooLong { withdrawal, number, bytes: step.body.len() })
    } else {
        Ok(())
    }
}

/// The schema holds nonces unique too; asking first tells whose it is.
fn check_nonce(connection: &Connection, step: &StepRecord) -> Result<(), WriteFault> {
    let holder: Option<String> = connection
        .prepare_cached("SELECT id FROM withdrawals WHERE nonce = ?1")?
        .query_row([step.row.nonce.0], |row| row.get(0))
        .optional()?;
    match holder.and_then(|id| id.parse().ok()) {
        Some(by) => Err(WriteFault::Refused(AppendError::NonceAlreadyClaimed { withdrawal: step.withdrawal, by })),
        None => Ok(()),
    }
}

fn insert_step(
    connection: &Connection,
    step: &StepRecord,
    id: &str,
    sequence: Sequence,
    seal: &Seal,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO steps (sequence, withdrawal, number, at_ms, kind, institution, body, seal)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            signed(sequence.0),
            id,
            step.number,
            signed(step.at.unix_ms()),
            step.kind,
            step.row.institution.as_str(),
            step.body,
            seal.as_bytes(),
        ])
        .map(drop)
}

fn insert_withdrawal(connection: &Connection, step: &StepRecord, id: &str, seal: &Seal) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO withdrawals (id, state, open, institution, account, device, atm, qr_session, nonce, currency, amount,
             dispensed, hold, day, approved_at_ms, policy_version, key_id, last_step, changed_at_ms, last_seal, row_check)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
    )?;
    execute_with_row(&mut statement, step, id, seal).map(drop)
}

/// Changes what may change, and finds the row only if the rest is what the first step said.
fn update_withdrawal(connection: &Connection, step: &StepRecord, id: &str, seal: &Seal) -> Result<(), WriteFault> {
    let mut statement = connection.prepare_cached(
        "UPDATE withdrawals SET state = ?2, open = ?3, dispensed = ?12, hold = ?13, last_step = ?18, changed_at_ms = ?19,
             last_seal = ?20, row_check = ?21
         WHERE id = ?1 AND institution = ?4 AND account = ?5 AND device = ?6 AND atm = ?7 AND qr_session = ?8
             AND nonce = ?9 AND currency = ?10 AND amount = ?11 AND day = ?14 AND approved_at_ms = ?15
             AND policy_version = ?16 AND key_id = ?17",
    )?;
    if execute_with_row(&mut statement, step, id, seal)? == 1 {
        return Ok(());
    }
    let &StepRecord { withdrawal, number, .. } = step;
    Err(WriteFault::Refused(AppendError::ApprovalChanged { withdrawal, number }))
}

/// Runs a statement whose parameters 1 to 21 are the columns of `withdrawals` in their order.
fn execute_with_row(
    statement: &mut Statement<'_>,
    step: &StepRecord,
    id: &str,
    seal: &Seal,
) -> rusqlite::Result<usize> {
    let row = &step.row;
    let check = RowCheck::of_withdrawal(id, row, step.number, step.at, seal);
    statement.execute(params![
        id,
        row.state,
        row.open,
        row.institution.as_str(),
        row.account.as_str(),
        row.device.as_str(),
        row.atm.as_str(),
        row.qr_session.to_string(),
        row.nonce.0,
        row.amount.currency().as_str(),
        signed_money(row.amount),
        row.dispensed.map(signed_money),
        row.hold.as_ref().map(|hold| hold.as_str()),
        row.day.0,
        signed(row.approved_at.unix_ms()),
        row.policy_version,
        row.key_id.to_string(),
        step.number,
        signed(step.at.unix_ms()),
        seal.as_bytes(),
        check.as_bytes(),
    ])
}
