//! Publications: read without their bodies, and written behind those that are there.

use rusqlite::{Connection, OptionalExtension, params};

use super::notices;
use super::queries::rows;
use super::writer::WriteFault;
use crate::chain;
use crate::columns::signed;
use crate::damage::Damage;
use crate::error::{AppendError, ReadError};
use crate::publications::{StoredPublication, placed};
use crate::records::Sequence;
use crate::work::{Publishing, Written};

const ALL: &str =
    "SELECT number, sequence, at_ms, actor, note, version, digest, seal FROM publications ORDER BY number";

/// Each publication, or what is wrong with it.
pub(super) fn judged(connection: &Connection) -> Result<Vec<Result<StoredPublication, Damage>>, ReadError> {
    rows(connection, ALL, [], |row| placed(row)).map(chain::judged)
}

pub(super) fn body(connection: &Connection, number: u64) -> Result<Option<Vec<u8>>, ReadError> {
    let sql = "SELECT body FROM publications WHERE number = ?1";
    connection
        .prepare_cached(sql)
        .and_then(|mut body| body.query_row([signed(number)], |row| row.get(0)).optional())
        .map_err(|error| ReadError::storage(&error))
}

/// Writes the publication behind those that are there, and its notice behind `last`, inside the writer's transaction.
pub(super) fn add(connection: &Connection, publishing: &Publishing, last: Sequence) -> Result<Written, WriteFault> {
    let Publishing { number, publication, notice } = publishing;
    let damaged = |damage| WriteFault::Refused(AppendError::PublicationDamaged(damage));
    let before = judged(connection)?.into_iter().collect::<Result<Vec<_>, _>>().map_err(damaged)?;
    let (latest, previous) = before.last().map_or((0, None), |last| (last.number, Some(last.seal)));
    if *number != latest + 1 {
        return Err(WriteFault::Refused(AppendError::PublicationTaken { latest }));
    }
    let written = notices::add(connection, notice, last)?;
    let stored = StoredPublication::of(*number, written.last, previous.as_ref(), publication);
    connection
        .prepare_cached(
            "INSERT INTO publications (number, sequence, at_ms, actor, note, version, digest, seal, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            signed(stored.number),
            signed(stored.sequence.0),
            signed(stored.at.unix_ms()),
            stored.actor,
            stored.note,
            stored.version,
            stored.digest,
            stored.seal.as_bytes(),
            publication.body,
        ])?;
    Ok(written)
}
