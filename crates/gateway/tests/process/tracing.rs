//! What a collector is told of a customer, and what a collector can do to a gateway: nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use cashgate_wire::proto::atm::v1::atm_message::Message;
use cashgate_wire::proto::atm::v1::{AtmMessage, StartQrSession};
use cashgate_wire::proto::operations::v1::ListAtmsRequest;
use cashgate_wire::proto::operations::v1::operations_service_client::OperationsServiceClient;
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::Request;

use crate::harness::{
    Atm, Collector, Phone, Port, Site, attribute, certificates, eventually, hello, report_dispensed, yen,
};

const TOUCH: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
const APP: &str = "00-11111111111111111111111111111111-2222222222222222-00";
const PLACE: &str = "cashgate.corebank.v1.CoreBankingService/PlaceHold";
const CONFIRM: &str = "cashgate.corebank.v1.CoreBankingService/ConfirmHold";

/// A gateway that tells this collector so many of 1,000 traces.
async fn traced(collector: &Collector, sampled_of_1000: u32, further: &[(&str, &str)]) -> Site {
    let (endpoint, sampled) = (collector.endpoint(), sampled_of_1000.to_string());
    let mut settings = vec![("telemetry.endpoint", endpoint.as_str()), ("telemetry.sampled_of_1000", &sampled)];
    settings.extend(further);
    Site::ready_with(&settings).await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The trace and span ids of a `traceparent`.
fn ids(traceparent: &str) -> (String, String) {
    let parts: Vec<&str> = traceparent.split('-').collect();
    (parts[1].to_owned(), parts[2].to_owned())
}

fn of_trace<'a>(spans: &'a [Span], trace: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| hex(&span.trace_id) == trace).collect()
}

fn named<'a>(spans: &[&'a Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
    found[0]
}

#[tokio::test]
async fn a_withdrawal_is_one_trace_from_the_touch_to_the_confirmed_hold() {
    let collector = Collector::takes().await;
    let site = traced(&collector, 1_000, &[]).await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let touch = Message::StartQrSession(StartQrSession::default());
    atm.says_raw(AtmMessage { message: Some(touch), traceparent: TOUCH.to_owned() }).await;
    let shown = atm.shows_next_code().await;
    let (trace, touch_span) = ids(TOUCH);
    assert_eq!(ids(atm.traceparent()).0, trace, "the code comes with the trace of its touch");
    phone.scan(&shown.qr_text).await.unwrap();
    let mut approval = Request::new(phone.approval(&shown.qr_text, &yen(21_000)));
    approval.metadata_mut().insert("traceparent", APP.parse().unwrap());
    phone.bank.approve(approval).await.unwrap();
    let command = atm.is_commanded().await;
    let commanded = atm.traceparent().to_owned();
    assert_eq!(ids(&commanded).0, trace);
    let report = Message::Outcome(report_dispensed(&command));
    atm.says_raw(AtmMessage { message: Some(report), traceparent: commanded.clone() }).await;
    atm.hears_it_recorded(&command.withdrawal_id).await;
    phone.watch_to_end(&command.withdrawal_id).await;

    let spans = collector
        .has("both ends of the trace are told", |spans| {
            let spans = of_trace(spans, &trace);
            ["withdrawal", "QrSession"].iter().all(|name| spans.iter().any(|span| span.name == *name))
        })
        .await;
    let of_customer = of_trace(&spans, &trace);
    is_connected(&of_customer, &touch_span);
    has_its_shape(&of_customer);
    let span = |name| named(&of_customer, name);
    assert_eq!(ids(&commanded).1, hex(&span("dispense").span_id));
    let whole = span("withdrawal");
    assert_eq!(attribute(whole, "cashgate.withdrawal.id").as_deref(), Some(command.withdrawal_id.as_str()));
    assert_eq!(attribute(whole, "cashgate.withdrawal.state").as_deref(), Some("confirmed"));
    let steps: Vec<&str> = whole.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(steps, ["approved", "hold_granted", "dispense_commanded", "outcome_reported", "hold_confirmed"]);
    assert_eq!(attribute(span(PLACE), "rpc.method").as_deref(), Some(PLACE));
    assert_eq!(attribute(span(PLACE), "rpc.response.status_code").as_deref(), Some("OK"));
    let given: Vec<_> = site.core_bank.traceparents().iter().map(|given| ids(given)).collect();
    let called = |name| (trace.clone(), hex(&span(name).span_id));
    assert_eq!(given, [called(PLACE), called(CONFIRM)], "core banking is told whose call it is");

    check_the_callers_trace(&spans, span("approve"));
    check_resource_and_log(&collector, &site, &trace);
}

