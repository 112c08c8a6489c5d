//! One run from its first certificate to its books.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cashgate_fleet::clock::unix_ms;
use cashgate_fleet::corebank::BankError;
use cashgate_fleet::credentials::Credentials;
use cashgate_fleet::place::Place;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::codegen::http::Uri;
use tonic::transport::Channel;

use crate::arrivals::Arrivals;
use crate::books::{self, Operations, PhonesBook, Sides};
use crate::certificates::Folder;
use crate::error::RunError;
use crate::faults::{self, Hook, Victims};
use crate::gateway_watch::{self, Windows};
use crate::parties::atms::{Machines, Model};
use crate::parties::core_bank::CoreBank;
use crate::parties::phones::{self, Customer};
use crate::progress;
use crate::recording::{Recorder, Recording, Who};
use crate::scenario::Scenario;
use crate::visit::{self, Arrival, Hall};

/// Connections of the app back end; each carries at most 256 calls at once, of which open `Watch` streams are most.
const APP_CHANNELS: usize = 8;
/// How long all ATMs together may take to connect, beside a second for every hundred.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
/// How long after the last withdrawal's end apps may still be told of it.
const FOLLOWERS_PATIENCE: Duration = Duration::from_secs(5);
/// Where all machines and phones are, so that rules about distances are asked as well.
const PLACE: &str = "35.6595,139.7005";

/// The gateway under load, and who loads it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The port for ATMs, such as `https://127.0.0.1:7443`.
    pub atm_uri: String,
    /// The port for app back ends and operators.
    pub api_uri: String,
    /// Everybody's certificates.
    pub certificates: Folder,
    /// Whose customers come.
    pub institution: String,
    /// The operator who reads the gateway's books at the end.
    pub operator: String,
    /// Where the gateway expects the institution's core banking.
    pub core_bank: SocketAddr,
    /// Where phones' keys lie between runs; they are made anew if not named.
    pub phone_keys: Option<PathBuf>,
    /// Where ATMs' records lie, if the scenario wants them on disk. The generator's own folder: what is in it is deleted when a run begins.
    pub atm_records: PathBuf,
    /// What can be seen of the gateway.
    pub windows: Windows,
    /// Who fulfils the scenario's hooks.
    pub hooks: Vec<Hook>,
}

/// What a run gave.
#[derive(Debug)]
pub struct Outcome {
    /// The measurements.
    pub recording: Recording,
    /// The books.
    pub books: books::Verdict,
    /// What of the run itself did not go as planned.
    pub failures: Vec<String>,
    /// Its first arrival, milliseconds since 1970-01-01T00:00:00Z.
    pub began_unix_ms: i64,
}

/// Everybody in place.
struct Opened {
    customers: Vec<Arc<Customer>>,
    thieves: Vec<Arc<Customer>>,
    machines: Machines,
    core_bank: Arc<CoreBank>,
}

/// Makes every phone of a scenario known and ends: for a gateway whose rules want phones to be days old. Gives how many there are.
///
/// # Errors
/// A certificate is missing, or the gateway refuses.
pub async fn register(scenario: &Scenario, target: &Target) -> Result<usize, RunError> {
    check_addresses(target)?;
    let channels = app_channels(target)?;
    let (customers, thieves) = register_phones(scenario, target, &channels).await?;
    Ok(customers.len() + thieves.len())
}

