//! The HSM is another process, `p11-kit server`, and dies while customers are served: what ATMs, customers and operators see of it.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cashgate_qr::KeySet;
use cashgate_wire::proto::atm::v1::atm_message::Message;
use cashgate_wire::proto::atm::v1::{Hello, StartQrSession};
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::harness::{Atm, Heard, Phone, Site, eventually, hello, report_dispensed, yen};

/// `p11-kit server` in front of a site's SoftHSM2.
struct HsmServer {
    folder: PathBuf,
    process: Option<Child>,
}

impl HsmServer {
    /// Puts the HSM of a site that nobody serves yet into a process of its own.
    fn between(site: &mut Site) -> Self {
        let folder = site.path("");
        let client = file_under("/usr/lib", "pkcs11/p11-kit-client.so", "p11-kit-modules");
        let socket = folder.join("hsm.socket").display().to_string();
        site.edit_configuration(|text| {
            let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
            let environment = format!("P11_KIT_SERVER_ADDRESS = \"unix:path={socket}\"");
            text.replace(&line("module = "), &format!("module = {:?}", client.display().to_string()))
                .replace(&line("SOFTHSM2_CONF = "), &environment)
                // p11-kit-client.so 0.24 can leave a call inside itself for ever if its server dies while several are under way.
                .replace(&line("workers = "), "workers = 1")
        });
        site.set("hsm.retry_first_ms", "50");
        site.set("hsm.retry_max_ms", "1000");
        // So that codes are made anew two seconds after they were shown.
        site.set("timing.qr_lifetime_s", "12");
        let mut server = Self { folder, process: None };
        server.start();
        server
    }

    fn start(&mut self) {
        let socket = self.folder.join("hsm.socket");
        // A killed server leaves its socket, and a new one refuses to take its place.
        let _ = std::fs::remove_file(&socket);
        let process = Command::new("p11-kit")
            .args(["server", "--foreground", "--name"])
            .arg(&socket)
            .arg("--provider")
            .arg(file_under("/usr/lib", "softhsm/libsofthsm2.so", "softhsm2"))
            .arg("pkcs11:token=cashgate")
            .env("SOFTHSM2_CONF", self.folder.join("softhsm2.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // It starts a process for each client, and they must end with it.
            .process_group(0)
            .spawn()
            .expect("p11-kit: install the Debian package p11-kit");
        self.process = Some(process);
        while UnixStream::connect(&socket).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Without a word to its clients, as a power cut does.
    fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let group = format!("kill -KILL -{}", process.id());
        assert!(Command::new("sh").args(["-c", &group]).status().unwrap().success());
        process.wait().unwrap();
    }
}

impl Drop for HsmServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn file_under(root: &str, name: &str, package: &str) -> PathBuf {
    let places = ["", "x86_64-linux-gnu", "aarch64-linux-gnu"].map(|place| Path::new(root).join(place).join(name));
    places
        .into_iter()
        .find(|file| file.exists())
        .unwrap_or_else(|| panic!("{name}: install the Debian package {package}"))
}

/// What the HTTP port answers: the status and the page.
pub(crate) async fn http(site: &Site, path: &str) -> Option<(u16, String)> {
    let text = std::fs::read_to_string(site.path("cashgate.toml")).unwrap();
    let address = text.split_once("http = \"").unwrap().1.split_once('"').unwrap().0.to_owned();
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, page) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, page.to_owned()))
}

async fn readyz(site: &Site) -> (u16, String) {
    http(site, "/readyz").await.expect("the HTTP port answers")
}

/// Waits until operators are told that no HSM answers, and why.
async fn says_lost(site: &Site) -> String {
    eventually("the gateway is not ready", async || {
        let (status, page) = http(site, "/readyz").await?;
        let tells = page.starts_with("not ready: no HSM answers: \"cashgate\": no HSM token is labelled");
        (status == 503 && tells).then_some(page)
    })
    .await
}

async fn says_ready(site: &Site) {
    eventually("the gateway is ready", async || (readyz(site).await == (200, "ready\n".to_owned())).then_some(()))
        .await;
}

async fn published(site: &Site) -> KeySet {
    KeySet::from_jwks(&site.page("/.well-known/jwks.json").await).unwrap()
}

/// What ATMs showed and said.
#[derive(Default)]
struct Seen {
    codes: Vec<String>,
    try_later: BTreeMap<String, usize>,
    /// From asking for a code to seeing one, the longest.
    longest: Duration,
    other: Vec<String>,
}

