//! What the replicated mode finds in its cluster: PostgreSQL over TLS with a role for gateways and one that owns the tables, certificates, one HSM token.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cashgate_postgres_server::Server;
use serde_json::{Value, json};

use super::chart::{Chart, How, RELEASE, list, text};
use super::configs::Given;
use super::embedded::module;
use super::pods::Files;
use super::replicated::ATMS;
use super::tools::Tools;
use crate::command;
use crate::site::{Site, free_port};

const SCENARIO: &str = include_str!("replicated.toml");
const DATABASE: &str = "cashgate";
/// As docs/postgresql.md calls them: who owns the tables, and only migrations connect as it; and the gateways' role.
const OWNER: &str = "cashgate_owner";
const ROLE: &str = "cashgate";
const DOCUMENT: &str = "docs/postgresql.md";
/// Where pods mount the token that all replicas use, as they would reach one HSM.
const TOKEN: &str = "/var/lib/hsm";
/// How the chart names the objects that it is given.
const DSN: &str = "cashgate-database";
const OWNER_DSN: &str = "cashgate-database-owner";

pub(super) struct Surroundings<'a> {
    server: Server,
    pub(super) given: Given<'a>,
    /// The Secrets of the gateway's certificate and of the replicas', as cert-manager would be asked for them.
    secrets: Secrets,
    replica_port: u16,
}

struct Secrets {
    gateway: String,
    replica_prefix: String,
}

impl<'a> Surroundings<'a> {
    /// Starts the database, and makes what Secrets hold. Names and usages of certificates are those that the chart renders for cert-manager.
    pub(super) fn start(tools: &Tools, chart: &Chart, site: &'a Site) -> Result<Self, String> {
        let server = Server::start_with(&tls_settings(site)?);
        for statement in documented("CREATE ROLE")? {
            let _ = server.sql("postgres", &statement);
        }
        let mut given = Given::of(site)?;
        let asked = certificates(tools, chart)?;
        let names = asked.iter().map(|certificate| text(certificate, "/spec/secretName"));
        let prefix = names.clone().find_map(|name| name.strip_suffix('0').filter(|prefix| prefix.ends_with('-')));
        let gateway = names.clone().find(|name| !name.ends_with(|digit: char| digit.is_ascii_digit()));
        let secrets = Secrets {
            gateway: gateway.ok_or("no Certificate of the gateway is rendered")?.to_owned(),
            replica_prefix: prefix.ok_or("no Certificate of a replica is rendered")?.to_owned(),
        };
        for certificate in &asked {
            given.named.insert(text(certificate, "/spec/secretName").to_owned(), issued(site, certificate)?);
        }
        for (secret, role) in [(DSN, ROLE), (OWNER_DSN, OWNER)] {
            let port = server.port();
            let dsn = format!("host=localhost port={port} user={role} dbname={DATABASE} sslmode=require");
            given.named.insert(secret.to_owned(), [("uri".to_owned(), dsn.into_bytes())].into());
        }
        let pin = read(&site.dir().join("hsm-pin"))?;
        given.named.insert("cashgate-hsm".to_owned(), [("pin".to_owned(), pin)].into());
        Ok(Self { server, given, secrets, replica_port: free_port()? })
    }

