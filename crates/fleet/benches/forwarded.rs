//! How much longer an approval takes that one replica hands on to another: one customer after the other at one machine, every second of them
//! through the replica that does not have the machine's lane.
//!
//! For `cargo xtask bench`, which starts database and replicas; prints one JSON line, the medians of each round in microseconds, forwarded ones as
//! `ours`: `forwarded --rounds R --visits V --atm URI --near URI --far URI --core-bank ADDRESS --institution ID --certs FOLDER --ca FILE`

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench stops loudly, reads the clock and prints its figures"
)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cashgate_fleet::atm::{self, Command, Notes, Plan, ScreenEvent};
use cashgate_fleet::clock::unix_ms;
use cashgate_fleet::corebank::{self, Bank, Branch, Faults};
use cashgate_fleet::credentials::Credentials;
use cashgate_fleet::phone::{App, ApprovalRequest, Phone, Registration};
use cashgate_wire::proto::withdrawal::v1 as shared;
use cashgate_withdrawal::money::{Currency, Money};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const ATM: &str = "A1";
const AMOUNT: u64 = 10_000;
const OPENING: u64 = 1_000_000_000;
/// Nothing here takes longer, or it hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// Before the first one that counts: connections come up, statements are planned.
const WARM_UP: usize = 10;

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let given = |name: &str| {
        let pairs: HashMap<&str, &str> =
            words.chunks(2).filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_str()))).collect();
        pairs.get(name).unwrap_or_else(|| panic!("{name} is missing")).to_string()
    };
    let number = |name: &str| given(name).parse::<usize>().expect("a whole number");
    let (rounds, visits, institution) = (number("--rounds"), number("--visits"), given("--institution"));
    let folder = given("--certs");
    let credentials = |whose: &str| {
        let file = |end: &str| Path::new(&folder).join(format!("{whose}{end}.pem"));
        Credentials::read(Path::new(&given("--ca")), &file(""), &file("-key")).expect("a certificate")
    };
    let accounts: Vec<String> = (0..=rounds).map(|round| format!("account-{round}")).collect();
    serve_core_bank(&institution, &given("--core-bank"), &accounts, credentials(&format!("corebank-{institution}")))
        .await;
    let mut machine =
        Machine::on(credentials(&format!("atm-{ATM}")).endpoint(&given("--atm")).expect("an address")).await;
    let of_bank = credentials(&format!("institution-{institution}"));
    let channels = ["--near", "--far"].map(|which| of_bank.channel(&given(which)).expect("an address"));
    let mut customers = Vec::new();
    for account in accounts {
        let phone = Phone::ephemeral(&institution, &format!("phone-of-{account}")).expect("a phone");
        let mut apps = channels.clone().map(|channel| App::new(channel, phone.device_id()));
        let [near, _] = &mut apps;
        register(&phone, near).await;
        customers.push(Customer { phone, account, apps });
    }
    // What one replica registered the other one reads.
    sleep(Duration::from_secs(2)).await;
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    for (round, customer) in customers.iter().enumerate() {
        let (mut near, mut far) = (Vec::new(), Vec::new());
        for _ in 0..if round == 0 { WARM_UP } else { visits } {
            near.push(customer.withdraws(&mut machine, 0).await);
            far.push(customer.withdraws(&mut machine, 1).await);
        }
        if round > 0 {
            ours.push(median_us(far));
            baseline.push(median_us(near));
        }
    }
    println!(r#"{{"ours": {ours:?}, "baseline": {baseline:?}}}"#);
}

fn median_us(mut took: Vec<Duration>) -> u128 {
    took.sort();
    took.get(took.len() / 2).expect("a visit").as_micros()
}

