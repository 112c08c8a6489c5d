//! The handle that lanes append through.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, oneshot, watch};

use crate::claim::{Append, Appended};
use crate::devices::DeviceRow;
use crate::error::{AppendError, LedgerFailure};
use crate::key_events::KeyEvent;
use crate::notices::Notice;
use crate::observer::CommitObserver;
use crate::open_error::LedgerOpenError;
use crate::options::PostgresOptions;
use crate::postgres;
use crate::publications::{self, Publication};
use crate::reader::LedgerReader;
use crate::records::{Remark, Sequence, StepRecord};
use crate::replicas::Replicas;
use crate::room::Room;
use crate::sqlite::{self, TornTail};
use crate::state::{Counters, LedgerStats, Shared};
use crate::tail::TailMark;
use crate::work::{Publishing, Request, Work, Write, Written};

/// How a ledger works. The defaults suit thousands of ATMs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerOptions {
    /// How many writes may wait; whoever comes then waits for room. At least 1.
    pub queue_length_max: usize,
    /// How many steps and notices one commit takes before it looks at the disk again (it may go over by one append). At least 1.
    pub group_steps_max: usize,
    /// How many reads run at once; more wait for their turn. At least 1.
    pub readers: usize,
    /// The write-ahead log is copied into the ledger file when it has grown by so many pages of 4 KiB.
    pub log_pages_max: u32,
    /// How many bytes of disk are kept in reserve, in the file `<ledger>.reserve`, for the time when the disk is full; 0: none. An open
    /// withdrawal takes a few KiB to its end.
    pub reserve_bytes: u64,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        Self {
            queue_length_max: 1024,
            group_steps_max: 512,
            readers: 4,
            log_pages_max: 2000,
            reserve_bytes: 16 * 1024 * 1024,
        }
    }
}

/// An open ledger. Clones are the same ledger; when the last is dropped without [`Ledger::close`], the writer finishes what is queued and
/// ends, and the log stays as it is beside the file: nothing is lost, and what a damaged ledger is repaired from is still there.
#[derive(Clone)]
pub struct Ledger {
    queue: mpsc::Sender<Request>,
    reader: LedgerReader,
    shared: Arc<Shared>,
    replicas: Option<Replicas>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens the ledger at `path`, and creates it if there is none: takes the lock that makes this process its only writer, brings
    /// the schema up to date, cuts an unfinished write off the log ([`Ledger::torn_tail`]), and syncs what a crashed process may have left
    /// unsynced, before anyone reads it. On a full disk it opens if it can, with [`Room::Reserve`]. Blocking.
    ///
    /// # Errors
    ///
    /// [`LedgerOpenError`]; the ledger is left as it was unless the error is about a migration. A damaged one is never changed.
    pub fn open(path: impl AsRef<Path>, options: LedgerOptions) -> Result<Self, LedgerOpenError> {
        sqlite::ledger(path.as_ref(), &options)
    }

    /// Opens the ledger on PostgreSQL as one replica of those that write to it, and registers this start of the replica: an earlier process
    /// of the same number is put out. Blocking; waits for the database no longer than the options say.
    ///
    /// # Errors
    ///
    /// [`LedgerOpenError`]: it cannot be reached, or its schema is not this program's, in which case the message says what to run.
    pub fn connect(options: &PostgresOptions) -> Result<Self, LedgerOpenError> {
        postgres::ledger(options)
    }

    pub(crate) fn new(
        queue: mpsc::Sender<Request>,
        reader: LedgerReader,
        shared: Arc<Shared>,
        replicas: Option<Replicas>,
    ) -> Self {
        Self { queue, reader, shared, replicas }
    }

    /// Makes steps durable, all of them or none, and returns the sequence of the last one when they are on disk.
    ///
    /// Steps may belong to several withdrawals. Appends of one task become durable in the order in which it awaits them; everything
    /// that waits at the same moment shares one sync. If the future is dropped, the steps may or may not have been written.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: nothing was written; after [`AppendError::Fatal`] it is not known.
    pub async fn append(&self, steps: Vec<StepRecord>) -> Result<Sequence, AppendError> {
        self.write(Work::Append(steps.into())).await.map(|written| written.last)
    }

    /// The same for one of several replicas: only if the lane is still owned, and what was computed still holds. A ledger file, which has one
    /// writer, looks at the steps alone.
    ///
    /// # Errors
    ///
    /// [`AppendError`], as for [`Ledger::append`], and [`AppendError::NotOwner`], [`AppendError::LimitsMoved`],
    /// [`AppendError::InstitutionCapped`].
    pub async fn append_owned(&self, append: Append) -> Result<Appended, AppendError> {
        let keys: Vec<_> = append.raises.iter().map(|raise| raise.key.clone()).collect();
        let written = self.write(Work::Append(append)).await?;
        let raised = written.raised.map(|versions| keys.into_iter().zip(versions).collect());
        Ok(Appended { last: written.last, raised })
    }

