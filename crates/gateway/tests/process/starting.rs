//! What keeps a gateway from starting: one line that says what to do, and nothing half done.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::harness::{Atm, Port, Site, eventually};

/// The one line for the operator; what else is on standard error are log records.
fn line(output: &Output) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!output.status.success(), "{said}");
    assert_ne!(output.status.code(), None, "it ended by itself, not by a signal: {said}");
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
    let [line] = lines.as_slice() else { panic!("not one line: {said}") };
    assert!(line.starts_with("cashgate: "), "{line}");
    assert!(output.stdout.is_empty());
    (*line).to_owned()
}

pub(crate) fn says(output: &Output, words: &[&str]) {
    let line = line(output);
    for word in words {
        assert!(line.contains(word), "{word:?} is not in: {line}");
    }
}

fn spy_module() -> PathBuf {
    let places = ["/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"];
    let files = places
        .iter()
        .flat_map(|place| ["pkcs11/pkcs11-spy.so", "pkcs11-spy.so"].map(|file| Path::new(place).join(file)));
    files.into_iter().find(|file| file.exists()).expect("pkcs11-spy.so: install the Debian package opensc")
}

/// The value of a key of the configuration.
fn configured(site: &Site, key: &str) -> String {
    let text = fs::read_to_string(site.path("cashgate.toml")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key} = \""))).expect("the key is there");
    line.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn an_hsm_module_or_pin_file_that_is_not_there() {
    let rows: [(&str, &str, &[&str]); 2] = [
        ("hsm.module", "/nowhere/pkcs11.so", &["/nowhere/pkcs11.so", "hsm.module"]),
        ("hsm.pin_file", "absent", &["hsm.pin_file", "absent"]),
    ];
    for (key, value, words) in rows {
        let mut site = Site::folder_only().await;
        site.set(key, value);
        says(&site.serve_in_vain().await, words);
        assert!(!site.has_begun(), "{key}: nothing is begun");
    }
    let mut site = Site::folder_only().await;
    site.set("hsm.module", &site.path("cashgate.toml").display().to_string());
    says(&site.serve_in_vain().await, &["cashgate.toml cannot be loaded", "hsm.module"]);
}

#[tokio::test]
async fn whatever_else_is_wrong_with_the_hsm_is_told_and_stops_nothing() {
    for (key, words) in [
        (
            "hsm.token_label",
            ["no HSM token is labelled \"absent\" (there is \"cashgate\")", "hsm.token_label", "cashgate init"],
        ),
        ("hsm.signing_key_label", ["has no private key labelled \"absent\"", "hsm.signing_key_label", "cashgate init"]),
    ] {
        let mut site = Site::folder_only().await;
        site.set(key, "absent");
        site.start_through(&["env"]);
        let page = not_ready(&site).await;
        assert!(words.iter().all(|word| page.contains(word)), "{key}: {page}");
        let log = site.log();
        let logged = log.lines().filter(|line| line.contains("the HSM slot is lost")).count();
        assert_eq!(logged, 1, "{key}: once, however often it is tried: {log}");
        assert!(site.is_running());
    }
}

/// What `/readyz` says while no HSM answers.
async fn not_ready(site: &Site) -> String {
    eventually("the gateway says that no HSM answers", async || {
        let (status, page) = crate::hsm_loss::http(site, "/readyz").await?;
        (status == 503 && page.contains("no HSM answers: ")).then_some(page)
    })
    .await
}

#[tokio::test]
async fn a_wrong_pin_is_tried_exactly_once_and_a_corrected_one_works_without_a_restart() {
    let mut site = Site::folder_only().await;
    let (right, spied) = (fs::read(site.path("hsm-pin")).unwrap(), site.path("spied"));
    site.set_variable("PKCS11SPY", &configured(&site, "module"));
    site.set_variable("PKCS11SPY_OUTPUT", &spied.display().to_string());
    site.set("hsm.module", &spy_module().display().to_string());
    site.set("hsm.retry_first_ms", "10");
    site.set("hsm.retry_max_ms", "100");
    fs::write(site.path("hsm-pin"), "000000000").unwrap();
    site.start_through(&["env"]);
    let page = not_ready(&site).await;
    assert!(["PIN", "\"cashgate\"", "tried once", "correct it"].iter().all(|word| page.contains(word)), "{page}");
    let calls = |function: &str| {
        let log = String::from_utf8_lossy(&fs::read(&spied).unwrap()).into_owned();
        log.lines().filter(|line| line.split_once(": ").is_some_and(|(_, name)| name.trim() == function)).count()
    };
    let tried = async || (calls("C_Initialize") > 10).then_some(());
    eventually("it was tried to open it many times", tried).await;
    assert_eq!(calls("C_Login"), 1);
    assert!(!site.log().contains("000000000"), "the PIN itself is not told");

    fs::write(site.path("hsm-pin"), right).unwrap();
    let ready = async || (crate::hsm_loss::http(&site, "/readyz").await?.0 == 200).then_some(());
    eventually("the gateway is ready", ready).await;
    Atm::connect(&site, "A1").await.shows_code().await;
    assert_eq!(calls("C_Login"), 2);
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let mut site = Site::folder_only().await;
    for (port, key) in [(Port::Atm, "listen.atm"), (Port::Api, "listen.api")] {
        let taken = TcpListener::bind(("127.0.0.1", site.port(port))).unwrap();
        says(&site.serve_in_vain().await, &[key, &format!("127.0.0.1:{}", site.port(port))]);
        drop(taken);
    }
    site.serve().await;
    assert!(site.steps().is_empty());
}

#[tokio::test]
async fn files_that_are_missing_or_are_something_else() {
    let rows: [(&str, &[&str]); 3] =
        [("gateway.pem", &["gateway.pem"]), ("gateway-key.pem", &["gateway-key.pem"]), ("ca.pem", &["ca.pem"])];
    for (file, words) in rows {
        let site = Site::folder_only().await;
        fs::remove_file(site.path(file)).unwrap();
        says(&site.serve_in_vain().await, words);
    }
}

#[tokio::test]
async fn init_overwrites_nothing() {
    let site = Site::folder_only().await;
    let before = fs::read(site.path("cashgate.toml")).unwrap();
    let pin = fs::read(site.path("hsm-pin")).unwrap();
    let output = site.run(&["init", &site.path("").display().to_string()]);
    says(&output, &["cashgate.toml", "exists already", "nothing was changed"]);
    assert_eq!(fs::read(site.path("cashgate.toml")).unwrap(), before);
    assert_eq!(fs::read(site.path("hsm-pin")).unwrap(), pin);

    let certificate = fs::read(site.path("certs/operator-dev.pem")).unwrap();
    let output = site.run(&["issue-cert", &site.path("").display().to_string(), "operator/dev"]);
    says(&output, &["operator-dev"]);
    assert_eq!(fs::read(site.path("certs/operator-dev.pem")).unwrap(), certificate);
    says(&site.run(&["issue-cert", &site.path("").display().to_string(), "bank/x"]), &["bank/x", "atm/<id>"]);
}
