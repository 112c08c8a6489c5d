//! RegisterDevice and RevokeDevice.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use cashgate_wire::proto::customer::v1::{RegisterDeviceRequest, RevokeDeviceRequest};

use crate::harness::{Phone, Refusals, Site};

/// 2100-01-01T00:00:00Z.
const FUTURE_UNIX_MS: i64 = 4_102_444_800_000;

#[tokio::test]
async fn registrations_that_have_no_meaning() {
    let site = Site::ready().await;
    let mut phone = Phone::unknown(&site, "sakura", "phone-1", "acct-1").await;
    let changed = |change: &dyn Fn(&mut RegisterDeviceRequest)| {
        let mut request = phone.registration();
        change(&mut request);
        request
    };
    let off_the_curve = |request: &mut RegisterDeviceRequest| *request.public_key.last_mut().unwrap() ^= 1;
    let compressed = |request: &mut RegisterDeviceRequest| {
        request.public_key.truncate(59);
        request.public_key[26] = 2;
    };
    let rows = [
        ("no device id", changed(&|r| r.device_id = String::new()), "device_id"),
        ("a device id of 65 characters", changed(&|r| r.device_id = "d".repeat(65)), "device_id"),
        ("a device id with a blank", changed(&|r| r.device_id = "phone 1".into()), "device_id"),
        ("no key", changed(&|r| r.public_key = vec![]), "public_key"),
        ("a key of 257 bytes", changed(&|r| r.public_key = vec![0x30; 257]), "public_key"),
        ("a key that is no DER", changed(&|r| r.public_key = vec![0x5a; 91]), "public_key"),
        ("a point off the curve", changed(&off_the_curve), "public_key"),
        ("a compressed point", changed(&compressed), "public_key"),
        ("a bare point", changed(&|r| r.public_key = r.public_key[26..].to_vec()), "public_key"),
        ("a byte behind the key", changed(&|r| r.public_key.push(0)), "public_key"),
        ("a P-384 key", changed(&|r| r.public_key = p384_key()), "public_key"),
        ("bound before 1970", changed(&|r| r.bound_at_unix_ms = -1), "bound_at_unix_ms"),
        ("bound as early as can be", changed(&|r| r.bound_at_unix_ms = i64::MIN), "bound_at_unix_ms"),
        ("bound in the future", changed(&|r| r.bound_at_unix_ms = FUTURE_UNIX_MS), "bound_at_unix_ms"),
        ("bound as late as can be", changed(&|r| r.bound_at_unix_ms = i64::MAX), "bound_at_unix_ms"),
    ];
    let mut refused = Refusals::of(&site, "RegisterDevice").await;
    for (what, request, field) in rows {
        let expected = format!("InvalidArgument FIELD_INVALID {field}");
        refused.row(what, phone.bank.register_device(request).await, &expected).await;
    }
    let mut of_no_bank = Phone::unknown(&site, "ghost", "phone-1", "acct-1").await;
    let request = of_no_bank.registration();
    let expected = "PermissionDenied NOT_ALLOWED";
    refused.row("a bank that is not configured", of_no_bank.bank.register_device(request).await, expected).await;
    refused.done();
}

fn p384_key() -> Vec<u8> {
    let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    key.public_key().as_der().unwrap().as_ref().to_vec()
}

#[tokio::test]
async fn a_device_keeps_its_end() {
    let site = Site::ready().await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    phone.bank.register_device(phone.registration()).await.expect("the same again is accepted");
    let other_key = Phone::unknown(&site, "sakura", "phone-1", "acct-1").await.registration();
    let mut elsewhere = Phone::registered_at(&site, "fuji", "phone-1", "acct-1").await;

    phone.bank.register_device(other_key.clone()).await.expect("its institution gives it another key");
    let revocation = RevokeDeviceRequest { device_id: "phone-1".into() };
    phone.bank.revoke_device(revocation.clone()).await.unwrap();
    phone.bank.revoke_device(revocation).await.expect("revoking twice is accepted");
    let mut refused = Refusals::of(&site, "RegisterDevice").await;
    for (what, request) in [("its own key", phone.registration()), ("another key", other_key)] {
        let again = phone.bank.register_device(request).await;
        refused.row(what, again, "FailedPrecondition DEVICE_REVOKED").await;
    }
    refused.done();
    elsewhere.bank.register_device(elsewhere.registration()).await.expect("fuji's phone-1 is another phone");
}

#[tokio::test]
async fn only_a_known_device_of_ones_own_can_be_revoked() {
    let site = Site::ready().await;
    let mut sakura = Phone::registered(&site, "phone-1", "acct-1").await;
    let mut fuji = Phone::registered_at(&site, "fuji", "phone-2", "acct-1").await;
    let mut refused = Refusals::of(&site, "RevokeDevice").await;
    let invalid = "InvalidArgument FIELD_INVALID device_id";
    let rows = [
        ("no id", String::new(), invalid),
        ("65 characters", "d".repeat(65), invalid),
        ("a slash", "a/b".to_owned(), invalid),
        ("nobody's", "phone-9".to_owned(), "NotFound DEVICE_UNKNOWN"),
        ("another bank's", "phone-2".to_owned(), "NotFound DEVICE_UNKNOWN"),
    ];
    for (what, device_id, expected) in rows {
        refused.row(what, sakura.bank.revoke_device(RevokeDeviceRequest { device_id }).await, expected).await;
    }
    refused.done();
    fuji.bank.register_device(fuji.registration()).await.expect("fuji's phone has not been revoked");
}