/// Runs a scenario to the end and compares the books.
///
/// # Errors
/// The run could not be made, so that there is nothing to judge.
pub async fn run(scenario: &Scenario, target: &Target) -> Result<Outcome, RunError> {
    let missing = faults::missing(&scenario.hooks(), &target.hooks);
    if !missing.is_empty() {
        return Err(RunError::NoHook(missing.join(", ")));
    }
    let began_unix_ms = unix_ms();
    check_addresses(target)?;
    look_for_the_gateway(target, began_unix_ms).await?;
    gateway_watch::look(&target.windows).await.map_err(RunError::Unseen)?;
    let opened = open(scenario, target).await?;
    let recorder = Arc::new(Recorder::new(scenario.duration, scenario.warm_up));
    opened.machines.time_lines(Arc::clone(&recorder));
    let (close, closed) = watch::channel(false);
    let hall = Arc::new(Hall {
        recorder,
        machines: opened.machines,
        manner: scenario.customer.clone(),
        place: place()?,
        phones_book: PhonesBook::default(),
        closed,
        following: AtomicUsize::new(0),
    });
    let mut beside = JoinSet::new();
    beside.spawn(gateway_watch::watch(Arc::clone(&hall), target.windows.clone()));
    beside.spawn(progress::show(Arc::clone(&hall), scenario.duration));
    let victims =
        Victims { hall: Arc::clone(&hall), core_bank: Arc::clone(&opened.core_bank), hooks: target.hooks.clone() };
    let faulty = tokio::spawn(faults::run(victims, scenario.faults.clone()));
    let visits = let_come(scenario, &hall, &opened.customers, &opened.thieves).await;
    let mut failures = faulty.await?;
    failures.extend(join(visits).await);
    beside.abort_all();
    progress::end();

    let mut operations = operations(target, began_unix_ms)?;
    settle(scenario, &mut operations).await?;
    let_go(&hall, &close).await;
    let sides = close_books(&hall, opened.core_bank, &mut operations).await?;
    if sides.holds.is_empty() && !sides.gateway.is_empty() {
        failures.push(format!(
            "no hold reached core banking at {}: does the gateway's core_banking.endpoint point there? (--core-bank)",
            target.core_bank
        ));
    }
    let (recording, books) = (hall.recorder.recording(), books::judge(&sides));
    Ok(Outcome { recording, books, failures, began_unix_ms })
}

fn check_addresses(target: &Target) -> Result<(), RunError> {
    for (key, address, port) in [("--atm", &target.atm_uri, 7443), ("--api", &target.api_uri, 7444)] {
        let is_address = |uri: Uri| uri.scheme_str() == Some("https") && uri.host().is_some();
        if !address.parse().is_ok_and(is_address) {
            return Err(RunError::Address { key, address: address.clone(), port });
        }
    }
    Ok(())
}

/// Finds out what would make a run worthless at its end: a gateway that is not there, or an operator whom it does not know.
async fn look_for_the_gateway(target: &Target, since_unix_ms: i64) -> Result<(), RunError> {
    let answers = operations(target, since_unix_ms)?.answers().await;
    answers.map_err(|source| RunError::NoGateway { address: target.api_uri.clone(), source })
}

async fn open(scenario: &Scenario, target: &Target) -> Result<Opened, RunError> {
    let ids = target.certificates.atms(usize::try_from(scenario.atms).unwrap_or(usize::MAX))?;
    let atms = ids.into_iter().map(|id| {
        let credentials = target.certificates.credentials(&format!("atm-{id}"))?;
        Ok((id, credentials.endpoint(&target.atm_uri)?))
    });
    let atms = atms.collect::<Result<Vec<_>, RunError>>()?;
    let of_bank = target.certificates.credentials(&format!("corebank-{}", target.institution))?;
    let delay = scenario.core_bank_delay;
    let accounts = [honest_accounts(scenario), thieves_accounts(scenario)].concat();
    let core_bank = CoreBank::open(&target.institution, target.core_bank, of_bank, &accounts, delay).await?;
    let (customers, thieves) = register_phones(scenario, target, &app_channels(target)?).await?;
    let records = scenario.atm_record_on_disk.then(|| target.atm_records.clone());
    if let Some(folder) = &records {
        forget_records(folder)?;
    }
    let model = Model { present: scenario.customer.present, point: place()?, records };
    let machines = Machines::switch_on(atms, &model);
    let deadline = Instant::now() + CONNECT_PATIENCE + Duration::from_secs(u64::from(scenario.atms) / 100);
    while machines.connected() < u64::from(scenario.atms) {
        if Instant::now() > deadline {
            return Err(RunError::NotConnected { connected: machines.connected(), all: scenario.atms });
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(Opened { customers, thieves, machines, core_bank: Arc::new(core_bank) })
}

/// Machines of an earlier run would bring its cash into the books of this one.
fn forget_records(folder: &Path) -> Result<(), RunError> {
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(RunError::Records { folder: folder.to_owned(), source })
        }
        _ => Ok(()),
    }
}

type Phones = Vec<Arc<Customer>>;

async fn register_phones(
    scenario: &Scenario,
    target: &Target,
    channels: &[Channel],
) -> Result<(Phones, Phones), RunError> {
    let (institution, keys) = (target.institution.as_str(), target.phone_keys.as_deref());
    let honest = phones::register(institution, &honest_accounts(scenario), channels, true, keys).await?;
    let thieves = phones::register(institution, &thieves_accounts(scenario), channels, false, keys).await?;
    Ok((honest, thieves))
}