/// ATMs at which customer follows customer.
struct Street {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    atms: Vec<JoinHandle<()>>,
}

impl Street {
    async fn open(site: &Site, atms: usize) -> Self {
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::new(AtomicBool::new(false)));
        let mut busy = Vec::new();
        for n in 0..atms {
            let atm = Atm::connect(site, &format!("S{n}")).await;
            busy.push(tokio::spawn(show_codes(atm, Arc::clone(&seen), Arc::clone(&stop))));
        }
        Self { seen, stop, atms: busy }
    }

    fn codes(&self) -> usize {
        self.seen.lock().unwrap().codes.len()
    }

    /// Waits for so many codes more.
    async fn shows_more(&self, many: usize) {
        let before = self.codes();
        eventually("ATMs show codes", async || (self.codes() >= before + many).then_some(())).await;
    }

    async fn close(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        for atm in self.atms {
            atm.await.unwrap();
        }
        Arc::try_unwrap(self.seen).unwrap_or_else(|_| panic!("the ATMs have ended")).into_inner().unwrap()
    }
}

async fn show_codes(mut atm: Atm, seen: Arc<Mutex<Seen>>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        let asked = now();
        atm.says(Message::StartQrSession(StartQrSession::default())).await;
        let pause = match atm.hears().await {
            Heard::ShowQr(shown) => {
                let mut seen = seen.lock().unwrap();
                seen.codes.push(shown.qr_text);
                seen.longest = seen.longest.max(asked.elapsed());
                Duration::from_millis(20)
            }
            Heard::TryLater(later) => {
                *seen.lock().unwrap().try_later.entry(later.reason).or_default() += 1;
                Duration::from_millis(u64::from(later.after_ms).min(100))
            }
            other => {
                seen.lock().unwrap().other.push(format!("{other:?}"));
                Duration::from_millis(20)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn is_told_to_try_later(atm: &mut Atm) {
    atm.says(Message::StartQrSession(StartQrSession::default())).await;
    match atm.hears().await {
        Heard::TryLater(later) => assert_eq!((later.reason.as_str(), later.after_ms > 0), ("HSM_UNAVAILABLE", true)),
        other => panic!("instead of being told to try later: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_hsm_is_away_no_code_is_made_and_everybody_who_is_being_served_is_served() {
    let mut site = Site::folder_only().await;
    let mut server = HsmServer::between(&mut site);
    site.serve().await;
    let street = Street::open(&site, 4).await;
    let [mut commanded, mut shown, mut waiting] =
        [Atm::connect(&site, "A1").await, Atm::connect(&site, "A2").await, Atm::connect(&site, "A3").await];
    let mut first = Phone::registered(&site, "phone-1", "acct-1").await;
    let mut second = Phone::registered(&site, "phone-2", "acct-2").await;
    street.shows_more(50).await;
    let one = first.approve_at(&mut commanded, 10_000).await;
    let command = commanded.is_commanded().await;
    waiting.shows_code().await;
    let code = shown.shows_code().await.qr_text;

    server.kill();
    let said = says_lost(&site).await;
    assert_eq!(site.metric("cashgate_hsm_slot_state", &[("slot", "cashgate"), ("state", "lost")]).await, 1);
    is_told_to_try_later(&mut Atm::connect(&site, "A4").await).await;
    let codes_at_first = street.codes();
    // Notes are given out, and reported.
    commanded.says(Message::Outcome(report_dispensed(&command))).await;
    commanded.hears_it_recorded(&one).await;
    assert_eq!(first.watch_to_end(&one).await.last(), Some(&WithdrawalState::Confirmed));
    // A code that was shown before is scanned, approved, held, dispensed and confirmed.
    second.scan(&code).await.expect("the code is valid until it expires");
    let approval = second.approval(&code, &yen(10_000));
    let two = second.bank.approve(approval).await.unwrap().into_inner().withdrawal_id;
    shown.pays_out().await;
    assert_eq!(second.watch_to_end(&two).await.last(), Some(&WithdrawalState::Confirmed));
    for id in [&one, &two] {
        assert_eq!(site.core_bank.call_names(id), ["place", "confirm 10000"]);
    }
    assert_eq!(readyz(&site).await.0, 503, "all that while the HSM was away");
    assert_eq!(street.codes(), codes_at_first, "and no code was made");

    let mut recovered = vec![comes_back(&site, &mut server, &street).await];
    let said_to_waiting = hears_after_the_outage(&mut waiting).await;
    for _ in 0..3 {
        street.shows_more(50).await;
        server.kill();
        says_lost(&site).await;
        recovered.push(comes_back(&site, &mut server, &street).await);
    }
    let id = first.approve_at(&mut commanded_again(commanded).await, 10_000).await;
    site.core_bank.called(&id, "place").await;
    street.shows_more(50).await;
    let seen = street.close().await;
    every_code_verifies(&seen, &published(&site).await);
    assert!(site.is_running());
    recovered.sort();
    println!("the log: {:#?}", logged(&site));
    println!(
        "{} codes, all verify ({codes_at_first} when the first outage ended); {:?}; a customer waited {:?} at most; the ATM that showed a code \
         got {said_to_waiting}; codes again {recovered:?} after the server; readyz: {said}",
        seen.codes.len(),
        seen.try_later,
        seen.longest
    );
}

/// Whatever happened: no code was wrong, and nobody was told anything but to try later.
fn every_code_verifies(seen: &Seen, keys: &KeySet) {
    for code in &seen.codes {
        cashgate_qr::verify(code, keys).expect("every code that was ever shown verifies");
    }
    assert!(seen.other.is_empty(), "{:?}", seen.other);
    assert_eq!(seen.try_later.keys().collect::<Vec<_>>(), ["HSM_UNAVAILABLE"]);
}

/// The ATM whose code had become old meanwhile gets a new one by itself, or its customer is told to come back.
async fn hears_after_the_outage(waiting: &mut Atm) -> &'static str {
    match waiting.hears().await {
        Heard::ShowQr(_) => "a new code",
        Heard::TryLater(_) => "try later",
        other => panic!("{other:?}"),
    }
}

/// Starts the server again. How long until an ATM shows a code.
async fn comes_back(site: &Site, server: &mut HsmServer, street: &Street) -> Duration {
    server.start();
    let since = now();
    street.shows_more(1).await;
    let took = since.elapsed();
    says_ready(site).await;
    took
}

/// Past the end of the customer before.
async fn commanded_again(mut atm: Atm) -> Atm {
    assert!(matches!(atm.hears().await, Heard::QrSessionEnded(_)));
    atm
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_started_while_the_hsm_is_away_settles_what_is_open_and_makes_codes_when_it_is_back() {
    let mut site = Site::folder_only().await;
    let mut server = HsmServer::between(&mut site);
    site.serve().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let id = phone.approve_at(&mut atm, 10_000).await;
    let command = atm.is_commanded().await;
    site.kill();
    server.kill();

    site.start_through(&["env"]);
    let said = says_lost(&site).await;
    let keys = published(&site).await;
    assert_eq!(keys.len(), 1, "the key was published before");
    phone.reconnect(&site).await;
    let unresolved = vec![report_dispensed(&command)];
    let mut atm = Atm::connect_saying(&site, "A1", Hello { unresolved, ..hello() }).await;
    atm.hears_it_recorded(&id).await;
    assert_eq!(phone.watch_to_end(&id).await.last(), Some(&WithdrawalState::Confirmed));
    assert_eq!(site.core_bank.call_names(&id), ["place", "confirm 10000"]);
    let mut other = Atm::connect(&site, "A2").await;
    is_told_to_try_later(&mut other).await;
    assert_eq!(readyz(&site).await.0, 503);

    server.start();
    let since = now();
    says_ready(&site).await;
    let ready = since.elapsed();
    let shown = other.shows_code().await;
    cashgate_qr::verify(&shown.qr_text, &keys).expect("under the key that was published all the time");
    let id = phone.approve_at(&mut other, 10_000).await;
    other.pays_out().await;
    assert_eq!(phone.watch_to_end(&id).await.last(), Some(&WithdrawalState::Confirmed));
    println!("the log: {:#?}", logged(&site));
    println!("ready {ready:?} after the server; readyz meanwhile: {said}");
}

/// What the gateway logged about its HSM: each line once, with how often it came.
fn logged(site: &Site) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for line in site.log().lines().filter(|line| line.contains("\"cashgate_hsm::")) {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let (level, fields) = (record["level"].as_str().unwrap(), &record["fields"]);
        let reason = fields["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default();
        *lines.entry(format!("{level} {}{reason}", fields["message"].as_str().unwrap())).or_default() += 1;
    }
    lines
}

#[allow(clippy::disallowed_methods, reason = "how long people really wait is what is tested")]
fn now() -> Instant {
    Instant::now()
}
