//! The writer thread: takes all that waits, commits it with one sync, then answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::error::{AppendError, LedgerFailure, ReadError};
use crate::ledger::LedgerOptions;
use crate::room::Room;
use crate::sqlite::commit::{CommitFault, Noted, checkpoint, committed, found_no_room};
use crate::sqlite::lock::WriterLock;
use crate::sqlite::reserve::Reserve;
use crate::state::{PanicSignal, Shared};
use crate::work::{Request, Write, Written, refuse};

/// Why a write did not go through: its own fault, or the end of the ledger.
pub(crate) enum WriteFault {
    Refused(AppendError),
    Storage(rusqlite::Error),
    Unreadable(ReadError),
}

impl From<ReadError> for WriteFault {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(error)
    }
}

impl From<rusqlite::Error> for WriteFault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage(error)
    }
}

/// On a full disk, how many commits pass before the reserve is tried again without being asked for.
const COMMITS_BEFORE_RESTORING: u32 = 256;

#[cfg(test)]
pub(crate) type RoomMade = Box<dyn Fn(&Connection) + Send>;

pub(crate) struct Writer {
    connection: Connection,
    log_pages: Arc<AtomicU32>,
    lock: WriterLock,
    reserve: Reserve,
    /// Whether to look for room after this group: someone asked, or enough commits have passed.
    restore_due: bool,
    commits_without_reserve: u32,
    noted: Noted,
    requests: mpsc::Receiver<Request>,
    shared: Arc<Shared>,
    group_steps_max: usize,
    log_pages_max: u32,
    checkpoint_at_pages: u32,
    /// Stands for the room that giving up the reserve makes, in tests whose disk is not really full.
    #[cfg(test)]
    pub(crate) after_release: Option<RoomMade>,
}

impl Writer {
    pub(crate) fn new(
        (connection, log_pages): (Connection, Arc<AtomicU32>),
        lock: WriterLock,
        reserve: Reserve,
        requests: mpsc::Receiver<Request>,
        shared: Arc<Shared>,
        options: &LedgerOptions,
    ) -> Self {
        let log_pages_max = options.log_pages_max.max(1);
        Self {
            connection,
            log_pages,
            lock,
            reserve,
            restore_due: false,
            commits_without_reserve: 0,
            noted: Noted::default(),
            requests,
            shared,
            group_steps_max: options.group_steps_max.max(1),
            log_pages_max,
            checkpoint_at_pages: log_pages_max,
            #[cfg(test)]
            after_release: None,
        }
    }

