//! The questions, each in one read-only transaction.

use std::collections::HashMap;

use cashgate_withdrawal::ids::{AtmId, InstitutionId, Nonce, WithdrawalId};
use cashgate_withdrawal::time::Timestamp;
use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::encoding::{limit_key, uuid};
use super::reader::{PostgresReader, rows, value};
use super::{faults, sql, verifying, watching};
use crate::approvals::{ApprovedRow, approved};
use crate::chain;
use crate::claim::LimitKey;
use crate::columns::{self, signed};
use crate::damage::{Damage, Fault};
use crate::devices::{self, DeviceRow};
use crate::error::ReadError;
use crate::feed::FeedEntry;
use crate::key_events::{self, StoredKeyEvent};
use crate::notices::{self, StoredNotice};
use crate::publications::{self, StoredPublication};
use crate::reads::{Judged, JudgedAt, PART, PlacedRecord, Reads, Whole};
use crate::records::{Remarks, Sequence, StateCount, StoredStep, WithdrawalFilter, WithdrawalSummary};
use crate::seal::{check_chain, check_first};
use crate::tail::{AttemptsPart, Tail, TailMark};

/// All the steps of a withdrawal, if they are what its row says.
pub(super) async fn history(
    transaction: &Transaction<'_>,
    withdrawal: &WithdrawalSummary,
) -> Result<Vec<StoredStep>, ReadError> {
    let steps = rows(transaction, &sql::STEPS_OF, &[&uuid(withdrawal.id)], columns::step).await?;
    check_chain(withdrawal, &steps).map_err(ReadError::Damaged)?;
    Ok(steps)
}

pub(super) async fn head(transaction: &Transaction<'_>) -> Result<TailMark, ReadError> {
    let found =
        rows(transaction, watching::MARK, &[], |row| watching::of(row).map_err(|error| faults::reading(&error)));
    let nothing = || ReadError::Damaged(Damage::of_file("ledger_head has no row".to_owned()));
    found.await?.into_iter().next().ok_or_else(nothing)
}

async fn judged_key_events(transaction: &Transaction<'_>) -> Result<Vec<Judged<StoredKeyEvent>>, ReadError> {
    rows(transaction, &sql::KEY_EVENTS, &[], key_events::placed).await.map(chain::judged)
}

/// A text that compares like an id, as an id: what it lacks is zeros.
pub(super) fn id_above(text: &str) -> Uuid {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).chain(std::iter::repeat('0')).take(32).collect();
    Uuid::try_parse(&digits).unwrap_or(Uuid::nil())
}

