//! Phones: how old they count, what locks them, and what ends with them.

use std::num::NonZeroUsize;

use cashgate_wire::proto::atm::v1::EnterConfirmCode;
use cashgate_wire::proto::atm::v1::atm_message::Message;
use cashgate_wire::proto::customer::v1::{RegisterDeviceRequest, RevokeDeviceRequest};
use cashgate_wire::proto::events::v1::notice::Notice as What;
use cashgate_wire::proto::operations::v1::operations_service_client::OperationsServiceClient;
use cashgate_wire::proto::operations::v1::{GetDeviceRequest, GetDeviceResponse, ReleaseDeviceRequest};
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;

use crate::harness::{Atm, Heard, HoldScript, Phone, Port, Site, eventually, in_words, notices, yen};

async fn device(site: &Site, device_id: &str) -> GetDeviceResponse {
    let mut operator = OperationsServiceClient::new(site.channel(Port::Api, "operator/dev").await);
    let request = GetDeviceRequest { institution_id: "sakura".to_owned(), device_id: device_id.to_owned() };
    operator.get_device(request).await.unwrap().into_inner()
}

/// Fails so often in the phone's name with a signature over another amount, each time at a fresh code.
async fn fails(site: &Site, phone: &mut Phone, times: NonZeroUsize) {
    for number in 0..times.get() {
        let mut atm = Atm::connect(site, &format!("F{number}")).await;
        let shown = atm.shows_code().await;
        phone.scan(&shown.qr_text).await.unwrap();
        let mut approval = phone.approval(&shown.qr_text, &yen(10_000));
        approval.signature = phone.signature(&shown.qr_text, &phone.account_id, &yen(20_000));
        let refused = phone.bank.approve(approval).await.unwrap_err();
        assert_eq!(in_words(&refused), "PermissionDenied NOT_ALLOWED");
    }
}

const FOUR: NonZeroUsize = NonZeroUsize::new(4).unwrap();
const ONE: NonZeroUsize = NonZeroUsize::new(1).unwrap();

#[tokio::test]
async fn five_failures_in_a_row_lock_a_phone_until_its_institution_releases_it() {
    let mut site = Site::ready().await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    fails(&site, &mut phone, FOUR).await;
    // Failures are counted over a restart.
    site.kill();
    site.serve().await;
    phone.reconnect(&site).await;
    assert_eq!(device(&site, "phone-1").await.failed_attempts, 4);
    fails(&site, &mut phone, ONE).await;
    let locked = device(&site, "phone-1").await;
    assert!(locked.failed_attempts == 5 && locked.locked_at_unix_ms > 0, "{locked:?}");

    let mut atm = Atm::connect(&site, "A1").await;
    let shown = atm.shows_code().await;
    let refused = phone.scan(&shown.qr_text).await.unwrap_err();
    assert_eq!(in_words(&refused), "PermissionDenied NOT_ALLOWED", "which looks like any other refusal");
    assert_eq!(site.metric("cashgate_refused_total", &[("factor", "device_locked")]).await, 1, "but to operators");
    // So is the lock.
    site.kill();
    site.serve().await;
    phone.reconnect(&site).await;
    let mut atm = Atm::connect(&site, "A1").await;
    let shown = atm.shows_code().await;
    assert!(phone.scan(&shown.qr_text).await.is_err());

    let mut bank = OperationsServiceClient::new(site.channel(Port::Api, "institution/sakura").await);
    let reason = "she came to the branch".to_owned();
    let of = |institution: &str| ReleaseDeviceRequest {
        institution_id: institution.to_owned(),
        device_id: "phone-1".to_owned(),
        reason: reason.clone(),
    };
    assert_eq!(in_words(&bank.release_device(of("fuji")).await.unwrap_err()), "NotFound DEVICE_UNKNOWN");
    bank.release_device(of("")).await.unwrap();
    phone.scan(&shown.qr_text).await.unwrap();
    let approval = phone.approval(&shown.qr_text, &yen(10_000));
    let id = phone.bank.approve(approval).await.unwrap().into_inner().withdrawal_id;
    atm.pays_out().await;
    assert_eq!(phone.watch_to_end(&id).await.last(), Some(&WithdrawalState::Confirmed));
    let kinds: Vec<&str> = notices(&site, "operator/dev").await.iter().map(kind).collect();
    let refused = kinds.iter().filter(|kind| **kind == "refused").count();
    assert_eq!(refused, 7, "five that failed, and two scans of a locked phone: {kinds:?}");
    assert!(kinds.contains(&"locked") && kinds.contains(&"released"), "{kinds:?}");
}

