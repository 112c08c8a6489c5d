//! What `check-config` and `serve` say of a configuration.

use crate::LEDGER;
use crate::harness::{Port, Site};

/// What a check says: exit code 0, or every problem.
fn check(site: &Site) -> Result<(), Vec<String>> {
    let output = site.run(&["check-config", "--config", &site.configuration()]);
    let said = String::from_utf8(output.stderr).unwrap();
    if output.status.success() {
        assert_eq!(said, "", "nothing to complain about");
        return Ok(());
    }
    // One problem stands on the same line, several on lines of their own.
    let heading = format!("cashgate: the configuration {} is not valid:", site.configuration());
    let problems = said.strip_prefix(&heading).unwrap_or_else(|| panic!("no heading: {said}"));
    Err(problems.trim().lines().map(|line| line.trim().to_owned()).collect())
}

fn replaced(site: &Site, replacements: &[(&str, &str)]) {
    site.edit_configuration(|mut text| {
        for (from, to) in replacements {
            assert!(text.contains(from), "{from:?} is in the configuration");
            text = text.replacen(from, to, 1);
        }
        text
    });
}

/// The line that names the ledger.
fn named_ledger(file: &str) -> String {
    format!("{} = \"{file}\"", LEDGER.key())
}

#[tokio::test]
async fn what_init_makes_is_valid() {
    assert_eq!(check(&Site::folder_only().await), Ok(()));
}

#[tokio::test]
async fn a_configuration_is_judged_where_its_files_are_not() {
    let site = Site::folder_only().await;
    replaced(
        &site,
        &[
            ("certificate = \"gateway.pem\"", "certificate = \"/elsewhere/gateway.pem\""),
            ("pin_file = \"hsm-pin\"", "pin_file = \"/elsewhere/pin\""),
        ],
    );
    assert_eq!(check(&site).unwrap_err().len(), 2, "a gateway needs both");
    let judge = || site.run(&["check-config", "--keys-only", "--config", &site.configuration()]);
    assert!(judge().status.success());
    // As a chart renders it for several: the rest is told to each.
    site.edit_configuration(|text| {
        let listen = text.replace("[listen]\n", "[listen]\nreplica = \"127.0.0.1:0\"\n");
        let ledger = listen.replace("[ledger]\n", "[replica]\nserver_name = \"replicas\"\n\n[ledger]\n");
        ledger.replace(&named_ledger(LEDGER.file()), "postgres.dsn_file = \"/elsewhere/dsn\"")
    });
    assert!(judge().status.success());
    replaced(&site, &[("workers = 4 ", "workers = 0 ")]);
    let refused = judge();
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("hsm.workers"));
}

#[tokio::test]
async fn every_problem_is_told_at_once_with_the_path_of_its_key() {
    let site = Site::folder_only().await;
    replaced(
        &site,
        &[
            ("trust_domain = \"cashgate.test\"", "colour = \"red\""),
            ("network = \"demo\"", "network = \"a b\""),
            ("atm = \"127.0.0.1:", "atm = \"nowhere:"),
            ("certificate = \"gateway.pem\"", "certificate = 7"),
            ("workers = 4 ", "workers = 0 "),
            ("queue = 4096 ", "queue = \"many\" "),
            ("pin_file = \"hsm-pin\"", "pin = \"1234\""),
            ("qr_lifetime_s = 30", "qr_lifetime_s = 4\nqr_lifetime = 30"),
            (&named_ledger(LEDGER.file()), &named_ledger("")),
            ("currency = \"JPY\"", "currency = \"yen\""),
            ("time_zone = \"Asia/Tokyo\"", "time_zone = \"Mars/Olympus\""),
            ("endpoint = \"https://", "endpoint = \"http://"),
            ("per_withdrawal = 200000", "per_withdrawal = -1"),
            ("id = \"fuji\"", "id = \"fuji bank\""),
        ],
    );
    let problems = check(&site).unwrap_err();
    let ledger = format!("ledger.{}", LEDGER.key());
    let paths = [
        "colour",
        "hsm.pin",
        "hsm.pin_file",
        "hsm.queue",
        "hsm.workers",
        "institution[0].core_banking.endpoint",
        "institution[0].currency",
        "institution[0].limits.per_withdrawal",
        "institution[0].time_zone",
        "institution[1].id",
        &ledger,
        "listen.atm",
        "network",
        "timing.qr_lifetime",
        "timing.qr_lifetime_s",
        "tls.certificate",
        "trust_domain",
    ];
    let mut told: Vec<&str> = problems.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    told.sort_unstable();
    assert_eq!(told, paths, "{problems:#?}");
    assert!(!problems.join("\n").contains("1234"), "a PIN that was written into the file is not repeated");
}

