//! Lane records as the ledger and the log take them.

use cashgate_ledger::{StepRecord, WithdrawalRow};
use cashgate_wire::journal;
use cashgate_withdrawal::lane::{Record, Remark};

/// A record as the ledger keeps it.
#[must_use]
pub fn step_record(record: &Record) -> StepRecord {
    let (terms, state) = (&record.after.terms, &record.after.state);
    StepRecord {
        withdrawal: terms.withdrawal,
        number: record.number,
        at: record.at,
        kind: record.name(),
        body: journal::encode(record),
        row: WithdrawalRow {
            state: state.name().into(),
            open: !state.is_ended(),
            institution: terms.institution.clone(),
            account: terms.account.clone(),
            device: terms.device.clone(),
            atm: terms.atm.clone(),
            qr_session: terms.qr_session,
            nonce: terms.nonce,
            amount: terms.amount,
            dispensed: state.dispensed(),
            hold: state.hold().cloned(),
            day: terms.decision.day,
            approved_at: terms.approved_at,
            policy_version: terms.decision.policy_version.clone(),
            key_id: terms.decision.key,
        },
    }
}

/// A remark as the ledger keeps it.
pub(super) fn remark(remark: &Remark) -> cashgate_ledger::Remark {
    let Remark { withdrawal, at, kind, detail } = remark;
    cashgate_ledger::Remark { withdrawal: *withdrawal, at: *at, kind, detail: detail.clone() }
}

/// A record in the log. No account, device or token stands in it.
pub(super) fn log_step(record: &Record) {
    let after = &record.after;
    let (withdrawal, atm, state) = (after.terms.withdrawal, &after.terms.atm, after.state.name());
    let reason = after.state.reason().unwrap_or_default();
    if state == "suspect" {
        tracing::error!(%withdrawal, %atm, event = record.name(), state, reason, "a withdrawal needs a person");
    } else {
        tracing::info!(%withdrawal, %atm, event = record.name(), state, reason, "step");
    }
}