/// The spans of a withdrawal that goes as it should, each below the one that it is a part of.
fn has_its_shape(spans: &[&Span]) {
    let parts = [
        ("mint", "QrSession"),
        ("scan", "QrSession"),
        ("approve", "QrSession"),
        ("policy", "approve"),
        ("limits", "approve"),
        ("withdrawal", "QrSession"),
        (PLACE, "withdrawal"),
        ("dispense", "withdrawal"),
        ("outcome", "dispense"),
        (CONFIRM, "withdrawal"),
    ];
    for (child, parent) in parts {
        assert_eq!(named(spans, child).parent_span_id, named(spans, parent).span_id, "{child} in {parent}");
    }
    let names: BTreeSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    let expected: BTreeSet<&str> = parts.iter().map(|(child, _)| *child).chain(["QrSession", "journal"]).collect();
    assert_eq!(names, expected);
}

/// Every span has its parent in the trace, but for the first, whose parent is the ATM's.
fn is_connected(spans: &[&Span], touch: &str) {
    let ids: BTreeSet<String> = spans.iter().map(|span| hex(&span.span_id)).collect();
    for span in spans {
        let parent = hex(&span.parent_span_id);
        assert!(ids.contains(&parent) || (parent == touch && span.name == "QrSession"), "{span:?} hangs in the air");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    }
}

/// The app back end's call stays in the app back end's trace, linked both ways with what it led to.
fn check_the_callers_trace(spans: &[Span], approve: &Span) {
    let (trace, parent) = ids(APP);
    let of_app = of_trace(spans, &trace);
    let rpc = named(&of_app, "cashgate.customer.v1.CustomerService/Approve");
    assert_eq!((of_app.len(), hex(&rpc.parent_span_id)), (1, parent));
    assert_eq!(attribute(rpc, "rpc.system.name").as_deref(), Some("grpc"));
    let links = |span: &Span| span.links.iter().map(|link| hex(&link.span_id)).collect::<Vec<_>>();
    assert_eq!((links(rpc), links(approve)), (vec![hex(&approve.span_id)], vec![hex(&rpc.span_id)]));
}

