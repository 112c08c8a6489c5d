//! The gateway's books against the files that the fleet's core bank and ATM export: they agree, and whatever is falsified is found.

use std::path::PathBuf;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use cashgate_fleet::atm::{self, Book, Command, Fault, Installation, Notes, Plan, ScreenEvent};
use cashgate_fleet::corebank::{Bank, PlaceHold, PlaceHoldAnswer, SettlementAnswer};
use cashgate_fleet::credentials::Credentials;
use cashgate_gateway::reconcile::{ATM_COUNTERS_HEADER, CORE_BANKING_HEADER};
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::harness::{Call, HoldScript, Phone, Port, Site, in_time, withdrawal_state, yen};

const ACCOUNT: &str = "acct-7f3a9c41d2e8";

/// A machine of the fleet, with its operator.
struct FleetAtm {
    operator: mpsc::Sender<Command>,
    screen: mpsc::UnboundedReceiver<ScreenEvent>,
    state_dir: PathBuf,
}

impl FleetAtm {
    async fn connected(site: &Site, id: &str) -> Self {
        let stem = site.certificate(&format!("atm/{id}")).display().to_string();
        let (certificate, key) = (PathBuf::from(format!("{stem}.pem")), PathBuf::from(format!("{stem}-key.pem")));
        let credentials = Credentials::read(&site.path("ca.pem"), &certificate, &key).unwrap();
        let state_dir = site.path(&format!("state-{id}"));
        let installation = Installation {
            gateway: credentials.endpoint(&format!("https://127.0.0.1:{}", site.port(Port::Atm))).unwrap(),
            state_dir: state_dir.clone(),
            plan: Plan {
                name: format!("ATM {id}"),
                place: "Shibuya, Tokyo".to_owned(),
                point: None,
                bare_word: false,
                filled: [10_000, 1_000].map(|denomination| Notes { denomination, count: 100 }).to_vec(),
                currency: "JPY".to_owned(),
                notes_per_dispense_max: 40,
                present_delay: Duration::from_millis(10),
            },
        };
        let (events, screen) = mpsc::unbounded_channel();
        let (operator, commands) = mpsc::channel(16);
        tokio::spawn(atm::run(installation, commands, events, std::future::pending()));
        let mut atm = Self { operator, screen, state_dir };
        atm.shows(|event| matches!(event, ScreenEvent::Connected { .. })).await;
        atm
    }

    async fn shows(&mut self, what: impl Fn(&ScreenEvent) -> bool) -> ScreenEvent {
        let seen = async {
            loop {
                let event = self.screen.recv().await.expect("the machine runs");
                if what(&event) {
                    return event;
                }
            }
        };
        in_time("the ATM shows it", seen).await
    }

    /// A customer withdraws here; the withdrawal's id, once the screen is free again.
    async fn serves(&mut self, phone: &mut Phone, amount: i64, fault: Option<Fault>) -> String {
        if let Some(fault) = fault {
            self.operator.send(Command::Fault(fault)).await.unwrap();
        }
        self.operator.send(Command::Start(None)).await.unwrap();
        let shown = self.shows(|event| matches!(event, ScreenEvent::ShowQr { .. })).await;
        let ScreenEvent::ShowQr { qr_text, .. } = shown else { unreachable!() };
        phone.scan(&qr_text).await.unwrap();
        let approval = phone.approval(&qr_text, &yen(amount));
        let id = phone.bank.approve(approval).await.unwrap().into_inner().withdrawal_id;
        self.shows(|event| matches!(event, ScreenEvent::QrSessionEnded { .. })).await;
        id
    }

    fn counters(&self, id: &str) -> String {
        let mut csv = Vec::new();
        Book::of(&atm::read_facts(&self.state_dir).unwrap()).write_csv(id, &mut csv).unwrap();
        String::from_utf8(csv).unwrap()
    }
}