    /// What `ci/replicated.yaml` leaves open, and where this machine is not the bank's.
    pub(super) fn values(&self) -> Result<PathBuf, String> {
        let ports = self.given.site.ports();
        let [bank, _] = ports.corebanks;
        let text = json!({
            "ports": {"atm": ports.atm, "api": ports.api, "http": ports.http, "replica": self.replica_port},
            "hsm": {"module": module()?},
            "extraVolumes": [{"name": "hsm", "persistentVolumeClaim": {"claimName": "hsm"}}],
            "extraVolumeMounts": [{"name": "hsm", "mountPath": TOKEN}],
            "tls": {"existingSecret": self.secrets.gateway, "replicaSecretPrefix": self.secrets.replica_prefix},
            "preStopSleepSeconds": 1,
            "tests": {"operator": {"existingSecret": "trial-operator"}},
            "loadtest": {
                "enabled": true, "thisGatewayServesNoCustomers": true, "authority": {"existingSecret": "trial-authority"},
                "image": {"digest": format!("sha256:{}", "3".repeat(64))},
                "atms": ATMS, "coreBankPort": bank, "scenarioText": SCENARIO,
            },
            "config": {
                "trust_domain": "cashgate.test", "network": "demo",
                "hsm": {"signing_key_label": "qr-signing-1", "environment": {"SOFTHSM2_CONF": format!("{TOKEN}/softhsm2.conf")}},
                "institution": [{
                    "id": "sakura", "currency": "JPY", "time_zone": "Asia/Tokyo",
                    "core_banking": {"endpoint": format!("https://{RELEASE}-cashgate-loadtest:{bank}"), "server_name": "localhost"},
                }],
            },
        });
        let file = self.given.site.folder().join("replicated-values.json");
        fs::write(&file, text.to_string()).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        Ok(file)
    }

    /// The HSM token that `cashgate init` made, where all pods reach it.
    pub(super) fn share_token(&self, claim: &Path) -> Result<(), String> {
        fs::create_dir_all(claim).map_err(|error| format!("cannot make {}: {error}", claim.display()))?;
        let configuration =
            format!("directories.tokendir = {TOKEN}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n");
        fs::write(claim.join("softhsm2.conf"), configuration)
            .map_err(|error| format!("{}: {error}", claim.display()))?;
        let tokens = self.given.site.dir().join("softhsm-tokens");
        command::run(Command::new("cp").arg("-r").arg(tokens).arg(claim.join("tokens")))?;
        command::run(Command::new("chmod").args(["-R", "g+rwX,o-rwx"]).arg(claim))
    }

