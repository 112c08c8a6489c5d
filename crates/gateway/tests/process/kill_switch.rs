//! The kill switch, as operators and institutions throw it.

use cashgate_wire::proto::atm::v1::atm_message::Message;
use cashgate_wire::proto::atm::v1::{Dispense, StartQrSession};
use cashgate_wire::proto::events::v1::notice::Notice as What;
use cashgate_wire::proto::operations::v1::operations_service_client::OperationsServiceClient;
use cashgate_wire::proto::operations::v1::{ListStopsRequest, ReleaseRequest, StopRequest};
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;
use cashgate_wire::stops::scope_to;
use cashgate_withdrawal::stop::StopScope;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;

use crate::harness::{Atm, Heard, HoldScript, Phone, Port, Site, in_words, notices, report_dispensed, yen};

/// The command, if it comes before the end of the QR session.
async fn is_commanded_before_the_end(atm: &mut Atm) -> Option<Dispense> {
    loop {
        match atm.hears().await {
            Heard::Dispense(command) => return Some(command),
            Heard::QrSessionEnded(_) => return None,
            _ => {}
        }
    }
}

type Operations = OperationsServiceClient<Channel>;

async fn as_peer(site: &Site, peer: &str) -> Operations {
    OperationsServiceClient::new(site.channel(Port::Api, peer).await)
}

async fn stop(operations: &mut Operations, scope: &StopScope) -> Result<(), Status> {
    let request = StopRequest { scope: Some(scope_to(scope)), reason: "runners at work".to_owned() };
    operations.stop(request).await.map(drop)
}

async fn release(operations: &mut Operations, scope: &StopScope) -> Result<(), Status> {
    let request = ReleaseRequest { scope: Some(scope_to(scope)), reason: "it is over".to_owned() };
    operations.release(request).await.map(drop)
}

fn sakura<T: std::str::FromStr>(id: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    id.parse().unwrap()
}

fn every_scope() -> [StopScope; 5] {
    [
        StopScope::Everything,
        StopScope::Institution(sakura("sakura")),
        StopScope::Atm(sakura("A1")),
        StopScope::Account(sakura("sakura"), sakura("acct-1")),
        StopScope::Device(sakura("sakura"), sakura("phone-1")),
    ]
}

async fn touch(atm: &mut Atm) -> Heard {
    atm.says(Message::StartQrSession(StartQrSession::default())).await;
    atm.hears().await
}

#[tokio::test]
async fn each_layer_stops_what_it_covers_and_nothing_else() {
    let site = Site::ready().await;
    let mut operator = as_peer(&site, "operator/dev").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let mut other = Phone::registered_at(&site, "fuji", "phone-1", "acct-1").await;
    let mut a1 = Atm::connect(&site, "A1").await;
    for scope in every_scope() {
        let shown = a1.shows_code().await;
        stop(&mut operator, &scope).await.unwrap();
        let at_machine = matches!(scope, StopScope::Everything | StopScope::Atm(_));
        if at_machine {
            assert!(matches!(a1.hears().await, Heard::QrSessionEnded(_)), "{scope}: the code goes");
            let Heard::TryLater(later) = touch(&mut a1).await else { panic!("{scope}") };
            assert_eq!(later.reason, "STOPPED");
        }
        let refused = in_words(&phone.scan(&shown.qr_text).await.unwrap_err());
        let seen_by_all = at_machine || matches!(scope, StopScope::Institution(_));
        // What concerns the customer alone looks like any other refusal to him.
        let expected = if seen_by_all { "Unavailable STOPPED" } else { "PermissionDenied NOT_ALLOWED" };
        assert_eq!(refused, expected, "{scope}");
        if !at_machine {
            // Another bank's customer with the same names is served by the same code.
            other.scan(&shown.qr_text).await.unwrap();
            assert!(matches!(a1.hears().await, Heard::QrClaimed(_)), "{scope}");
        }
        release(&mut operator, &scope).await.unwrap();
        phone.headroom(&mut Atm::connect(&site, "B1").await).await;
        a1 = Atm::connect(&site, "A1").await;
    }
}

