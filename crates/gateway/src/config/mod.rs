//! The configuration: one TOML file, then `CASHGATE_` environment variables, parsed once into validated values.

mod guard;
mod hsm;
mod ledger;
mod limits;
mod published;
mod reach;
mod reader;
mod replica;
mod telemetry;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cashgate_limits::{LimitFigures, SumCaps};
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::{InstitutionId, NetworkId};
use cashgate_withdrawal::lane::LaneSettings;
use cashgate_withdrawal::money::Currency;
pub use guard::GuardSection;
pub use hsm::{HsmSection, PinSource, SlotSection};
pub use ledger::LedgerSection;
pub use limits::{FAILED_ATTEMPTS_USUAL, usual_limits};
pub use published::{InstitutionFigures, PublishedFigures, published_figures};
pub use reach::Reach;
use reader::{NamedFiles, Reader, opened};
pub use replica::ReplicaSection;
pub use telemetry::TelemetrySection;

use crate::tls::TlsFiles;

/// Everything that a gateway is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The SPIFFE trust domain of every certificate.
    pub trust_domain: String,
    /// The ATM network, named in every QR token.
    pub network: NetworkId,
    /// The port that ATMs connect to.
    pub listen_atm: SocketAddr,
    /// The port for app back ends, core banking's event consumers and operators.
    pub listen_api: SocketAddr,
    /// The HTTP port: metrics, probes, public keys.
    pub listen_http: SocketAddr,
    /// The gateway's certificate and key, its peers' authorities, and revocation lists.
    pub tls: TlsFiles,
    /// How often is looked whether these have changed on disk.
    pub tls_check_every: Duration,
    /// What peers may take of the gateway.
    pub guard: GuardSection,
    /// The HSM.
    pub hsm: HsmSection,
    /// Where the ledger is.
    pub ledger: LedgerSection,
    /// This replica, where several share a ledger.
    pub replica: Option<ReplicaSection>,
    /// The fraud rules.
    pub policy: PolicySection,
    /// What any machine may pay out.
    pub atm_limits: SumCaps,
    /// Whether every dispenser with end-to-end security takes a token once, and tells no present status while its dispense is under way.
    pub present_status_is_final: bool,
    /// How long a QR token is valid.
    pub qr_lifetime: Duration,
    /// How long lanes wait for what.
    pub lanes: LaneSettings,
    /// How long a stopping gateway waits for customers who are being served.
    pub drain: Duration,
    /// Where traces are told; none if they are not.
    pub telemetry: Option<TelemetrySection>,
    /// The institutions, at least one.
    pub institutions: Vec<Institution>,
}

/// Which fraud rules decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySection {
    /// Where rules and limits come from.
    pub source: PolicySource,
    /// The folder of the rules, or none for those that are built in.
    pub folder: Option<PathBuf>,
    /// The folder of rules that are asked as well and only counted.
    pub shadow_folder: Option<PathBuf>,
    /// How often is looked whether rules or limits have changed on disk.
    pub check_every: Duration,
}

/// Where the rules that decide, and the limits, come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// From the folder, or those that are built in, and from the configuration.
    Files,
    /// From what was published last: `cashgate policy publish`.
    Ledger,
}

/// A bank whose customers withdraw.
#[derive(Clone, Debug)]
pub struct Institution {
    /// Its id, as its certificates carry it.
    pub id: InstitutionId,
    /// The currency of its accounts.
    pub currency: Currency,
    /// Where its calendar days begin and end.
    pub time_zone: jiff::tz::TimeZone,
    /// The limits of its accounts and phones, and of all of them together.
    pub limits: LimitFigures,
    /// After how many failed attempts in a row a phone is locked.
    pub failed_attempts_max: NonZeroU8,
    /// The least grade of evidence on which less than everything is believed to have left a machine.
    pub evidence_demanded: EvidenceGrade,
    /// Where its core banking is.
    pub core_banking: CoreBanking,
}

/// Where a core banking system is.
#[derive(Clone, Debug)]
pub struct CoreBanking {
    /// `https://host:port`.
    pub endpoint: String,
    /// The name that its certificate must have.
    pub server_name: String,
    /// How long one call may take.
    pub call_timeout: Duration,
}

/// Why a configuration was not accepted: every reason there is.
#[derive(Debug)]
pub struct ConfigError {
    file: PathBuf,
    problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration {} is not valid:", self.file.display())?;
        match self.problems.as_slice() {
            [only] => write!(f, " {only}"),
            problems => problems.iter().try_for_each(|problem| write!(f, "\n  {problem}")),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads and checks a file; values in `CASHGATE_` variables win (`CASHGATE_LISTEN__ATM` for `listen.atm`).
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::load_with(file, NamedFiles::Here)
    }

