//! The writer thread: takes all that waits, commits it with one sync, then answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use cashgate_withdrawal::ids::{DeviceId, InstitutionId};
use cashgate_withdrawal::time::Timestamp;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::error::{AppendError, LedgerFailure};
use crate::ledger::{LedgerOptions, Shared};
use crate::lock::WriterLock;
use crate::records::{DeviceRow, Sequence, StepRecord};
use crate::{append, devices};

/// What the writer is asked for.
pub(crate) enum Request {
    Write(Write),
    /// Finish what is queued, then end. Answered when the file is closed and the lock is free.
    Close(oneshot::Sender<Result<(), AppendError>>),
}

pub(crate) struct Write {
    pub(crate) work: Work,
    pub(crate) answer: oneshot::Sender<Result<Written, AppendError>>,
}

pub(crate) enum Work {
    Append(Vec<StepRecord>),
    PutDevice(DeviceRow),
    RevokeDevice { institution: InstitutionId, device: DeviceId, at: Timestamp },
}

impl Work {
    fn steps(&self) -> usize {
        match self {
            Self::Append(steps) => steps.len(),
            Self::PutDevice(_) | Self::RevokeDevice { .. } => 0,
        }
    }
}

/// What a write did: the last sequence after it, and how many rows it touched.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    pub(crate) last: Sequence,
    pub(crate) rows: usize,
}

/// Why a write did not go through: its own fault, or the end of the ledger.
pub(crate) enum WriteFault {
    Refused(AppendError),
    Storage(rusqlite::Error),
}

impl From<rusqlite::Error> for WriteFault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage(error)
    }
}

pub(crate) struct Writer {
    connection: Connection,
    log_pages: Arc<AtomicU32>,
    lock: WriterLock,
    requests: mpsc::Receiver<Request>,
    shared: Arc<Shared>,
    group_steps_max: usize,
    log_pages_max: u32,
    checkpoint_at_pages: u32,
}

impl Writer {
    pub(crate) fn new(
        connection: Connection,
        log_pages: Arc<AtomicU32>,
        lock: WriterLock,
        requests: mpsc::Receiver<Request>,
        shared: Arc<Shared>,
        options: &LedgerOptions,
    ) -> Self {
        let log_pages_max = options.log_pages_max.max(1);
        Self {
            connection,
            log_pages,
            lock,
            requests,
            shared,
            group_steps_max: options.group_steps_max.max(1),
            log_pages_max,
            checkpoint_at_pages: log_pages_max,
        }
    }

    /// Works until the ledger is closed, its last handle is gone, or it fails.
    pub(crate) fn run(mut self) {
        let _signal = PanicSignal(Arc::clone(&self.shared));
        let mut closing = Vec::new();
        while let Some(first) = self.requests.blocking_recv() {
            let group = self.group(first, &mut closing);
            let done = self.commit(group).and_then(|()| self.checkpoint_if_due());
            if let Err(failure) = done {
                return self.stop(&failure, closing);
            }
        }
        if let Err(error) = checkpoint(&self.connection, "TRUNCATE") {
            let failure = LedgerFailure::new("folding the log into the file at the end", &error);
            return self.stop(&failure, closing);
        }
        let Self { connection, lock, .. } = self;
        drop(connection);
        drop(lock);
        for answer in closing {
            // Whoever asked may have stopped waiting; so may those below.
            let _ = answer.send(Ok(()));
        }
    }

