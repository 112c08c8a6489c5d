//! One append, inside the writer's transaction: checked first, so that every refusal is precise, then written.

use cashgate_withdrawal::ids::WithdrawalId;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Statement, params};

use super::chain_ends::ChainEnds;
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

/// What one group of writes is written with. Prepared once for all of it.
pub(crate) struct Appending<'group> {
    connection: &'group Connection,
    ends: &'group mut ChainEnds,
    standing: CachedStatement<'group>,
    insert_step: CachedStatement<'group>,
    insert_withdrawal: CachedStatement<'group>,
    update_withdrawal: CachedStatement<'group>,
}

impl<'group> Appending<'group> {
    pub(crate) fn new(connection: &'group Connection, ends: &'group mut ChainEnds) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            ends,
            standing: connection.prepare_cached("SELECT * FROM withdrawals WHERE id = ?1")?,
            insert_step: connection.prepare_cached(INSERT_STEP)?,
            insert_withdrawal: connection.prepare_cached(INSERT_WITHDRAWAL)?,
            update_withdrawal: connection.prepare_cached(UPDATE_WITHDRAWAL)?,
        })
    }

    /// A write was taken back: what was noted of it is not true.
    pub(crate) fn forget(&mut self) {
        self.ends.forget();
    }

    /// Writes the steps after `last`. The caller takes them back if this fails.
    pub(crate) fn append(&mut self, steps: &[StepRecord], last: Sequence) -> Result<Written, WriteFault> {
        if !(1..=StepRecord::PER_APPEND_MAX).contains(&steps.len()) {
            return Err(WriteFault::Refused(AppendError::StepCount { found: steps.len() }));
        }
        let mut sequence = last;
        for step in steps {
            let id = step.withdrawal.to_string();
            let follows = self.standing(step.withdrawal, &id)?;
            check(step, follows.as_ref()).map_err(WriteFault::Refused)?;
            sequence = Sequence(sequence.0 + 1);
            let seal = Seal::of_step(follows.as_ref().map(|standing| &standing.last_seal), step);
            self.insert_step(step, &id, sequence, &seal)?;
            match follows {
                None => self.insert_withdrawal(step, &id, &seal)?,
                Some(_) => self.update_withdrawal(step, &id, &seal)?,
            }
            self.ends.note(step.withdrawal, Standing { last_step: step.number, open: step.row.open, last_seal: seal });
        }
        Ok(Written::of(sequence, steps.len()))
    }

    /// As noted, or else from the row, all of which is read for its check: a step must not be chained to a damaged one.
    fn standing(&mut self, withdrawal: WithdrawalId, id: &str) -> Result<Option<Standing>, WriteFault> {
        if let Some(known) = self.ends.of(withdrawal) {
            return Ok(Some(known));
        }
        let mut rows = self.standing.query([id])?;
        match rows.next()? {
            Some(row) => columns::standing(row).map(Some).map_err(WriteFault::from),
            None => Ok(None),
        }
    }

    fn insert_step(&mut self, step: &StepRecord, id: &str, sequence: Sequence, seal: &Seal) -> rusqlite::Result<()> {
        let values = params![
            signed(sequence.0),
            id,
            step.number,
            signed(step.at.unix_ms()),
            step.kind,
            step.row.institution.as_str(),
            step.body,
            seal.as_bytes(),
        ];
        self.insert_step.execute(values).map(drop)
    }

    /// The schema holds nonces unique; whose it is, is asked only when it refuses.
    fn insert_withdrawal(&mut self, step: &StepRecord, id: &str, seal: &Seal) -> Result<(), WriteFault> {
        let Err(refused) = execute_with_row(&mut self.insert_withdrawal, step, id, seal) else { return Ok(()) };
        if refused.sqlite_error_code() != Some(rusqlite::ErrorCode::ConstraintViolation) {
            return Err(refused.into());
        }
        let holder: Option<String> = self
            .connection
            .prepare_cached("SELECT id FROM withdrawals WHERE nonce = ?1")?
            .query_row([step.row.nonce.0], |row| row.get(0))
            .optional()?;
        match holder.and_then(|id| id.parse().ok()) {
            Some(by) => Err(WriteFault::Refused(AppendError::NonceAlreadyClaimed { withdrawal: step.withdrawal, by })),
            None => Err(refused.into()),
        }
    }

    /// Changes what may change, and finds the row only if the rest is what the first step said.
    fn update_withdrawal(&mut self, step: &StepRecord, id: &str, seal: &Seal) -> Result<(), WriteFault> {
        if execute_with_row(&mut self.update_withdrawal, step, id, seal)? == 1 {
            return Ok(());
        }
        let &StepRecord { withdrawal, number, .. } = step;
        Err(WriteFault::Refused(AppendError::ApprovalChanged { withdrawal, number }))
    }
}

const INSERT_STEP: &str = "INSERT INTO steps (sequence, withdrawal, number, at_ms, kind, institution, body, seal)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

const INSERT_WITHDRAWAL: &str =
    "INSERT INTO withdrawals (id, state, open, institution, account, device, atm, qr_session, nonce, currency, amount,
         dispensed, hold, day, approved_at_ms, policy_version, key_id, last_step, changed_at_ms, last_seal, row_check)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)";

const UPDATE_WITHDRAWAL: &str =
    "UPDATE withdrawals SET state = ?2, open = ?3, dispensed = ?12, hold = ?13, last_step = ?18, changed_at_ms = ?19,
         last_seal = ?20, row_check = ?21
     WHERE id = ?1 AND open = 1 AND institution = ?4 AND account = ?5 AND device = ?6 AND atm = ?7 AND qr_session = ?8
         AND nonce = ?9 AND currency = ?10 AND amount = ?11 AND day = ?14 AND approved_at_ms = ?15
         AND policy_version = ?16 AND key_id = ?17";

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
