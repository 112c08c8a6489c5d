//! Withdrawals to write, numbered: withdrawal 7 has nonce 7 and is one of many that differ only there.

use std::borrow::Cow;

use cashgate_ledger::{
    DeviceRow, InstitutionCaps, InstitutionSpending, LedgerOptions, Notice, StepRecord, WithdrawalRow,
};
use cashgate_withdrawal::ids::{KeyId, Nonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::{CalendarDay, Timestamp};

pub(crate) fn id(n: u64) -> WithdrawalId {
    WithdrawalId::from_bytes((0x0198_1f2e_7c1a_7000_8000_0000_0000_0000_u128 + u128::from(n)).to_be_bytes())
}

/// The number that [`id`] was made from.
pub(crate) fn number_of(id: WithdrawalId) -> u64 {
    u64::try_from(u128::from_be_bytes(*id.as_bytes()) & 0xffff_ffff_ffff).unwrap()
}

pub(crate) fn yen(amount: u64) -> Money {
    Money::from_minor_units(amount, Currency::JPY).unwrap()
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_752_885_361_690 + seconds * 1000)
}

pub(crate) fn approved(n: u64) -> WithdrawalRow {
    WithdrawalRow {
        state: Cow::Borrowed("hold_requested"),
        open: true,
        institution: "aozora".parse().unwrap(),
        account: "acc-1".parse().unwrap(),
        device: "phone-1".parse().unwrap(),
        atm: "atm-0001".parse().unwrap(),
        qr_session: QrSessionId::from_bytes([9; 16]),
        nonce: Nonce(u128::from(n).to_be_bytes()),
        amount: yen(30_000),
        dispensed: None,
        hold: None,
        day: CalendarDay(20_717),
        approved_at: at(n),
        policy_version: "default-1".to_owned(),
        key_id: KeyId([0xab, 0xcd, 0, 1]),
    }
}

pub(crate) fn dispensing(n: u64) -> WithdrawalRow {
    WithdrawalRow { state: "dispensing".into(), hold: Some("hold-77".parse().unwrap()), ..approved(n) }
}

pub(crate) fn closed(n: u64) -> WithdrawalRow {
    WithdrawalRow { state: "closed".into(), open: false, dispensed: Some(yen(30_000)), ..dispensing(n) }
}

/// What is added to what the institution's customers withdrew in an hour, with no cap.
pub(crate) fn spending(amount: i64, withdrawals: i32) -> InstitutionSpending {
    InstitutionSpending {
        institution: "aozora".parse().unwrap(),
        currency: Currency::JPY,
        hour: 1_000,
        amount,
        withdrawals,
        is_new_device: true,
        caps: InstitutionCaps::default(),
        since_hour: 976,
    }
}

pub(crate) fn capped(sum: u64) -> InstitutionCaps {
    InstitutionCaps { sum: Some(sum), ..InstitutionCaps::default() }
}

pub(crate) fn step(n: u64, number: u32, kind: &'static str, row: WithdrawalRow) -> StepRecord {
    StepRecord { withdrawal: id(n), number, at: at(n), kind, body: format!("{kind} {n}").into_bytes(), row }
}

pub(crate) fn hold_requested(n: u64) -> StepRecord {
    step(n, 1, "hold_requested", approved(n))
}

pub(crate) fn hold_granted(n: u64) -> StepRecord {
    step(n, 2, "hold_granted", dispensing(n))
}

pub(crate) fn dispense_commanded(n: u64) -> StepRecord {
    step(n, 3, "dispense_commanded", dispensing(n))
}

pub(crate) fn ended(n: u64) -> StepRecord {
    step(n, 4, "closed", closed(n))
}

pub(crate) fn whole_life(n: u64) -> Vec<StepRecord> {
    vec![hold_requested(n), hold_granted(n), dispense_commanded(n), ended(n)]
}

pub(crate) fn phone(name: &str) -> DeviceRow {
    DeviceRow {
        institution: "aozora".parse().unwrap(),
        device: name.parse().unwrap(),
        public_key: vec![4; 65],
        key_since: at(0),
        registered_at: at(0),
        bound_at: at(0),
        channel: "branch".to_owned(),
        attestation: Some(true),
        failed_attempts: 0,
        locked_at: None,
        revoked_at: None,
    }
}

/// Everyone's matter, unless it says otherwise.
pub(crate) fn notice(kind: &'static str, seconds: u64) -> Notice {
    Notice { at: at(seconds), kind, institution: None, body: format!("{kind} {seconds}").into_bytes() }
}

pub(crate) fn notice_of(institution: &str, kind: &'static str, seconds: u64) -> Notice {
    Notice { institution: Some(institution.parse().unwrap()), ..notice(kind, seconds) }
}

/// As the gateway's, but with a reserve that does not take longer to write than the test.
pub(crate) fn options() -> LedgerOptions {
    LedgerOptions { reserve_bytes: 64 * 1024, ..LedgerOptions::default() }
}