    /// Works until the ledger is closed, its last handle is gone, or it fails.
    pub(crate) fn run(mut self) {
        let _signal = PanicSignal(Arc::clone(&self.shared));
        let mut closing = Vec::new();
        while let Some(first) = self.requests.blocking_recv() {
            let group = self.group(first, &mut closing);
            let done =
                self.commit(group).and_then(|()| self.checkpoint_if_due()).and_then(|()| self.restore_reserve_if_due());
            if let Err(failure) = done {
                return self.stop(&failure, closing);
            }
        }
        // Whoever only drops the ledger may have found it damaged: the log and the old pages of the file are what it is repaired from.
        if !closing.is_empty()
            && let Err(failure) = self.fold_at_the_end()
        {
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
        let mut rows = 0;
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Write(write) => {
                    rows += write.work.rows();
                    group.push(write);
                }
                Request::RestoreReserve => self.restore_due = true,
                Request::Close(answer) => {
                    self.requests.close();
                    closing.push(answer);
                }
            }
            let full = rows >= self.group_steps_max || group.len() >= self.group_steps_max;
            next = if full { None } else { self.requests.try_recv().ok() };
        }
        group
    }

    /// Commits the group and answers each write. On a failure all of the group are answered with it: none was acknowledged.
    fn commit(&mut self, group: Vec<Write>) -> Result<(), LedgerFailure> {
        if group.is_empty() {
            return Ok(());
        }
        if let Some(observer) = self.shared.observer.get() {
            observer.begins(0);
        }
        let outcomes = match self.committed_with_room(&group) {
            Ok(outcomes) => outcomes,
            Err(failure) => {
                // Before the answers: whoever gets one finds the ledger failed.
                self.shared.fail(&failure);
                refuse(group, &failure);
                return Err(failure);
            }
        };
        if let Some(observer) = self.shared.observer.get() {
            observer.is_durable(0, group.iter().map(|write| write.work.rows()).sum());
        }
        self.shared.counters.count(&group, &outcomes);
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

    /// Commits the group; if the disk has no room for it, once more with the room of the reserve.
    fn committed_with_room(&mut self, group: &[Write]) -> Result<Vec<Result<Written, AppendError>>, LedgerFailure> {
        match committed(&self.connection, group, &mut self.noted) {
            Ok(outcomes) => Ok(outcomes),
            Err(CommitFault::Fatal(failure)) => Err(failure),
            Err(CommitFault::NoRoom(failure)) => {
                if !self.made_room()? {
                    return Err(failure);
                }
                committed(&self.connection, group, &mut self.noted).map_err(|fault| match fault {
                    CommitFault::NoRoom(failure) | CommitFault::Fatal(failure) => failure,
                })
            }
        }
    }

    /// Copies the log into the file once it has grown enough, after the answers, so that only the next group waits for it.
    fn checkpoint_if_due(&mut self) -> Result<(), LedgerFailure> {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < self.checkpoint_at_pages {
            return Ok(());
        }
        let complete = self.checkpoint_with_room("PASSIVE")?.unwrap_or(false);
        // What keeps the log from starting over (a reader that still needs old pages, a full disk) may last: try again only when it
        // has grown as much again.
        self.checkpoint_at_pages = if complete { self.log_pages_max } else { pages.saturating_add(self.log_pages_max) };
        Ok(())
    }

    /// Checkpoints, with the room of the reserve if it takes that: a log that starts over saves more room than it costs. `None` if even
    /// so there is no room, which is no failure.
    fn checkpoint_with_room(&mut self, mode: &str) -> Result<Option<bool>, LedgerFailure> {
        let mut result = checkpoint(&self.connection, mode);
        if result.as_ref().is_err_and(found_no_room) && self.made_room()? {
            result = checkpoint(&self.connection, mode);
        }
        match result {
            Ok(complete) => Ok(Some(complete)),
            Err(error) if found_no_room(&error) => Ok(None),
            Err(error) => Err(LedgerFailure::new("folding the log into the file", &error)),
        }
    }

    /// The log is emptied at a close, so that the ledger is one file; but on a full disk it keeps its space, which the next start needs.
    fn fold_at_the_end(&mut self) -> Result<(), LedgerFailure> {
        let mode = if self.room() == Room::Ample { "TRUNCATE" } else { "PASSIVE" };
        if self.checkpoint_with_room(mode)?.is_none() {
            tracing::warn!("the disk is full: the log was not folded into the ledger, and must stay beside it");
        }
        Ok(())
    }

    fn room(&self) -> Room {
        *self.shared.room.borrow()
    }

    /// The disk is full: gives the reserve up. `false` if it is gone already.
    fn made_room(&mut self) -> Result<bool, LedgerFailure> {
        if self.shared.room.send_replace(Room::Reserve) == Room::Ample {
            self.commits_without_reserve = 0;
            tracing::error!("the disk is full: the ledger lives on its reserve, and no new withdrawal may begin");
        }
        let released = self.reserve.release().map_err(|error| LedgerFailure {
            doing: "giving up the reserve on a full disk",
            cause: error.to_string().into(),
        })?;
        if released {
            #[cfg(test)]
            self.after_release.iter().for_each(|hook| hook(&self.connection));
            self.checkpoint_at_pages = self.log_pages_max;
        }
        Ok(released)
    }

    /// Looks now and then whether the disk has room again, by taking it.
    fn restore_reserve_if_due(&mut self) -> Result<(), LedgerFailure> {
        if self.room() == Room::Ample {
            self.restore_due = false;
            return Ok(());
        }
        self.commits_without_reserve = self.commits_without_reserve.saturating_add(1);
        if !self.restore_due && self.commits_without_reserve < COMMITS_BEFORE_RESTORING {
            return Ok(());
        }
        (self.restore_due, self.commits_without_reserve) = (false, 0);
        // The log first: if the file has no room to grow, there is none for a reserve either.
        let folded = match checkpoint(&self.connection, "PASSIVE") {
            Ok(_) => true,
            Err(error) if found_no_room(&error) => false,
            Err(error) => return Err(LedgerFailure::new("folding the log into the file", &error)),
        };
        if folded && self.reserve.restore() {
            tracing::info!("the disk has room again, and the ledger its reserve");
            self.shared.room.send_replace(Room::Ample);
        }
        Ok(())
    }

    /// The end after a failure: nothing is tried again, everyone who waits hears of it.
    fn stop(mut self, failure: &LedgerFailure, closing: Vec<oneshot::Sender<Result<(), AppendError>>>) {
        self.shared.fail(failure);
        self.requests.close();
        let mut closing = closing;
        while let Some(request) = self.requests.blocking_recv() {
            match request {
                Request::Write(write) => refuse([write], failure),
                Request::RestoreReserve => {}
                Request::Close(answer) => closing.push(answer),
            }
        }
        for answer in closing {
            let _ = answer.send(Err(AppendError::Fatal(failure.clone())));
        }
    }
}

#[cfg(test)]
mod tests;