#[tokio::test]
async fn limits_that_contradict_one_another_are_told() {
    let tier = |until_h: u32, rest: &str| format!("[[institution.limits.new_device]]\nuntil_h = {until_h}\n{rest}\n");
    let tables = |tables: &[String]| tables.concat();
    for (limits, problem) in [
        (tables(&[tier(12, "per_day = 0"), tier(72, "per_day = 50000")]), None),
        (
            tables(&[tier(72, "per_day = 0"), tier(12, "per_day = 50000")]),
            Some("institution[1].limits: the tier until 43200 s does not reach further than the one before"),
        ),
        (
            tables(&[tier(12, "per_day = 60000"), tier(72, "per_day = 50000")]),
            Some("institution[1].limits: per_withdrawal of the tier until 43200 s is larger than for older devices"),
        ),
        (tier(12, ""), Some("institution[1].limits.new_device[0].per_day: is missing")),
        (
            tier(0, "per_day = 0"),
            Some("institution[1].limits.new_device[0].until_h: must be a whole number from 1 to 8760"),
        ),
        (
            "[institution.limits.institution]\nnew_devices_per_24h = 1\n".to_owned(),
            Some("institution[1].limits.institution.new_devices_per_24h: is not a key of this configuration"),
        ),
        (
            "[atm_limits]\nper_24h = -1\n".to_owned(),
            Some("atm_limits.per_24h: must be a whole number from 0 to 4294967295"),
        ),
        (
            "[institution.limits.device]\nwithdrawals_per_7d = 256\n".to_owned(),
            Some("institution[1].limits.device.withdrawals_per_7d: must be a whole number from 0 to 255"),
        ),
    ] {
        let site = Site::folder_only().await;
        site.edit_configuration(|text| {
            // Of the last institution: its table comes last in the file.
            let (before, last) = text.rsplit_once("new_device = []").unwrap();
            format!("{before}{last}\n{limits}")
        });
        let told = check(&site);
        match problem {
            None => assert_eq!(told, Ok(()), "{limits}"),
            Some(problem) => {
                let told = told.unwrap_err();
                assert!(told.len() == 1 && told[0].starts_with(problem), "{limits}: {told:?}");
            }
        }
    }
}

#[tokio::test]
async fn operators_commands_look_only_at_where_the_gateway_is() {
    let site = Site::ready().await;
    replaced(&site, &[("workers = 4 ", "workers = 0 "), ("pin_file = \"hsm-pin\"", "pin_env = \"THE_PIN\"")]);
    assert!(check(&site).is_err(), "it cannot be served");
    let said = |arguments: &[&str]| {
        let output = site.run(&[arguments, &["--config", &site.configuration()]].concat());
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    assert_eq!(said(&["stops"]).trim(), "nothing is stopped");
    let unknown = said(&["stops", "--certificate", "none.pem", "--key", "none-key.pem"]);
    assert!(unknown.contains("none.pem") && unknown.contains("CASHGATE_OPERATOR_CERTIFICATE"), "{unknown}");
    replaced(&site, &[("api = \"127.0.0.1:", "api = \"nowhere:")]);
    let nowhere = said(&["stops"]);
    assert!(nowhere.contains("listen.api: \"nowhere:"), "{nowhere}");
}

#[tokio::test]
async fn an_invalid_configuration_is_not_served_and_leaves_nothing_behind() {
    let site = Site::folder_only().await;
    replaced(&site, &[("workers = 4 ", "workers = 0 ")]);
    let output = site.serve_in_vain().await;
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("hsm.workers: must be a whole number from 1 to 64"), "{said}");
    assert!(!site.has_begun());
}

