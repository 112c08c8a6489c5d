//! The writer: takes all that waits, has it committed, then answers.
//!
//! **Claims leave apart from all else, and up to two batches of them are under way at once.** All commits of all replicas are serial from the
//! moment at which they have their places in the order until they are on disk. What comes before, which is most of the work of a claim, goes
//! on side by side, so while one batch is being written to disk the next is prepared.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cashgate_withdrawal::ids::WithdrawalId;
use tokio::sync::mpsc::WeakSender;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};

use super::batch::{Batch, Touched, fault, next_group};
use super::connecting::Connector;
use super::line::Line;
use super::runtime::Runtime;
use super::seat::Seat;
use super::session::{Landed, Session};
use super::verdicts::Answer;
use super::watching;
use crate::error::{AppendError, LedgerFailure};
use crate::options::PostgresOptions;
use crate::state::{PanicSignal, Shared};
use crate::work::{Request, Work, Write, refuse};

/// How many batches of claims are under way at most.
const CLAIMS_AT_ONCE: usize = 2;

/// Of how many withdrawals it is remembered how many remarks were left out; beyond it, all are forgotten.
const LEFT_OUT_MAX: usize = 10_000;

/// How long is waited for those who were answered, if nothing is under way. Less cannot be had of a timer.
const RETURNING: Duration = Duration::from_millis(1);

type Closing = Vec<oneshot::Sender<Result<(), AppendError>>>;

pub(super) struct Writer {
    connector: Connector,
    seat: Seat,
    requests: mpsc::Receiver<Request>,
    /// Whether no more requests come.
    is_ending: bool,
    shared: Arc<Shared>,
    claims: Line,
    others: Line,
    /// Those of a batch that broke a constraint: each is committed by itself, in its order and before all else.
    alone: VecDeque<Write>,
    /// The sessions that rest.
    sessions: Vec<Session>,
    /// By the places of their sessions.
    under_way: BTreeMap<usize, UnderWay>,
    closing: Closing,
    left_out: HashMap<WithdrawalId, i64>,
    rows_max: usize,
}

/// What is known here of a batch that its session has.
struct UnderWay {
    touched: Touched,
    from: From,
    writes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Claims,
    Others,
    Alone,
}

impl Writer {
    pub(super) fn new(
        connector: Connector,
        seat: &Seat,
        (queue, requests): (&WeakSender<Request>, mpsc::Receiver<Request>),
        shared: Arc<Shared>,
        options: &PostgresOptions,
    ) -> Self {
        // The one that all else goes through, and those of the claims.
        let sessions =
            (0..=CLAIMS_AT_ONCE).map(|place| Session::new(place, &connector, seat, &shared, queue)).collect();
        Self {
            connector,
            seat: seat.clone(),
            requests,
            is_ending: false,
            shared,
            claims: Line::of(CLAIMS_AT_ONCE),
            others: Line::of(1),
            alone: VecDeque::new(),
            sessions,
            under_way: BTreeMap::new(),
            closing: Vec::new(),
            left_out: HashMap::new(),
            rows_max: options.group_steps_max.max(1),
        }
    }

    /// Works until the ledger is closed, its last handle is gone, or it fails. `runtime` is what it runs on, which ends no earlier.
    pub(super) async fn run(mut self, runtime: Runtime) {
        let signal = PanicSignal(Arc::clone(&self.shared));
        for session in &mut self.sessions {
            session.prepare().await;
        }
        let mut under_way = JoinSet::new();
        if let Err(failure) = self.work(&mut under_way).await {
            // Whoever waits for what is under way hears of the failure when it is dropped.
            self.shared.fail(&failure);
            under_way.shutdown().await;
            self.stop(&failure).await;
            drop((signal, runtime));
            return;
        }
        // The others need not wait for its heartbeat to grow old. Whether they hear of it changes nothing else.
        let _ = tokio::time::timeout(self.connector.patience(), self.seat.leave()).await;
        for answer in self.closing {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(Ok(()));
        }
        drop((signal, runtime));
    }

    async fn work(&mut self, under_way: &mut JoinSet<Landed>) -> Result<(), LedgerFailure> {
        let mut moment = None;
        loop {
            self.drain();
            while let Some((session, batch)) = self.next_batch() {
                under_way.spawn(session.commit(batch));
            }
            let takes_more = !self.is_ending && self.waiting() < self.rows_max;
            let expects_more = self.claims.expects_more();
            if !expects_more {
                moment = None;
            }
            let moment = moment.get_or_insert_with(|| Box::pin(tokio::time::sleep(RETURNING)));
            tokio::select! {
                biased;
                () = moment.as_mut(), if expects_more => self.claims.expects_nobody(),
                Some(landed) = under_way.join_next() => self.landed(landed)?,
                request = self.requests.recv(), if takes_more => match request {
                    Some(request) => self.take(request),
                    None => self.ends(),
                },
                else => return Ok(()),
            }
        }
    }

    /// Takes what has come, without waiting.
    fn drain(&mut self) {
        while self.waiting() < self.rows_max
            && let Ok(request) = self.requests.try_recv()
        {
            self.take(request);
        }
    }

