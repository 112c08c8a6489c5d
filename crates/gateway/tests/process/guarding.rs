//! Certificates that are revoked or replaced while the gateway runs, and peers that take too much. The attacks themselves are `crates/siege`.

use std::convert::Infallible;
use std::fs;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use cashgate_wire::proto::operations::v1::ListAtmsRequest;
use cashgate_wire::proto::operations::v1::operations_service_client::OperationsServiceClient;
use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::{Bytes, Service, http};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::harness::certificates::reloads;
use crate::harness::{Atm, Heard, Port, Site, eventually, in_time, in_words};

/// A list of the site's own authority that revokes these peers' certificates.
fn revoke(site: &Site, peers: &[&str]) {
    let read = |file: &str| fs::read_to_string(site.path(file)).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), KeyPair::from_pem(&read("ca-key.pem")).unwrap()).unwrap();
    let serial = |peer: &&str| {
        let file = format!("{}.pem", site.certificate(peer).display());
        let (_, pem) = x509_parser::pem::parse_x509_pem(&fs::read(file).unwrap()).unwrap();
        pem.parse_x509().unwrap().raw_serial().to_vec()
    };
    let revoked = |serial: Vec<u8>| RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2090, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: peers.iter().map(serial).map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    // As one should: written beside it, then moved, so that nobody reads half of it.
    fs::write(site.path("crl.new"), list.signed_by(&issuer).unwrap().pem().unwrap()).unwrap();
    fs::rename(site.path("crl.new"), site.path("crl.pem")).unwrap();
}

async fn with_list() -> Site {
    let mut site = Site::folder_only().await;
    revoke(&site, &[]);
    site.edit_configuration(|text| {
        text.replace("ca = \"ca.pem\"", "ca = \"ca.pem\"\ncrl = \"crl.pem\"\ncheck_every_s = 1")
    });
    site.serve().await;
    site
}

#[tokio::test]
async fn a_revoked_atm_is_cut_off_and_not_let_in_again_and_others_do_not_notice() {
    let site = with_list().await;
    let mut stolen = Atm::connect(&site, "A1").await;
    let mut honest = Atm::connect(&site, "A2").await;
    revoke(&site, &["atm/A1"]);
    let gone = stolen.hears_or_ends().await;
    assert!(gone.is_err(), "its connection is closed: {gone:?}");
    assert_eq!(site.metric("cashgate_connections_cut_total", &[("reason", "revoked")]).await, 1);
    let stem = site.certificate("atm/A1");
    let read = |suffix| fs::read(format!("{}{suffix}", stem.display())).unwrap();
    let identity = tonic::transport::Identity::from_pem(read(".pem"), read("-key.pem"));
    let mut again = None;
    if let Ok(channel) = site.try_channel(Port::Atm, Some(identity)).await {
        // With TLS 1.3 the client believes that it is in until it hears otherwise.
        again = OperationsServiceClient::new(channel).list_atms(ListAtmsRequest {}).await.ok();
    }
    assert!(again.is_none(), "it does not come in again");
    honest.shows_code().await;
    reloads(&site, "taken", 1).await;
}

#[tokio::test]
async fn a_list_that_nobody_could_pass_is_not_taken_and_the_old_one_goes_on() {
    let site = with_list().await;
    let mut atm = Atm::connect(&site, "A1").await;
    fs::write(site.path("crl.pem"), "nothing").unwrap();
    reloads(&site, "refused", 1).await;
    assert!(site.log().contains("holds no revocation list"), "and the log says why");
    atm.shows_code().await;
    Atm::connect(&site, "A2").await;
    revoke(&site, &["atm/A1"]);
    reloads(&site, "taken", 1).await;
    // Codes that were on their way may come first.
    in_time("the machine is cut off", async { while let Ok(Some(_)) = atm.hears_or_ends().await {} }).await;
    assert_eq!(site.metric("cashgate_connections_cut_total", &[("reason", "revoked")]).await, 1);
}

