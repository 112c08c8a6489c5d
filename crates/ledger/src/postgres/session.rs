//! One connection that commits, and what becomes of a batch on it.
//!
//! **An answer that was lost is asked for, never guessed.** Each batch has a number, which the database keeps with the answer in the same
//! commit. The same batch on another connection finds its number and gets the answer of then, or is committed now; it cannot be committed
//! twice, and a statement that is still under way on the lost connection holds the lock that the second waits for. A database that does not
//! know the batch before, or has less than this replica was told, has lost acknowledged commits: that is the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::WeakSender;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::batch::Batch;
use super::connecting::Connector;
use super::encoding::Encoded;
use super::faults::{self, Remedy, remedy};
use super::seat::Seat;
use super::verdicts::{Answer, State};
use super::watching;
use crate::columns::signed;
use crate::error::{AppendError, LedgerFailure};
use crate::room::Room;
use crate::state::Shared;
use crate::work::Request;

/// How long is waited before the next attempt, at first and at most.
const AGAIN_FIRST: Duration = Duration::from_millis(20);
const AGAIN_MAX: Duration = Duration::from_millis(500);

/// A connection that commits one batch after the other. Its batches have numbers of their own.
pub(super) struct Session {
    connector: Connector,
    connection: Option<Connection>,
    seat: Seat,
    shared: Arc<Shared>,
    queue: WeakSender<Request>,
    /// Which of the writer's sessions it is, from 0.
    place: usize,
    /// How many of its batches are committed.
    committed: i64,
}

struct Connection {
    client: Client,
    commit: Statement,
    claim: Statement,
}

/// A batch with its session, and the database's answer. The inner error is the one of a constraint.
pub(super) struct Landed {
    pub(super) session: Session,
    pub(super) batch: Batch,
    pub(super) answer: Result<Result<Answer, AppendError>, LedgerFailure>,
}

impl Session {
    pub(super) fn new(
        place: usize,
        connector: &Connector,
        seat: &Seat,
        shared: &Arc<Shared>,
        queue: &WeakSender<Request>,
    ) -> Self {
        let (connector, seat, shared, queue) = (connector.clone(), seat.clone(), Arc::clone(shared), queue.clone());
        Self { connector, connection: None, seat, shared, queue, place, committed: 0 }
    }

    /// Connects before there is something to commit. If it cannot, it tries again when there is.
    pub(super) async fn prepare(&mut self) {
        let _ = self.connected().await;
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.client.is_closed())
    }

    pub(super) fn place(&self) -> usize {
        self.place
    }

    /// Has a batch committed, however long that takes.
    pub(super) async fn commit(mut self, batch: Batch) -> Landed {
        if let Some(observer) = self.shared.observer.get() {
            observer.begins(self.place);
        }
        let answer = self.answer(&batch).await;
        if matches!(answer, Ok(Ok(_))) {
            self.committed += 1;
            if let Some(observer) = self.shared.observer.get() {
                observer.is_durable(self.place, batch.rows());
            }
        }
        Landed { session: self, batch, answer }
    }

    /// The database's answer to a batch, however long that takes. The inner error is the one of a constraint.
    async fn answer(&mut self, batch: &Batch) -> Result<Result<Answer, AppendError>, LedgerFailure> {
        let (id, incarnation) = self.seat.numbers();
        let (place, number) = (i16::try_from(self.place).unwrap_or(i16::MAX), self.committed + 1);
        let mut pause = AGAIN_FIRST;
        let mut given_up_after = None;
        loop {
            // Whoever of this replica was told: a database that has less has lost it.
            let seen = signed(self.shared.last_sequence.borrow().0);
            match self.asked(&[&id, &incarnation, &place, &number, &seen], batch).await {
                Ok(answer) => {
                    watching::tell(&self.shared, true);
                    self.has_room(Room::Ample);
                    return match answer.state {
                        State::Done | State::Again => Ok(Ok(answer)),
                        State::PutOut => Err(self.put_out()),
                        State::Lost => Err(self.lost(number)),
                        State::Judge | State::Unknown => Err(unknown()),
                    };
                }
                Err(Asked::Constraint(error)) => return Ok(Err(error)),
                Err(Asked::PutOut) => return Err(self.put_out()),
                Err(Asked::Fatal(failure)) => return Err(failure),
                Err(Asked::Room) => self.has_room(Room::Reserve),
                Err(Asked::Later) => {}
                Err(Asked::Away) => {
                    self.connection = None;
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
        *self.shared.closing.borrow() || self.queue.strong_count() == 0
    }

    /// One attempt. A batch of nothing but claims is tried as a whole; if that cannot be, each is judged, as in any other batch.
    async fn asked(&mut self, of_session: &[&(dyn ToSql + Sync)], batch: &Batch) -> Result<Answer, Asked> {
        let patience = self.connector.patience();
        let connection = self.connected().await?;
        let encoded = &batch.encoded;
        if encoded.is_claims() {
            let parameters = [of_session, &encoded.claim_parameters()].concat();
            let answer = connection.query(&connection.claim, &parameters, patience).await?;
            if answer.state != State::Judge {
                return Ok(answer);
            }
        }
        let parameters = [of_session, &encoded.commit_parameters()].concat();
        connection.query(&connection.commit, &parameters, patience).await
    }

    /// The connection that it commits on, made anew if there is none.
    async fn connected(&mut self) -> Result<&Connection, Asked> {
        if !self.is_connected() {
            self.connection = None;
            let connected = self.connector.connect().await;
            let client = connected.map_err(|fault| {
                tracing::warn!(error = %fault.storage(), "the database cannot be reached: writes wait");
                Asked::Away
            })?;
            let connection = Connection::prepare(client).await.map_err(|error| match remedy(&error) {
                Remedy::None => Asked::Fatal(failure(&error)),
                _ => Asked::Away,
            })?;
            self.connection = Some(connection);
        }
        self.connection.as_ref().ok_or(Asked::Away)
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
            "the database does not have all of what it acknowledged, up to sequence {} and to commit {} of this replica's writer {}: after a failover to a \
             standby that was not synchronous, reconcile with core banking and the ATMs",
            self.shared.last_sequence.borrow().0,
            number - 1,
            self.place
        );
        LedgerFailure { doing: "committing", cause: cause.into() }
    }
}

impl Connection {
    async fn prepare(client: Client) -> Result<Self, tokio_postgres::Error> {
        let none = Encoded::default();
        let commit = client.prepare(&statement("cashgate_commit", none.commit_parameters().len())).await?;
        let claim = client.prepare(&statement("cashgate_claim", none.claim_parameters().len())).await?;
        Ok(Self { client, commit, claim })
    }

    async fn query(
        &self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
        patience: Duration,
    ) -> Result<Answer, Asked> {
        let error = match tokio::time::timeout(patience, self.client.query_one(statement, parameters)).await {
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
            Remedy::PutOut => Err(Asked::PutOut),
            Remedy::None => Err(Asked::Fatal(failure(&error))),
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
    PutOut,
    Constraint(AppendError),
    Fatal(LedgerFailure),
}

fn failure(error: &tokio_postgres::Error) -> LedgerFailure {
    LedgerFailure { doing: "committing", cause: faults::storage(error).to_string().into() }
}

fn unknown() -> LedgerFailure {
    LedgerFailure { doing: "committing", cause: "the database gave an answer that this program does not know".into() }
}

/// The call of a function, with the parameters of its session first.
fn statement(function: &str, of_batch: usize) -> String {
    let places: Vec<String> = (1..=5 + of_batch).map(|place| format!("${place}")).collect();
    format!("SELECT * FROM {function}({})", places.join(", "))
}
