//! Approve.

use cashgate_wire::proto::atm::v1::{Cassette, Hello};
use cashgate_wire::proto::customer::v1::{ApproveRequest, PinBlock};
use cashgate_wire::proto::withdrawal::v1::Money;
use tonic::{Code, Response};

use crate::harness::{Atm, Heard, Phone, Refusals, Site, eventually, hello, in_words, raw_signature, yen};

const ALL_THE_DAY: i64 = 200_000;

/// A customer who has scanned, and another ATM to read the account's headroom at.
struct Scene {
    atm: Atm,
    idle: Atm,
    phone: Phone,
    code: String,
}

impl Scene {
    async fn scanned(site: &Site) -> Self {
        let mut atm = Atm::connect(site, "A1").await;
        let idle = Atm::connect(site, "IDLE").await;
        let mut phone = Phone::registered(site, "phone-1", "acct-1").await;
        let code = atm.shows_code().await.qr_text;
        phone.scan(&code).await.unwrap();
        Self { atm, idle, phone, code }
    }

    fn approval_of(&self, amount: Money) -> ApproveRequest {
        self.phone.approval(&self.code, &amount)
    }

    /// A good approval with something changed after it was signed.
    fn changed(&self, change: impl FnOnce(&mut ApproveRequest)) -> ApproveRequest {
        let mut approval = self.approval_of(yen(10_000));
        change(&mut approval);
        approval
    }

    /// Nothing is reserved, and the good approval is still accepted.
    async fn ends_unharmed(mut self) {
        assert_eq!(self.phone.headroom(&mut self.idle).await, ALL_THE_DAY, "something stayed reserved");
        let approval = self.approval_of(yen(10_000));
        self.phone.bank.approve(approval).await.expect("the good approval, after all the bad ones");
        assert_eq!(self.atm.pays_out().await.amount, Some(yen(10_000)));
    }
}

#[tokio::test]
async fn amounts_that_are_none_or_cannot_be_paid_out() {
    let site = Site::ready().await;
    let mut scene = Scene::scanned(&site).await;
    let mut refused = Refusals::of(&site, "Approve").await;
    let money = |minor_units, currency: &str| Money { minor_units, currency: currency.to_owned() };
    let no_amount = "InvalidArgument FIELD_INVALID amount";
    let rows = [
        ("zero", yen(0), no_amount),
        ("below zero", yen(-1), no_amount),
        ("as far below zero as can be", yen(i64::MIN), no_amount),
        ("more than any amount", yen(1_000_000_000_001), no_amount),
        ("as much as can be", yen(i64::MAX), no_amount),
        ("no currency", money(10_000, ""), no_amount),
        ("a currency in small letters", money(10_000, "jpy"), no_amount),
        ("a currency of four letters", money(10_000, "JPYX"), no_amount),
        ("a currency that is not Latin", money(10_000, "円円円"), no_amount),
        ("a currency that the ATM does not hold", money(10_000, "EUR"), "FailedPrecondition CURRENCY_DIFFERS"),
        ("less than the smallest note", yen(1), "FailedPrecondition AMOUNT_NOT_DISPENSABLE"),
        ("between two notes", yen(1_500), "FailedPrecondition AMOUNT_NOT_DISPENSABLE"),
        ("more than the cassettes hold", yen(221_000), "FailedPrecondition AMOUNT_NOT_DISPENSABLE"),
        ("the largest amount there is", yen(1_000_000_000_000), "FailedPrecondition AMOUNT_NOT_DISPENSABLE"),
        ("more than the account's limits", yen(201_000), "ResourceExhausted LIMIT_EXCEEDED"),
    ];
    for (what, amount, expected) in rows {
        let approval = scene.approval_of(amount);
        refused.row(what, scene.phone.bank.approve(approval).await, expected).await;
    }
    let missing = scene.changed(|approval| approval.amount = None);
    refused.row("no amount at all", scene.phone.bank.approve(missing).await, no_amount).await;
    refused.done();
    scene.ends_unharmed().await;
}

