//! How the ledger's step bodies are written and read.

use cashgate_withdrawal::dispense::DispenseCommand;
use cashgate_withdrawal::event::{Event, ReversalCause, Settlement};
use cashgate_withdrawal::evidence::{PresentFinding, PresentStatus, WrongToken};
use cashgate_withdrawal::ids::{CommandNonce, KeyId, Nonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::lane::Record;
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::step;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};
use cashgate_withdrawal::withdrawal::{Decision, Terms, Withdrawal};
use prost::Message;

use crate::fields::{
    bytes, id, invalid, location_to, moment, money_from, money_to, optional_id, optional_location, optional_money,
    positive_money, unix_ms,
};
use crate::outcome::{report_from, report_to};
use crate::proto::journal::v1::{self as pb, present_finding::Finding, step::Event as Body};

/// Why a withdrawal could not be rebuilt from its steps. Any of these is damage or a record of a newer version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The bytes are no step.
    #[error("step {number} of withdrawal {withdrawal} cannot be read: {detail}")]
    Unreadable {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// The step.
        number: u32,
        /// What is wrong.
        detail: String,
    },
    /// The step cannot follow the ones before.
    #[error("step {number} of withdrawal {withdrawal} cannot follow: {detail}")]
    Illegal {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// The step.
        number: u32,
        /// What is wrong.
        detail: String,
    },
}

/// The body of a record.
#[must_use]
pub fn encode(record: &Record) -> Vec<u8> {
    let body = match &record.event {
        None => Body::Approved(approved_to(&record.after.terms)),
        Some(event) => event_to(event, record.after.terms.withdrawal),
    };
    pb::Step { event: Some(body) }.encode_to_vec()
}

/// The withdrawal that its steps, oldest first, make: (number, when, body).
pub fn replay<'a>(
    withdrawal: WithdrawalId,
    steps: impl IntoIterator<Item = (u32, Timestamp, &'a [u8])>,
) -> Result<Withdrawal, JournalError> {
    let mut last = None;
    replay_each(withdrawal, steps, |_, after| last = Some(after.clone()))?;
    last.ok_or_else(|| JournalError::Illegal { withdrawal, number: 0, detail: "it has no steps".to_owned() })
}

/// Replays steps, oldest first, and hands over each step's number with the withdrawal after it.
pub fn replay_each<'a>(
    withdrawal: WithdrawalId,
    steps: impl IntoIterator<Item = (u32, Timestamp, &'a [u8])>,
    mut after_step: impl FnMut(u32, &Withdrawal),
) -> Result<(), JournalError> {
    let mut now: Option<Withdrawal> = None;
    for (expected, (number, at, body)) in (1_u32..).zip(steps) {
        let illegal = |detail: String| JournalError::Illegal { withdrawal, number, detail };
        if number != expected {
            return Err(illegal(format!("step {expected} is missing")));
        }
        let read = read(withdrawal, body).map_err(|error| JournalError::Unreadable {
            withdrawal,
            number,
            detail: error.to_string(),
        })?;
        let after = match (now, read) {
            (None, Read::Approved(terms)) if terms.withdrawal == withdrawal => Withdrawal::open(*terms).0,
            (Some(before), Read::Event(event)) => {
                step(before, *event, at).map_err(|error| illegal(error.to_string()))?.0
            }
            (None, Read::Approved(_)) => return Err(illegal("it is another withdrawal's approval".to_owned())),
            _ => return Err(illegal("the approval must come first, and only once".to_owned())),
        };
        after_step(number, &after);
        now = Some(after);
    }
    Ok(())
}

/// A step's content for a human reader.
#[must_use]
pub fn describe(withdrawal: WithdrawalId, body: &[u8]) -> String {
    match read(withdrawal, body) {
        Ok(Read::Approved(terms)) => format!("{} for {}", terms.amount, terms.account),
        Ok(Read::Event(event)) => match *event {
            Event::HoldGranted { hold } => format!("hold {hold}"),
            Event::HoldDeclined { code } | Event::SettlementRefused { code } => code.to_string(),
            Event::Abandoned { cause } => cause.name().to_owned(),
            Event::DispenseCommanded { command } => {
                format!("{}, to begin before {}", command.amount, command.start_before)
            }
            Event::OutcomeReported { report } => report.to_string(),
            Event::SuspectResolved { settlement, operator, reason } => match settlement {
                Settlement::Confirm(amount) => format!("{operator} confirms {amount}: {reason}"),
                Settlement::Reverse => format!("{operator} reverses: {reason}"),
            },
            _ => String::new(),
        },
        Err(error) => format!("unreadable: {error}"),
    }
}