#[tokio::test]
async fn what_is_not_commanded_is_reversed_and_what_is_goes_on() {
    let site = Site::ready().await;
    let mut operator = as_peer(&site, "operator/dev").await;
    let (mut a1, mut a2) = (Atm::connect(&site, "A1").await, Atm::connect(&site, "A2").await);
    let mut paying = Phone::registered(&site, "phone-1", "acct-1").await;
    let commanded = paying.approve_at(&mut a1, 20_000).await;
    let command = a1.is_commanded().await;
    site.core_bank.is_to(HoldScript::Silence);
    let mut waiting = Phone::registered(&site, "phone-2", "acct-2").await;
    let held = waiting.approve_at(&mut a2, 20_000).await;

    stop(&mut operator, &StopScope::Everything).await.unwrap();
    assert!(matches!(a2.hears().await, Heard::QrClaimed(_)));
    assert!(matches!(a2.hears().await, Heard::QrSessionEnded(_)), "no command comes any more");
    assert_eq!(waiting.watch_to_end(&held).await.last(), Some(&WithdrawalState::Reversed));
    a1.says(Message::Outcome(report_dispensed(&command))).await;
    a1.hears_it_recorded(&commanded).await;
    assert_eq!(paying.watch_to_end(&commanded).await.last(), Some(&WithdrawalState::Confirmed));
}

#[tokio::test]
async fn a_stop_outlives_the_process_with_its_reason_and_who_it_was() {
    let mut site = Site::ready().await;
    let scope = StopScope::Atm(sakura("A1"));
    stop(&mut as_peer(&site, "operator/dev").await, &scope).await.unwrap();
    site.kill();
    site.serve().await;
    let mut a1 = Atm::connect(&site, "A1").await;
    assert!(matches!(touch(&mut a1).await, Heard::TryLater(_)));
    let mut operator = as_peer(&site, "operator/dev").await;
    let stops = operator.list_stops(ListStopsRequest {}).await.unwrap().into_inner().stops;
    let [active] = stops.as_slice() else { panic!("{stops:?}") };
    assert_eq!((active.actor.as_str(), active.reason.as_str()), ("operator/dev", "runners at work"));
    assert_eq!(site.metric("cashgate_stops_active", &[("scope", "atm")]).await, 1);
    release(&mut operator, &scope).await.unwrap();
    assert!(matches!(touch(&mut a1).await, Heard::ShowQr(_)));
    let told: Vec<_> = notices(&site, "operator/dev").await.into_iter().map(|notice| notice.notice.unwrap()).collect();
    assert!(matches!(told.as_slice(), [What::Stopped(_), What::Released(_)]), "{told:?}");
    site.kill();
    site.serve().await;
    let mut a1 = Atm::connect(&site, "A1").await;
    assert!(matches!(touch(&mut a1).await, Heard::ShowQr(_)), "a release outlives it too");
}