    fn waiting(&self) -> usize {
        self.alone.len() + self.claims.len() + self.others.len()
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Write(write) => match fault(&write.work) {
                None if matches!(&write.work, Work::Append(append) if append.is_claim()) => self.claims.joins(write),
                None => self.others.joins(write),
                Some(error) => {
                    self.shared.counters.count_refused(&write);
                    let _ = write.answer.send(Err(error));
                }
            },
            Request::RestoreReserve => {}
            Request::Close(answer) => {
                self.requests.close();
                self.closing.push(answer);
            }
        }
    }

    fn ends(&mut self) {
        self.is_ending = true;
        self.shared.closing.send_replace(true);
    }

    /// The next batch that may leave, with who takes it.
    fn next_batch(&mut self) -> Option<(Session, Batch)> {
        // One that has no connection only if there is no other.
        let at = self.sessions.iter().position(Session::is_connected).or((!self.sessions.is_empty()).then_some(0))?;
        let (from, group, touched) = self.next_group()?;
        let session = self.sessions.swap_remove(at);
        let writes = group.len();
        self.line(from).into_iter().for_each(|line| line.leaves(writes));
        self.under_way.insert(session.place(), UnderWay { touched, from, writes });
        Some((session, Batch::of(group, &self.left_out)))
    }

    fn next_group(&mut self) -> Option<(From, Vec<Write>, Touched)> {
        let under_way = self.under_way.values().map(|batch| &batch.touched);
        // Notices and the like keep their order: none passes one that is committed by itself.
        let is_free = self.under_way.values().all(|batch| batch.from != From::Alone);
        if !self.alone.is_empty() {
            let (group, touched) = next_group(&mut self.alone, usize::from(is_free), under_way);
            return (!group.is_empty()).then_some((From::Alone, group, touched));
        }
        for (from, line) in [(From::Others, &mut self.others), (From::Claims, &mut self.claims)] {
            let due = if from == From::Others && !is_free { 0 } else { line.due().min(self.rows_max) };
            let (group, touched) = next_group(line.waiting(), due, under_way.clone());
            if !group.is_empty() {
                return Some((from, group, touched));
            }
        }
        None
    }

    fn line(&mut self, from: From) -> Option<&mut Line> {
        match from {
            From::Claims => Some(&mut self.claims),
            From::Others => Some(&mut self.others),
            From::Alone => None,
        }
    }

    /// Answers each write of a batch. If one of it breaks a constraint of the schema, each is committed by itself.
    fn landed(&mut self, landed: Result<Landed, JoinError>) -> Result<(), LedgerFailure> {
        let Landed { session, batch, answer } = landed.map_err(|error| LedgerFailure {
            doing: "committing",
            cause: format!("its task ended without an answer: {error}").into(),
        })?;
        let from = match self.under_way.remove(&session.place()) {
            Some(UnderWay { from, writes, .. }) => {
                self.line(from).into_iter().for_each(|line| line.lands(writes));
                from
            }
            None => From::Alone,
        };
        self.sessions.push(session);
        match answer {
            Ok(Ok(answer)) => self.tell(from, batch, &answer),
            Ok(Err(error)) if batch.group.len() == 1 => {
                for write in batch.group {
                    self.shared.counters.count_refused(&write);
                    let _ = write.answer.send(Err(error.clone()));
                }
                Ok(())
            }
            Ok(Err(_)) => {
                self.alone.extend(batch.group);
                Ok(())
            }
            Err(failure) => {
                // Before the answers: whoever gets one finds the ledger failed.
                self.shared.fail(&failure);
                refuse(batch.group, &failure);
                Err(failure)
            }
        }
    }

    /// Answers each write of a batch that is committed.
    fn tell(&mut self, from: From, batch: Batch, answer: &Answer) -> Result<(), LedgerFailure> {
        if self.left_out.len() >= LEFT_OUT_MAX {
            self.left_out.clear();
        }
        let outcomes = match answer.outcomes(&batch, &mut self.left_out) {
            Ok(outcomes) => outcomes,
            Err(failure) => {
                self.shared.fail(&failure);
                refuse(batch.group, &failure);
                return Err(failure);
            }
        };
        let (mut told, mut known, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for (write, outcome) in batch.group.into_iter().zip(outcomes) {
            match outcome {
                Some(outcome) => {
                    told.push(write);
                    known.push(outcome);
                }
                None => again.push(write),
            }
        }
        let waiting = match self.line(from) {
            Some(line) => line.waiting(),
            None => &mut self.alone,
        };
        again.into_iter().rev().for_each(|write| waiting.push_front(write));
        self.shared.counters.count(&told, &known);
        watching::advance(&self.shared, answer.mark.sequence);
        for (write, outcome) in told.into_iter().zip(known) {
            let _ = write.answer.send(outcome);
        }
        Ok(())
    }

    /// The end after a failure: nothing is tried again, everyone who waits hears of it.
    async fn stop(mut self, failure: &LedgerFailure) {
        self.shared.fail(failure);
        self.requests.close();
        refuse(
            self.alone.drain(..).chain(self.claims.waiting().drain(..)).chain(self.others.waiting().drain(..)),
            failure,
        );
        while let Some(request) = self.requests.recv().await {
            match request {
                Request::Write(write) => refuse([write], failure),
                Request::RestoreReserve => {}
                Request::Close(answer) => self.closing.push(answer),
            }
        }
        for answer in self.closing {
            let _ = answer.send(Err(AppendError::Fatal(failure.clone())));
        }
    }
}
