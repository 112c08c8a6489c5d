//! A sync that fails: what it should have made durable may be on disk or not. The process must stop, nothing may follow from it, and the
//! next start goes on.

use std::collections::BTreeSet;
use std::process::Command;

use cashgate_ledger::StoredStep;
use cashgate_wire::proto::atm::v1::atm_message::Message;
use cashgate_wire::proto::atm::v1::{Dispense, Hello, StartQrSession};
use cashgate_wire::proto::customer::v1::WatchRequest;
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;

use crate::harness::{Atm, Heard, Phone, Site, eventually, hello, in_time, report_dispensed, withdrawal_state, yen};

const AMOUNT: i64 = 10_000;
/// Far more syncs than a start and one withdrawal take.
const SYNCS_MAX: u32 = 40;
/// Each is one sync of the ledger's writer. They are more than the start makes in its own thread, so that the syncs of the withdrawal come
/// after those at which no start succeeds.
const PHONES: u32 = 8;
/// What a step is called in the ledger, for every append of a withdrawal that is paid out.
const APPENDS: [&str; 4] = ["approved", "dispense_commanded", "outcome_reported", "hold_confirmed"];

/// How far a withdrawal came, as those around the gateway saw it.
#[derive(Debug, Default)]
struct Course {
    approved: bool,
    command: Option<Dispense>,
    recorded: bool,
    confirmed: bool,
}

impl Course {
    /// Scans, approves, pays and watches, until it is over or the gateway is gone.
    async fn of(atm: &mut Atm, phone: &mut Phone) -> Self {
        let mut course = Self::default();
        let _ = course.run(atm, phone).await;
        course
    }

    async fn run(&mut self, atm: &mut Atm, phone: &mut Phone) -> Option<()> {
        atm.tries_to_say(Message::StartQrSession(StartQrSession::default())).await?;
        let Heard::ShowQr(shown) = atm.hears_if_anything().await? else { panic!("no code") };
        phone.scan(&shown.qr_text).await.ok()?;
        let approval = phone.approval(&shown.qr_text, &yen(AMOUNT));
        let withdrawal_id = phone.bank.approve(approval).await.ok()?.into_inner().withdrawal_id;
        self.approved = true;
        let command = loop {
            match atm.hears_if_anything().await? {
                Heard::Dispense(command) => break command,
                Heard::QrClaimed(_) | Heard::ShowQr(_) => {}
                other => panic!("instead of a command: {other:?}"),
            }
        };
        // From here on the notes are out.
        let report = report_dispensed(&command);
        self.command = Some(command);
        atm.tries_to_say(Message::Outcome(report)).await?;
        let Heard::OutcomeRecorded(_) = atm.hears_if_anything().await? else { panic!("no acknowledgement") };
        self.recorded = true;
        let mut watched = phone.bank.watch(WatchRequest { withdrawal_id }).await.ok()?.into_inner();
        while let Some(update) = in_time("the withdrawal goes on", watched.message()).await.ok()? {
            self.confirmed = update.state() == WithdrawalState::Confirmed;
        }
        Some(())
    }
}

/// Where the injected fault struck.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Struck {
    /// Before the gateway was ready.
    Start,
    /// While a phone was registered.
    Registration,
    /// While this step was made durable.
    Step(String),
}

#[tokio::test]
async fn a_failed_sync_stops_the_process_and_nothing_follows_from_what_it_should_have_made_durable() {
    let tracer = Command::new("strace").arg("--version").output();
    assert!(tracer.is_ok_and(|tracer| tracer.status.success()), "this test needs strace: apt-get install strace");
    let mut struck = BTreeSet::new();
    // Every sync of a start and of a withdrawal fails once. Each thread counts its own; the ledger's writer comes after the start.
    for nth in 1..=SYNCS_MAX {
        let Some(place) = fail_the_sync(nth).await else { break };
        eprintln!("sync {nth}: {place:?}");
        struck.insert(place);
        assert_ne!(nth, SYNCS_MAX, "a withdrawal takes fewer syncs");
    }
    for append in APPENDS {
        assert!(struck.contains(&Struck::Step(append.to_owned())), "no sync of {append} failed: {struck:?}");
    }
    assert!(struck.contains(&Struck::Registration), "{struck:?}");
}