#[tokio::test]
async fn the_gateways_own_certificate_is_replaced_without_a_restart() {
    let site = with_list().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let before = fs::read(site.path("gateway.pem")).unwrap();
    for file in ["gateway.pem", "gateway-key.pem"] {
        fs::remove_file(site.path(file)).unwrap();
    }
    // The same authority makes another one.
    let other = site.certificate("corebank/sakura");
    for (suffix, to) in [(".pem", "gateway.pem"), ("-key.pem", "gateway-key.pem")] {
        fs::copy(format!("{}{suffix}", other.display()), site.path(to)).unwrap();
    }
    assert_ne!(before, fs::read(site.path("gateway.pem")).unwrap());
    reloads(&site, "taken", 1).await;
    atm.shows_code().await;
    Atm::connect(&site, "A2").await;
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_when_to_go_on() {
    let site = Site::ready_with(&[("guard.requests_per_peer_s", "2")]).await;
    let mut operator = OperationsServiceClient::new(site.channel(Port::Api, "operator/dev").await);
    let refused =
        eventually("the operator asks too often", async || operator.list_atms(ListAtmsRequest {}).await.err()).await;
    assert_eq!(in_words(&refused), "ResourceExhausted TOO_FAST");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let mut other = OperationsServiceClient::new(site.channel(Port::Api, "operator/other").await);
    assert!(other.list_atms(ListAtmsRequest {}).await.is_ok(), "others are not counted with it");
    assert!(site.metric("cashgate_requests_shed_total", &[("reason", "peer_too_fast")]).await > 0);
}

#[tokio::test]
async fn an_old_connection_ends_where_nothing_is_under_way() {
    let site = Site::ready_with(&[("guard.connection_age_s", "5")]).await;
    let mut operator = OperationsServiceClient::new(site.channel(Port::Api, "operator/dev").await);
    assert!(operator.list_atms(ListAtmsRequest {}).await.is_ok());
    let mut idle = Atm::connect(&site, "A1").await;
    assert!(matches!(idle.hears().await, Heard::Reconnect(_)), "it is asked, not cut");
    eventually("the operator's connection is closed", async || {
        (site.metric("cashgate_connections_cut_total", &[("port", "api"), ("reason", "aged")]).await > 0).then_some(())
    })
    .await;
    assert!(operator.list_atms(ListAtmsRequest {}).await.is_ok(), "and connects anew with its next request");
}

#[tokio::test]
async fn the_http_port_waits_for_nobody() {
    let site = Site::ready().await;
    let mut slow = TcpStream::connect(("127.0.0.1", site.http_port())).await.unwrap();
    slow.write_all(b"GET /readyz HTTP/1.1\r\nHost: ").await.unwrap();
    let mut heard = Vec::new();
    let ended = in_time("a head that never ends is not waited for", slow.read_to_end(&mut heard)).await;
    assert!(ended.is_err() || heard.is_empty() || heard.starts_with(b"HTTP/1.1 4"), "{heard:?}");
    let mut large = TcpStream::connect(("127.0.0.1", site.http_port())).await.unwrap();
    let _ = large.write_all(format!("GET /readyz HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024)).as_bytes()).await;
    let mut heard = Vec::new();
    let _ = in_time("a head that is too large is refused", large.read_to_end(&mut heard)).await;
    assert!(!heard.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&heard));
    assert_eq!(site.page("/readyz").await, "ready\n");
}

/// What a caller begins to say and never ends.
struct Unended;

impl http_body::Body for Unended {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn services_that_are_not_ours_have_bounds_too() {
    let site = Site::ready().await;
    let large = "x".repeat(20_000);
    for port in [Port::Atm, Port::Api] {
        let mut health = HealthClient::new(site.channel(port, "atm/A1").await);
        assert!(health.check(HealthCheckRequest { service: String::new() }).await.is_ok());
        let refused = health.check(HealthCheckRequest { service: large.clone() }).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "as large as messages of ours may be");

        let mut reflection = ServerReflectionClient::new(site.channel(port, "atm/A1").await);
        let mut answers = async |host: &str| {
            let services = Some(MessageRequest::ListServices(String::new()));
            let asked = ServerReflectionRequest { host: host.to_owned(), message_request: services };
            let mut answers = reflection.server_reflection_info(tokio_stream::iter([asked])).await?.into_inner();
            answers.message().await
        };
        assert!(matches!(answers("localhost").await, Ok(Some(_))));
        assert!(!matches!(answers(&large).await, Ok(Some(_))), "what is too large is not answered");
    }

    let mut channel = site.channel(Port::Atm, "atm/A1").await;
    let begun = http::Request::post("/grpc.health.v1.Health/Check").header("content-type", "application/grpc");
    let begun = begun.body(Body::new(Unended)).unwrap();
    let given_up = async {
        poll_fn(|cx| channel.poll_ready(cx)).await?;
        channel.call(begun).await
    };
    let given_up = in_time("a machine does not keep its connection by a call that it does not end", given_up).await;
    assert_eq!(given_up.unwrap().headers()["grpc-status"], (Code::Cancelled as i32).to_string().as_str());
}

#[tokio::test]
async fn the_log_says_why_somebody_was_not_let_in() {
    let site = Site::ready().await;
    if let Ok(channel) = site.try_channel(Port::Atm, None).await {
        let _ = HealthClient::new(channel).check(HealthCheckRequest { service: String::new() }).await;
    }
    let told = eventually("it is told", async || {
        let log = site.log();
        log.lines().find(|line| line.contains("a TLS handshake failed")).map(str::to_owned)
    })
    .await;
    assert!(told.contains("127.0.0.1:") && told.contains("certificate") && told.contains("\"port\":\"atm\""), "{told}");
}