/// The books of a fleet bank that was asked what the gateway asked, and exported as CSV.
fn postings(site: &Site, ids: &[&str], declined: &str) -> String {
    let bank = Bank::in_memory().unwrap();
    bank.open_account(ACCOUNT, 1_000_000).unwrap();
    for id in ids {
        let mut hold = String::new();
        for call in site.core_bank.calls(id) {
            match call {
                Call::Place(place) => {
                    let amount = place.amount.unwrap();
                    let request = PlaceHold {
                        withdrawal_id: place.withdrawal_id,
                        account: place.account_id,
                        amount: u64::try_from(amount.minor_units).unwrap(),
                        currency: amount.currency,
                    };
                    let forced = (*id == declined).then_some("insufficient_funds");
                    if let PlaceHoldAnswer::Granted { reference } = bank.place_hold(&request, forced).unwrap() {
                        hold = reference;
                    }
                }
                Call::Confirm(confirm) => {
                    let amount = confirm.amount.unwrap();
                    let minor_units = u64::try_from(amount.minor_units).unwrap();
                    let done = bank.confirm_hold(id, &hold, minor_units, &amount.currency).unwrap();
                    assert_eq!(done, SettlementAnswer::Done);
                }
                Call::Reverse(_) => assert_eq!(bank.reverse_hold(id).unwrap(), SettlementAnswer::Done),
            }
        }
    }
    let mut csv = Vec::new();
    bank.write_csv(&mut csv).unwrap();
    String::from_utf8(csv).unwrap()
}

/// A day: one of everything, and both exports.
pub(crate) struct Day {
    pub(crate) site: Site,
    /// Paid out in full, 21,000 yen.
    paid: String,
    /// 30,000 yen, of which 10,000 came back.
    partly: String,
    /// All of it came back.
    reversed: String,
    /// Refused by core banking.
    declined: String,
    /// The ATM took notes back and did not count them.
    open: String,
    pub(crate) postings: String,
    pub(crate) counters: String,
}

impl Day {
    pub(crate) async fn new() -> Self {
        let site = Site::ready().await;
        let mut atm = FleetAtm::connected(&site, "A1").await;
        let mut phone = Phone::registered(&site, "phone-1", ACCOUNT).await;
        let paid = atm.serves(&mut phone, 21_000, None).await;
        let partly = atm.serves(&mut phone, 30_000, Some(Fault::RetractSome(10_000))).await;
        let reversed = atm.serves(&mut phone, 12_000, Some(Fault::Retract)).await;
        site.core_bank.is_to(HoldScript::Decline);
        let declined = atm.serves(&mut phone, 5_000, None).await;
        site.core_bank.is_to(HoldScript::Grant);
        let open = atm.serves(&mut phone, 30_000, Some(Fault::RetractUncounted(20_000))).await;
        for (id, end) in [
            (&paid, WithdrawalState::Confirmed),
            (&partly, WithdrawalState::Confirmed),
            (&reversed, WithdrawalState::Reversed),
            (&declined, WithdrawalState::Declined),
        ] {
            assert_eq!(phone.watch_to_end(id).await.last(), Some(&end));
        }
        assert_eq!(withdrawal_state(&site, &open), "outcome_unknown");
        let postings = postings(&site, &[&paid, &partly, &reversed, &declined, &open], &declined);
        let counters = atm.counters("A1");
        Self { site, paid, partly, reversed, declined, open, postings, counters }
    }

    fn arguments(&self, postings: &str, counters: &str, more: &[&str]) -> Vec<String> {
        let files = [("postings.csv", postings), ("counters.csv", counters)].map(|(name, text)| {
            let file = self.site.path(name);
            std::fs::write(&file, text).unwrap();
            file.display().to_string()
        });
        let [postings, counters] = files;
        let configuration = self.site.configuration();
        let all = ["reconcile", "--config", &configuration, "--corebank", &postings, "--atm-counters", &counters];
        all.iter().chain(more).map(|argument| (*argument).to_owned()).collect()
    }