fn kind(notice: &cashgate_wire::proto::events::v1::Notice) -> &'static str {
    match notice.notice.as_ref().unwrap() {
        What::DeviceRegistered(_) => "registered",
        What::DeviceRevoked(_) => "revoked",
        What::DeviceLocked(_) => "locked",
        What::DeviceReleased(_) => "released",
        What::ApprovalRefused(_) => "refused",
        What::Stopped(_) => "stopped",
        What::Released(_) => "stop released",
        What::Alarm(_) => "alarm",
        What::RulesPublished(_) => "rules published",
    }
}

/// An old photograph and somebody's id are no failures of that somebody.
#[tokio::test]
async fn nobody_locks_a_phone_that_has_not_scanned() {
    let site = Site::ready().await;
    let victim = Phone::registered(&site, "phone-1", "acct-1").await;
    let mut thief = Phone::registered(&site, "phone-2", "acct-2").await;
    let mut atm = Atm::connect(&site, "A1").await;
    let shown = atm.shows_code().await;
    thief.scan(&shown.qr_text).await.unwrap();
    for _ in 0..6 {
        let mut approval = victim.approval(&shown.qr_text, &yen(10_000));
        approval.signature = thief.signature(&shown.qr_text, "acct-2", &yen(10_000));
        let refused = thief.bank.approve(approval).await.unwrap_err();
        assert_eq!(in_words(&refused), "PermissionDenied NOT_ALLOWED");
    }
    let known = device(&site, "phone-1").await;
    assert_eq!((known.failed_attempts, known.locked_at_unix_ms), (0, 0));
    let approval = thief.approval(&shown.qr_text, &yen(10_000));
    thief.bank.approve(approval).await.expect("the QR session is the other's, and goes on");
}

/// Codes that are typed wrongly at several machines count together, and the fifth locks.
#[tokio::test]
async fn a_phone_that_is_locked_cannot_go_on_with_what_it_has_begun() {
    let site = Site::ready().await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    fails(&site, &mut phone, FOUR).await;
    let mut atm = Atm::connect(&site, "A1").await;
    let shown = atm.shows_code().await;
    phone.scan(&shown.qr_text).await.unwrap();
    let approval = phone.approval(&shown.qr_text, &yen(40_000));
    let approved = phone.bank.approve(approval).await.unwrap().into_inner();
    let wrong = if approved.confirm_code == "0000" { "1111" } else { "0000" };
    let id = approved.withdrawal_id;
    let mut typed = [wrong, &approved.confirm_code].into_iter();
    loop {
        match atm.hears().await {
            Heard::AskConfirmCode(_) => {
                let code = typed.next().expect("at most two codes are asked for").to_owned();
                atm.says(Message::EnterConfirmCode(EnterConfirmCode { withdrawal_id: id.clone(), code })).await;
            }
            Heard::QrSessionEnded(_) => break,
            Heard::Dispense(command) => panic!("a locked phone is paid: {command:?}"),
            _ => {}
        }
    }
    assert_eq!(phone.watch_to_end(&id).await.last(), Some(&WithdrawalState::Reversed));
}