#[tokio::test]
async fn an_institution_stops_its_own_and_nobody_elses() {
    let site = Site::ready().await;
    let mut bank = as_peer(&site, "institution/sakura").await;
    for (scope, allowed) in [
        (StopScope::Everything, false),
        (StopScope::Atm(sakura("A1")), false),
        (StopScope::Institution(sakura("fuji")), false),
        (StopScope::Account(sakura("fuji"), sakura("acct-1")), false),
        (StopScope::Institution(sakura("sakura")), true),
        (StopScope::Account(sakura("sakura"), sakura("acct-1")), true),
        (StopScope::Device(sakura("sakura"), sakura("phone-1")), true),
    ] {
        let answer = stop(&mut bank, &scope).await;
        assert_eq!(answer.is_ok(), allowed, "{scope}");
        let expected = if allowed { "NotFound STOP_UNKNOWN" } else { "PermissionDenied IDENTITY_NOT_ALLOWED" };
        if allowed {
            release(&mut bank, &scope).await.unwrap();
        }
        assert_eq!(in_words(&release(&mut bank, &scope).await.unwrap_err()), expected, "{scope}");
    }
    // What an operator stopped, for reasons of his own, the institution does not release.
    let scope = StopScope::Institution(sakura("sakura"));
    stop(&mut as_peer(&site, "operator/dev").await, &scope).await.unwrap();
    let refused = release(&mut bank, &scope).await.unwrap_err();
    assert_eq!(in_words(&refused), "PermissionDenied IDENTITY_NOT_ALLOWED");
    for peer in ["corebank/sakura"] {
        let refused = stop(&mut as_peer(&site, peer).await, &scope).await.unwrap_err();
        assert_eq!(in_words(&refused), "PermissionDenied IDENTITY_NOT_ALLOWED", "{peer}");
    }
}

