//! A withdrawal whose outcome never comes clear: a person finds it on the command line and decides.

use cashgate_wire::proto::atm::v1::atm_message::Message;
use cashgate_wire::proto::withdrawal::v1::{Outcome, WithdrawalState};

use crate::harness::{Atm, Phone, Site, eventually, report_dispensed, withdrawal_state};

/// A suspect of 30,000 yen: the ATM does not know what became of the notes, and the deadline has passed.
async fn a_suspect() -> (Site, Phone, String) {
    let site = Site::ready_with(&[("timing.outcome_deadline_s", "1")]).await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let id = phone.approve_at(&mut atm, 30_000).await;
    let mut report = report_dispensed(&atm.is_commanded().await);
    report.presented.clear();
    report.set_outcome(Outcome::Unknown);
    atm.says(Message::Outcome(report)).await;
    atm.hears_it_recorded(&id).await;
    eventually("the deadline", async || (withdrawal_state(&site, &id) == "suspect").then_some(())).await;
    (site, phone, id)
}

fn withdrawals(site: &Site, arguments: &[&str]) -> (bool, String) {
    let configuration = site.configuration();
    let all = [&["withdrawals"], arguments, &["--config", &configuration]].concat();
    let output = site.run(&all);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn a_person_finds_it_and_confirms_what_the_cassettes_lack() {
    let (site, mut phone, id) = a_suspect().await;
    assert_eq!(site.core_bank.call_names(&id), ["place"], "nothing is settled on a guess");
    let (found, listed) = withdrawals(&site, &["suspects"]);
    assert!(found && listed.contains(&id) && listed.contains("outcome_overdue"), "{listed}");
    assert!(withdrawals(&site, &["list", "--newest", "1"]).1.contains(&id));
    assert_eq!(withdrawals(&site, &["list", "--newest", "0"]).1.trim(), "", "no more than were asked for");

    let (done, said) = withdrawals(&site, &["resolve", &id, "--confirm", "30001", "--reason", "a slip of the finger"]);
    assert!(!done && said.contains("at most the approved amount"), "{said}");
    let (done, said) =
        withdrawals(&site, &["resolve", &id, "--confirm", "20000", "--reason", "two notes were missing"]);
    assert!(done, "{said}");
    assert_eq!(phone.watch_to_end(&id).await.last(), Some(&WithdrawalState::Confirmed));
    assert_eq!(site.core_bank.call_names(&id), ["place", "confirm 20000"]);

    let (_, shown) = withdrawals(&site, &["show", &id]);
    assert!(shown.contains("dev confirms 20000 JPY: two notes were missing"), "{shown}");
    let (_, evidence) = withdrawals(&site, &["evidence", &id]);
    for needed in [
        "cashgate-evidence/1",
        "Unknown: presented 0 JPY",
        "outcome_deadline_passed",
        "dev confirms 20000 JPY: two notes were missing",
        "policy_version",
        "\"from\": \"core_banking\"",
    ] {
        assert!(evidence.contains(needed), "{needed} is not in {evidence}");
    }
    let (_, listed) = withdrawals(&site, &["suspects"]);
    assert!(!listed.contains(&id), "{listed}");
    let (done, said) = withdrawals(&site, &["resolve", &id, "--reverse", "--reason", "once more"]);
    assert!(!done && said.contains("not a suspect"), "{said}");
}

#[tokio::test]
async fn a_person_reverses_it_when_nothing_is_missing() {
    let (site, mut phone, id) = a_suspect().await;
    let (done, said) = withdrawals(&site, &["resolve", &id, "--reverse", "--reason", "no note was missing"]);
    assert!(done, "{said}");
    assert_eq!(phone.watch_to_end(&id).await.last(), Some(&WithdrawalState::Reversed));
    assert_eq!(site.core_bank.call_names(&id), ["place", "reverse"]);
}
