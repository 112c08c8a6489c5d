//! A database that is killed, cut off, slow, or replaced by its standby while lanes write: every append comes to its end once, and nothing
//! that was acknowledged is lost.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cashgate_ledger::{
    Append, AppendError, Appended, Epoch, InstitutionSpending, Ledger, LimitKey, PostgresOptions, Publication, Raise,
    Sequence, migrate, verify_open,
};
use cashgate_postgres_server::{Database, Proxy, Server};
use cashgate_withdrawal::ids::AtmId;
use tokio::task::JoinSet;

use super::publications::{publication, told};
use super::store::options_of;
use crate::sample::*;

/// So many that two batches of claims are under way at once.
const LANES: u64 = 48;

fn with_ledger(server: &Server) -> (Database<'_>, PostgresOptions) {
    let database = server.database("template1");
    let options = PostgresOptions {
        statement_timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(1),
        ..options_of(database.dsn_file(), 0)
    };
    migrate(&options).unwrap();
    (database, options)
}

/// Lanes that live whole lives until they are told to stop, and say how many each lived.
async fn load(ledger: &Ledger, over: &Arc<AtomicBool>) -> JoinSet<u64> {
    let mut lanes = JoinSet::new();
    for number in 0..LANES {
        let (ledger, over, mut lane) = (ledger.clone(), Arc::clone(over), Lane::claimed(ledger, number).await);
        lanes.spawn(async move {
            let mut lives = 0;
            while !over.load(Ordering::Relaxed) {
                lane.lives(&ledger, number * 1_000_000 + lives).await;
                lives += 1;
            }
            lives
        });
    }
    lanes
}

/// One customer after the other at one machine, as a gateway's lane has them written: a claim from the versions that it knows, then steps.
struct Lane {
    atm: AtmId,
    epoch: Epoch,
    /// `None`: the answer was lost that would have told.
    version: Option<u64>,
}

impl Lane {
    async fn claimed(ledger: &Ledger, number: u64) -> Self {
        let atm: AtmId = format!("atm-{number}").parse().unwrap();
        let (epoch, _) = ledger.replicas().unwrap().claim_lane(&atm).await.unwrap();
        Self { atm, epoch, version: Some(0) }
    }

    async fn lives(&mut self, ledger: &Ledger, n: u64) {
        for step in whole_life(n) {
            let (begins, ends) = (step.number == 1, !step.row.open);
            let mut append = Append { lane: Some((self.atm.clone(), self.epoch)), ..vec![step].into() };
            if begins || ends {
                let computed_from = self.version.filter(|_| begins);
                append.raises = vec![Raise { key: LimitKey::Atm(self.atm.clone()), computed_from }];
                append.spending = vec![if begins { spent(30_000, 1) } else { spent(-10_000, 0) }];
                self.version = ledger.append_owned(append).await.unwrap().raised.map(|raised| raised[0].1);
            } else {
                ledger.append_owned(append).await.unwrap();
            }
        }
    }
}

/// Held against a cap that is never reached.
fn spent(amount: i64, withdrawals: i32) -> InstitutionSpending {
    InstitutionSpending { caps: capped(u64::MAX >> 2), is_new_device: false, ..spending(amount, withdrawals) }
}

