//! The ATM's stream.

use cashgate_withdrawal::cassettes::{Cassettes, CassettesError};
use cashgate_withdrawal::dispense::{DispenseCommand, NoteCount, OutcomeReport};
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::{CommandNonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::lane::{AtmFacts, ConfirmCode, FromAtm, QrSessionEnd, ToAtm};
use cashgate_withdrawal::money::Currency;
use cashgate_withdrawal::refusal::Refusal;

use crate::fields::{id, invalid, money_to, optional_id, optional_location, positive_money, unix_ms, words};
use crate::outcome::report_from;
use crate::proto::atm::v1::{self as pb, atm_message, gateway_message};
use crate::proto::withdrawal::v1::{EvidenceSource, OutcomeReport as OutcomeMessage};

/// The most unresolved outcomes in one Hello.
const UNRESOLVED_MAX: usize = 64;

/// A first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What the ATM says of itself.
    pub facts: AtmFacts,
    /// The most notes that it pays out at once.
    pub notes_per_dispense_max: u32,
    /// The reports that it has no acknowledgement for.
    pub unresolved: Vec<(WithdrawalId, OutcomeReport)>,
    /// Its software.
    pub software: String,
}

/// The first message of a stream; anything but Hello is refused.
pub fn hello_from(message: pb::AtmMessage) -> Result<Hello, Refusal> {
    let Some(atm_message::Message::Hello(hello)) = message.message else {
        return Err(Refusal::HelloMissing);
    };
    if hello.unresolved.len() > UNRESOLVED_MAX {
        return Err(invalid("hello.unresolved", format!("has more than {UNRESOLVED_MAX} entries")));
    }
    let cassettes = cassettes_from("hello.cassettes", hello.cassettes, hello.notes_per_dispense_max)?;
    let end_to_end = end_to_end_from(hello.end_to_end)?;
    Ok(Hello {
        facts: AtmFacts {
            name: words("hello.name", hello.name, 1..=64)?,
            place: words("hello.place", hello.place, 1..=128)?,
            cassettes,
            location: optional_location("hello.location", hello.location)?,
            end_to_end,
            evidence_grade: evidence_grade_from(end_to_end, hello.best_evidence)?,
        },
        notes_per_dispense_max: hello.notes_per_dispense_max,
        unresolved: hello.unresolved.into_iter().map(unresolved_from).collect::<Result<_, _>>()?,
        software: words("hello.software", hello.software, 0..=64)?,
    })
}

/// The token format of end-to-end security that there is.
const TOKEN_FORMAT: u32 = 1;

fn end_to_end_from(declared: Option<pb::EndToEndSecurity>) -> Result<bool, Refusal> {
    match declared {
        None => Ok(false),
        Some(pb::EndToEndSecurity { token_format: TOKEN_FORMAT }) => Ok(true),
        Some(_) => Err(invalid("hello.end_to_end.token_format", format!("must be {TOKEN_FORMAT}"))),
    }
}

/// What the machine's word is worth at best.
fn evidence_grade_from(end_to_end: bool, best: i32) -> Result<EvidenceGrade, Refusal> {
    match EvidenceSource::try_from(best) {
        Ok(_) if end_to_end => Ok(EvidenceGrade::A),
        Ok(EvidenceSource::BareWord) => Ok(EvidenceGrade::C),
        Ok(EvidenceSource::Unspecified | EvidenceSource::LastCommandRecord | EvidenceSource::PresentStatus) => {
            Ok(EvidenceGrade::B)
        }
        Err(_) => Err(invalid("hello.best_evidence", "is unknown")),
    }
}

/// A report inside Hello: what is wrong with it is told with its path there.
fn unresolved_from(report: OutcomeMessage) -> Result<(WithdrawalId, OutcomeReport), Refusal> {
    report_from(report).map_err(|refusal| invalid("hello.unresolved", refusal))
}

/// A later message. `fresh` is a random id for the QR session that it may begin; `notes_per_dispense_max` is what Hello said.
pub fn message_from(
    message: pb::AtmMessage,
    fresh: QrSessionId,
    notes_per_dispense_max: u32,
) -> Result<FromAtm, Refusal> {
    Ok(match message.message {
        None => return Err(invalid("message", "is empty or of a kind that this gateway does not know")),
        Some(atm_message::Message::Hello(_)) => return Err(invalid("message", "hello may only come first")),
        Some(atm_message::Message::StartQrSession(start)) => {
            let amount = match start.amount {
                None => None,
                amount => Some(positive_money("start_qr_session.amount", amount)?),
            };
            let command_nonce = optional_id("start_qr_session.command_nonce", &start.command_nonce)?;
            FromAtm::StartQrSession { amount, command_nonce, fresh }
        }
        Some(atm_message::Message::EndQrSession(end)) => {
            FromAtm::EndQrSession { qr_session: id("end_qr_session.qr_session_id", &end.qr_session_id)? }
        }
        Some(atm_message::Message::EnterConfirmCode(enter)) => FromAtm::EnterConfirmCode {
            withdrawal: id("enter_confirm_code.withdrawal_id", &enter.withdrawal_id)?,
            code: ConfirmCode::from_text(&enter.code)
                .ok_or_else(|| invalid("enter_confirm_code.code", "must be four digits"))?,
        },
        Some(atm_message::Message::Outcome(report)) => {
            let (withdrawal, report) = report_from(report)?;
            FromAtm::Outcome { withdrawal, report }
        }
        Some(atm_message::Message::UpdateCassettes(update)) => FromAtm::UpdateCassettes {
            cassettes: cassettes_from("update_cassettes.cassettes", update.cassettes, notes_per_dispense_max)?,
        },
    })
}