#[tokio::test]
async fn of_what_is_told_twice_the_stricter_holds() {
    let site = Site::ready().await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let before = device(&site, "phone-1").await;
    let later = before.registered_at_unix_ms + 200_000;
    let again = RegisterDeviceRequest { bound_at_unix_ms: later, attestation: 2, ..phone.registration() };
    phone.bank.register_device(again).await.unwrap();
    phone.bank.register_device(RegisterDeviceRequest { attestation: 1, ..phone.registration() }).await.unwrap();
    let after = device(&site, "phone-1").await;
    assert_eq!((after.age_since_unix_ms, after.attestation.as_str()), (later, "failed"));
}

#[tokio::test]
async fn cash_that_left_proves_the_customer_and_failures_start_anew() {
    let site = Site::ready().await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    fails(&site, &mut phone, FOUR).await;
    let mut atm = Atm::connect(&site, "A1").await;
    phone.approve_at(&mut atm, 10_000).await;
    atm.pays_out().await;
    let forgotten = async || (device(&site, "phone-1").await.failed_attempts == 0).then_some(());
    eventually("the failures are forgotten", forgotten).await;
}

#[tokio::test]
async fn three_wrong_signatures_end_the_qr_session() {
    let site = Site::ready().await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let mut atm = Atm::connect(&site, "A1").await;
    let shown = atm.shows_code().await;
    phone.scan(&shown.qr_text).await.unwrap();
    assert!(matches!(atm.hears().await, Heard::QrClaimed(_)));
    for _ in 0..3 {
        let mut approval = phone.approval(&shown.qr_text, &yen(10_000));
        approval.signature = phone.signature(&shown.qr_text, "acct-2", &yen(10_000));
        assert_eq!(in_words(&phone.bank.approve(approval).await.unwrap_err()), "PermissionDenied NOT_ALLOWED");
    }
    assert!(matches!(atm.hears().await, Heard::QrSessionEnded(_)));
    let approval = phone.approval(&shown.qr_text, &yen(10_000));
    assert_eq!(in_words(&phone.bank.approve(approval).await.unwrap_err()), "FailedPrecondition QR_SESSION_ENDED");
}

/// The other key of a phone that has been known for long.
async fn changes_key(site: &Site, phone: &mut Phone) -> Phone {
    let other = Phone::unknown(site, "sakura", &phone.device_id, &phone.account_id).await;
    phone.bank.register_device(other.registration()).await.unwrap();
    other
}

#[tokio::test]
async fn another_key_starts_the_age_anew_and_ends_what_the_old_one_began() {
    let site = Site::ready().await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let before = device(&site, "phone-1").await;
    assert!(before.age_since_unix_ms >= before.registered_at_unix_ms, "the gateway believes its own clock: {before:?}");
    let (mut claimed, mut held) = (Atm::connect(&site, "A1").await, Atm::connect(&site, "A2").await);
    let shown = claimed.shows_code().await;
    phone.scan(&shown.qr_text).await.unwrap();
    assert!(matches!(claimed.hears().await, Heard::QrClaimed(_)));
    site.core_bank.is_to(HoldScript::Silence);
    let id = phone.approve_at(&mut held, 10_000).await;

    let mut other = changes_key(&site, &mut phone).await;
    assert!(matches!(claimed.hears().await, Heard::QrSessionEnded(_)));
    assert_eq!(other.watch_to_end(&id).await.last(), Some(&WithdrawalState::Reversed));
    let after = device(&site, "phone-1").await;
    assert_eq!(after.registered_at_unix_ms, before.registered_at_unix_ms);
    assert!(after.age_since_unix_ms > before.age_since_unix_ms, "{before:?} {after:?}");
    // The old key is worth nothing, the new one is.
    let shown = claimed.shows_code().await;
    other.scan(&shown.qr_text).await.unwrap();
    let by_old = phone.approval(&shown.qr_text, &yen(10_000));
    assert_eq!(in_words(&phone.bank.approve(by_old).await.unwrap_err()), "PermissionDenied NOT_ALLOWED");
    let by_new = other.approval(&shown.qr_text, &yen(10_000));
    other.bank.approve(by_new).await.unwrap();
    let told = notices(&site, "operator/dev").await;
    let changed = |notice: &&_| matches!(notice, What::DeviceRegistered(registered) if registered.key_changed);
    assert_eq!(told.iter().filter_map(|notice| notice.notice.as_ref()).filter(changed).count(), 1);
}