/// Lets the lanes go on for a while, then counts what they lived against what the ledger has.
async fn check_nothing_is_lost_or_doubled(
    ledger: &Ledger,
    server: &Server,
    database: &Database<'_>,
    over: &AtomicBool,
    lanes: JoinSet<u64>,
) {
    tokio::time::sleep(Duration::from_millis(500)).await;
    over.store(true, Ordering::Relaxed);
    let lived: u64 =
        tokio::time::timeout(Duration::from_secs(60), lanes.join_all()).await.expect("it hangs").iter().sum();
    assert!(lived > LANES, "there was no load");
    assert_eq!(ledger.reader().last_sequence().unwrap().0, 4 * lived);
    let report = verify_open(ledger.reader(), &mut |finding| panic!("{finding}"), &mut |_, _| vec![]);
    assert_eq!((report.steps, report.withdrawals, report.open), (4 * lived, lived, 0));
    assert!(ledger.reachable() && ledger.failure().is_none());
    let raised = server.sql(database.name(), "SELECT sum(version) FROM cashgate.limit_versions");
    assert_eq!(raised, (2 * lived).to_string(), "an entry is raised at each beginning and each end");
    let spent = server.sql(database.name(), "SELECT amount, withdrawals FROM cashgate.institution_spent");
    assert_eq!(spent, format!("{}|{lived}", 20_000 * lived));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_costs_only_time() {
    let server = Server::start_new();
    let (database, options) = with_ledger(&server);
    let ledger = Ledger::connect(&options).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let lanes = load(&ledger, &over).await;
    let mut reachable = ledger.subscribe_reachable();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        server.kill();
        let away = tokio::time::timeout(Duration::from_secs(20), reachable.wait_for(|reachable| !reachable)).await;
        drop(away.expect("it did not say that the database is away").unwrap());
        server.start();
        let back = tokio::time::timeout(Duration::from_secs(20), reachable.wait_for(|reachable| *reachable)).await;
        drop(back.expect("it did not come back").unwrap());
    }
    check_nothing_is_lost_or_doubled(&ledger, &server, &database, &over, lanes).await;
    ledger.close().await.unwrap();
}

/// Has a database be reached over a line that may lose answers.
fn over_a_line(server: &Server, database: &Database<'_>) -> Proxy {
    let proxy = Proxy::before(server.port());
    database.reach(&format!("host=127.0.0.1 port={} user=postgres dbname={}", proxy.port(), database.name()));
    proxy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_is_asked_for_and_nothing_is_written_twice() {
    let server = Server::start_new();
    let (database, options) = with_ledger(&server);
    let proxy = over_a_line(&server, &database);
    let ledger = Ledger::connect(&options).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let lanes = load(&ledger, &over).await;
    for _ in 0..25 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        proxy.lose_next_answer();
    }
    check_nothing_is_lost_or_doubled(&ledger, &server, &database, &over, lanes).await;
    assert!(proxy.lost() >= 10, "there were no cuts");
    ledger.close().await.unwrap();
}

/// Asks for a claim and cuts the line while this function of the database has it wait for the ledger's head. What was told in the end.
async fn cut_while_it_waits(
    database: &Database<'_>,
    proxy: &Proxy,
    ledger: &Ledger,
    claim: Append,
    function: &str,
) -> Result<Appended, AppendError> {
    let before_others = database.session("SELECT 1 FROM cashgate.ledger_head FOR UPDATE");
    let asking = ledger.clone();
    let told = tokio::spawn(async move { asking.append_owned(claim).await });
    let waits =
        format!("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{function}(%'");
    while database.sql(&waits) != "1" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    proxy.cut();
    // The second attempt comes while the first still waits.
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(before_others);
    told.await.unwrap()
}

/// The line ends while the server works on a claim. The same claim on a new line must not be judged before that one has come to its end: it would
/// be told that its nonce is claimed, and nobody would carry on what was written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_asked_for_again_waits_for_itself() {
    let server = Server::start_new();
    let (database, options) = with_ledger(&server);
    let proxy = over_a_line(&server, &database);
    let ledger = Ledger::connect(&options).unwrap();
    let mut lane = Lane::claimed(&ledger, 1).await;
    lane.lives(&ledger, 1).await;
    let raises = vec![Raise { key: LimitKey::Atm(lane.atm.clone()), computed_from: lane.version }];
    let claim = Append { lane: Some((lane.atm, lane.epoch)), raises, ..vec![hold_requested(2)].into() };
    let told = cut_while_it_waits(&database, &proxy, &ledger, claim, "cashgate_claim").await;
    let appended = told.unwrap();
    assert_eq!((appended.last, appended.raised), (Sequence(5), None), "it was written, and the answer of then is gone");
    assert_eq!(database.sql("SELECT count(*) FROM cashgate.steps"), "5");
    ledger.close().await.unwrap();
}