fn cassettes_from(field: &'static str, listed: Vec<pb::Cassette>, notes_max: u32) -> Result<Cassettes, Refusal> {
    if listed.len() > Cassettes::COUNT_MAX {
        return Err(invalid(field, format!("has more than {} entries", Cassettes::COUNT_MAX)));
    }
    let one = |cassette: pb::Cassette| {
        Ok(NoteCount { denomination: positive_money(field, cassette.denomination)?, count: cassette.count })
    };
    let notes: Vec<NoteCount> = listed.into_iter().map(one).collect::<Result<_, Refusal>>()?;
    Cassettes::new(&notes, Currency::JPY, notes_max).map_err(|error| match error {
        CassettesError::NotesPerDispense => invalid("hello.notes_per_dispense_max", error),
        _ => invalid(field, error),
    })
}

/// What the ATM is told.
#[must_use]
pub fn message_to(message: ToAtm) -> pb::GatewayMessage {
    use gateway_message::Message;
    let message = match message {
        ToAtm::Welcome { now, atm } => {
            Message::Welcome(pb::Welcome { gateway_time_unix_ms: unix_ms(now), atm_id: atm.to_string() })
        }
        ToAtm::ShowQr { code, qr_session_expires_at } => Message::ShowQr(pb::ShowQr {
            qr_session_id: code.qr_session.to_string(),
            qr_text: code.text.to_string(),
            expires_at_unix_ms: unix_ms(code.expires_at),
            qr_session_expires_at_unix_ms: unix_ms(qr_session_expires_at),
        }),
        ToAtm::QrClaimed(id) => Message::QrClaimed(pb::QrClaimed { qr_session_id: id.to_string() }),
        ToAtm::AskConfirmCode { withdrawal, tries_left, expires_at } => Message::AskConfirmCode(pb::AskConfirmCode {
            withdrawal_id: withdrawal.to_string(),
            tries_left: tries_left.into(),
            expires_at_unix_ms: unix_ms(expires_at),
        }),
        ToAtm::Dispense(command) => Message::Dispense(dispense_to(command)),
        ToAtm::QueryOutcome { withdrawal, present_nonce } => Message::QueryOutcome(pb::QueryOutcome {
            withdrawal_id: withdrawal.to_string(),
            present_nonce: present_nonce.map(|nonce| nonce.to_string()).unwrap_or_default(),
        }),
        ToAtm::OutcomeRecorded(id) => Message::OutcomeRecorded(pb::OutcomeRecorded { withdrawal_id: id.to_string() }),
        ToAtm::QrSessionEnded { qr_session, end } => Message::QrSessionEnded(pb::QrSessionEnded {
            qr_session_id: qr_session.to_string(),
            end: end_to(end).into(),
        }),
        ToAtm::TryLater { after, refusal } => Message::TryLater(pb::TryLater {
            after_ms: u32::try_from(after.as_millis()).unwrap_or(u32::MAX),
            reason: refusal.reason().to_owned(),
        }),
        ToAtm::Refused { refusal, withdrawal } => Message::Refused(refused_to(&refusal, withdrawal)),
    };
    told(message)
}

/// The trace that it belongs to is written by whoever knows it.
const fn told(message: gateway_message::Message) -> pb::GatewayMessage {
    pb::GatewayMessage { message: Some(message), traceparent: String::new() }
}

/// The command, byte for byte the same whenever it is sent: the nonce for the present status after it is the withdrawal's id.
fn dispense_to(command: DispenseCommand) -> pb::Dispense {
    let present_nonce = CommandNonce::from_bytes(*command.withdrawal.as_bytes());
    let (dispense_token, present_nonce) = match command.dispense_token {
        None => (String::new(), String::new()),
        Some(token) => (token.as_str().to_owned(), present_nonce.to_string()),
    };
    pb::Dispense {
        withdrawal_id: command.withdrawal.to_string(),
        amount: Some(money_to(command.amount)),
        start_before_unix_ms: unix_ms(command.start_before),
        dispense_token,
        present_nonce,
    }
}

fn refused_to(refusal: &Refusal, withdrawal: Option<WithdrawalId>) -> pb::Refused {
    pb::Refused {
        reason: refusal.reason().to_owned(),
        detail: refusal.to_string(),
        withdrawal_id: withdrawal.map(|id| id.to_string()).unwrap_or_default(),
    }
}

/// Tells the ATM that a message was not accepted.
#[must_use]
pub fn refused(refusal: &Refusal) -> pb::GatewayMessage {
    told(gateway_message::Message::Refused(refused_to(refusal, None)))
}

/// Tells the ATM to connect again after a pause.
#[must_use]
pub fn reconnect(after: std::time::Duration) -> pb::GatewayMessage {
    let after_ms = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
    told(gateway_message::Message::Reconnect(pb::Reconnect { after_ms }))
}

const fn end_to(end: QrSessionEnd) -> pb::QrSessionEnd {
    match end {
        QrSessionEnd::Expired => pb::QrSessionEnd::Expired,
        QrSessionEnd::Cancelled => pb::QrSessionEnd::Cancelled,
        QrSessionEnd::Declined => pb::QrSessionEnd::Declined,
        QrSessionEnd::Finished => pb::QrSessionEnd::Finished,
        QrSessionEnd::Failed => pb::QrSessionEnd::Failed,
    }
}