    /// The same for who is no gateway: looks after its database, or judges a configuration before it is where its files are. What it names need not be
    /// there, nor what the environment tells each replica.
    pub fn load_elsewhere(file: &Path) -> Result<Self, ConfigError> {
        Self::load_with(file, NamedFiles::Elsewhere)
    }

    fn load_with(file: &Path, files: NamedFiles) -> Result<Self, ConfigError> {
        let reader = opened(file, files)?;
        let config = Self::read(&reader);
        reader.close();
        let problems = reader.errors();
        let config = config.filter(|_| problems.is_empty());
        let config = config.ok_or_else(|| ConfigError { file: file.to_owned(), problems })?;
        Ok(Self { file: file.to_owned(), ..config })
    }

    fn read(root: &Reader) -> Option<Self> {
        let listen = root.table("listen");
        let (listen_atm, listen_api, listen_http) = (listen.parsed("atm"), listen.parsed("api"), listen.parsed("http"));
        let ports: [Option<SocketAddr>; 3] = [listen_atm, listen_api, listen_http];
        for (at, (port, key)) in ports.iter().zip(["atm", "api", "http"]).enumerate() {
            if port.is_some_and(|port| port.port() != 0) && ports.iter().take(at).any(|earlier| earlier == port) {
                listen.error(key, "is the same as another port");
            }
        }
        let listen_replica: Option<SocketAddr> = if listen.has("replica") { listen.parsed("replica") } else { None };
        listen.close();
        let tls = root.table("tls");
        let existing = |key| tls.existing_file(key, "put the PEM file there, or correct the name");
        let (certificate, key, ca) = (existing("certificate"), existing("key"), existing("ca"));
        let crl = if tls.has("crl") { existing("crl").map(Some) } else { Some(None) };
        let tls_check_every = tls.seconds("check_every_s", Duration::from_secs(5), 1..=3_600);
        tls.close();
        let ledger = ledger::read(root);
        let replica = replica::read(root, listen_replica, ledger.as_ref());
        let ledger = ledger.zip(replica.as_ref()).map(|(ledger, replica)| ledger.of_replica(replica.as_ref()));
        let (policy, atm_limits) = (read_policy(root), limits::read_atm(root));
        if policy.as_ref().is_some_and(|policy| policy.source == PolicySource::Ledger) {
            refuse_published(root);
        }
        let present_status_is_final = if root.has("end_to_end") {
            let end_to_end = root.table("end_to_end");
            let is_final = end_to_end.truth("present_status_is_final");
            end_to_end.close();
            is_final
        } else {
            Some(false)
        };
        let telemetry = telemetry::read(root);
        let (trust_domain, network) = (root.text("trust_domain"), root.parsed("network"));
        let guard = guard::read(root);
        let (hsm, timing, institutions) = (hsm::read(root), read_timing(root), read_institutions(root));
        let (qr_lifetime, drain, lanes) = timing?;
        Some(Self {
            file: PathBuf::new(),
            trust_domain: trust_domain?,
            network: network?,
            listen_atm: listen_atm?,
            listen_api: listen_api?,
            listen_http: listen_http?,
            tls: TlsFiles { certificate: certificate?, key: key?, ca: ca?, crl: crl? },
            tls_check_every: tls_check_every?,
            guard: guard?,
            hsm: hsm?,
            ledger: ledger?,
            replica: replica?,
            policy: policy?,
            atm_limits: atm_limits?,
            present_status_is_final: present_status_is_final?,
            qr_lifetime,
            lanes,
            drain,
            telemetry: telemetry?,
            institutions: institutions?,
        })
    }
}

fn read_policy(root: &Reader) -> Option<PolicySection> {
    let policy = root.table("policy");
    let source = match policy.has("source").then(|| policy.text("source")) {
        None => Some(PolicySource::Files),
        Some(text) => text.and_then(|text| match text.as_str() {
            "files" => Some(PolicySource::Files),
            "ledger" => Some(PolicySource::Ledger),
            other => {
                policy.error("source", format!("{other:?} is no source: \"files\" or \"ledger\""));
                None
            }
        }),
    };
    if source == Some(PolicySource::Ledger) && policy.has("folder") {
        policy.error("folder", ELSEWHERE);
    }
    let named = |key: &str| policy.has(key).then(|| policy.file(key));
    let (folder, shadow_folder) = (named("folder"), named("shadow_folder"));
    let check_every = policy.seconds("check_every_s", Duration::from_secs(5), 1..=3_600);
    policy.close();
    let given = |named: Option<Option<PathBuf>>| match named {
        None => Some(None),
        Some(file) => file.map(Some),
    };
    Some(PolicySection {
        source: source?,
        folder: given(folder)?,
        shadow_folder: given(shadow_folder)?,
        check_every: check_every?,
    })
}

