//! Scan.

use cashgate_wire::proto::customer::v1::ScanRequest;
use tonic::Code;

use crate::harness::{Atm, Heard, Phone, Refusals, Site};

#[tokio::test]
async fn fields_that_have_no_meaning() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let code = atm.shows_code().await.qr_text;
    let changed = |change: &dyn Fn(&mut ScanRequest)| {
        let mut request = phone.scan_request(&code);
        change(&mut request);
        request
    };
    let rows = [
        ("no code", changed(&|scan| scan.qr_text = String::new()), "qr_text"),
        ("a code of 767 characters", changed(&|scan| scan.qr_text.push_str(&"A".repeat(767))), "qr_text"),
        ("no device", changed(&|scan| scan.device_id = String::new()), "device_id"),
        ("a device id of 65 characters", changed(&|scan| scan.device_id = "d".repeat(65)), "device_id"),
        ("a device id with a slash", changed(&|scan| scan.device_id = "a/b".into()), "device_id"),
        ("no account", changed(&|scan| scan.account_id = String::new()), "account_id"),
        ("an account id of 65 characters", changed(&|scan| scan.account_id = "a".repeat(65)), "account_id"),
        ("an account id that is not ASCII", changed(&|scan| scan.account_id = "口座".into()), "account_id"),
    ];
    let mut refused = Refusals::of(&site, "Scan").await;
    for (what, request, field) in rows {
        let expected = format!("InvalidArgument FIELD_INVALID {field}");
        refused.row(what, phone.bank.scan(request).await, &expected).await;
    }
    refused.done();
    let too_long = ScanRequest { qr_text: "A".repeat(17 * 1024), ..phone.scan_request(&code) };
    assert_eq!(phone.bank.scan(too_long).await.unwrap_err().code(), Code::OutOfRange);
    phone.scan(&code).await.expect("the code has not been claimed by any of these");
}

#[tokio::test]
async fn phones_that_may_not_scan_claim_nothing() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let mut revoked = Phone::registered(&site, "phone-2", "acct-1").await;
    let mut unknown = Phone::unknown(&site, "sakura", "phone-3", "acct-1").await;
    let mut of_no_bank = Phone::unknown(&site, "ghost", "phone-1", "acct-1").await;
    let revocation = cashgate_wire::proto::customer::v1::RevokeDeviceRequest { device_id: "phone-2".into() };
    revoked.bank.revoke_device(revocation).await.unwrap();
    let code = atm.shows_code().await.qr_text;

    let mut refused = Refusals::of(&site, "Scan").await;
    for (what, phone) in
        [("a revoked phone", &mut revoked), ("an unknown phone", &mut unknown), ("no bank", &mut of_no_bank)]
    {
        let request = phone.scan_request(&code);
        refused.row(what, phone.bank.scan(request).await, "PermissionDenied NOT_ALLOWED").await;
    }
    refused.done();
    let first = phone.scan(&code).await.expect("the code has not been claimed by any of these");
    assert_eq!(phone.scan(&code).await.unwrap(), first, "scanning twice with one device gives the same answer");
    assert!(matches!(atm.hears().await, Heard::QrClaimed(_)));
}

#[tokio::test]
async fn a_code_that_was_claimed_or_used_is_not_for_others() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let mut late = Phone::registered(&site, "phone-2", "acct-2").await;
    let code = atm.shows_code().await.qr_text;
    phone.scan(&code).await.unwrap();

    let mut refused = Refusals::of(&site, "Scan").await;
    let claimed = "FailedPrecondition QR_TOKEN_CLAIMED";
    let request = late.scan_request(&code);
    refused.row("after another phone", late.bank.scan(request).await, claimed).await;
    refused.done();
    let approval = phone.approval(&code, &crate::harness::yen(10_000));
    phone.bank.approve(approval).await.unwrap();
    let command = atm.pays_out().await;
    phone.watch_to_end(&command.withdrawal_id).await;

    let mut refused = Refusals::of(&site, "Scan").await;
    for (what, phone) in [("its own phone again", &mut phone), ("another phone", &mut late)] {
        let request = phone.scan_request(&code);
        refused.row(what, phone.bank.scan(request).await, "FailedPrecondition QR_SESSION_ENDED").await;
    }
    refused.done();
}