#[tokio::test]
async fn two_institutions_of_one_name_and_none_at_all() {
    let site = Site::folder_only().await;
    replaced(&site, &[("id = \"fuji\"", "id = \"sakura\"")]);
    assert_eq!(check(&site), Err(vec!["institution[1].id: sakura is there twice".to_owned()]));
    site.edit_configuration(|text| text.split("[[institution]]").next().unwrap().to_owned());
    assert_eq!(check(&site), Err(vec!["institution: at least one [[institution]] is needed".to_owned()]));
}

#[tokio::test]
async fn the_environment_wins_over_the_file() {
    let mut site = Site::folder_only().await;
    site.set("hsm.workers", "65");
    let problems = check(&site).unwrap_err();
    assert_eq!(problems, ["hsm.workers: must be a whole number from 1 to 64"]);
    site.set("hsm.workers", "2");
    replaced(&site, &[("workers = 4 ", "workers = 0 ")]);
    assert_eq!(check(&site), Ok(()), "it also mends what is wrong in the file");
    site.set("hsm.wrokers", "2");
    assert_eq!(check(&site), Err(vec!["hsm.wrokers: is not a key of this configuration".to_owned()]));
}

#[tokio::test]
async fn the_variable_of_the_log_is_no_key_of_the_configuration() {
    let mut site = Site::folder_only().await;
    site.set_variable("CASHGATE_LOG", "error");
    assert_eq!(check(&site), Ok(()));
    site.serve().await;
    assert_eq!(site.log(), "", "it sets the log, and nothing went wrong");
}

#[tokio::test]
async fn a_file_that_is_missing_or_no_toml() {
    let site = Site::folder_only().await;
    site.edit_configuration(|text| text.replacen("[listen]", "[listen", 1));
    let problems = check(&site).unwrap_err();
    assert!(
        problems.join("\n").to_lowercase().contains("toml") || problems.join("\n").contains("expected"),
        "{problems:?}"
    );
    std::fs::remove_file(site.path("cashgate.toml")).unwrap();
    let problems = check(&site).unwrap_err();
    assert_eq!(problems, ["there is no such file; `cashgate init DIR` makes one to begin with"]);
}

#[tokio::test]
async fn what_is_not_there_is_said_before_anything_starts() {
    let site = Site::folder_only().await;
    let port = format!("127.0.0.1:{}", site.port(Port::Api));
    let atm = format!("127.0.0.1:{}", site.port(Port::Atm));
    replaced(
        &site,
        &[
            ("\"gateway.pem\"", "\"nope.pem\""),
            ("\"hsm-pin\"", "\"nopin\""),
            (&named_ledger(LEDGER.file()), &named_ledger("no/such/folder/ledger")),
            (&atm, &port),
            ("per_day = 200000", "per_day = 5"),
        ],
    );
    let problems = check(&site).unwrap_err();
    let ledger = format!("ledger.{}: ", LEDGER.key());
    for key in ["tls.certificate: ", "hsm.pin_file: ", &ledger, "listen.api: ", "institution[0].limits.per_day: "] {
        assert!(problems.iter().any(|problem| problem.starts_with(key)), "{key} is not in {problems:?}");
    }
    assert_eq!(problems.len(), 5, "{problems:?}");
}