/// The same for a claim that cannot be, and is judged when the line ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_refused_while_the_line_ends_is_refused_once() {
    let server = Server::start_new();
    let (database, options) = with_ledger(&server);
    let proxy = over_a_line(&server, &database);
    let ledger = Ledger::connect(&options).unwrap();
    let mut lane = Lane::claimed(&ledger, 1).await;
    lane.lives(&ledger, 1).await;
    let before = database.sql("SELECT last_batch FROM cashgate.writers ORDER BY writer");
    let raises = vec![Raise { key: LimitKey::Atm(lane.atm.clone()), computed_from: Some(7) }];
    let claim = Append { lane: Some((lane.atm, lane.epoch)), raises, ..vec![hold_requested(2)].into() };
    let told = cut_while_it_waits(&database, &proxy, &ledger, claim, "cashgate_commit").await;
    let Err(AppendError::LimitsMoved { .. }) = told else { panic!("it was written") };
    let of = |numbers: &str| numbers.split_whitespace().map(|number| number.parse::<u64>().unwrap()).sum::<u64>();
    let after = database.sql("SELECT last_batch FROM cashgate.writers ORDER BY writer");
    assert_eq!(of(&after), of(&before) + 1, "one batch, asked for twice");
    assert_eq!(database.sql("SELECT count(*), sum(number) FROM cashgate.steps"), "4|10");
    assert_eq!(
        database.sql("SELECT version FROM cashgate.limit_versions"),
        "2",
        "at the beginning and at the end of the first"
    );
    ledger.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_whose_answer_is_lost_is_asked_for_and_stands_once() {
    let server = Server::start_new();
    let (database, options) = with_ledger(&server);
    let proxy = over_a_line(&server, &database);
    let ledger = Ledger::connect(&options).unwrap();
    ledger.publish(1, publication(1, b"one"), told(1)).await.unwrap();
    proxy.lose_answer_to(&publication(2, b"two").note);
    assert_eq!(ledger.publish(2, publication(2, b"two"), told(2)).await, Ok(Sequence(2)));
    assert_eq!(proxy.lost(), 1, "the answer to the first try");
    ledger.publish(3, publication(3, b"three"), told(3)).await.unwrap();
    // The answer may be asked for when others have published since; it is for the very same publication alone.
    assert_eq!(ledger.publish(2, publication(2, b"two"), told(2)).await, Ok(Sequence(2)));
    let same = publication(2, b"two");
    for other in [
        Publication { at: at(9), ..same.clone() },
        Publication { actor: "sato".to_owned(), ..same.clone() },
        Publication { note: String::new(), ..same.clone() },
        Publication { body: b"zwei".to_vec(), ..same.clone() },
    ] {
        let taken = AppendError::PublicationTaken { latest: 3 };
        assert_eq!(ledger.publish(2, other, told(2)).await, Err(taken));
    }

    // The server ends the session of a publication that waits: it has not been made, and is asked for again.
    let before_others = database.session("SELECT 1 FROM cashgate.ledger_head FOR UPDATE");
    let publishing = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.publish(4, publication(4, b"four"), told(4)).await }
    });
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE query LIKE '%cashgate_publish%' AND wait_event_type = 'Lock'";
    while database.sql(ended) != "1" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(before_others);
    assert_eq!(publishing.await.unwrap(), Ok(Sequence(4)));

    let numbers: Vec<_> =
        ledger.reader().publications().unwrap().iter().map(|one| (one.number, one.sequence.0)).collect();
    assert_eq!(numbers, [(1, 1), (2, 2), (3, 3), (4, 4)]);
    let report = verify_open(ledger.reader(), &mut |finding| panic!("{finding}"), &mut |_, _| vec![]);
    assert_eq!((report.publications, report.notices), (4, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_synchronous_standby_that_is_promoted_has_all_that_was_acknowledged() {
    let primary = Server::start_with("synchronous_standby_names = 'second'");
    // Until there is a standby, nothing could be committed.
    let _ =
        primary.sql("postgres", "SET synchronous_commit = local; ALTER ROLE postgres SET synchronous_commit = local");
    let (database, options) = with_ledger(&primary);
    let standby = Server::standby_of(&primary, "second");
    let is_there = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    while primary.sql("postgres", is_there) != "1" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let _ = primary.sql("postgres", "ALTER ROLE postgres RESET synchronous_commit");
    let (first, second) = (primary.port(), standby.port());
    database.reach(&format!("host=127.0.0.1,127.0.0.1 port={first},{second} user=postgres dbname={}", database.name()));
    let ledger = Ledger::connect(&options).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let lanes = load(&ledger, &over).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    primary.kill();
    standby.promote();
    check_nothing_is_lost_or_doubled(&ledger, &standby, &database, &over, lanes).await;
    ledger.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_has_lost_acknowledged_commits_ends_the_ledger() {
    let (ledger, place) = super::store::new_ledger();
    for n in 0..3 {
        ledger.append(vec![hold_requested(n)]).await.unwrap();
    }
    // As an asynchronous standby that was promoted too early would have it.
    let _ = place.sql("UPDATE writers SET last_batch = last_batch - 2");
    let Err(AppendError::Fatal(failure)) = ledger.append(vec![hold_requested(9)]).await else { panic!("it wrote on") };
    assert!(failure.to_string().contains("of what it acknowledged"), "{failure}");
}

/// Whichever of the replica's connections notices: what one was told, all know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_has_less_than_was_seen_ends_the_ledger() {
    let (ledger, place) = super::store::new_ledger();
    ledger.append(vec![hold_requested(1)]).await.unwrap();
    let _ = place.sql("UPDATE ledger_head SET last_sequence = last_sequence - 1");
    // The first of its connection: that has no number which could tell.
    let lane = Lane::claimed(&ledger, 1).await;
    let claim = Append { lane: Some((lane.atm, lane.epoch)), ..vec![hold_requested(2)].into() };
    let Err(AppendError::Fatal(failure)) = ledger.append_owned(claim).await else { panic!("it wrote on") };
    assert!(failure.to_string().contains("of what it acknowledged"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_makes_writes_wait_and_nothing_else() {
    let server = Server::start_with("max_connections = 20");
    let (database, options) = with_ledger(&server);
    let options = PostgresOptions { statement_timeout: Duration::from_millis(300), ..options };
    let ledger = Ledger::connect(&options).unwrap();
    ledger.append(vec![hold_requested(1)]).await.unwrap();
    let dsn = server.dsn(database.name());
    let lock = "BEGIN; SELECT 1 FROM cashgate.ledger_head FOR UPDATE; SELECT pg_sleep(1.5); COMMIT";
    let locking = connected(&dsn, lock).unwrap();
    ledger.append(vec![hold_requested(2)]).await.unwrap();

    drop(locking);
    let mut taken = Vec::new();
    // Strangers take every connection that is left; the ledger's own goes on, and a lost one is made again when they are gone.
    while let Ok(stream) = connected(&dsn, "SELECT 2") {
        taken.push(stream);
    }
    taken.truncate(taken.len() - 2);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let ends = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'cashgate'";
    let _ = database.sql(ends);
    let waiting = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.append(vec![hold_requested(3)]).await }
    });
    tokio::time::sleep(Duration::from_millis(700)).await;
    drop(taken);
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it hangs").unwrap().unwrap();
    assert_eq!(ledger.reader().last_sequence().unwrap().0, 3);
}

/// A session of a stranger, through `psql`, which does something and then stays.
fn connected(dsn: &str, then: &str) -> Result<Stranger, ()> {
    let psql = cashgate_postgres_server::programs().unwrap().join("psql");
    let mut child = std::process::Command::new(psql)
        .args(["-X", "-q", "-A", "-t", "-d", dsn, "-c", "SELECT 1", "-c", then, "-f", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    let answered = child.stdout.as_mut().unwrap().read(&mut first).is_ok_and(|count| count == 1);
    let stranger = Stranger(child);
    if answered { Ok(stranger) } else { Err(()) }
}

struct Stranger(std::process::Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
