//! A replica's place in the registry.

use std::time::Duration;

use cashgate_withdrawal::ids::{AtmId, WithdrawalId};
use deadpool_postgres::Pool;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::connecting::Connector;
use super::encoding::uuid;
use super::faults;
use super::reader::pool;
use super::runtime::Runtime;
use crate::columns::signed;
use crate::damage::{Damage, Fault};
use crate::error::{AppendError, ReplicaError, StorageError};
use crate::notices::Notice;
use crate::publications::Publication;
use crate::records::Sequence;
use crate::replicas::{Epoch, Incarnation, LaneOwner, ReplicaId, ReplicaIdentity, ReplicaRow};
use crate::row_check::RowColumns;

/// Connections for the registry alone: a heartbeat must not wait behind reads.
const CONNECTIONS: usize = 2;

/// How often a publication whose answer was lost is asked for again.
const PUBLISH_TRIES: u32 = 8;
const AGAIN_AFTER: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub(crate) struct Seat {
    runtime: tokio::runtime::Handle,
    pool: Pool,
    patience: Duration,
    id: ReplicaId,
    incarnation: Incarnation,
}

/// Values that outlive the call.
type Values = Vec<Box<dyn ToSql + Sync + Send>>;

impl Seat {
    pub(super) fn new(runtime: Runtime, connector: Connector, id: ReplicaId, incarnation: Incarnation) -> Self {
        let patience = connector.patience();
        let pool = pool(connector, CONNECTIONS);
        Self { runtime: runtime.handle().clone(), pool, patience, id, incarnation }
    }

