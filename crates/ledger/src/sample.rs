//! For unit tests: a step that may be written.

use cashgate_withdrawal::ids::{KeyId, Nonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::{CalendarDay, Timestamp};

use crate::records::{StepRecord, WithdrawalRow};

/// With it withdrawal `n` begins, and claims nonce `n`.
pub(crate) fn hold_requested(n: u64) -> StepRecord {
    let row = WithdrawalRow {
        state: "hold_requested".into(),
        open: true,
        institution: "aozora".parse().unwrap(),
        account: "acc-1".parse().unwrap(),
        device: "phone-1".parse().unwrap(),
        atm: "atm-0001".parse().unwrap(),
        qr_session: QrSessionId::from_bytes([9; 16]),
        nonce: Nonce(u128::from(n).to_be_bytes()),
        amount: Money::from_minor_units(30_000, Currency::JPY).unwrap(),
        dispensed: None,
        hold: None,
        day: CalendarDay(20_717),
        approved_at: Timestamp::from_unix_ms(1),
        policy_version: "default-1".to_owned(),
        key_id: KeyId([1; 4]),
    };
    let withdrawal = WithdrawalId::from_bytes(u128::from(n).to_be_bytes());
    StepRecord {
        withdrawal,
        number: 1,
        at: Timestamp::from_unix_ms(1),
        kind: "hold_requested",
        body: vec![7; 500],
        row,
    }
}