#[tokio::test]
async fn an_operator_throws_it_on_the_command_line() {
    let site = Site::ready().await;
    let configuration = site.configuration();
    let run = |arguments: &[&str]| {
        let output = site.run(&[arguments, &["--config", &configuration]].concat());
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    assert_eq!(run(&["stops"]), (true, "nothing is stopped\n".to_owned()));
    let (done, said) = run(&["stop", "atm", "A1", "--reason", "skimmer found"]);
    assert!(done && said.contains("ATM A1: stopped"), "{said}");
    let (_, listed) = run(&["stops"]);
    assert!(
        listed.contains("ATM A1") && listed.contains("operator/dev") && listed.contains("skimmer found"),
        "{listed}"
    );
    let (done, said) = run(&["release", "atm", "A2", "--reason", "a slip"]);
    assert!(!done && said.contains("no stop of exactly this scope"), "{said}");
    let (done, said) = run(&["release", "atm", "A1", "--reason", "taken off"]);
    assert!(done, "{said}");
    for typo in
        [["institution", "sakrua"].as_slice(), &["device", "sakrua", "phone-1"], &["account", "sakrua", "acct-1"]]
    {
        let (done, said) = run(&[&["stop"], typo, &["--reason", "x"]].concat());
        assert!(!done && said.contains("no such institution"), "{said}");
    }
    let (done, said) = run(&["stop", "device", "sakura", "phone-99", "--reason", "stolen"]);
    assert!(done && said.contains("never been registered"), "{said}");
    let (done, said) = run(&["stop", "atm", "A 1", "--reason", "x"]);
    assert!(!done && said.contains("an ATM id"), "{said}");
}

#[tokio::test]
async fn an_operators_stop_takes_the_place_of_an_institutions_and_not_the_other_way_round() {
    let mut site = Site::ready().await;
    let scope = StopScope::Institution(sakura("sakura"));
    let mut bank = as_peer(&site, "institution/sakura").await;
    stop(&mut bank, &scope).await.unwrap();
    stop(&mut as_peer(&site, "operator/dev").await, &scope).await.unwrap();
    stop(&mut bank, &scope).await.unwrap();
    let refused = in_words(&release(&mut bank, &scope).await.unwrap_err());
    assert_eq!(refused, "PermissionDenied IDENTITY_NOT_ALLOWED");
    site.kill();
    site.serve().await;
    let mut bank = as_peer(&site, "institution/sakura").await;
    let refused = in_words(&release(&mut bank, &scope).await.unwrap_err());
    assert_eq!(refused, "PermissionDenied IDENTITY_NOT_ALLOWED", "after a restart too");
    release(&mut as_peer(&site, "operator/dev").await, &scope).await.unwrap();
}

#[tokio::test]
async fn what_waits_for_its_machine_over_a_restart_is_not_paid_once_it_is_stopped() {
    for scope in [StopScope::Device(sakura("sakura"), sakura("phone-1")), StopScope::Atm(sakura("A1"))] {
        let mut site = Site::ready().await;
        let mut atm = Atm::connect(&site, "A1").await;
        let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
        let shown = atm.shows_code().await;
        phone.scan(&shown.qr_text).await.unwrap();
        site.core_bank.is_to(HoldScript::Silence);
        let approval = phone.approval(&shown.qr_text, &yen(10_000));
        let id = phone.bank.approve(approval).await.unwrap().into_inner().withdrawal_id;
        stop(&mut as_peer(&site, "operator/dev").await, &scope).await.unwrap();
        site.kill();
        site.serve().await;
        let mut atm = Atm::connect(&site, "A1").await;
        phone.reconnect(&site).await;
        assert_eq!(phone.watch_to_end(&id).await.last(), Some(&WithdrawalState::Reversed), "{scope}");
        let heard = tokio::time::timeout(std::time::Duration::from_millis(200), atm.hears()).await;
        assert!(heard.is_err(), "{scope}: no command comes: {heard:?}");
    }
}

/// Whoever is being served while the switch is thrown everywhere gets an answer.
#[tokio::test]
async fn an_approval_that_races_with_a_stop_is_reversed_or_refused() {
    let site = Site::ready().await;
    let mut operator = as_peer(&site, "operator/dev").await;
    for round in 0..8 {
        let mut atm = Atm::connect(&site, &format!("R{round}")).await;
        let mut phone = Phone::registered(&site, &format!("phone-{round}"), &format!("acct-{round}")).await;
        let shown = atm.shows_code().await;
        phone.scan(&shown.qr_text).await.unwrap();
        let approval = phone.approval(&shown.qr_text, &yen(10_000));
        // Core banking grants at once in every second round, so that the grant races too.
        site.core_bank.is_to(if round % 2 == 0 { HoldScript::Grant } else { HoldScript::Silence });
        let (stopped, approved) =
            tokio::join!(stop(&mut operator, &StopScope::Everything), phone.bank.approve(approval));
        stopped.unwrap();
        match approved {
            Ok(approved) => {
                let id = approved.into_inner().withdrawal_id;
                // What was commanded before the stop is paid.
                if let Some(command) = is_commanded_before_the_end(&mut atm).await {
                    atm.says(Message::Outcome(report_dispensed(&command))).await;
                    assert_eq!(phone.watch_to_end(&id).await.last(), Some(&WithdrawalState::Confirmed), "{round}");
                } else {
                    assert_eq!(phone.watch_to_end(&id).await.last(), Some(&WithdrawalState::Reversed), "{round}");
                }
            }
            Err(refused) => {
                let words = in_words(&refused);
                let expected = ["Unavailable STOPPED", "FailedPrecondition QR_SESSION_ENDED"];
                assert!(expected.contains(&words.as_str()), "{words}");
            }
        }
        release(&mut operator, &StopScope::Everything).await.unwrap();
    }
}

/// From the operator's call until the last machine has taken its code off the screen. For `loadtest/RESULTS.md`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn how_long_a_stop_takes_to_reach_two_hundred_machines() {
    let site = Site::ready().await;
    let mut operator = as_peer(&site, "operator/dev").await;
    let mut machines = Vec::new();
    for number in 0..200 {
        let mut atm = Atm::connect(&site, &format!("M{number}")).await;
        atm.shows_code().await;
        machines.push(atm);
    }
    let thrown_at = tokio::time::Instant::now();
    let mut ended = JoinSet::new();
    for mut atm in machines {
        ended.spawn(async move {
            while !matches!(atm.hears().await, Heard::QrSessionEnded(_)) {}
            thrown_at.elapsed()
        });
    }
    stop(&mut operator, &StopScope::Everything).await.unwrap();
    let mut ended = ended.join_all().await;
    ended.sort_unstable();
    eprintln!("median {:?}, the last after {:?}", ended[100], ended[199]);
}