const ELSEWHERE: &str = "with policy.source = \"ledger\" this comes from what was published (`cashgate policy publish`); remove it here, \
    so that nobody takes it for what is in force";

/// With rules and limits from the ledger, the configuration must not seem to say what they are.
fn refuse_published(root: &Reader) {
    if root.has("atm_limits") {
        root.error("atm_limits", ELSEWHERE);
    }
    for (index, institution) in root.tables("institution").iter().enumerate() {
        for key in ["limits", "evidence_demanded"] {
            if institution.has(key) {
                root.error(&format!("institution[{index}].{key}"), ELSEWHERE);
            }
        }
    }
}

fn read_timing(root: &Reader) -> Option<(Duration, Duration, LaneSettings)> {
    let timing = root.table("timing");
    let usual = LaneSettings::default();
    let seconds = |key, default, range| timing.seconds(key, default, range);
    let qr_lifetime = seconds("qr_lifetime_s", Duration::from_secs(30), 5..=300);
    let drain = seconds("drain_s", Duration::from_secs(60), 0..=600);
    let values = (
        seconds("qr_session_s", usual.qr_session_lifetime, 10..=600),
        seconds("approve_within_s", usual.approve_within, 10..=600),
        seconds("hold_timeout_s", usual.hold_timeout, 1..=60),
        seconds("held_timeout_s", usual.held_timeout, 1..=300),
        seconds("code_timeout_s", usual.code_timeout, 5..=300),
        seconds("dispense_within_s", usual.dispense_within, 1..=120),
        seconds("outcome_deadline_s", usual.outcome_deadline, 1..=86_400),
        timing.milliseconds("retry_first_ms", usual.retry_first, 10..=60_000),
        seconds("retry_max_s", usual.retry_max, 1..=3_600),
    );
    timing.close();
    let qr_lifetime = qr_lifetime?;
    let lanes = LaneSettings {
        qr_refresh_before_expiry: qr_lifetime / 3,
        qr_session_lifetime: values.0?,
        approve_within: values.1?,
        hold_timeout: values.2?,
        held_timeout: values.3?,
        code_timeout: values.4?,
        dispense_within: values.5?,
        outcome_deadline: values.6?,
        retry_first: values.7?,
        retry_max: values.8?,
    };
    Some((qr_lifetime, drain?, lanes))
}

fn read_institutions(root: &Reader) -> Option<Vec<Institution>> {
    let tables = root.tables("institution");
    let read: Vec<Option<Institution>> = tables.iter().map(read_institution).collect();
    if read.is_empty() {
        root.error("institution", "at least one [[institution]] is needed");
    }
    let institutions = read.into_iter().collect::<Option<Vec<Institution>>>()?;
    for (index, one) in institutions.iter().enumerate() {
        if institutions.iter().take(index).any(|earlier| earlier.id == one.id) {
            root.error(&format!("institution[{index}].id"), format!("{} is there twice", one.id));
        }
    }
    Some(institutions)
}

fn read_institution(table: &Reader) -> Option<Institution> {
    let id = table.parsed("id");
    let currency = table.parsed::<Currency>("currency");
    let time_zone = table.text("time_zone").and_then(|name| {
        jiff::tz::TimeZone::get(&name)
            .map_err(|_| table.error("time_zone", format!("{name:?} is not an IANA time zone such as \"Asia/Tokyo\"")))
            .ok()
    });
    let limits = limits::read(table, currency);
    let evidence_demanded = read_evidence_demanded(table);
    let core = table.table("core_banking");
    let (endpoint, server_name) = (core.text("endpoint"), core.text("server_name"));
    if endpoint.as_ref().is_some_and(|endpoint| !endpoint.starts_with("https://")) {
        core.error("endpoint", "must begin with https://");
    }
    let call_timeout = core.milliseconds("call_timeout_ms", Duration::from_secs(5), 100..=60_000);
    core.close();
    table.close();
    let limits = limits?;
    let core_banking = CoreBanking { endpoint: endpoint?, server_name: server_name?, call_timeout: call_timeout? };
    Some(Institution {
        id: id?,
        currency: currency?,
        time_zone: time_zone?,
        limits: limits.0,
        failed_attempts_max: limits.1,
        evidence_demanded: evidence_demanded?,
        core_banking,
    })
}

fn read_evidence_demanded(institution: &Reader) -> Option<EvidenceGrade> {
    if !institution.has("evidence_demanded") {
        return Some(EvidenceGrade::C);
    }
    match institution.text("evidence_demanded")?.as_str() {
        "A" => Some(EvidenceGrade::A),
        "B" => Some(EvidenceGrade::B),
        "C" => Some(EvidenceGrade::C),
        other => {
            institution.error("evidence_demanded", format!("{other:?} is not a grade: \"A\", \"B\" or \"C\""));
            None
        }
    }
}