enum Read {
    Approved(Box<Terms>),
    Event(Box<Event>),
}

fn read(withdrawal: WithdrawalId, body: &[u8]) -> Result<Read, Refusal> {
    let step = pb::Step::decode(body).map_err(|error| invalid("step", error))?;
    let event = match step.event.ok_or_else(|| invalid("step", "has no event that this version knows"))? {
        Body::Approved(approved) => return approved_from(approved).map(|terms| Read::Approved(Box::new(terms))),
        Body::HoldGranted(e) => Event::HoldGranted { hold: id("hold_reference", &e.hold_reference)? },
        Body::HoldDeclined(e) => Event::HoldDeclined { code: id("code", &e.code)? },
        Body::HoldUnanswered(_) => Event::HoldUnanswered,
        Body::CodeMatched(_) => Event::CodeMatched,
        Body::CodeMismatched(_) => Event::CodeMismatched,
        Body::CustomerCancelled(_) => Event::CustomerCancelled,
        Body::Abandoned(e) => {
            let cause = ReversalCause::ALL.into_iter().find(|cause| cause.name() == e.cause);
            Event::Abandoned { cause: cause.ok_or_else(|| invalid("cause", "is unknown"))? }
        }
        Body::DispenseCommanded(e) => Event::DispenseCommanded {
            command: DispenseCommand {
                withdrawal,
                amount: money_from("amount", e.amount)?,
                start_before: moment("start_before_unix_ms", e.start_before_unix_ms)?,
                dispense_token: optional_id("dispense_token", &e.dispense_token)?,
            },
        },
        Body::OutcomeReported(e) => {
            let report = e.report.ok_or_else(|| invalid("report", "is missing"))?;
            let (about, mut report) = report_from(report)?;
            if let Some(present) = &mut report.present {
                present.finding = finding_from(e.present_finding)?;
            }
            if about != withdrawal {
                return Err(invalid("report.withdrawal_id", "is another withdrawal's"));
            }
            Event::OutcomeReported { report }
        }
        Body::OutcomeDeadlinePassed(_) => Event::OutcomeDeadlinePassed,
        Body::HoldConfirmed(_) => Event::HoldConfirmed,
        Body::HoldReversed(_) => Event::HoldReversed,
        Body::SettlementRefused(e) => Event::SettlementRefused { code: id("code", &e.code)? },
        Body::SuspectResolved(e) => Event::SuspectResolved {
            settlement: match e.confirm {
                None => Settlement::Reverse,
                confirm => Settlement::Confirm(positive_money("confirm", confirm)?),
            },
            operator: id("operator", &e.operator)?,
            reason: e.reason,
        },
    };
    Ok(Read::Event(Box::new(event)))
}

fn event_to(event: &Event, withdrawal: WithdrawalId) -> Body {
    match event {
        Event::HoldGranted { hold } => Body::HoldGranted(pb::HoldGranted { hold_reference: hold.to_string() }),
        Event::HoldDeclined { code } => Body::HoldDeclined(pb::HoldDeclined { code: code.to_string() }),
        Event::HoldUnanswered => Body::HoldUnanswered(pb::HoldUnanswered {}),
        Event::CodeMatched => Body::CodeMatched(pb::CodeMatched {}),
        Event::CodeMismatched => Body::CodeMismatched(pb::CodeMismatched {}),
        Event::CustomerCancelled => Body::CustomerCancelled(pb::CustomerCancelled {}),
        Event::Abandoned { cause } => Body::Abandoned(pb::Abandoned { cause: cause.name().to_owned() }),
        Event::DispenseCommanded { command } => Body::DispenseCommanded(pb::DispenseCommanded {
            amount: Some(money_to(command.amount)),
            start_before_unix_ms: unix_ms(command.start_before),
            dispense_token: command.dispense_token.as_ref().map(|token| token.as_str().to_owned()).unwrap_or_default(),
        }),
        Event::OutcomeReported { report } => Body::OutcomeReported(pb::OutcomeReported {
            report: Some(report_to(withdrawal, report)),
            present_finding: report.present.as_ref().map(|present| finding_to(&present.finding)),
        }),
        Event::OutcomeDeadlinePassed => Body::OutcomeDeadlinePassed(pb::OutcomeDeadlinePassed {}),
        Event::HoldConfirmed => Body::HoldConfirmed(pb::HoldConfirmed {}),
        Event::HoldReversed => Body::HoldReversed(pb::HoldReversed {}),
        Event::SettlementRefused { code } => Body::SettlementRefused(pb::SettlementRefused { code: code.to_string() }),
        Event::SuspectResolved { settlement, operator, reason } => Body::SuspectResolved(pb::SuspectResolved {
            confirm: match settlement {
                Settlement::Confirm(amount) => Some(money_to(*amount)),
                Settlement::Reverse => None,
            },
            operator: operator.to_string(),
            reason: reason.clone(),
        }),
    }
}