    /// `first` and all that waits behind it, up to the group's limit. After a close nothing more gets into the queue.
    fn group(&mut self, first: Request, closing: &mut Vec<oneshot::Sender<Result<(), AppendError>>>) -> Vec<Write> {
        let mut group = Vec::new();
        let mut steps = 0;
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Write(write) => {
                    steps += write.work.steps();
                    group.push(write);
                }
                Request::Close(answer) => {
                    self.requests.close();
                    closing.push(answer);
                }
            }
            let full = steps >= self.group_steps_max || group.len() >= self.group_steps_max;
            next = if full { None } else { self.requests.try_recv().ok() };
        }
        group
    }

    /// Commits the group and answers each write. On a failure all of the group are answered with it: none was acknowledged.
    fn commit(&mut self, group: Vec<Write>) -> Result<(), LedgerFailure> {
        if group.is_empty() {
            return Ok(());
        }
        let outcomes = match committed(&self.connection, &group) {
            Ok(outcomes) => outcomes,
            Err(failure) => {
                // Before the answers: whoever gets one finds the ledger failed.
                self.signal(&failure);
                refuse(group, &failure);
                return Err(failure);
            }
        };
        self.count(&group, &outcomes);
        if let Some(last) =
            outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).map(|written| written.last).max()
        {
            self.shared.last_sequence.send_if_modified(|known| std::mem::replace(known, last) != last);
        }
        for (write, outcome) in group.into_iter().zip(outcomes) {
            let _ = write.answer.send(outcome);
        }
        Ok(())
    }

    fn count(&self, group: &[Write], outcomes: &[Result<Written, AppendError>]) {
        let add = |counter: &AtomicU64, n: usize| {
            counter.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
        };
        let counters = &self.shared.counters;
        add(&counters.commits, 1);
        for (write, outcome) in group.iter().zip(outcomes) {
            match (outcome, &write.work) {
                (Ok(_), Work::Append(steps)) => {
                    add(&counters.appends, 1);
                    add(&counters.steps, steps.len());
                }
                (Ok(_), Work::PutDevice(_) | Work::RevokeDevice { .. }) => {}
                (Err(_), _) => add(&counters.refused, 1),
            }
        }
    }

    /// Copies the log into the file once it has grown enough, after the answers, so that only the next group waits for it.
    fn checkpoint_if_due(&mut self) -> Result<(), LedgerFailure> {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < self.checkpoint_at_pages {
            return Ok(());
        }
        let complete = checkpoint(&self.connection, "PASSIVE")
            .map_err(|error| LedgerFailure::new("folding the log into the file", &error))?;
        // A reader that still needs old pages keeps the log from starting over: try again only when it has grown as much again.
        self.checkpoint_at_pages = if complete { self.log_pages_max } else { pages.saturating_add(self.log_pages_max) };
        Ok(())
    }

    /// The end after a failure: nothing is tried again, everyone who waits hears of it.
    fn stop(mut self, failure: &LedgerFailure, closing: Vec<oneshot::Sender<Result<(), AppendError>>>) {
        self.signal(failure);
        self.requests.close();
        let mut closing = closing;
        while let Some(request) = self.requests.blocking_recv() {
            match request {
                Request::Write(write) => refuse(vec![write], failure),
                Request::Close(answer) => closing.push(answer),
            }
        }
        for answer in closing {
            let _ = answer.send(Err(AppendError::Fatal(failure.clone())));
        }
    }

    fn signal(&self, failure: &LedgerFailure) {
        self.shared.failure.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                tracing::error!(%failure, "the ledger stops");
                *known = Some(failure.clone());
            }
            first
        });
    }
}

fn refuse(group: Vec<Write>, failure: &LedgerFailure) {
    for write in group {
        let _ = write.answer.send(Err(AppendError::Fatal(failure.clone())));
    }
}

/// One transaction around the group; each write in a savepoint of its own, so that a refused one takes no other with it.
fn committed(connection: &Connection, group: &[Write]) -> Result<Vec<Result<Written, AppendError>>, LedgerFailure> {
    let failed = |doing| move |error: rusqlite::Error| LedgerFailure::new(doing, &error);
    let run = |sql: &str| connection.prepare_cached(sql)?.execute([]);
    run("BEGIN IMMEDIATE").map_err(failed("beginning a commit"))?;
    let mut last = append::last_sequence(connection).map_err(failed("reading the last sequence"))?;
    let mut outcomes = Vec::with_capacity(group.len());
    for write in group {
        run("SAVEPOINT one_write").map_err(failed("setting a savepoint"))?;
        let outcome = match apply(connection, &write.work, last) {
            Ok(written) => {
                last = written.last;
                Ok(written)
            }
            Err(WriteFault::Refused(refusal)) => {
                run("ROLLBACK TO one_write").map_err(failed("taking a refused write back"))?;
                Err(refusal)
            }
            Err(WriteFault::Storage(error)) => return Err(LedgerFailure::new("writing", &error)),
        };
        run("RELEASE one_write").map_err(failed("releasing a savepoint"))?;
        outcomes.push(outcome);
    }
    run("COMMIT").map_err(failed("committing"))?;
    Ok(outcomes)
}

fn apply(connection: &Connection, work: &Work, last: Sequence) -> Result<Written, WriteFault> {
    let applied = match work {
        Work::Append(steps) => append::apply(connection, steps, last),
        Work::PutDevice(device) => devices::put(connection, device).map(|rows| Written { last, rows }),
        Work::RevokeDevice { institution, device, at } => {
            devices::revoke(connection, institution, device, *at).map(|rows| Written { last, rows })
        }
    };
    applied.map_err(|fault| match fault {
        WriteFault::Storage(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
            WriteFault::Refused(AppendError::Constraint(crate::error::StorageError::new(&error)))
        }
        other => other,
    })
}

/// Whether all of the log is in the file now; readers of older pages may have kept some of it back.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<bool> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        let (busy, in_log, copied): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && in_log == copied)
    })
}

/// A panic in the writer is a failure of the ledger like any other: it must not leave the gateway waiting for answers.
struct PanicSignal(Arc<Shared>);

impl Drop for PanicSignal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let failure = LedgerFailure { doing: "writing", cause: "the writer thread panicked".into() };
            self.0.failure.send_replace(Some(failure));
        }
    }
}
