//! `cashgate init`: everything for a gateway on one machine, in one folder.

use std::fs;
use std::path::{Path, PathBuf};

use cashgate_withdrawal::ids::{AtmId, InstitutionId};
use secrecy::SecretString;

use crate::certificates::{self, CertificateError, write_new};

/// Where Debian and others put SoftHSM2's module.
const SOFTHSM_MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];
/// The trust domain of a development folder.
pub const TRUST_DOMAIN: &str = "cashgate.test";
const TOKEN_LABEL: &str = "cashgate";
const SIGNING_KEY_LABEL: &str = "qr-signing-1";
/// Every phone of a trial is new, so that the built-in rules would refuse most of what one wants to see.
const TRIAL_RULES: &str = r#"// Rules for trials. What holds where real customers draw is built into the gateway, and stands in crates/policy/policies with its guide.
permit (principal, action == Action::"withdraw", resource);

// So that the code at the machine can be seen: a phone of less than 72 hours and more than 30,000 yen.
@reason("new_device_large_amount")
@step_up("confirm_code")
forbid (principal, action == Action::"withdraw", resource)
when { context.device.age_hours < 72 && context.currency == "JPY" && context.amount > 30000 };
"#;

/// What a development folder is to hold.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The folder.
    pub dir: PathBuf,
    /// The ports for ATMs, app back ends and operators, and HTTP, all on loopback.
    pub ports: (u16, u16, u16),
    /// Each institution and the loopback port of its core banking.
    pub institutions: Vec<(InstitutionId, u16)>,
}

/// Why a folder was not made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Something is there already.
    #[error("{0} exists already; nothing was changed. Choose another folder, or remove this one yourself")]
    Exists(PathBuf),
    /// SoftHSM2 is missing.
    #[error("SoftHSM2's module libsofthsm2.so was not found; install it (Debian: apt-get install softhsm2)")]
    NoSoftHsm,
    /// A file.
    #[error("{file}: {source}")]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate or file.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The HSM.
    #[error("the HSM token could not be made: {0}")]
    Hsm(#[from] cashgate_hsm::HsmProvisionError),
    /// No random bits for a PIN.
    #[error("the operating system gave no random bits for the PIN")]
    NoRandom,
}

/// The environment that SoftHSM2 needs in a folder: the module reads it when it is loaded, so it must be set before this process starts.
#[must_use]
pub fn environment(dir: &Path) -> (String, String) {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    ("SOFTHSM2_CONF".to_owned(), dir.join("softhsm2.conf").display().to_string())
}

/// Refuses a folder that holds anything of ours, and writes SoftHSM2's own configuration, which must be there before the module is loaded.
pub fn prepare(plan: &Plan) -> Result<(), InitError> {
    if let Some(existing) = ["cashgate.toml", "ca.pem", "softhsm2.conf", "softhsm-tokens", "hsm-pin", "policies"]
        .iter()
        .map(|name| plan.dir.join(name))
        .find(|file| file.exists())
    {
        return Err(InitError::Exists(existing));
    }
    softhsm_module()?;
    let tokens = plan.dir.join("softhsm-tokens");
    fs::create_dir_all(&tokens).map_err(|source| InitError::File { file: tokens.clone(), source })?;
    let tokens = std::path::absolute(&tokens).unwrap_or(tokens);
    let softhsm =
        format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    Ok(write_new(&plan.dir.join("softhsm2.conf"), softhsm.as_bytes(), 0o644)?)
}

/// Makes authority, certificates, HSM token, keys and configuration. [`environment`] must be set in this process. Returns the
/// configuration's file.
pub fn make(plan: &Plan) -> Result<PathBuf, InitError> {
    let dir = &plan.dir;
    certificates::make_authority(dir)?;
    certificates::issue_gateway(dir, TRUST_DOMAIN)?;
    certificates::issue_peer(dir, TRUST_DOMAIN, "operator/dev")?;
    let module = softhsm_module()?;
    let pin = format!("{:08}", crate::clock::random_u32().ok_or(InitError::NoRandom)? % 100_000_000);
    let so_pin = format!("{:08}", crate::clock::random_u32().ok_or(InitError::NoRandom)? % 100_000_000);
    let (pin_secret, so_secret) = (SecretString::from(pin.clone()), SecretString::from(so_pin));
    cashgate_hsm::provision(Path::new(module), TOKEN_LABEL, &so_secret, &pin_secret, SIGNING_KEY_LABEL)?;
    write_new(&dir.join("hsm-pin"), pin.as_bytes(), 0o600)?;
    let policies = dir.join("policies");
    fs::create_dir_all(&policies).map_err(|source| InitError::File { file: policies.clone(), source })?;
    write_new(&policies.join("trial.cedar"), TRIAL_RULES.as_bytes(), 0o644)?;
    let file = dir.join("cashgate.toml");
    write_new(&file, configuration_text(plan, module).as_bytes(), 0o644)?;
    Ok(file)
}