#[tokio::test]
async fn a_machine_of_another_currency_pays_this_account_nothing() {
    let site = Site::ready().await;
    let ten_euro = Money { minor_units: 1_000, currency: "EUR".to_owned() };
    let cassettes = vec![Cassette { denomination: Some(ten_euro.clone()), count: 20 }];
    let mut euros = Atm::connect_saying(&site, "A1", Hello { cassettes, ..hello() }).await;
    let mut idle = Atm::connect(&site, "IDLE").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let code = euros.shows_code().await.qr_text;
    let offered = phone.scan(&code).await.unwrap().amount_max.unwrap();
    let mut refused = Refusals::of(&site, "Approve").await;
    for amount in [ten_euro, yen(1_000)] {
        let approval = phone.approval(&code, &amount);
        let answer = phone.bank.approve(approval).await;
        refused.row(&amount.currency, answer, "FailedPrecondition CURRENCY_DIFFERS").await;
    }
    refused.done();
    assert_eq!(phone.headroom(&mut idle).await, ALL_THE_DAY);
    assert_eq!(offered.minor_units, 0, "no amount could be approved, and none was offered: {offered:?}");
}

#[tokio::test]
async fn fields_that_have_no_meaning() {
    let site = Site::ready().await;
    let mut scene = Scene::scanned(&site).await;
    let mut refused = Refusals::of(&site, "Approve").await;
    let pin_block = |block: usize, serial: usize| {
        Some(PinBlock { block: vec![0x11; block], key_serial_number: vec![0x22; serial] })
    };
    let rows = [
        ("no code", scene.changed(|a| a.qr_text = String::new()), "qr_text"),
        ("a code of 767 characters", scene.changed(|a| a.qr_text = "A".repeat(767)), "qr_text"),
        ("no device", scene.changed(|a| a.device_id = String::new()), "device_id"),
        ("a device id of 65 characters", scene.changed(|a| a.device_id = "d".repeat(65)), "device_id"),
        ("a device id with a space", scene.changed(|a| a.device_id = "phone 1".into()), "device_id"),
        ("no account", scene.changed(|a| a.account_id = String::new()), "account_id"),
        ("an account id of 65 characters", scene.changed(|a| a.account_id = "a".repeat(65)), "account_id"),
        ("an account id with a line feed", scene.changed(|a| a.account_id = "a\nb".into()), "account_id"),
        ("no signature", scene.changed(|a| a.signature = vec![]), "signature"),
        ("a signature of 73 bytes", scene.changed(|a| a.signature = vec![0x30; 73]), "signature"),
        ("an empty PIN block", scene.changed(|a| a.pin_block = pin_block(0, 10)), "pin_block.block"),
        ("a PIN block of 7 bytes", scene.changed(|a| a.pin_block = pin_block(7, 10)), "pin_block.block"),
        ("a PIN block of 9 bytes", scene.changed(|a| a.pin_block = pin_block(9, 10)), "pin_block.block"),
        ("a PIN block of 17 bytes", scene.changed(|a| a.pin_block = pin_block(17, 10)), "pin_block.block"),
        ("a serial of 17 bytes", scene.changed(|a| a.pin_block = pin_block(8, 17)), "pin_block.key_serial_number"),
    ];
    for (what, approval, field) in rows {
        let expected = format!("InvalidArgument FIELD_INVALID {field}");
        refused.row(what, scene.phone.bank.approve(approval).await, &expected).await;
    }
    refused.done();
    scene.ends_unharmed().await;
}