fn approved_to(terms: &Terms) -> pb::Approved {
    let decision = &terms.decision;
    pb::Approved {
        withdrawal_id: terms.withdrawal.as_bytes().to_vec(),
        institution_id: terms.institution.to_string(),
        account_id: terms.account.to_string(),
        device_id: terms.device.to_string(),
        atm_id: terms.atm.to_string(),
        qr_session_id: terms.qr_session.as_bytes().to_vec(),
        nonce: terms.nonce.0.to_vec(),
        amount: Some(money_to(terms.amount)),
        approved_at_unix_ms: unix_ms(terms.approved_at),
        policy_version: decision.policy_version.clone(),
        limit_figures: decision.limit_figures.clone(),
        key_id: decision.key.0.to_vec(),
        day: decision.day.0,
        confirm_code: decision.confirm_code,
        command_nonce: terms.command_nonce.as_ref().map(CommandNonce::to_string).unwrap_or_default(),
        evidence_demanded: terms.evidence_demanded.name().to_owned(),
        rules: decision.rules.clone(),
        facts: decision.facts.clone(),
        machine_location: decision.machine_location.map(location_to),
    }
}

fn approved_from(approved: pb::Approved) -> Result<Terms, Refusal> {
    Ok(Terms {
        withdrawal: WithdrawalId::from_bytes(bytes("withdrawal_id", &approved.withdrawal_id)?),
        institution: id("institution_id", &approved.institution_id)?,
        account: id("account_id", &approved.account_id)?,
        device: id("device_id", &approved.device_id)?,
        atm: id("atm_id", &approved.atm_id)?,
        qr_session: QrSessionId::from_bytes(bytes("qr_session_id", &approved.qr_session_id)?),
        nonce: Nonce(bytes("nonce", &approved.nonce)?),
        amount: money_from("amount", approved.amount)?,
        approved_at: moment("approved_at_unix_ms", approved.approved_at_unix_ms)?,
        decision: Decision {
            policy_version: approved.policy_version,
            rules: approved.rules,
            facts: approved.facts,
            limit_figures: approved.limit_figures,
            key: KeyId(bytes("key_id", &approved.key_id)?),
            day: CalendarDay(approved.day),
            confirm_code: approved.confirm_code,
            machine_location: optional_location("machine_location", approved.machine_location)?,
        },
        command_nonce: optional_id("command_nonce", &approved.command_nonce)?,
        evidence_demanded: optional_id("evidence_demanded", &approved.evidence_demanded)?.unwrap_or_default(),
    })
}

fn finding_to(finding: &PresentFinding) -> pb::PresentFinding {
    let finding = match finding {
        PresentFinding::Genuine(PresentStatus { presented, retracted, fresh }) => Finding::Genuine(pb::PresentStatus {
            presented: presented.map(money_to),
            retracted: retracted.map(money_to),
            fresh: *fresh,
        }),
        PresentFinding::Wrong(why) => Finding::Wrong(why.name().to_owned()),
        PresentFinding::Unverified => Finding::Unverified(pb::Unverified {}),
    };
    pb::PresentFinding { finding: Some(finding) }
}

fn finding_from(finding: Option<pb::PresentFinding>) -> Result<PresentFinding, Refusal> {
    match finding.and_then(|finding| finding.finding) {
        Some(Finding::Genuine(status)) => Ok(PresentFinding::Genuine(PresentStatus {
            presented: optional_money("present_finding.presented", status.presented)?,
            retracted: optional_money("present_finding.retracted", status.retracted)?,
            fresh: status.fresh,
        })),
        Some(Finding::Wrong(why)) => {
            let known = WrongToken::ALL.into_iter().find(|known| known.name() == why);
            known.map(PresentFinding::Wrong).ok_or_else(|| invalid("present_finding.wrong", "is unknown"))
        }
        Some(Finding::Unverified(_)) => Ok(PresentFinding::Unverified),
        None => Err(invalid("present_finding", "is missing, though there is a present token")),
    }
}