/// Lets the `nth` sync of a thread fail, somewhere in a start and the withdrawals after it. `None` if so many were not made.
async fn fail_the_sync(nth: u32) -> Option<Struck> {
    let mut site = Site::ready().await;
    site.kill();
    let trace = site.path("trace").display().to_string();
    let inject = format!("inject=fsync,fdatasync:error=EIO:when={nth}");
    // -D: the gateway stays this process's child, and strace watches from the side.
    let strace = ["strace", "-D", "-f", "-y", "-o", &trace, "-e", "trace=fsync,fdatasync", "-e", &inject];
    site.start_through(&strace);
    if site.is_ready_unless_it_ends().await {
        return withdraw_until_it_breaks(&mut site).await;
    }
    stopped_by_itself(&mut site).await;
    Some(Struck::Start)
}

/// As one that failed, and said why.
async fn stopped_by_itself(site: &mut Site) {
    let status = site.ended().await;
    assert_eq!(status.code(), Some(1), "{status}");
    let log = site.log();
    let reason = log.lines().rfind(|line| line.starts_with("cashgate: ")).unwrap_or_default();
    let says_why = reason.contains("disk I/O error") || reason.contains("Input/output error");
    assert!(says_why, "its last words: {log}");
}

/// Registers phones and lets one withdraw until the gateway is gone, then checks what followed from the failed sync: nothing. And then that
/// the next gateway goes on from there. `None`, with the gateway killed, if the withdrawal met no fault.
async fn withdraw_until_it_breaks(site: &mut Site) -> Option<Struck> {
    let mut atm = Atm::connect(site, "A1").await;
    let mut phone = Phone::unknown(site, "sakura", "phone-1", "acct-1").await;
    for number in (1..=PHONES).rev() {
        phone.device_id = format!("phone-{number}");
        if phone.bank.register_device(phone.registration()).await.is_err() {
            stopped_by_itself(site).await;
            return Some(Struck::Registration);
        }
    }
    let course = Course::of(&mut atm, &mut phone).await;
    if course.confirmed && site.is_running() {
        site.kill();
        return None;
    }
    drop(atm);
    stopped_by_itself(site).await;
    let steps = site.steps();
    let Some(last) = steps.last() else { panic!("a withdrawal broke that never began: {course:?}") };
    nothing_followed_from(last, &course, site);
    goes_on(site, &mut phone, last, &course).await;
    Some(Struck::Step(last.kind.clone()))
}

/// The step whose sync failed is the last one; the ledger may have it or not, but nobody may have been told.
fn nothing_followed_from(last: &StoredStep, course: &Course, site: &Site) {
    let calls = site.core_bank.call_names(&last.withdrawal.to_string());
    let followed = match last.kind.as_str() {
        "approved" => course.approved || !calls.is_empty(),
        "hold_granted" | "dispense_commanded" => course.command.is_some(),
        "outcome_reported" => course.recorded || calls != ["place"],
        "hold_confirmed" => course.confirmed,
        other => panic!("a step that this withdrawal does not take: {other}"),
    };
    assert!(!followed, "something followed from {}, which was not on disk: {course:?}, {calls:?}", last.kind);
}

/// A gateway on a sound disk takes it from there: what was paid is confirmed once, what was not is paid or reversed.
async fn goes_on(site: &mut Site, phone: &mut Phone, last: &StoredStep, course: &Course) {
    site.serve().await;
    phone.reconnect(site).await;
    let id = last.withdrawal.to_string();
    let unresolved = course.command.as_ref().filter(|_| !course.recorded).map(report_dispensed);
    let unresolved: Vec<_> = unresolved.into_iter().collect();
    let mut atm = Atm::connect_saying(site, "A1", Hello { unresolved, ..hello() }).await;
    let mut paid = course.command.is_some();
    if !paid && withdrawal_state(site, &id) == "dispense_commanded" {
        let command = atm.is_commanded().await;
        assert_eq!(command.withdrawal_id, id);
        atm.says(Message::Outcome(report_dispensed(&command))).await;
        paid = true;
    }
    let state = eventually("the withdrawal ends", async || {
        Some(withdrawal_state(site, &id)).filter(|state| ["confirmed", "reversed"].contains(&state.as_str()))
    });
    let (state, calls) = (state.await, site.core_bank.call_names(&id));
    let settled: BTreeSet<&str> = calls.iter().map(String::as_str).filter(|call| *call != "place").collect();
    let confirmed = format!("confirm {AMOUNT}");
    let expected = if paid { ("confirmed", confirmed.as_str()) } else { ("reversed", "reverse") };
    assert_eq!((state.as_str(), settled), (expected.0, BTreeSet::from([expected.1])), "{calls:?}");
}
