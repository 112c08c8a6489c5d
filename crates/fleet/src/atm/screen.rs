//! What a person in front of the machine, or an engineer behind it, would see: one JSON object each.

use serde::Serialize;

use super::notes::value_of;
use super::report::{OutcomeWord, Report};

/// Something to see. Amounts are minor units, moments milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(missing_docs)] // The fields are those of the messages in `proto/cashgate/atm/v1`.
pub enum ScreenEvent {
    /// The gateway welcomed the machine.
    Connected { atm_id: String },
    /// A code to scan.
    ShowQr { qr_session_id: String, qr_text: String, expires_at_unix_ms: i64 },
    /// Somebody scanned it.
    QrClaimed { qr_session_id: String },
    /// The customer is to type a code.
    AskConfirmCode { withdrawal_id: String, tries_left: u32 },
    /// A new command was received and recorded.
    Dispense { withdrawal_id: String, amount: u64, currency: String },
    /// The machine's own word for what became of a command; `retracted` is null if it was not counted.
    Outcome { withdrawal_id: String, outcome: OutcomeWord, presented: u64, retracted: Option<u64> },
    /// The gateway has that word on disk.
    OutcomeRecorded { withdrawal_id: String },
    /// The screen returns to its start.
    QrSessionEnded { qr_session_id: String, end: String },
    /// No code can be made now.
    TryLater { after_ms: u32, reason: String },
    /// The gateway refused a message.
    Refused { reason: String, detail: String, withdrawal_id: String },
    /// The connection is gone.
    Disconnected { why: String },
    /// The gateway asked to come back later.
    Reconnect { after_ms: u32 },
    /// The operator's line made no sense now.
    BadCommand { detail: String },
}

impl ScreenEvent {
    pub(crate) fn outcome(withdrawal_id: &str, report: &Report) -> Self {
        Self::Outcome {
            withdrawal_id: withdrawal_id.to_owned(),
            outcome: report.outcome,
            presented: value_of(&report.presented),
            retracted: report.retracted.as_deref().map(value_of),
        }
    }
}