fn check_resource_and_log(collector: &Collector, site: &Site, trace: &str) {
    assert!(collector.resources().contains("service.name=cashgate"), "{:?}", collector.resources());
    let log = site.log();
    let steps: Vec<&str> = log.lines().filter(|line| line.contains("\"message\":\"step\"")).collect();
    assert_eq!(steps.len(), 5);
    for line in steps {
        assert!(line.contains(&format!("\"trace_id\":\"{trace}\"")), "{line}");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told_though_nothing_is_sampled() {
    let collector = Collector::takes().await;
    let settings = [("timing.outcome_deadline_s", "1"), ("timing.dispense_within_s", "1")];
    let mut site = traced(&collector, 0, &settings).await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let good = phone.approve_at(&mut atm, 10_000).await;
    atm.pays_out().await;
    phone.watch_to_end(&good).await;
    // A refusal: the caller's trace, and with it the one at the machine.
    let shown = atm.shows_code().await;
    phone.scan(&shown.qr_text).await.unwrap();
    let mut wrong = phone.approval(&shown.qr_text, &yen(10_000));
    wrong.signature = vec![0x30, 0];
    phone.bank.approve(wrong).await.unwrap_err();
    // A suspect: the machine never says what became of the notes.
    let approval = phone.approval(&shown.qr_text, &yen(10_000));
    let suspect = phone.bank.approve(approval).await.unwrap().into_inner().withdrawal_id;
    atm.is_commanded().await;
    eventually("the withdrawal is a suspect", async || {
        (crate::harness::withdrawal_state(&site, &suspect) == "suspect").then_some(())
    })
    .await;
    site.ask_to_stop();
    site.ended().await;

    let spans = collector.spans();
    let is_about = |span: &Span, id: &str| attribute(span, "cashgate.withdrawal.id").as_deref() == Some(id);
    assert!(!spans.iter().any(|span| is_about(span, &good)), "what went well is not told");
    let refused = spans.iter().find(|span| span.name.ends_with("/Approve")).expect("the refused rpc is told");
    assert_eq!(attribute(refused, "cashgate.kept_for").as_deref(), Some("refusal"));
    let whole = spans.iter().find(|span| is_about(span, &suspect)).expect("the suspect is told");
    assert_eq!(attribute(whole, "cashgate.kept_for").as_deref(), Some("suspect"));
    let trace = hex(&whole.trace_id);
    let names: BTreeSet<&str> = of_trace(&spans, &trace).iter().map(|span| span.name.as_str()).collect();
    for held_back in ["mint", "scan", "approve", "journal", "dispense"] {
        assert!(names.contains(held_back), "what ended before it went wrong is told too: {names:?}");
    }
    assert!(site.log().contains("a withdrawal needs a person"));
}

#[tokio::test]
async fn a_collector_that_hangs_costs_spans_and_nothing_else() {
    let collector = Collector::hangs().await;
    let mut site = traced(&collector, 1_000, &[("telemetry.queue_spans", "8")]).await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    // Ten spans and more each, and the collector keeps each batch for seconds.
    eventually("spans are dropped before the queue and behind it, and customers do not notice", async || {
        let withdrawal_id = phone.approve_at(&mut atm, 1_000).await;
        atm.pays_out().await;
        phone.watch_to_end(&withdrawal_id).await;
        tokio::time::sleep(Duration::from_millis(200)).await; // the account may draw only so often
        let full = site.metric("cashgate_spans_total", &[("fate", "dropped_queue_full")]).await;
        let failed = site.metric("cashgate_spans_total", &[("fate", "dropped_export_failed")]).await;
        (full > 0 && failed > 0).then_some(())
    })
    .await;
    assert_eq!(site.metric("cashgate_spans_total", &[("fate", "exported")]).await, 0);
    site.ask_to_stop();
    assert_eq!(site.ended().await.code(), Some(0), "it stops in good order");
    assert_eq!(site.log().matches("the collector does not take spans").count(), 1, "said once");
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_spans_and_nothing_else() {
    let mut site = Site::folder_only().await;
    site.set("telemetry.endpoint", "http://127.0.0.1:9");
    site.set("telemetry.sampled_of_1000", "1000");
    site.serve().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, 10_000).await;
    atm.pays_out().await;
    phone.watch_to_end(&withdrawal_id).await;
    eventually("spans are dropped and counted", async || {
        (site.metric("cashgate_spans_total", &[("fate", "dropped_export_failed")]).await > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_telemetry_nobody_is_told_anything() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let touch = Message::StartQrSession(StartQrSession::default());
    atm.says_raw(AtmMessage { message: Some(touch), traceparent: TOUCH.to_owned() }).await;
    atm.shows_next_code().await;
    assert_eq!(atm.traceparent(), "");
    assert!(!site.log().contains("trace_id"));
    assert_eq!(site.metric("cashgate_spans_total", &[]).await, 0);
}

#[tokio::test]
async fn what_a_restart_brings_back_begins_a_trace_of_its_own() {
    let collector = Collector::takes().await;
    let mut site = traced(&collector, 1_000, &[]).await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, 10_000).await;
    let command = atm.is_commanded().await;
    site.kill();
    site.serve().await;
    let mut unresolved = hello();
    unresolved.unresolved = vec![report_dispensed(&command)];
    let _atm = Atm::connect_saying(&site, "A1", unresolved).await;
    let is_it = |span: &&Span| attribute(span, "cashgate.withdrawal.id").as_deref() == Some(&withdrawal_id);
    let spans = collector.has("the end is told", |spans| spans.iter().any(|span| is_it(&span))).await;
    let whole = spans.iter().find(is_it).unwrap();
    assert_eq!((whole.name.as_str(), hex(&whole.parent_span_id)), ("withdrawal", String::new()));
    let confirm = named(&of_trace(&spans, &hex(&whole.trace_id)), CONFIRM);
    assert_eq!(confirm.parent_span_id, whole.span_id);
    let steps: Vec<&str> = whole.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(steps, ["outcome_reported", "hold_confirmed"]);
}

#[tokio::test]
async fn a_collector_over_tls_gets_the_gateways_own_certificate() {
    let mut site = Site::folder_only().await;
    let collector = Collector::takes_over_tls(&site).await;
    site.set("telemetry.endpoint", &collector.tls_endpoint());
    site.set("telemetry.sampled_of_1000", "1000");
    site.serve().await;
    let mut atm = Atm::connect(&site, "A1").await;
    atm.shows_code().await;
    collector.has("a code was made", |spans| spans.iter().any(|span| span.name == "mint")).await;
}

/// Has the gateway tell something until the collector hears it with this certificate.
async fn is_told_with(site: &Site, collector: &Collector, certificate: &Path) {
    let (_, pem) = x509_parser::pem::parse_x509_pem(&fs::read(certificate).unwrap()).unwrap();
    let mut operator = OperationsServiceClient::new(site.channel(Port::Api, "operator/dev").await);
    eventually("it is told with this certificate", async || {
        operator.list_atms(ListAtmsRequest {}).await.unwrap();
        (collector.sender().as_ref() == Some(&pem.contents)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_files_towards_a_collector_are_replaced_without_a_restart() {
    let mut site = Site::folder_only().await;
    let collector = Collector::takes_over_tls(&site).await;
    let authority = site.path("collector-ca.pem");
    fs::copy(site.path("ca.pem"), &authority).unwrap();
    for (key, value) in
        [("endpoint", collector.tls_endpoint().as_str()), ("sampled_of_1000", "1000"), ("ca", "collector-ca.pem")]
    {
        site.set(&format!("telemetry.{key}"), value);
    }
    site.serve().await;
    let old = site.path("old.pem");
    fs::copy(site.path("gateway.pem"), &old).unwrap();
    is_told_with(&site, &collector, &old).await;

    // Half replaced: what could be used last goes on, on new connections too.
    let new = site.certificate("corebank/sakura").display().to_string();
    fs::copy(format!("{new}.pem"), site.path("gateway.pem")).unwrap();
    has_logged(&site, "the TLS files towards the collector cannot be used").await;
    let before = collector.requests();
    eventually("it is still told", async || (collector.requests() > before).then_some(())).await;
    is_told_with(&site, &collector, &old).await;
    fs::copy(format!("{new}-key.pem"), site.path("gateway-key.pem")).unwrap();
    is_told_with(&site, &collector, &site.path("gateway.pem")).await;

    // A collector of an authority that is not in the file any more is told nothing.
    certificates::replace_by_one_of_another_authority(
        &authority,
        &site.path("unused-key.pem"),
        "spiffe://other/gateway",
    );
    has_logged(&site, "the collector does not take spans").await;
    fs::copy(site.path("ca.pem"), &authority).unwrap();
    has_logged(&site, "the collector takes spans again").await;
}

/// Has the gateway tell something until it logs this.
async fn has_logged(site: &Site, words: &str) {
    let mut operator = OperationsServiceClient::new(site.channel(Port::Api, "operator/dev").await);
    eventually(words, async || {
        operator.list_atms(ListAtmsRequest {}).await.unwrap();
        site.log().contains(words).then_some(())
    })
    .await;
}
