//! Phones, and the notice that comes with each change: both or neither.

use cashgate_ledger::{AppendError, DeviceRow, Notice, Sequence};

use super::store::*;
use crate::sample::*;

#[tokio::test]
async fn phones_are_registered_and_replaced_as_a_whole() {
    let (ledger, place) = new_ledger();
    let registered = |n| notice_of("aozora", "device_registered", n);
    assert_eq!(ledger.put_device(phone("phone-1"), registered(1)).await, Ok(Sequence(1)));
    assert_eq!(ledger.put_device(phone("phone-2"), registered(2)).await, Ok(Sequence(2)));
    let elsewhere = DeviceRow { institution: "hinode".parse().unwrap(), ..phone("phone-1") };
    ledger.put_device(elsewhere.clone(), notice_of("hinode", "device_registered", 3)).await.unwrap();

    let revoked = DeviceRow { revoked_at: Some(at(10)), ..phone("phone-1") };
    ledger.put_device(revoked.clone(), notice_of("aozora", "device_revoked", 10)).await.unwrap();
    let with_new_key = DeviceRow {
        public_key: vec![5; 65],
        key_since: at(30),
        bound_at: at(29),
        channel: String::new(),
        attestation: None,
        failed_attempts: 5,
        locked_at: Some(at(31)),
        ..phone("phone-2")
    };
    ledger.put_device(with_new_key.clone(), notice_of("aozora", "device_locked", 31)).await.unwrap();
    ledger.close().await.unwrap();

    let ledger = place.open();
    assert_eq!(ledger.reader().devices().unwrap(), [revoked, with_new_key, elsewhere]);
    let page = ledger.reader().feed_after(Sequence(0), None, 10).unwrap();
    assert_eq!(page.entries.len(), 5);
    ledger.close().await.unwrap();
    assert_eq!(place.verified().1, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_known_of_a_phone_reads_back_as_that() {
    let (ledger, _place) = new_ledger();
    for (name, attestation) in [("a", None), ("b", Some(false)), ("c", Some(true))] {
        let row = DeviceRow { attestation, failed_attempts: 255, ..phone(name) };
        ledger.put_device(row, notice("device_registered", 1)).await.unwrap();
    }
    let found: Vec<_> = ledger.reader().devices().unwrap().iter().map(|row| row.attestation).collect();
    assert_eq!(found, [None, Some(false), Some(true)]);
}

#[tokio::test]
async fn a_phone_whose_notice_is_refused_is_not_registered() {
    let (ledger, _place) = new_ledger();
    ledger.put_device(phone("phone-1"), notice("device_registered", 1)).await.unwrap();
    let changed = DeviceRow { channel: "call_centre".to_owned(), ..phone("phone-1") };
    let too_long = Notice { body: vec![0; Notice::BODY_BYTES_MAX + 1], ..notice("device_changed", 2) };
    let refused = ledger.put_device(changed.clone(), too_long).await;
    assert_eq!(refused, Err(AppendError::NoticeTooLong { kind: "device_changed", bytes: 8_193 }));
    let refused = ledger.put_device(changed, notice("", 2)).await;
    assert!(matches!(refused, Err(AppendError::Constraint(_))), "{refused:?}");
    assert_eq!(ledger.reader().devices().unwrap(), [phone("phone-1")]);
    assert_eq!(ledger.reader().last_sequence().unwrap(), Sequence(1));
}