async fn serve_core_bank(institution: &str, at: &str, accounts: &[String], credentials: Credentials) {
    let bank = Arc::new(Bank::in_memory().expect("books"));
    for account in accounts {
        bank.open_account(account, OPENING).expect("an account");
    }
    let (events, _) = mpsc::unbounded_channel();
    let branch = Branch { institution: institution.to_owned(), bank, faults: Arc::new(Faults::default()), events };
    let listener = TcpListener::bind(at).await.expect("core banking's port");
    tokio::spawn(async move {
        corebank::serve(branch, listener, &credentials, std::future::pending()).await.expect("core banking serves");
    });
}

async fn register(phone: &Phone, app: &mut App) {
    let registration = Registration {
        public_key: phone.public_key().expect("a key"),
        bound_at_unix_ms: unix_ms() - 400 * 24 * 3_600_000,
        activation_channel: "online".to_owned(),
        attestation: Some(true),
    };
    app.register(registration).await.expect("registered");
}

/// The machine that all of them use.
struct Machine {
    commands: mpsc::Sender<Command>,
    screen: mpsc::UnboundedReceiver<ScreenEvent>,
}

impl Machine {
    /// Switched on and connected.
    async fn on(gateway: tonic::transport::Endpoint) -> Self {
        let (commands, orders) = mpsc::channel(8);
        let (show, screen) = mpsc::unbounded_channel();
        let plan = Plan {
            name: format!("ATM {ATM}"),
            place: "bench".to_owned(),
            filled: vec![Notes { denomination: AMOUNT, count: 1_000_000 }],
            currency: "JPY".to_owned(),
            notes_per_dispense_max: 60,
            present_delay: Duration::ZERO,
            point: None,
            bare_word: false,
        };
        tokio::spawn(atm::run_in_memory(plan, gateway, orders, show, std::future::pending()));
        let mut machine = Self { commands, screen };
        while !matches!(machine.shows().await, ScreenEvent::Connected { .. }) {}
        machine
    }

    async fn shows(&mut self) -> ScreenEvent {
        timeout(PATIENCE, self.screen.recv()).await.expect("something in time").expect("it is on")
    }

    async fn told(&self, command: Command) {
        self.commands.send(command).await.expect("it is on");
    }

    /// Touched until it shows a code; the last customer's withdrawal may still be ending.
    async fn code(&mut self) -> String {
        self.told(Command::Start(None)).await;
        loop {
            match self.shows().await {
                ScreenEvent::ShowQr { qr_text, .. } => return qr_text,
                ScreenEvent::Refused { .. } | ScreenEvent::TryLater { .. } | ScreenEvent::BadCommand { .. } => {
                    sleep(Duration::from_millis(20)).await;
                    self.told(Command::Start(None)).await;
                }
                _ => {}
            }
        }
    }
}

struct Customer {
    phone: Phone,
    account: String,
    /// Through the replica that has the machine's lane, and through the other one.
    apps: [App; 2],
}

impl Customer {
    /// One withdrawal, to its last record. Gives how long the approval took.
    async fn withdraws(&self, machine: &mut Machine, through: usize) -> Duration {
        let qr_text = machine.code().await;
        let mut app = self.apps.get(through).expect("two ways").clone();
        app.scan(&qr_text, &self.account).await.expect("scanned");
        let amount = Money::from_minor_units(AMOUNT, Currency::JPY).expect("money");
        let signature = self.phone.approval_signature(&qr_text, &self.account, amount).expect("a signature");
        let request = ApprovalRequest {
            qr_text: &qr_text,
            account_id: &self.account,
            amount: shared::Money { minor_units: 10_000, currency: "JPY".to_owned() },
            signature,
            pin_block: None,
            place: None,
        };
        let sent_at = Instant::now();
        let approved = app.approve(request).await.expect("approved");
        let took = sent_at.elapsed();
        loop {
            match machine.shows().await {
                ScreenEvent::AskConfirmCode { .. } => machine.told(Command::Code(approved.confirm_code.clone())).await,
                ScreenEvent::OutcomeRecorded { .. } => return took,
                ScreenEvent::Refused { reason, .. } => panic!("refused: {reason}"),
                _ => {}
            }
        }
    }
}