    /// As if nobody had ever been here: as the documentation has a bank make it.
    pub(super) fn empty_database(&self) -> Result<(), String> {
        let _ = self.server.sql("postgres", &format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"));
        for statement in documented(" DATABASE ")? {
            let _ = self.server.sql("postgres", &statement);
        }
        Ok(())
    }
}

/// Statements out of the documentation for whoever prepares the database.
fn documented(words: &str) -> Result<Vec<String>, String> {
    let document = command::root().join(DOCUMENT);
    let page = fs::read_to_string(&document).map_err(|error| format!("cannot read {}: {error}", document.display()))?;
    let blocks = page.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let statements = blocks.flat_map(str::lines).filter_map(|line| line.split("--").next());
    let found: Vec<String> = statements.filter(|line| line.contains(words)).map(str::to_owned).collect();
    if found.is_empty() { Err(format!("{DOCUMENT} has no `{words}`")) } else { Ok(found) }
}

/// The Certificates that the chart asks cert-manager for.
fn certificates(tools: &Tools, chart: &Chart) -> Result<Vec<Value>, String> {
    let set = [
        "tls={\"existingSecret\": \"\", \"replicaSecretPrefix\": \"\", \"certManager\": {\"enabled\": true, \"issuerRef\": {\"name\": \"ca\"}}}",
        "config.trust_domain=\"cashgate.test\"",
    ];
    let how = How { set: &set, ..How::default() };
    let manifests = tools.parse(&chart.render(tools, &chart.folder.join("ci/replicated.yaml"), how)?)?;
    Ok(manifests.into_iter().filter(|one| text(one, "/kind") == "Certificate").collect())
}

/// A certificate as it was asked for, of the site's authority.
pub(super) fn issued(site: &Site, certificate: &Value) -> Result<Files, String> {
    let words = |pointer: &str, kind: &str| {
        let values = list(certificate, pointer).iter().filter_map(Value::as_str);
        values.map(|value| format!("{kind}:{value}")).collect::<Vec<_>>()
    };
    let names = [words("/spec/uris", "URI"), words("/spec/dnsNames", "DNS")].concat().join(",");
    let usages: Vec<&str> = list(certificate, "/spec/usages").iter().filter_map(Value::as_str).collect();
    let extended = [("client auth", "clientAuth"), ("server auth", "serverAuth")];
    let extended: Vec<&str> =
        extended.iter().filter(|(usage, _)| usages.contains(usage)).map(|(_, name)| *name).collect();
    let folder = site.folder().join("issued").join(text(certificate, "/spec/secretName"));
    let extensions =
        format!("subjectAltName={names}\nkeyUsage=digitalSignature\nextendedKeyUsage={}\n", extended.join(","));
    let cannot = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(cannot)?;
    fs::write(folder.join("extensions"), extensions).map_err(cannot)?;
    let mut ask = Command::new("openssl");
    ask.args([
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=cashgate",
    ]);
    command::output(ask.args(["-keyout", "key", "-out", "request"]).current_dir(&folder))?;
    let mut issue = Command::new("openssl");
    issue.args(["x509", "-req", "-days", "30", "-in", "request", "-extfile", "extensions", "-out", "certificate"]);
    issue.args(["-CAcreateserial", "-CAserial", "serial", "-CA"]).arg(site.dir().join("ca.pem"));
    command::output(issue.arg("-CAkey").arg(site.dir().join("ca-key.pem")).current_dir(&folder))?;
    let files = [
        ("tls.crt", folder.join("certificate")),
        ("tls.key", folder.join("key")),
        ("ca.crt", site.dir().join("ca.pem")),
    ];
    files
        .into_iter()
        .map(|(name, file)| Ok((name.to_owned(), read(&file)?)))
        .collect::<Result<BTreeMap<_, _>, String>>()
}

/// The names in the certificate that is shown at an address to whoever shows one himself.
pub(super) fn shown_by(
    folder: &Path,
    address: SocketAddr,
    name: &str,
    [certificate, key, ca]: [&Path; 3],
) -> Result<String, String> {
    let mut call = Command::new("openssl");
    call.args(["s_client", "-connect", &address.to_string(), "-servername", name, "-verify_hostname", name]);
    call.args(["-alpn", "h2", "-verify_return_error", "-CAfile"])
        .arg(ca)
        .arg("-cert")
        .arg(certificate)
        .arg("-key")
        .arg(key);
    // What comes behind the handshake is HTTP/2, and no text.
    let done = call.stdin(Stdio::null()).output().map_err(|error| format!("`{}`: {error}", command::words(&call)))?;
    if !done.status.success() {
        return Err(format!("`{}`: {}", command::words(&call), String::from_utf8_lossy(&done.stderr)));
    }
    let shown = String::from_utf8_lossy(&done.stdout);
    let certificate =
        shown.split_once("-----BEGIN CERTIFICATE-----").map(|(_, rest)| format!("-----BEGIN CERTIFICATE-----{rest}"));
    let file = folder.join(format!("shown-{}.pem", address.port()));
    fs::write(&file, certificate.ok_or("no certificate is shown")?)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let mut names = Command::new("openssl");
    let names = command::output(names.args(["x509", "-noout", "-ext", "subjectAltName", "-in"]).arg(&file))?;
    Ok(names.replace(", ", "\n"))
}

/// A server's certificate of the site's authority, readable by nobody but the server.
fn tls_settings(site: &Site) -> Result<String, String> {
    let folder = site.folder().join("postgres-tls");
    let cannot = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(cannot)?;
    for name in ["gateway.pem", "gateway-key.pem"] {
        fs::copy(site.dir().join(name), folder.join(name)).map_err(cannot)?;
    }
    command::run(Command::new("chmod").arg("600").arg(folder.join("gateway-key.pem")))?;
    if command::output(Command::new("id").arg("-u"))?.trim() == "0" {
        command::run(Command::new("chown").args(["-R", "postgres:postgres"]).arg(&folder))?;
    }
    let folder = folder.display();
    Ok(format!("ssl = on\nssl_cert_file = '{folder}/gateway.pem'\nssl_key_file = '{folder}/gateway-key.pem'"))
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}