    /// The registry of replicas and lanes; `None` for a ledger file, which has one writer.
    #[must_use]
    pub fn replicas(&self) -> Option<&Replicas> {
        self.replicas.as_ref()
    }

    /// Whether the database answers. While it does not, writes wait, as many as the queue holds, and no new withdrawal should begin; what
    /// waits is written when it is back. A ledger file is always reachable.
    #[must_use]
    pub fn reachable(&self) -> bool {
        *self.shared.reachable.borrow()
    }

    /// The same, now and whenever it changes.
    #[must_use]
    pub fn subscribe_reachable(&self) -> watch::Receiver<bool> {
        self.shared.reachable.subscribe()
    }

    /// How far the ledger is, with all that other replicas wrote. Sent again each time that this replica has looked, also if nothing came:
    /// whoever has not seen it change for a while does not know what the others wrote. Never sent by a ledger file.
    #[must_use]
    pub fn subscribe_tail(&self) -> watch::Receiver<TailMark> {
        self.shared.tail.subscribe()
    }

    /// Makes a notice durable, and returns its sequence when it is on disk. Shares its sync with everything that waits at that moment.
    ///
    /// # Errors
    ///
    /// [`AppendError::NoRoom`] on a full disk: the reserve is not for this. [`AppendError::NoticeTooLong`],
    /// [`AppendError::Constraint`] for an empty kind, [`AppendError::Closed`] and [`AppendError::Fatal`].
    pub async fn record_notice(&self, notice: Notice) -> Result<Sequence, AppendError> {
        self.check_room()?;
        self.record_urgent_notice(notice).await
    }

    /// The same, also on a full disk, out of the reserve: for what bars somebody and must not wait for room, a stop above all. Never for
    /// what others may cause at will, or they could use the reserve up.
    ///
    /// # Errors
    ///
    /// As [`Ledger::record_notice`], without [`AppendError::NoRoom`].
    pub async fn record_urgent_notice(&self, notice: Notice) -> Result<Sequence, AppendError> {
        self.write(Work::Notice { notice, awaited: true }).await.map(|written| written.last)
    }