#[tokio::test]
async fn a_revoked_phone_loses_what_it_has_begun() {
    let site = Site::ready().await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let mut atm = Atm::connect(&site, "A1").await;
    let shown = atm.shows_code().await;
    phone.scan(&shown.qr_text).await.unwrap();
    assert!(matches!(atm.hears().await, Heard::QrClaimed(_)));
    phone.bank.revoke_device(RevokeDeviceRequest { device_id: "phone-1".to_owned() }).await.unwrap();
    assert!(matches!(atm.hears().await, Heard::QrSessionEnded(_)));
    let approval = phone.approval(&shown.qr_text, &yen(10_000));
    assert_eq!(in_words(&phone.bank.approve(approval).await.unwrap_err()), "PermissionDenied NOT_ALLOWED");
}

/// As institutions have it who say nothing of new phones.
async fn with_usual_tiers() -> Site {
    let mut site = Site::folder_only().await;
    site.edit_configuration(|text| {
        text.lines().filter(|line| !line.starts_with("new_device")).map(|line| format!("{line}\n")).collect()
    });
    site.serve().await;
    site
}

#[tokio::test]
async fn a_new_phone_draws_nothing_and_its_institution_hears_that_it_tried() {
    let site = with_usual_tiers().await;
    // Bound long ago, says the bank; but the gateway has never seen it.
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let mut atm = Atm::connect(&site, "A1").await;
    let shown = atm.shows_code().await;
    assert_eq!(phone.scan(&shown.qr_text).await.unwrap().amount_max, Some(yen(0)));
    let approval = phone.approval(&shown.qr_text, &yen(10_000));
    assert_eq!(in_words(&phone.bank.approve(approval).await.unwrap_err()), "ResourceExhausted LIMIT_EXCEEDED");
    assert_eq!(site.metric("cashgate_refused_total", &[("factor", "new_device_wait")]).await, 1);
    // Nobody waits for it to be on disk.
    let refused = eventually("the refusal is told", async || {
        let told = notices(&site, "operator/dev").await;
        told.into_iter().find_map(|notice| match notice.notice? {
            What::ApprovalRefused(refused) => Some(refused),
            _ => None,
        })
    })
    .await;
    assert_eq!(
        (refused.device_id.as_str(), refused.reasons.as_slice()),
        ("phone-1", &["new_device_wait".to_owned()][..])
    );
    assert!(refused.facts.contains("phone-1") && !refused.policy_version.is_empty(), "{refused:?}");
}

#[tokio::test]
async fn a_registration_says_only_what_has_a_meaning() {
    let site = Site::ready().await;
    let mut phone = Phone::unknown(&site, "sakura", "phone-1", "acct-1").await;
    for (request, field) in [
        (
            RegisterDeviceRequest { activation_channel: "by post".to_owned(), ..phone.registration() },
            "activation_channel",
        ),
        (RegisterDeviceRequest { attestation: 9, ..phone.registration() }, "attestation"),
    ] {
        let refused = phone.bank.register_device(request).await.unwrap_err();
        assert_eq!(in_words(&refused), format!("InvalidArgument FIELD_INVALID {field}"));
    }
    let request = RegisterDeviceRequest { attestation: 1, ..phone.registration() };
    phone.bank.register_device(request).await.unwrap();
    let known = device(&site, "phone-1").await;
    assert_eq!((known.activation_channel.as_str(), known.attestation.as_str()), ("branch", "passed"));
}