/// A phone of its own for each row, because three wrong signatures end a QR session and five lock a phone.
#[tokio::test]
async fn signatures_that_are_not_the_phones_over_this_approval() {
    let site = Site::ready().await;
    let other = Phone::registered(&site, "phone-2", "acct-1").await;
    let scene = Scene::scanned(&site).await;
    type Wrong = fn(&mut ApproveRequest, &Phone, &Phone, &str);
    let rows: [(&str, Wrong); 11] = [
        ("over another amount", |a, own, _, code| a.signature = own.signature(code, "acct-1", &yen(20_000))),
        ("over another account", |a, own, _, code| a.signature = own.signature(code, "acct-2", &yen(10_000))),
        ("over another code", |a, own, _, _| a.signature = own.signature("CG1:ABC", "acct-1", &yen(10_000))),
        ("of another phone", |a, _, other, code| a.signature = other.signature(code, "acct-1", &yen(10_000))),
        ("as r and s without DER", |a, _, _, _| a.signature = raw_signature(&a.signature)),
        ("with one bit changed", |a, _, _, _| *a.signature.last_mut().unwrap() ^= 1),
        ("with a byte behind it", |a, _, _, _| a.signature.push(0)),
        ("cut short", |a, _, _, _| a.signature.truncate(a.signature.len() - 1)),
        ("of zeros", |a, _, _, _| a.signature = vec![0; 70]),
        ("an amount changed on the way", |a, _, _, _| a.amount = Some(yen(11_000))),
        ("another account", |a, _, _, _| a.account_id = "acct-2".to_owned()),
    ];
    let mut scanned = Vec::new();
    for number in 0..rows.len() {
        let mut atm = Atm::connect(&site, &format!("B{number}")).await;
        let mut phone = Phone::registered(&site, &format!("phone-1{number}"), "acct-1").await;
        let code = atm.shows_code().await.qr_text;
        phone.scan(&code).await.unwrap();
        scanned.push((atm, phone, code));
    }
    let mut refused = Refusals::of(&site, "Approve").await;
    for ((what, spoil), (_atm, phone, code)) in rows.into_iter().zip(&mut scanned) {
        // Not the longest: one byte more must still be short enough to be looked at.
        let mut approval = phone.approval(code, &yen(10_000));
        while approval.signature.len() > 71 {
            approval = phone.approval(code, &yen(10_000));
        }
        spoil(&mut approval, phone, &other, code);
        refused.row(what, phone.bank.approve(approval).await, "PermissionDenied NOT_ALLOWED").await;
    }
    refused.done();
    scene.ends_unharmed().await;
}

#[tokio::test]
async fn phones_that_may_not_approve() {
    let site = Site::ready().await;
    let scene = Scene::scanned(&site).await;
    let mut revoked = Phone::registered(&site, "phone-2", "acct-1").await;
    let mut another = Phone::registered(&site, "phone-3", "acct-1").await;
    let mut unknown = Phone::unknown(&site, "sakura", "phone-4", "acct-1").await;
    let mut of_another_bank = Phone::registered_at(&site, "fuji", "phone-1", "acct-1").await;
    let mut of_no_bank = Phone::unknown(&site, "ghost", "phone-1", "acct-1").await;
    let revocation = cashgate_wire::proto::customer::v1::RevokeDeviceRequest { device_id: "phone-2".into() };
    revoked.bank.revoke_device(revocation).await.unwrap();
    let mut refused = Refusals::of(&site, "Approve").await;
    let rows = [
        ("a revoked phone", &mut revoked, "PermissionDenied NOT_ALLOWED"),
        ("a phone that nobody registered", &mut unknown, "PermissionDenied NOT_ALLOWED"),
        ("a phone of a bank that is not configured", &mut of_no_bank, "PermissionDenied NOT_ALLOWED"),
        ("a phone that did not scan", &mut another, "FailedPrecondition QR_TOKEN_CLAIMED"),
        ("another bank's phone of the same name", &mut of_another_bank, "FailedPrecondition QR_TOKEN_CLAIMED"),
    ];
    for (what, phone, expected) in rows {
        let approval = phone.approval(&scene.code, &yen(10_000));
        refused.row(what, phone.bank.approve(approval).await, expected).await;
    }
    refused.done();
    scene.ends_unharmed().await;
}