fn honest_accounts(scenario: &Scenario) -> Vec<String> {
    phones::accounts("load", scenario.accounts)
}

fn thieves_accounts(scenario: &Scenario) -> Vec<String> {
    phones::accounts("thief", scenario.thieves.as_ref().map_or(0, |thieves| thieves.phones))
}

fn app_channels(target: &Target) -> Result<Vec<Channel>, RunError> {
    let credentials: Credentials = target.certificates.credentials(&format!("institution-{}", target.institution))?;
    (0..APP_CHANNELS).map(|_| Ok(credentials.channel(&target.api_uri)?)).collect()
}

fn operations(target: &Target, since_unix_ms: i64) -> Result<Operations, RunError> {
    let credentials = target.certificates.credentials(&format!("operator-{}", target.operator))?;
    Ok(Operations::new(credentials.channel(&target.api_uri)?, &target.institution, since_unix_ms))
}

fn place() -> Result<Place, RunError> {
    PLACE.parse().map_err(RunError::Place)
}

/// Begins every visit at its moment, whatever became of those before it.
async fn let_come(scenario: &Scenario, hall: &Arc<Hall>, honest: &Phones, thieves: &Phones) -> JoinSet<()> {
    let mut visits = JoinSet::new();
    // Another stream of chance than the arrivals', so that amounts do not depend on gaps.
    let mut dice = fastrand::Rng::with_seed(scenario.seed ^ 0x5eed);
    let (mut next_honest, mut next_thief) = (honest.iter().cycle(), thieves.iter().cycle());
    let began = hall.recorder.began();
    for moment in Arrivals::new(&scenario.arrivals, scenario.duration, scenario.seed) {
        let theft = scenario.thieves.as_ref().filter(|thieves| is_thief(&mut dice, thieves.percent_of_arrivals));
        let (who, customer, amount) = match theft {
            Some(thieves) => (Who::Thief, next_thief.next(), thieves.amount),
            None => (Who::Honest, next_honest.next(), dice.choice(&scenario.customer.amounts).copied().unwrap_or(0)),
        };
        let Some(customer) = customer.cloned() else { continue };
        let at = began + moment;
        sleep_until(at).await;
        visits.spawn(visit::make(Arc::clone(hall), Arrival { at, who, customer, amount }));
        // So that those who have left do not pile up.
        while visits.try_join_next().is_some() {}
    }
    sleep_until(began + scenario.duration).await;
    visits
}

#[allow(clippy::float_arithmetic, reason = "a share of customers; no money")]
fn is_thief(dice: &mut fastrand::Rng, percent: f64) -> bool {
    dice.f64() * 100.0 < percent
}

/// Waits for all who still stand there. Their patience ends it.
async fn join(mut visits: JoinSet<()>) -> Vec<String> {
    let mut failures = Vec::new();
    while let Some(ended) = visits.join_next().await {
        failures.extend(ended.err().map(|error| format!("a visit died: {error}")));
    }
    failures
}

/// Waits until the gateway has ended every withdrawal, or for as long as the scenario allows; what is open then is judged.
async fn settle(scenario: &Scenario, operations: &mut Operations) -> Result<(), RunError> {
    let deadline = Instant::now() + scenario.settle;
    loop {
        match operations.open().await {
            Ok(0) => return Ok(()),
            Ok(_) if Instant::now() < deadline => {}
            Ok(_) => return Ok(()),
            // It may be starting again.
            Err(_) if Instant::now() < deadline => {}
            Err(error) => return Err(error.into()),
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Waits a moment until every app has been told how its withdrawal ended, then lets go of those that have not.
async fn let_go(hall: &Hall, close: &watch::Sender<bool>) {
    let deadline = Instant::now() + FOLLOWERS_PATIENCE;
    while hall.following.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    close.send_replace(true);
}

async fn close_books(hall: &Hall, core_bank: Arc<CoreBank>, operations: &mut Operations) -> Result<Sides, RunError> {
    let gateway = operations.all().await?;
    let machines = hall.machines.switch_off().await;
    let machines = machines.map_err(|(atm, source)| RunError::Atm { atm, source })?;
    let bank = core_bank.books();
    let read = move || Ok::<_, BankError>((bank.hold_books()?, bank.account_books()?));
    let (holds, accounts) = tokio::task::spawn_blocking(read).await??;
    Ok(Sides { phones: hall.phones_book.phones(), machines, holds, accounts, gateway })
}