    pub(crate) fn id(&self) -> ReplicaId {
        self.id
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// As the database takes them.
    pub(super) fn numbers(&self) -> (i16, i64) {
        (i16::try_from(self.id.0).unwrap_or(i16::MAX), signed(self.incarnation.0))
    }

    pub(crate) async fn heartbeat(&self, draining: bool) -> Result<(), ReplicaError> {
        self.heard(draining, false).await
    }

    /// Says that this replica is gone.
    pub(super) async fn leave(&self) -> Result<(), ReplicaError> {
        self.heard(true, true).await
    }

    async fn heard(&self, draining: bool, gone: bool) -> Result<(), ReplicaError> {
        let (id, incarnation) = self.numbers();
        let values: Values = vec![Box::new(id), Box::new(incarnation), Box::new(draining), Box::new(gone)];
        let rows = self.ask("SELECT cashgate_heartbeat($1, $2, $3, $4)", values).await?;
        match rows.first().map(|row| value::<bool>(row, 0)).transpose()? {
            Some(true) => Ok(()),
            _ => Err(ReplicaError::PutOut { id: self.id }),
        }
    }

    pub(crate) async fn list(&self) -> Result<Vec<ReplicaRow>, ReplicaError> {
        let sql = "SELECT id, incarnation, name, address, draining,
                (extract(epoch FROM clock_timestamp() - heartbeat_at) * 1000)::bigint FROM replicas ORDER BY id";
        self.ask(sql, Vec::new()).await?.iter().map(replica).collect()
    }

    pub(crate) async fn claim_lane(&self, atm: &AtmId) -> Result<(Epoch, Option<LaneOwner>), ReplicaError> {
        let (id, incarnation) = self.numbers();
        let values: Values = vec![Box::new(id), Box::new(incarnation), Box::new(atm.to_string())];
        let sql = "SELECT now_epoch, had_replica, had_incarnation, had_epoch FROM cashgate_claim_lane($1, $2, $3)";
        let rows = self.ask(sql, values).await?;
        let put_out = ReplicaError::PutOut { id: self.id };
        let Some(row) = rows.first() else { return Err(put_out) };
        let Some(epoch) = value::<Option<i64>>(row, 0)? else { return Err(put_out) };
        let had = value::<Option<i64>>(row, 3)?.map(|epoch| owner(row, (1, 2), epoch)).transpose()?;
        Ok((Epoch(unsigned(epoch)), had))
    }

    pub(crate) async fn release_lane(&self, atm: &AtmId, epoch: Epoch) -> Result<bool, ReplicaError> {
        let (id, incarnation) = self.numbers();
        let values: Values =
            vec![Box::new(id), Box::new(incarnation), Box::new(atm.to_string()), Box::new(signed(epoch.0))];
        let rows = self.ask("SELECT cashgate_release_lane($1, $2, $3, $4)", values).await?;
        rows.first().map_or(Ok(false), |row| value(row, 0))
    }

    pub(crate) async fn owner_of_lane(&self, atm: &AtmId) -> Result<Option<LaneOwner>, ReplicaError> {
        let sql = "SELECT replica, incarnation, epoch FROM lanes WHERE atm = $1";
        let rows = self.ask(sql, vec![Box::new(atm.to_string())]).await?;
        rows.first().map(|row| owner(row, (0, 1), value(row, 2)?)).transpose()
    }

    pub(crate) async fn lost_lanes(&self, held: &[(AtmId, Epoch)]) -> Result<Vec<AtmId>, ReplicaError> {
        let atms: Vec<String> = held.iter().map(|(atm, _)| atm.to_string()).collect();
        let epochs: Vec<i64> = held.iter().map(|(_, epoch)| signed(epoch.0)).collect();
        let sql = "SELECT held.atm FROM unnest($1::text[], $2::bigint[]) AS held (atm, epoch)
            JOIN lanes l ON l.atm = held.atm WHERE l.epoch > held.epoch";
        self.ask(sql, vec![Box::new(atms), Box::new(epochs)]).await?.iter().map(|row| atm(row, 0)).collect()
    }

    pub(crate) async fn owner_of_withdrawal(
        &self,
        withdrawal: WithdrawalId,
    ) -> Result<Option<(AtmId, Option<LaneOwner>)>, ReplicaError> {
        let sql = "SELECT l.replica, l.incarnation, l.epoch, w.atm
            FROM every_withdrawal w LEFT JOIN lanes l ON l.atm = w.atm WHERE w.id = $1";
        let rows = self.ask(sql, vec![Box::new(uuid(withdrawal))]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let owner = value::<Option<i64>>(row, 2)?.map(|epoch| owner(row, (0, 1), epoch)).transpose()?;
        Ok(Some((atm(row, 3)?, owner)))
    }

    pub(crate) async fn orphaned_lanes(&self, dead_after: Duration) -> Result<Vec<AtmId>, ReplicaError> {
        let sql = "SELECT DISTINCT w.atm FROM withdrawals w LEFT JOIN lanes l ON l.atm = w.atm
                LEFT JOIN replicas r ON r.id = l.replica AND r.incarnation = l.incarnation
                    AND r.heartbeat_at >= clock_timestamp() - $1::bigint * interval '1 millisecond'
            WHERE w.open = 1 AND r.id IS NULL ORDER BY 1";
        let dead_after = i64::try_from(dead_after.as_millis()).unwrap_or(i64::MAX);
        self.ask(sql, vec![Box::new(dead_after)]).await?.iter().map(|row| atm(row, 0)).collect()
    }

    /// Publishes, and asks again for the same if the answer was lost.
    pub(crate) async fn publish(
        &self,
        number: u64,
        publication: &Publication,
        notice: &Notice,
    ) -> Result<Sequence, AppendError> {
        let sql = "SELECT state, latest, placed FROM cashgate_publish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        let mut tries = 0;
        let rows = loop {
            match self.ask(sql, self.publishing(number, publication, notice)).await {
                Ok(rows) => break rows,
                Err(ReplicaError::Storage(error)) if error.is_lost() && tries < PUBLISH_TRIES => tries += 1,
                Err(ReplicaError::Storage(error)) if error.is_lost() => return Err(AppendError::Unanswered(error)),
                Err(ReplicaError::Storage(error)) => return Err(AppendError::Constraint(error)),
                Err(put_out @ ReplicaError::PutOut { .. }) => return Err(refused(put_out.to_string())),
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        };
        let row = rows.first().ok_or_else(|| refused("it was not published".to_owned()))?;
        let unread = |error: ReplicaError| refused(error.to_string());
        let number_at = |place| value::<Option<i64>>(row, place).map(|one| unsigned(one.unwrap_or(0))).map_err(unread);
        let latest = number_at(1)?;
        match value::<&str>(row, 0).map_err(unread)? {
            "done" => Ok(Sequence(number_at(2)?)),
            "taken" => Err(AppendError::PublicationTaken { latest }),
            "damaged" => Err(AppendError::PublicationDamaged(Damage::of_publication(latest, Fault::Seal))),
            _ => Err(refused(ReplicaError::PutOut { id: self.id }.to_string())),
        }
    }

    /// What `cashgate_publish` is given.
    fn publishing(&self, number: u64, publication: &Publication, notice: &Notice) -> Values {
        let (id, incarnation) = self.numbers();
        let mut tail = RowColumns::part();
        notice.add_to(&mut tail);
        let Publication { at, actor, note, version, body } = publication.clone();
        vec![
            Box::new(id),
            Box::new(incarnation),
            Box::new(signed(number)),
            Box::new(signed(at.unix_ms())),
            Box::new(actor),
            Box::new(note),
            Box::new(version),
            Box::new(publication.digest().to_vec()),
            Box::new(body),
            Box::new(signed(notice.at.unix_ms())),
            Box::new(notice.kind),
            Box::new(notice.body.clone()),
            Box::new(tail.into_bytes()),
        ]
    }

    /// Asks on the ledger's own runtime, so that its connections do not depend on the caller's.
    async fn ask(&self, sql: &'static str, values: Values) -> Result<Vec<Row>, ReplicaError> {
        let (pool, patience) = (self.pool.clone(), self.patience);
        let asking = self.runtime.spawn(async move {
            let lost = |said: String| ReplicaError::Storage(StorageError::lost(said));
            let answered = tokio::time::timeout(patience, async {
                let client = pool.get().await.map_err(|error| lost(error.to_string()))?;
                let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as _).collect();
                let statement = client.prepare_cached(sql).await.map_err(|error| said(&error))?;
                client.query(&statement, &values).await.map_err(|error| said(&error))
            });
            answered.await.unwrap_or_else(|_| Err(lost("the database does not answer".to_owned())))
        });
        asking.await.unwrap_or_else(|_| Err(ReplicaError::Storage(StorageError::lost("the ledger has ended"))))
    }
}

fn refused(said: String) -> AppendError {
    AppendError::Constraint(StorageError::said(said))
}

fn said(error: &tokio_postgres::Error) -> ReplicaError {
    ReplicaError::Storage(faults::asking(error))
}

fn value<'row, T: tokio_postgres::types::FromSql<'row>>(row: &'row Row, place: usize) -> Result<T, ReplicaError> {
    row.try_get(place).map_err(|error| said(&error))
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn atm(row: &Row, place: usize) -> Result<AtmId, ReplicaError> {
    value::<&str>(row, place)?
        .parse()
        .map_err(|_| ReplicaError::Storage(StorageError::said("an ATM in the ledger has no name that it can have")))
}

fn owner(row: &Row, (replica, incarnation): (usize, usize), epoch: i64) -> Result<LaneOwner, ReplicaError> {
    let id = value::<Option<i16>>(row, replica)?.and_then(|id| u16::try_from(id).ok()).map(ReplicaId);
    let incarnation = value::<Option<i64>>(row, incarnation)?.map(|one| Incarnation(unsigned(one)));
    Ok(LaneOwner { replica: id.zip(incarnation), epoch: Epoch(unsigned(epoch)) })
}

fn replica(row: &Row) -> Result<ReplicaRow, ReplicaError> {
    let id = ReplicaId(u16::try_from(value::<i16>(row, 0)?).unwrap_or(0));
    let heard_ago = value::<Option<i64>>(row, 5)?.map(|ms| Duration::from_millis(unsigned(ms)));
    Ok(ReplicaRow {
        identity: ReplicaIdentity { id, name: value(row, 2)?, address: value(row, 3)? },
        incarnation: Incarnation(unsigned(value(row, 1)?)),
        heard_ago,
        draining: value(row, 4)?,
    })
}