#[tokio::test]
async fn approvals_that_do_not_fit_what_the_atm_shows() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut idle = Atm::connect(&site, "IDLE").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let mut refused = Refusals::of(&site, "Approve").await;

    let code = atm.shows_code_for(Some(yen(20_000))).await.qr_text;
    let approval = phone.approval(&code, &yen(20_000));
    refused.row("not scanned", phone.bank.approve(approval).await, "FailedPrecondition SCAN_REQUIRED").await;
    phone.scan(&code).await.unwrap();
    let approval = phone.approval(&code, &yen(10_000));
    refused.row("not as chosen", phone.bank.approve(approval).await, "FailedPrecondition AMOUNT_DIFFERS").await;

    atm.shows_code_after_scan().await;
    let approval = phone.approval(&code, &yen(20_000));
    refused.row("moved on", phone.bank.approve(approval).await, "FailedPrecondition QR_SESSION_ENDED").await;
    refused.done();
    assert_eq!(phone.headroom(&mut idle).await, ALL_THE_DAY);
}

#[tokio::test]
async fn a_code_is_good_for_one_approval_only() {
    let site = Site::ready().await;
    let mut scene = Scene::scanned(&site).await;
    let approval = scene.approval_of(yen(10_000));
    scene.phone.bank.approve(approval).await.unwrap();
    let command = scene.atm.is_commanded().await;

    let mut refused = Refusals::of(&site, "Approve").await;
    let more = scene.approval_of(yen(20_000));
    refused.row("another amount", scene.phone.bank.approve(more).await, "FailedPrecondition QR_TOKEN_CLAIMED").await;
    refused.done();
    let report = crate::harness::report_dispensed(&command);
    scene.atm.says(cashgate_wire::proto::atm::v1::atm_message::Message::Outcome(report)).await;
    scene.atm.hears_it_recorded(&command.withdrawal_id).await;
    scene.phone.watch_to_end(&command.withdrawal_id).await;

    let mut refused = Refusals::of(&site, "Approve").await;
    let more = scene.approval_of(yen(20_000));
    refused.row("after the end", scene.phone.bank.approve(more).await, "FailedPrecondition QR_SESSION_ENDED").await;
    refused.done();
    assert_eq!(scene.phone.headroom(&mut scene.idle).await, ALL_THE_DAY - 10_000);
}

#[tokio::test]
async fn a_message_of_more_than_16_kib_is_not_read() {
    let site = Site::ready().await;
    let mut scene = Scene::scanned(&site).await;
    let approval = scene.changed(|approval| approval.qr_text = "A".repeat(17 * 1024));
    let steps = site.steps().len();
    let status = scene.phone.bank.approve(approval).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    assert_eq!(site.steps().len(), steps);
    scene.ends_unharmed().await;
}

#[tokio::test]
async fn an_atm_that_has_gone_takes_its_code_with_it() {
    let site = Site::ready().await;
    let Scene { atm, idle: _idle, mut phone, code } = Scene::scanned(&site).await;
    drop(atm);
    eventually("the gateway notices", async || (site.metric("cashgate_atms_connected", &[]).await == 1).then_some(()))
        .await;
    let mut refused = Refusals::of(&site, "Approve").await;
    let approval = phone.approval(&code, &yen(10_000));
    let answer: Result<Response<_>, _> = phone.bank.approve(approval).await;
    refused.row("an approval", answer, "FailedPrecondition QR_SESSION_ENDED").await;
    refused.done();
    let status = phone.scan(&code).await.unwrap_err();
    assert_eq!(in_words(&status), "FailedPrecondition ATM_UNAVAILABLE");
}

impl Atm {
    /// Another customer touches the screen although the code was scanned.
    async fn shows_code_after_scan(&mut self) {
        assert!(matches!(self.hears().await, Heard::QrClaimed(_)));
        self.shows_code().await;
    }
}