    /// The exit code, and what was printed.
    fn reconcile(&self, postings: &str, counters: &str, more: &[&str]) -> (i32, String) {
        let arguments = self.arguments(postings, counters, more);
        let output = self.site.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!text.contains(ACCOUNT), "an account is printed: {text}");
        (output.status.code().unwrap(), text)
    }

    /// The findings in short: kind, withdrawal, difference.
    #[track_caller]
    pub(crate) fn check(&self, postings: &str, counters: &str, more: &[&str], expected: &[(&str, &str, Option<i64>)]) {
        let (code, text) = self.reconcile(postings, counters, &[&["--json"], more].concat());
        let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let summary = lines.pop().unwrap();
        let found: Vec<_> = lines
            .iter()
            .map(|line| &line["finding"])
            .map(|f| {
                (
                    f["kind"].as_str().unwrap(),
                    f["withdrawal_id"].as_str().unwrap(),
                    f["difference_minor_units"].as_i64(),
                )
            })
            .collect();
        assert_eq!(found, expected, "{text}");
        assert_eq!(code, i32::from(!expected.is_empty()), "{text}");
        assert_eq!(summary["summary"]["agrees"], expected.is_empty(), "{text}");
        let (code_for_people, text) = self.reconcile(postings, counters, more);
        assert_eq!(code_for_people, code, "{text}");
        assert_eq!(text.lines().last().unwrap().starts_with("the books agree"), expected.is_empty(), "{text}");
    }
}

/// A file without the lines that hold a text.
fn without(file: &str, text: &str) -> String {
    file.lines().filter(|line| !line.contains(text)).map(|line| format!("{line}\n")).collect()
}

/// A file with something replaced in the line of one withdrawal.
fn with(file: &str, id: &str, from: &str, to: &str) -> String {
    let line = file.lines().find(|line| line.contains(id)).unwrap();
    assert!(line.contains(from), "{line}");
    file.replace(line, &line.replacen(from, to, 1))
}

#[tokio::test]
async fn the_three_books_agree_and_whatever_is_falsified_is_found() {
    let day = Day::new().await;
    let Day { postings, counters, paid, partly, reversed, .. } = &day;
    assert_eq!(postings.lines().next().unwrap(), CORE_BANKING_HEADER.join(","), "the fleet writes what is read here");
    assert_eq!(counters.lines().next().unwrap(), ATM_COUNTERS_HEADER.join(","));
    day.check(postings, counters, &[], &[]);
    let (_, text) = day.reconcile(postings, counters, &[]);
    assert!(
        text.starts_with("4 ended withdrawals compared, 1 open (0 suspect); 5 rows of core banking, 4 of ATMs"),
        "{text}"
    );
    let sums = "JPY  gateway: 41000 confirmed; core banking: 41000 confirmed, 0 held; ATMs: 41000 stayed out\n\
                JPY  open: 30000 approved; core banking: 0 confirmed, 30000 held; ATMs: 20000 stayed out\n";
    assert!(text.contains(sums), "{text}");

    // Core banking's side.
    let check = |postings: &str, expected| day.check(postings, counters, &[], &[expected]);
    check(&without(postings, paid), ("missing_at_core_banking", paid, Some(-21_000)));
    check(&with(postings, partly, "20000,confirmed", "30000,confirmed"), ("amount_differs", partly, Some(10_000)));
    check(&with(postings, reversed, "reversed", "held"), ("standing_differs", reversed, Some(0)));
    check(&with(postings, paid, ACCOUNT, "acct-other"), ("account_differs", paid, Some(0)));
    check(&with(postings, &day.declined, "0,0,declined", "5000,0,held"), ("standing_differs", &day.declined, Some(0)));
    let foreign = "01981f2e-7c1a-7000-8000-0123456789ab";
    let row = |id: &str| format!("{postings}{id},acct-other,JPY,9000,9000,confirmed,\n");
    check(&row(foreign), ("extra_at_core_banking", foreign, Some(9_000)));
    check(&row(paid), ("duplicate_at_core_banking", paid, Some(9_000)));

    // The ATM's side.
    let check = |counters: &str, expected| day.check(postings, counters, &[], &[expected]);
    check(&without(counters, paid), ("missing_at_atm", paid, Some(-21_000)));
    check(&with(counters, partly, "30000,10000", "30000,0"), ("cash_differs", partly, Some(10_000)));
    check(&with(counters, reversed, "12000,12000", "12000,"), ("uncounted_at_atm", reversed, Some(0)));
    check(&with(counters, &day.open, "30000,10000", "31000,0"), ("cash_differs", &day.open, None));
    check(&format!("{counters}A1,{foreign},JPY,9000,0\n"), ("extra_at_atm", foreign, Some(9_000)));
    check(&format!("{counters}A2,{paid},JPY,9000,0\n"), ("extra_at_atm", paid, Some(9_000)));
    check(&format!("{counters}A1,{paid},JPY,9000,0\n"), ("duplicate_at_atm", paid, Some(9_000)));

    // Age.
    day.check(postings, counters, &["--open-longer-than", "0s"], &[("held_too_long", &day.open, None)]);
}

