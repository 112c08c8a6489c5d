//! Reports: complete, escaped, and drawn.

use std::time::Duration;

use super::*;
use crate::books;
use crate::recording::{PAID, Recorder, Sample, Step, Who};
use crate::verdict;

fn outcome(ending: &str) -> Outcome {
    let recorder = Recorder::new(Duration::from_secs(50), Duration::from_secs(5));
    for second in 0..50 {
        let at = recorder.began() + Duration::from_secs(second);
        for step in Step::ALL {
            recorder.took(step, at, Duration::from_millis(1 + second));
        }
        recorder.ended(at, Who::Honest, if second == 40 { ending.to_owned() } else { PAID.to_owned() }, 1);
        recorder.sampled(Sample {
            at: Duration::from_secs(second),
            gateway_cpu_percent: Some(50.0),
            gateway_rss_kib: Some(100 * 1_024),
            ..Sample::default()
        });
    }
    let books = books::Verdict::default();
    Outcome { recording: recorder.recording(), books, failures: vec![], began_unix_ms: 1_795_000_000_000 }
}

fn written(ending: &str) -> (tempfile::TempDir, bool) {
    load_font(None).unwrap();
    let scenario = Scenario::load("hsm-outage").unwrap();
    let outcome = outcome(ending);
    let judged = verdict::judge(&scenario, &outcome.recording, &outcome.books, &outcome.failures);
    let report = Report {
        scenario: &scenario,
        outcome: &outcome,
        judged: &judged,
        command: "cashgate-loadtest".to_owned(),
        cores: 2,
    };
    let folder = tempfile::tempdir().unwrap();
    report.write(folder.path()).unwrap();
    let passed = report.passed();
    assert_eq!(report.text().ends_with("passed"), passed);
    (folder, passed)
}

/// Needs the Debian package fonts-dejavu-core, as the program does.
#[test]
fn the_page_needs_nothing_but_itself_and_has_its_plots() {
    let (folder, _) = written("try later: HSM_UNAVAILABLE");
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    // Six of the nine plots have something to show here.
    assert_eq!(page.matches("<svg").count(), 8, "{}", page.len());
    for part in ["coordinated omission", "They agree to the yen", "HSM_UNAVAILABLE", "paid_percent_min"] {
        assert!(page.contains(part), "{part}");
    }
    for foreign in ["<script", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn what_comes_from_outside_is_escaped() {
    let (folder, _) = written("<b>scan</b> & more");
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("&lt;b&gt;scan&lt;/b&gt; &amp; more"));
    assert!(!page.contains("<b>scan"));
}

#[test]
fn json_and_histograms_say_the_same() {
    let (folder, passed) = written("try later: HSM_UNAVAILABLE");
    let json = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["passed"], passed);
    assert_eq!(json["visits"]["customers"][PAID], 49);
    assert_eq!(json["latency_ms"]["code"]["count"], 45, "without the warm-up");
    assert_eq!(json["means"]["gateway_rss_mib"], 100.0);
    for step in Step::ALL {
        let file = folder.path().join(format!("{}.hgrm", step.name()));
        assert!(std::fs::read_to_string(file).unwrap().contains("Total count    =           45"), "{step:?}");
    }
}

#[test]
fn a_missing_font_and_an_unwritable_folder_are_named() {
    let said = load_font(Some(Path::new("Cargo.toml"))).unwrap_err().to_string();
    assert_eq!(said, "Cargo.toml is no TrueType font that can be read");
}