/// Makes an ATM's dispense key: 32 random bytes, as 64 hexadecimal digits in a file for the simulated ATM, and in the folder's HSM token, where a
/// running gateway finds it. [`environment`] must be set in this process. Returns the file.
///
/// # Errors
/// The ATM has one already, or the folder was not made by [`make`].
pub fn make_dispense_key(dir: &Path, atm: &AtmId) -> Result<PathBuf, InitError> {
    let read = |file: PathBuf| fs::read_to_string(&file).map_err(|source| InitError::File { file, source });
    let pin = SecretString::from(read(dir.join("hsm-pin"))?);
    let value = crate::clock::random_bytes::<32>().ok_or(InitError::NoRandom)?;
    let file = dir.join("certs").join(format!("atm-{atm}-dispense-key"));
    let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    write_new(&file, digits.as_bytes(), 0o600)?;
    let module = Path::new(softhsm_module()?);
    let label = crate::dispense_keys::label(atm);
    if let Err(error) = cashgate_hsm::import_mac_key(module, TOKEN_LABEL, &pin, &label, &value) {
        // The HSM does not have it, so nobody may.
        fs::remove_file(&file).map_err(|source| InitError::File { file, source })?;
        return Err(error.into());
    }
    Ok(file)
}

fn softhsm_module() -> Result<&'static str, InitError> {
    SOFTHSM_MODULES.into_iter().find(|module| Path::new(module).is_file()).ok_or(InitError::NoSoftHsm)
}

/// The configuration that [`make`] writes, with a PKCS#11 module.
#[must_use]
pub fn configuration_text(plan: &Plan, module: &str) -> String {
    let (atm, api, http) = plan.ports;
    let (variable, value) = environment(&plan.dir);
    let mut toml = format!(
        r#"# A gateway for development. Relative file names start at this folder.
trust_domain = "{TRUST_DOMAIN}"
network = "demo"

[listen]
atm = "127.0.0.1:{atm}"     # AtmService
api = "127.0.0.1:{api}"     # CustomerService, OperationsService, EventService
http = "127.0.0.1:{http}"    # /metrics /healthz /readyz /.well-known/jwks.json

[tls]
certificate = "gateway.pem"
key = "gateway-key.pem"
ca = "ca.pem"
# crl = "crl.pem"           # revoked certificates, a list of each authority; read again when it changes

[hsm]
module = "{module}"
token_label = "{TOKEN_LABEL}"
pin_file = "hsm-pin"
signing_key_label = "{SIGNING_KEY_LABEL}"
workers = 4                 # HSM sessions
queue = 4096                # calls that may wait; one more is refused
batch_max = 64              # QR tokens under one signature, when the HSM does not keep up one by one
call_deadline_ms = 2000     # a PKCS#11 call that takes longer is given up
patience_ms = 4000          # how long a customer's code waits for the HSM, its recovery included
publish_before_use_s = 3600 # how long apps can know a new key before it signs

[hsm.environment]
{variable} = "{value}"

[policy]
folder = "policies"         # for trials only: leave it out, and the rules that are built in hold, which are strict with new phones

[end_to_end]
present_status_is_final = true    # true of the simulated dispensers; ask the makers of real ones (hsm-config/README.md)

[ledger]
path = "ledger.db"

# [telemetry]               # traces to an OTLP/gRPC collector; off without this table
# endpoint = "http://127.0.0.1:4317"
# sampled_of_1000 = 50      # those in which something goes wrong are told besides

[timing]
qr_lifetime_s = 30
outcome_deadline_s = 900    # then a withdrawal without a clear outcome becomes a suspect
"#
    );
    for (institution, port) in &plan.institutions {
        toml.push_str(&institution_configuration(institution, *port));
    }
    toml
}

fn institution_configuration(institution: &InstitutionId, port: u16) -> String {
    format!(
        r#"
[[institution]]
id = "{institution}"
currency = "JPY"
time_zone = "Asia/Tokyo"

[institution.core_banking]
endpoint = "https://127.0.0.1:{port}"
server_name = "localhost"
call_timeout_ms = 3000

[institution.limits]
per_withdrawal = 200000
per_day = 500000
withdrawals_per_day = 10
burst = 5                   # at once, then one more each burst_every_s
burst_every_s = 10
new_device = []             # for trials only: leave it out, and a new phone draws nothing for 12 h and 50,000 a day until it is 72 h old
"#
    )
}
