//! The writer: takes all that waits, has it committed by one statement, then answers.
//!
//! **An answer that was lost is asked for, never guessed.** Each batch has a number, which the database keeps with the answer in the same
//! commit. The same batch on another connection finds its number and gets the answer of then, or is committed now; it cannot be committed
//! twice, and a statement that is still under way on the lost connection holds the lock that the second waits for. A database that does not
//! know the batch before has lost acknowledged commits: that is the end.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cashgate_withdrawal::ids::WithdrawalId;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::batch::{Batch, fault, next_group};
use super::connecting::Connector;
use super::faults::{self, Remedy, remedy};
use super::runtime::Runtime;
use super::seat::Seat;
use super::verdicts::{Answer, State};
use super::watching;
use crate::error::{AppendError, LedgerFailure};
use crate::options::PostgresOptions;
use crate::room::Room;
use crate::state::{PanicSignal, Shared};
use crate::work::{Request, Write, refuse};

/// How long is waited before the next attempt, at first and at most.
const AGAIN_FIRST: Duration = Duration::from_millis(20);
const AGAIN_MAX: Duration = Duration::from_millis(500);

/// Of how many withdrawals it is remembered how many remarks were left out; beyond it, all are forgotten.
const LEFT_OUT_MAX: usize = 10_000;

/// From how many writes in a group on its writers are waited for, and for how many turns of the runtime: about 200 us, a tenth of such a commit.
const LINGER_FROM: usize = 8;
const LINGER_TURNS: usize = 200;

type Closing = Vec<oneshot::Sender<Result<(), AppendError>>>;

pub(super) struct Writer {
    connector: Connector,
    session: Option<(Client, Statement)>,
    seat: Seat,
    requests: mpsc::Receiver<Request>,
    shared: Arc<Shared>,
    waiting: VecDeque<Write>,
    closing: Closing,
    left_out: HashMap<WithdrawalId, i64>,
    /// How many batches of this start are committed.
    committed: i64,
    rows_max: usize,
    /// How many writes the last group answered.
    answered: usize,
}

impl Writer {
    pub(super) fn new(
        connector: Connector,
        seat: &Seat,
        requests: mpsc::Receiver<Request>,
        shared: Arc<Shared>,
        options: &PostgresOptions,
    ) -> Self {
        Self {
            connector,
            session: None,
            seat: seat.clone(),
            requests,
            shared,
            waiting: VecDeque::new(),
            closing: Vec::new(),
            left_out: HashMap::new(),
            committed: 0,
            rows_max: options.group_steps_max.max(1),
            answered: 0,
        }
    }

    /// Works until the ledger is closed, its last handle is gone, or it fails. `runtime` is what it runs on, which ends no earlier.
    pub(super) async fn run(mut self, runtime: Runtime) {
        let signal = PanicSignal(Arc::clone(&self.shared));
        while self.gathered().await {
            let group = next_group(&mut self.waiting, self.rows_max);
            if let Err(failure) = self.commit(group).await {
                self.stop(&failure).await;
                drop((signal, runtime));
                return;
            }
        }
        // The others need not wait for its heartbeat to grow old. Whether they hear of it changes nothing else.
        let _ = tokio::time::timeout(self.connector.patience(), self.seat.leave()).await;
        for answer in self.closing {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(Ok(()));
        }
        drop((signal, runtime));
    }

    /// Waits until something waits; `false` at the end.
    async fn gathered(&mut self) -> bool {
        while self.waiting.is_empty() {
            let Some(request) = self.requests.recv().await else { return false };
            self.take(request);
        }
        self.drain();
        // Under load those who have just been answered come again at once. One commit of all of them is cheaper than two of halves.
        let (expected, mut turns) = (self.answered.min(self.rows_max), 0);
        while expected >= LINGER_FROM && self.waiting.len() < expected && turns < LINGER_TURNS {
            tokio::task::yield_now().await;
            self.drain();
            turns += 1;
        }
        true
    }