    /// Keeps a notice without anybody waiting. Never fails: it becomes durable with the next commit, and is dropped, and counted in
    /// [`LedgerStats::notices_dropped`], when the queue is full, when there is no room on the disk but the reserve, when its kind is empty
    /// or its body too long, and when the ledger has ended.
    pub fn notice_later(&self, notice: Notice) {
        if !self.written_later(Work::Notice { notice, awaited: false }) {
            self.shared.counters.notices_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Registers a phone, or replaces all that stood under its name, together with the notice about it, if there is one: both are on disk when it returns
    /// the notice's sequence, or the last there was, or neither is. A phone is revoked and locked in the same way.
    ///
    /// # Errors
    ///
    /// As [`Ledger::record_notice`]; a phone that is barred ([`DeviceRow::is_barred`]) is written even on a full disk.
    pub async fn put_device(
        &self,
        device: DeviceRow,
        notice: impl Into<Option<Notice>>,
    ) -> Result<Sequence, AppendError> {
        if !device.is_barred() {
            self.check_room()?;
        }
        self.write(Work::PutDevice(Box::new(device), notice.into())).await.map(|written| written.last)
    }

    /// Makes what happened to signing keys durable, all of it or none. Everything that waits at the same moment shares one sync.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: nothing was written; after [`AppendError::Fatal`] it is not known.
    pub async fn record_key_events(&self, events: Vec<KeyEvent>) -> Result<(), AppendError> {
        self.write(Work::KeyEvents(events)).await.map(drop)
    }

    /// Publishes rules and limits under a number, which must be the one behind the latest, together with the notice about it: both are on disk
    /// when it returns the notice's sequence. On PostgreSQL it waits for the database for some seconds, and asking again for what stands there
    /// already under that number is answered as if it had just been written.
    ///
    /// # Errors
    ///
    /// [`AppendError::PublicationTaken`]: another publication has the number; nothing was written. [`AppendError::PublicationDamaged`],
    /// [`AppendError::PublicationTooLong`], [`AppendError::PublicationIncomplete`]; [`AppendError::NoRoom`] on a full disk;
    /// [`AppendError::Unanswered`] if the database does not answer; [`AppendError::Closed`] and [`AppendError::Fatal`].
    pub async fn publish(
        &self,
        number: u64,
        publication: Publication,
        notice: Notice,
    ) -> Result<Sequence, AppendError> {
        publications::check(&publication, &notice)?;
        match &self.replicas {
            Some(replicas) => replicas.seat.publish(number, &publication, &notice).await,
            None => {
                self.check_room()?;
                let publishing = Publishing { number, publication, notice };
                self.write(Work::Publish(Box::new(publishing))).await.map(|written| written.last)
            }
        }
    }

    /// Keeps remarks about withdrawals, as evidence. Never waits and never fails: they become durable with the next commit, and are
    /// dropped, and counted in [`LedgerStats::remarks_dropped`], when the queue is full, when there is no room on the disk but the reserve,
    /// and when the ledger has ended.
    pub fn remark(&self, remarks: Vec<Remark>) {
        if remarks.is_empty() {
            return;
        }
        let count = remarks.len();
        if !self.written_later(Work::Remark(remarks)) {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.shared.counters.remarks_dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Whether there is room on the disk. While it is not [`Room::Ample`], no new withdrawal may begin.
    #[must_use]
    pub fn room(&self) -> Room {
        *self.shared.room.borrow()
    }

    /// The same, now and whenever it changes.
    #[must_use]
    pub fn subscribe_room(&self) -> watch::Receiver<Room> {
        self.shared.room.subscribe()
    }

    /// Asks the writer to look whether the disk has room for the reserve again. Call it every few seconds: the ledger has no clock. Never
    /// waits, and costs nothing while the room is ample; what came of it shows in [`Ledger::room`].
    pub fn try_restore_reserve(&self) {
        if self.room() != Room::Ample {
            // A full queue has commits, and those look as well.
            let _ = self.queue.try_send(Request::RestoreReserve);
        }
    }

    /// What a crash left at the end of the log, if anything: it was cut off when the ledger was opened, and has been logged.
    #[must_use]
    pub fn torn_tail(&self) -> Option<TornTail> {
        self.shared.torn_tail
    }

    /// The reading side. Clone it into `tokio::task::spawn_blocking`.
    #[must_use]
    pub fn reader(&self) -> &LedgerReader {
        &self.reader
    }

    /// The sequence of the last durable step or notice, now and whenever it grows: wakes the event feed. A commit is readable before it shows here.
    #[must_use]
    pub fn subscribe_last_sequence(&self) -> watch::Receiver<Sequence> {
        self.shared.last_sequence.subscribe()
    }

    /// Waits for the failure that makes the ledger take no more writes. The process must stop then; what is durable will be found at
    /// the next start. Waits for ever while all is well, also after [`Ledger::close`].
    pub async fn fatal(&self) -> LedgerFailure {
        let mut failure = self.shared.failure.subscribe();
        loop {
            if let Some(failure) = failure.borrow_and_update().clone() {
                return failure;
            }
            if failure.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The failure that ended the writing, if there was one.
    #[must_use]
    pub fn failure(&self) -> Option<LedgerFailure> {
        self.shared.failure.borrow().clone()
    }

    /// Has somebody hear of every commit from now on. Only the first is heeded.
    pub fn observe_commits(&self, observer: impl CommitObserver + 'static) {
        let _ = self.shared.observer.set(Box::new(observer));
    }

    /// What the writer did so far.
    #[must_use]
    pub fn stats(&self) -> LedgerStats {
        let Counters { commits, appends, steps, refused, remarks, remarks_dropped, notices, notices_dropped } =
            &self.shared.counters;
        LedgerStats {
            commits: commits.load(Ordering::Relaxed),
            appends: appends.load(Ordering::Relaxed),
            steps: steps.load(Ordering::Relaxed),
            refused: refused.load(Ordering::Relaxed),
            remarks: remarks.load(Ordering::Relaxed),
            remarks_dropped: remarks_dropped.load(Ordering::Relaxed),
            notices: notices.load(Ordering::Relaxed),
            notices_dropped: notices_dropped.load(Ordering::Relaxed),
        }
    }

    /// Writes what is queued, folds the log into the file and gives the lock back. Other clones get [`AppendError::Closed`] from then
    /// on, and can still read.
    ///
    /// # Errors
    ///
    /// [`AppendError::Closed`] if another clone was first, [`AppendError::Fatal`] if the ledger has failed.
    pub async fn close(self) -> Result<(), AppendError> {
        self.shared.closing.send_replace(true);
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Request::Close(answer)).await.is_err() {
            return Err(self.stopped());
        }
        answered.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    async fn write(&self, work: Work) -> Result<Written, AppendError> {
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Request::Write(Write { work, answer })).await.is_err() {
            return Err(self.stopped());
        }
        answered.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// Whether the writer will see work whose answer nobody waits for.
    fn written_later(&self, work: Work) -> bool {
        let write = Write { work, answer: oneshot::channel().0 };
        self.room() == Room::Ample && self.queue.try_send(Request::Write(write)).is_ok()
    }

    fn check_room(&self) -> Result<(), AppendError> {
        if self.room() == Room::Ample { Ok(()) } else { Err(AppendError::NoRoom) }
    }

    fn stopped(&self) -> AppendError {
        self.failure().map_or(AppendError::Closed, AppendError::Fatal)
    }
}