#[tokio::test]
async fn hsm_slots_share_what_the_table_says_and_a_pin_may_be_in_the_environment() {
    let mut site = Site::folder_only().await;
    let slots =
        "pin_env = \"THE_PIN\"\n\n[[hsm.slot]]\ntoken_label = \"cashgate\"\n\n[[hsm.slot]]\ntoken_label = \"second\"\n";
    site.edit_configuration(|text| {
        let without_label: Vec<&str> = text.lines().filter(|line| !line.starts_with("token_label")).collect();
        let text = without_label.join("\n").replacen("pin_file = \"hsm-pin\"", "", 1);
        text.replacen("[hsm.environment]", &format!("{slots}\n[hsm.environment]"), 1)
    });
    assert_eq!(check(&site).unwrap_err(), ["hsm.pin_env: the environment variable THE_PIN is not set"]);
    let pin = std::fs::read_to_string(site.path("hsm-pin")).unwrap();
    site.set_variable("THE_PIN", &pin);
    assert_eq!(check(&site), Ok(()));
    site.serve().await;
    let page = site.page("/readyz").await;
    assert!(page.contains("degraded") && page.contains("\"second\""), "one slot is enough: {page}");
    assert!(!site.log().contains(&pin), "the PIN is not logged");

    replaced(
        &site,
        &[("token_label = \"second\"", "token_label = \"cashgate\"\npin_file = \"hsm-pin\"\npin_env = \"THE_PIN\"")],
    );
    let problems = check(&site).unwrap_err();
    let expected = [
        "hsm.slot[1].pin_env: stands beside pin_file: the PIN has one place",
        "hsm.slot[1].token_label: \"cashgate\" is there twice",
    ];
    assert_eq!(problems, expected);
    replaced(&site, &[("[[hsm.slot]]", "token_label = \"cashgate\"\n[[hsm.slot]]")]);
    assert!(check(&site).unwrap_err().contains(&"hsm.token_label: belongs into each [[hsm.slot]]".to_owned()));
}

#[tokio::test]
async fn a_caller_is_not_less_patient_than_a_call() {
    let mut site = Site::folder_only().await;
    site.set("hsm.patience_ms", "100");
    site.set("hsm.retry_first_ms", "20000");
    let problems = check(&site).unwrap_err();
    assert_eq!(
        problems,
        ["hsm.patience_ms: is less than call_deadline_ms", "hsm.retry_max_ms: is less than retry_first_ms",]
    );
}

#[tokio::test]
async fn a_grade_of_evidence_is_a_letter() {
    let site = Site::folder_only().await;
    replaced(&site, &[("currency = \"JPY\"", "evidence_demanded = \"D\"\ncurrency = \"JPY\"")]);
    let problems = check(&site).unwrap_err();
    assert_eq!(problems, ["institution[0].evidence_demanded: \"D\" is not a grade: \"A\", \"B\" or \"C\""]);
    replaced(&site, &[("\"D\"", "\"A\"")]);
    assert_eq!(check(&site), Ok(()));
}

#[tokio::test]
async fn telemetry_is_off_without_its_table_and_checked_with_it() {
    let mut site = Site::folder_only().await;
    for (key, value, problem) in [
        ("telemetry.endpoint", "localhost:4317", "telemetry.endpoint: must begin with http:// or https://"),
        ("telemetry.endpoint", "http://localhost:4317", ""),
        ("telemetry.sampled_of_1000", "1001", "telemetry.sampled_of_1000: must be a whole number from 0 to 1000"),
        ("telemetry.sampled_of_1000", "1000", ""),
        ("telemetry.queue_spans", "0", "telemetry.queue_spans: must be a whole number from 1 to 1000000"),
        ("telemetry.queue_spans", "1", ""),
        ("telemetry.ratio", "1", "telemetry.ratio: is not a key of this configuration"),
    ] {
        site.set(key, value);
        let expected = if problem.is_empty() { Ok(()) } else { Err(vec![problem.to_owned()]) };
        assert_eq!(check(&site), expected, "{key} = {value}");
    }
}