#[tokio::test]
async fn it_reads_the_ledger_of_a_dead_gateway_and_looks_at_days() {
    let mut day = Day::new().await;
    day.site.kill();
    let Day { postings, counters, .. } = &day;
    day.check(postings, counters, &["--institution", "sakura"], &[]);
    // Tomorrow and the day before the first withdrawal: nothing to compare but what is open, and no row of use.
    for (window, open) in [(["--since", "2100-01-01"], 1), (["--until", "2020-01-01"], 0)] {
        day.check(postings, counters, &window, &[]);
        let (_, text) = day.reconcile(postings, counters, &window);
        assert!(text.starts_with(&format!("0 ended withdrawals compared, {open} open")), "{text}");
    }
    let (code, text) = day.reconcile(postings, counters, &["--institution", "kiku"]);
    assert!(code == 2 && text.contains("--institution kiku: the configuration has no such institution"), "{text}");
}

#[tokio::test]
async fn bad_files_and_arguments_end_with_code_2_and_a_closed_pipe_in_silence() {
    let day = Day::new().await;
    let Day { postings, counters, paid, .. } = &day;
    let check = |postings: &str, counters: &str, more: &[&str], expected: &str| {
        let (code, text) = day.reconcile(postings, counters, more);
        assert_eq!(code, 2, "{text}");
        assert!(text.starts_with("cashgate: ") && text.contains(expected), "{expected}: {text}");
    };
    check(
        &with(postings, paid, "21000", "21000.0"),
        counters,
        &[],
        "postings.csv, line 2, column held_minor_units: must",
    );
    check(&format!("{postings}\n\n{paid},x\r\n"), counters, &[], "postings.csv, line 9: has 2 fields");
    check(
        postings,
        &with(counters, paid, "21000,0", "21000,22000"),
        &[],
        "counters.csv, line 2, column retracted_minor_units: is",
    );
    check(postings, "", &[], "counters.csv, line 1: the header lacks atm_id,");
    check(postings, counters, &["--since", "yesterday"], "--since yesterday: must be a date such as");
    check(postings, counters, &["--ledger", "no/such.db"], "no/such.db");
    let (code, text) = day.reconcile(postings, counters, &["--open-longer-than", "soon"]);
    assert!(code == 2 && text.contains("must be a time such as 24h"), "{text}");
    let agreed = format!("\u{feff}{}", postings.replace('\n', "\r\n"));
    day.check(&agreed, counters, &[], &[]);

    // More findings than a pipe holds, and nobody who reads them.
    let id = |n: usize| format!("01981f2e-7c1a-7000-8000-{n:012}");
    let extra: String = (0..2_000).map(|n| format!("{},acct-x,JPY,1,1,confirmed,\n", id(n))).collect();
    let arguments = day.arguments(&format!("{postings}{extra}"), counters, &[]);
    let mut process = Process::new(env!("CARGO_BIN_EXE_cashgate"));
    let mut child = process.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "the books still differ");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