    /// Takes what has come, without waiting.
    fn drain(&mut self) {
        while self.waiting.len() < self.rows_max
            && let Ok(request) = self.requests.try_recv()
        {
            self.take(request);
        }
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Write(write) => match fault(&write.work) {
                None => self.waiting.push_back(write),
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

    /// Commits a group and answers each write. If one of it breaks a constraint of the schema, each is committed by itself.
    async fn commit(&mut self, group: Vec<Write>) -> Result<(), LedgerFailure> {
        let mut groups = VecDeque::from([group]);
        while let Some(group) = groups.pop_front() {
            let batch = Batch::of(group, &self.left_out);
            if let Some(observer) = self.shared.observer.get() {
                observer.begins();
            }
            match self.answer(&batch).await {
                Ok(Ok(answer)) => self.tell(batch, &answer)?,
                Ok(Err(error)) if batch.group.len() == 1 => {
                    for write in batch.group {
                        self.shared.counters.count_refused(&write);
                        let _ = write.answer.send(Err(error.clone()));
                    }
                }
                Ok(Err(_)) => {
                    for write in batch.group.into_iter().rev() {
                        groups.push_front(vec![write]);
                    }
                }
                Err(failure) => {
                    // Before the answers: whoever gets one finds the ledger failed.
                    self.shared.fail(&failure);
                    refuse(batch.group.into_iter().chain(groups.into_iter().flatten()), &failure);
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    /// Answers each write of a batch that is committed.
    fn tell(&mut self, batch: Batch, answer: &Answer) -> Result<(), LedgerFailure> {
        self.committed += 1;
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
        if let Some(observer) = self.shared.observer.get() {
            observer.is_durable(batch.group.iter().map(|write| write.work.rows()).sum());
        }
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
        again.into_iter().rev().for_each(|write| self.waiting.push_front(write));
        self.answered = told.len();
        self.shared.counters.count(&told, &known);
        watching::advance(&self.shared, answer.mark.sequence);
        for (write, outcome) in told.into_iter().zip(known) {
            let _ = write.answer.send(outcome);
        }
        Ok(())
    }

    /// The database's answer to a batch, however long that takes. The inner error is the one of a constraint.
    async fn answer(&mut self, batch: &Batch) -> Result<Result<Answer, AppendError>, LedgerFailure> {
        let (id, incarnation) = self.seat.numbers();
        let number = self.committed + 1;
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&id, &incarnation, &number];
        parameters.extend(batch.encoded.parameters());
        let mut pause = AGAIN_FIRST;
        let mut given_up_after = None;
        loop {
            match self.asked(&parameters).await {
                Ok(answer) => {
                    watching::tell(&self.shared, true);
                    self.has_room(Room::Ample);
                    return match answer.state {
                        State::Done | State::Again => Ok(Ok(answer)),
                        State::PutOut => Err(self.put_out()),
                        State::Lost => Err(self.lost(number)),
                    };
                }
                Err(Asked::Constraint(error)) => return Ok(Err(error)),
                Err(Asked::Fatal(failure)) => return Err(failure),
                Err(Asked::Room) => self.has_room(Room::Reserve),
                Err(Asked::Later) => {}
                Err(Asked::Away) => {
                    self.session = None;
                    watching::tell(&self.shared, false);
                }
            }
            if self.is_ending() {
                let waited = given_up_after.get_or_insert(Duration::ZERO);
                *waited += pause;
                if *waited > self.connector.patience() {
                    let cause = "the database could not be reached while the ledger was being closed".into();
                    return Err(LedgerFailure { doing: "committing", cause });
                }
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(AGAIN_MAX);
        }
    }

    /// Whether nobody will write any more.
    fn is_ending(&self) -> bool {
        *self.shared.closing.borrow() || self.requests.is_closed()
    }

    /// One attempt.
    async fn asked(&mut self, parameters: &[&(dyn ToSql + Sync)]) -> Result<Answer, Asked> {
        let patience = self.connector.patience();
        let (client, statement) = self.session(parameters.len()).await?;
        let found = tokio::time::timeout(patience, client.query_one(statement, parameters)).await;
        let error = match found {
            Err(_) => {
                tracing::warn!("the database does not answer a commit: another connection asks what became of it");
                return Err(Asked::Away);
            }
            Ok(Ok(row)) => return Answer::read(&row).map_err(|error| Asked::Fatal(failure(&error))),
            Ok(Err(error)) => error,
        };
        let said = faults::storage(&error);
        match remedy(&error) {
            Remedy::Reconnect => {
                tracing::warn!(error = %said, "the database went away in a commit: another connection asks what became of it");
                Err(Asked::Away)
            }
            Remedy::Later => {
                tracing::warn!(error = %said, "the database undid a commit, which is tried again");
                Err(Asked::Later)
            }
            Remedy::Room => {
                tracing::error!(error = %said, "the database has no room: no new withdrawal may begin");
                Err(Asked::Room)
            }
            Remedy::Constraint => Err(Asked::Constraint(AppendError::Constraint(said))),
            Remedy::None => Err(Asked::Fatal(failure(&error))),
        }
    }

    /// The connection that it commits on, made anew if there is none.
    async fn session(&mut self, parameters: usize) -> Result<&(Client, Statement), Asked> {
        if self.session.as_ref().is_none_or(|(client, _)| client.is_closed()) {
            self.session = None;
            let connected = self.connector.connect().await;
            let client = connected.map_err(|fault| {
                tracing::warn!(error = %fault.storage(), "the database cannot be reached: writes wait");
                Asked::Away
            })?;
            let statement = client.prepare(&statement(parameters)).await.map_err(|error| match remedy(&error) {
                Remedy::None => Asked::Fatal(failure(&error)),
                _ => Asked::Away,
            })?;
            self.session = Some((client, statement));
        }
        self.session.as_ref().ok_or(Asked::Away)
    }

    fn has_room(&self, room: Room) {
        self.shared.room.send_if_modified(|known| std::mem::replace(known, room) != room);
    }

    fn put_out(&self) -> LedgerFailure {
        let cause = format!("another process has registered as replica {}: this one is put out", self.seat.id());
        LedgerFailure { doing: "committing", cause: cause.into() }
    }

    fn lost(&self, number: i64) -> LedgerFailure {
        let cause = format!(
            "the database does not have commit {} of this replica, which it acknowledged: after a failover to a standby that was not \
             synchronous, reconcile with core banking and the ATMs",
            number - 1
        );
        LedgerFailure { doing: "committing", cause: cause.into() }
    }

    /// The end after a failure: nothing is tried again, everyone who waits hears of it.
    async fn stop(mut self, failure: &LedgerFailure) {
        self.shared.fail(failure);
        self.requests.close();
        refuse(std::mem::take(&mut self.waiting), failure);
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

/// Why an attempt gave no answer.
enum Asked {
    /// Not known whether it was committed, or not even asked.
    Away,
    /// It was undone.
    Later,
    Room,
    Constraint(AppendError),
    Fatal(LedgerFailure),
}

fn failure(error: &tokio_postgres::Error) -> LedgerFailure {
    LedgerFailure { doing: "committing", cause: faults::storage(error).to_string().into() }
}

fn statement(parameters: usize) -> String {
    let places: Vec<String> = (1..=parameters).map(|place| format!("${place}")).collect();
    format!("SELECT * FROM cashgate_commit({})", places.join(", "))
}