impl Reads for PostgresReader {
    fn open_withdrawals(&self, atm: Option<&AtmId>) -> Result<Vec<Whole>, ReadError> {
        let atm = atm.map(ToString::to_string);
        self.read(async |transaction| {
            let values: Vec<&(dyn ToSql + Sync)> = atm.iter().map(|atm| atm as _).collect();
            let (open, steps) = if atm.is_some() {
                (&*sql::OPEN_OF_ATM, &*sql::STEPS_OF_OPEN_OF_ATM)
            } else {
                (&*sql::OPEN, &*sql::STEPS_OF_OPEN)
            };
            let open = rows(transaction, open, &values, columns::withdrawal).await?;
            let mut steps = rows(transaction, steps, &values, columns::step).await?.into_iter().peekable();
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

    fn withdrawal(&self, id: WithdrawalId) -> Result<Option<Whole>, ReadError> {
        self.read(async |transaction| {
            let found = rows(transaction, &sql::WITHDRAWAL, &[&uuid(id)], columns::withdrawal).await?;
            let Some(withdrawal) = found.into_iter().next() else { return Ok(None) };
            let steps = history(transaction, &withdrawal).await?;
            Ok(Some((withdrawal, steps)))
        })
    }

    fn withdrawal_of_nonce(&self, nonce: Nonce) -> Result<Option<WithdrawalId>, ReadError> {
        self.read(async |transaction| {
            let found = rows(transaction, &sql::OF_NONCE, &[&nonce.0.as_slice()], columns::withdrawal).await?;
            Ok(found.into_iter().next().map(|withdrawal| withdrawal.id))
        })
    }

    fn list(
        &self,
        filter: &WithdrawalFilter,
        before: Option<WithdrawalId>,
        limit: u32,
    ) -> Result<Vec<WithdrawalSummary>, ReadError> {
        let before = before.map(uuid);
        let texts = [
            filter.institution.as_ref().map(ToString::to_string),
            filter.atm.as_ref().map(ToString::to_string),
            filter.account.as_ref().map(ToString::to_string),
            filter.state.clone(),
        ];
        let sql = sql::listing(filter, before.is_some(), limit);
        self.read(async |transaction| {
            let mut values: Vec<&(dyn ToSql + Sync)> = before.iter().map(|before| before as _).collect();
            values.extend(texts.iter().flatten().map(|text| text as &(dyn ToSql + Sync)));
            rows(transaction, &sql, &values, columns::withdrawal).await
        })
    }

    fn last_sequence(&self) -> Result<Sequence, ReadError> {
        self.read(async |transaction| head(transaction).await.map(|mark| mark.sequence))
    }

    fn counts_by_state(&self, open_only: bool) -> Result<Vec<StateCount>, ReadError> {
        self.read(async |transaction| {
            rows(transaction, if open_only { sql::OPEN_COUNTS } else { sql::COUNTS }, &[], |row| {
                let count = u64::try_from(value::<i64>(row, 2)?).unwrap_or(0);
                Ok(StateCount { state: value(row, 0)?, open: value::<i16>(row, 1)? == 1, count })
            })
            .await
        })
    }

    fn remarks(&self, id: WithdrawalId) -> Result<Remarks, ReadError> {
        let id = uuid(id);
        self.read(async |transaction| {
            let kept = rows(transaction, &sql::REMARKS_OF, &[&id], columns::remark).await?;
            let left_out = rows(transaction, &sql::LEFT_OUT_OF, &[&id], columns::remarks_left_out).await?;
            Ok(Remarks {
                kept: kept.into_iter().map(|(_, remark)| remark).collect(),
                left_out: left_out.into_iter().next().unwrap_or(0),
            })
        })
    }

    fn notices_of(&self, kinds: &[&str], since: Timestamp) -> Result<Vec<StoredNotice>, ReadError> {
        self.read(async |transaction| {
            let values: [&(dyn ToSql + Sync); 2] = [&kinds, &signed(since.unix_ms())];
            rows(transaction, &sql::NOTICES_OF, &values, notices::notice).await
        })
    }

    fn devices(&self) -> Result<Vec<DeviceRow>, ReadError> {
        self.read(async |transaction| rows(transaction, &sql::DEVICES, &[], devices::device).await)
    }

    fn key_events(&self) -> Result<Vec<Judged<StoredKeyEvent>>, ReadError> {
        self.read(async |transaction| judged_key_events(transaction).await)
    }

    fn publications(&self) -> Result<Vec<Judged<StoredPublication>>, ReadError> {
        self.read(async |transaction| {
            rows(transaction, &sql::PUBLICATIONS, &[], publications::placed).await.map(chain::judged)
        })
    }

    fn publication_body(&self, number: u64) -> Result<Option<Vec<u8>>, ReadError> {
        self.read(async |transaction| {
            let sql = "SELECT body FROM publications WHERE number = $1";
            Ok(rows(transaction, sql, &[&signed(number)], |row| value(row, 0)).await?.pop())
        })
    }

    fn feed(
        &self,
        after: Sequence,
        span: u64,
        institution: Option<&InstitutionId>,
        limit: u32,
    ) -> Result<(Vec<FeedEntry>, Sequence), ReadError> {
        self.read(async |transaction| {
            let last = head(transaction).await?.sequence;
            let end = Sequence(after.0.saturating_add(span)).min(last);
            let institution = institution.map(InstitutionId::as_str);
            let values: [&(dyn ToSql + Sync); 4] = [&signed(after.0), &signed(end.0), &institution, &i64::from(limit)];
            let step = |row: &_| columns::step_after_previous(row).map(FeedEntry::Step);
            let mut entries = rows(transaction, &sql::STEPS_OF_SPAN, &values, step).await?;
            let notice = |row: &_| notices::notice(row).map(FeedEntry::Notice);
            entries.extend(rows(transaction, &sql::NOTICES_OF_SPAN, &values, notice).await?);
            entries.sort_by_key(FeedEntry::sequence); // Two runs in order: one merge.
            entries.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok((entries, end))
        })
    }

    fn approved_after(&self, after: &str, since: Timestamp) -> Result<Vec<ApprovedRow>, ReadError> {
        self.read(async |transaction| {
            let values: [&(dyn ToSql + Sync); 3] = [&id_above(after), &signed(since.unix_ms()), &i64::from(PART)];
            rows(transaction, &sql::APPROVED_AFTER, &values, approved).await
        })
    }

    fn first_steps_after(
        &self,
        after: &str,
        since: Timestamp,
    ) -> Result<Vec<(WithdrawalSummary, StoredStep)>, ReadError> {
        self.read(async |transaction| {
            let values: [&(dyn ToSql + Sync); 3] = [&id_above(after), &signed(since.unix_ms()), &i64::from(PART)];
            let withdrawals = rows(transaction, &sql::APPROVED_AFTER, &values, columns::withdrawal).await?;
            let mut found = Vec::with_capacity(withdrawals.len());
            for withdrawal in withdrawals {
                let steps = rows(transaction, &sql::FIRST_STEP, &[&uuid(withdrawal.id)], columns::step).await?;
                let none = || ReadError::Damaged(Damage::of_withdrawal(withdrawal.id, Fault::NoFirstStep));
                let first = steps.into_iter().next().ok_or_else(none)?;
                check_first(&withdrawal, &first).map_err(ReadError::Damaged)?;
                found.push((withdrawal, first));
            }
            Ok(found)
        })
    }

    fn approved_of(&self, key: &LimitKey, since: Timestamp) -> Result<(Vec<ApprovedRow>, u64), ReadError> {
        let (whose, name) = match key {
            LimitKey::Account(institution, account) => (institution.to_string(), Some(account.to_string())),
            LimitKey::Device(institution, device) => (institution.to_string(), Some(device.to_string())),
            LimitKey::Atm(atm) => (atm.to_string(), None),
        };
        let (kind, text) = limit_key(key);
        let sql = sql::approved_of(key);
        self.read(async |transaction| {
            let values: [&(dyn ToSql + Sync); 3] = [&signed(since.unix_ms()), &whose, &name];
            let found = rows(transaction, &sql, &values, approved).await?;
            let sql = "SELECT version FROM limit_versions WHERE kind = $1 AND key = $2";
            let versions = rows(transaction, sql, &[&kind, &text], |row| value::<i64>(row, 0)).await?;
            let version = versions.first().and_then(|version| u64::try_from(*version).ok()).unwrap_or(0);
            Ok((found, version))
        })
    }

    fn tail_mark(&self) -> Result<TailMark, ReadError> {
        self.read(async |transaction| head(transaction).await)
    }

    fn tail_after(&self, mark: &TailMark) -> Result<Tail, ReadError> {
        self.read(async |transaction| {
            let after: [&(dyn ToSql + Sync); 2] = [&signed(mark.sequence.0), &i64::from(Tail::NOTICES_MAX)];
            let change: [&(dyn ToSql + Sync); 1] = [&signed(mark.device_changes)];
            // Sent at once, answered from one moment: what is known here is as old as this takes, and nobody is served while it is older than a second.
            let (now, notices, devices) = tokio::try_join!(
                head(transaction),
                rows(transaction, &sql::NOTICES_AFTER, &after, notices::notice),
                rows(transaction, &sql::DEVICES_CHANGED, &change, devices::device),
            )?;
            let mut events = Vec::new();
            if now.key_events > mark.key_events {
                // The whole chain, for its seals: it is short, and grows a few times a year.
                let mut all = judged_key_events(transaction).await?;
                let seen = usize::try_from(mark.key_events).unwrap_or(usize::MAX).min(all.len());
                events = all.drain(seen..).collect::<Result<_, _>>().map_err(ReadError::Damaged)?;
            }
            Ok(Tail::of(mark, now.sequence, notices, events, devices, now.device_changes))
        })
    }

    fn attempts_after(&self, after: Sequence, kinds: &[&str]) -> Result<AttemptsPart, ReadError> {
        self.read(async |transaction| {
            let last = head(transaction).await?.sequence;
            let through = AttemptsPart::end(after, last);
            let (from, to) = (signed(after.0), signed(through.0));
            let steps = rows(transaction, &sql::FIRST_STEPS_OF_SPAN, &[&from, &to], columns::step).await?;
            let ids: Vec<Uuid> = steps.iter().map(|step| uuid(step.withdrawal)).collect();
            let withdrawals = rows(transaction, &sql::WITHDRAWALS, &[&ids], columns::withdrawal).await?;
            let mut withdrawals: HashMap<_, _> = withdrawals.into_iter().map(|one| (one.id, one)).collect();
            let mut approved = Vec::with_capacity(steps.len());
            for step in steps {
                let none = || ReadError::Damaged(Damage::of_step(&step, Fault::NoWithdrawal));
                let withdrawal = withdrawals.remove(&step.withdrawal).ok_or_else(none)?;
                check_first(&withdrawal, &step).map_err(ReadError::Damaged)?;
                approved.push((withdrawal, step));
            }
            let values: [&(dyn ToSql + Sync); 3] = [&from, &to, &kinds];
            let notices = rows(transaction, &sql::NOTICES_OF_SPAN_AND_KINDS, &values, notices::notice).await?;
            Ok(AttemptsPart { approved, notices, through, is_whole: through >= last })
        })
    }

    fn end_of_records(&self) -> Result<Sequence, ReadError> {
        self.read(async |transaction| verifying::end_of_records(transaction).await)
    }

    fn structure(&self) -> Result<Vec<String>, ReadError> {
        self.read(async |transaction| verifying::structure(transaction).await)
    }

    fn order_part(&self, seen: Sequence, last: Sequence) -> Result<Vec<PlacedRecord>, ReadError> {
        self.read(async |transaction| verifying::order_part(transaction, seen, last).await)
    }

    fn places_after(&self, place: &str) -> Result<Vec<String>, ReadError> {
        self.read(async |transaction| verifying::places_after(transaction, place).await)
    }

    fn whole_at(&self, place: &str) -> Result<Option<Whole>, ReadError> {
        self.withdrawal(WithdrawalId::from_bytes(*id_above(place).as_bytes()))
    }

    fn nonces_claimed_twice(&self) -> Result<Vec<(String, u64)>, ReadError> {
        self.read(async |transaction| verifying::nonces_claimed_twice(transaction).await)
    }

    fn devices_after(&self, seen: &(String, String)) -> JudgedAt<(String, String)> {
        self.read(async |transaction| verifying::devices_after(transaction, seen).await)
    }

    fn remarks_after(&self, seen: &(String, i64)) -> JudgedAt<(String, i64)> {
        self.read(async |transaction| verifying::remarks_after(transaction, seen).await)
    }

    fn remarks_left_out(&self) -> Result<Vec<Judged<()>>, ReadError> {
        self.read(async |transaction| verifying::remarks_left_out(transaction).await)
    }

    fn without_withdrawal(&self, table: &'static str) -> Result<Vec<String>, ReadError> {
        self.read(async |transaction| verifying::without_withdrawal(transaction, table).await)
    }
}
