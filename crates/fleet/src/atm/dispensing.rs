//! Paying out: the command, the notes, the count, and what a record without an end means after a power cut.

use cashgate_wire::proto::atm::v1::Dispense;

use super::book::{Fact, stays_out};
use super::command::Fault;
use super::machine::{Machine, Output};
use super::notes::{Notes, part_of, value_of, without};
use super::report::{Evidence, OutcomeWord, Report};
use super::screen::ScreenEvent;

/// How much a lying machine claims on top.
const LIE: Notes = Notes { denomination: 10_000, count: 1 };

/// Notes on their way to the shutter.
#[derive(Clone, Debug)]
pub(super) struct Presenting {
    withdrawal_id: String,
    picked: Vec<Notes>,
    fault: Option<Fault>,
}

impl Machine {
    /// The command to pay out: a new one is recorded and carried out, a known one is answered out of the record.
    pub(super) fn dispense(&mut self, command: Dispense, now: i64, outputs: &mut Vec<Output>) {
        let Dispense { withdrawal_id, amount, start_before_unix_ms } = command;
        if self.book.get(&withdrawal_id).is_some() {
            // Sends nothing while the notes are still moving; the outcome follows by itself.
            return self.send_report(&withdrawal_id, outputs);
        }
        let asked = amount.unwrap_or_default();
        let (amount, currency) = (u64::try_from(asked.minor_units).unwrap_or(0), asked.currency);
        let commanded = Fact::Commanded {
            withdrawal_id: withdrawal_id.clone(),
            amount,
            currency: currency.clone(),
            start_before_unix_ms,
        };
        self.record(commanded, outputs);
        outputs.push(Output::Screen(ScreenEvent::Dispense {
            withdrawal_id: withdrawal_id.clone(),
            amount,
            currency: currency.clone(),
        }));
        if now.saturating_add(self.clock_offset_ms) >= start_before_unix_ms {
            return self.refuse_to_pay(&withdrawal_id, "came too late to begin", now, outputs);
        }
        let fault = self.next_fault.take();
        let picked = self.cassettes.pick(amount).filter(|_| currency == self.cassettes.currency());
        match (fault, picked) {
            (Some(Fault::PowerCutBefore), _) => outputs.push(Output::PowerCut),
            (Some(Fault::Empty), _) => self.refuse_to_pay(&withdrawal_id, "no notes", now, outputs),
            (_, None) => self.refuse_to_pay(&withdrawal_id, "the cassettes cannot make the amount", now, outputs),
            _ if self.presenting.is_some() => {
                self.refuse_to_pay(&withdrawal_id, "busy with another command", now, outputs);
            }
            (fault, Some(picked)) => self.move_notes(withdrawal_id, picked, fault, outputs),
        }
    }

    fn move_notes(
        &mut self,
        withdrawal_id: String,
        picked: Vec<Notes>,
        fault: Option<Fault>,
        outputs: &mut Vec<Output>,
    ) {
        self.cassettes.take(&picked);
        self.record(Fact::Moving { withdrawal_id: withdrawal_id.clone(), picked: picked.clone() }, outputs);
        if let Some(Fault::PowerCutDuring(taken)) = fault {
            let cash_out = value_of(&taken.map_or_else(|| picked.clone(), |taken| part_of(&picked, taken)));
            self.record(Fact::GoneUncounted { withdrawal_id, cash_out }, outputs);
            return outputs.push(Output::PowerCut);
        }
        self.presenting = Some(Presenting { withdrawal_id, picked, fault });
        outputs.push(Output::PresentAfter(self.plan.present_delay));
    }

    /// The notes are with the customer, or wherever the fault took them: count, record, and only then say so.
    pub(super) fn finish_presenting(&mut self, now: i64, outputs: &mut Vec<Output>) {
        let Some(Presenting { withdrawal_id, picked, fault }) = self.presenting.take() else { return };
        let (cash_out, report) = self.count(&picked, fault, now);
        self.record(Fact::Counted { withdrawal_id: withdrawal_id.clone(), cash_out, report: report.clone() }, outputs);
        if fault == Some(Fault::PowerCut) {
            return outputs.push(Output::PowerCut);
        }
        outputs.push(Output::Screen(ScreenEvent::outcome(&withdrawal_id, &report)));
        self.send_report(&withdrawal_id, outputs);
        self.send_cassettes(outputs);
    }

    /// What really stays out, and what the machine says.
    fn count(&self, picked: &[Notes], fault: Option<Fault>, now: i64) -> (u64, Report) {
        let presented = match fault {
            Some(Fault::Jam(amount)) => part_of(picked, amount),
            _ => picked.to_vec(),
        };
        let came_back = match fault {
            Some(Fault::Retract) => presented.clone(),
            Some(Fault::RetractUncounted(kept)) => without(&presented, &part_of(&presented, kept)),
            Some(Fault::RetractSome(amount)) => part_of(&presented, amount),
            _ => vec![],
        };
        let cash_out = stays_out(&presented, &came_back);
        let (outcome, detail) = match fault {
            Some(Fault::Retract | Fault::RetractUncounted(_) | Fault::RetractSome(_)) => {
                (OutcomeWord::Retracted, "notes were not taken in time")
            }
            _ if presented.is_empty() => (OutcomeWord::NotDispensed, "jam before the shutter"),
            _ if presented.as_slice() != picked => (OutcomeWord::PartiallyDispensed, "jam"),
            _ => (OutcomeWord::Dispensed, ""),
        };
        let mut report = Report {
            outcome,
            presented,
            retracted: (!matches!(fault, Some(Fault::RetractUncounted(_)))).then_some(came_back),
            evidence: Evidence::PresentStatus,
            detail: detail.to_owned(),
            currency: self.plan.currency.clone(),
            observed_at_unix_ms: now,
        };
        match fault {
            Some(Fault::LieMore) => report.presented.push(LIE),
            Some(Fault::LieNothing) => report = self.nothing_left(Evidence::BareWord, "", now),
            _ => {}
        }
        (cash_out, report)
    }

    /// Says what became of a command, after making sure that there is something to say.
    pub(super) fn answer_query(&mut self, withdrawal_id: String, now: i64, outputs: &mut Vec<Output>) {
        if self.book.get(&withdrawal_id).is_none() {
            let report = self.nothing_left(Evidence::LastCommandRecord, "the command never came", now);
            self.record(Fact::Never { withdrawal_id: withdrawal_id.clone(), report }, outputs);
        }
        self.send_report(&withdrawal_id, outputs);
    }

    /// After a power cut: a command that was recorded but never began has paid nothing; one that began has an unknown end.
    pub(super) fn settle_unfinished(&mut self, now: i64, outputs: &mut Vec<Output>) {
        let unfinished: Vec<(String, bool)> =
            self.book.unfinished().map(|(id, entry)| (id.to_owned(), entry.moving)).collect();
        for (withdrawal_id, moving) in unfinished {
            let report = if moving {
                let (outcome, evidence) = (OutcomeWord::Unknown, Evidence::LastCommandRecord);
                Report::without_notes(outcome, evidence, "power cut while notes moved", &self.plan.currency, now)
            } else {
                self.nothing_left(Evidence::LastCommandRecord, "power cut before any note moved", now)
            };
            self.conclude(&withdrawal_id, report, outputs);
        }
    }

    fn refuse_to_pay(&mut self, withdrawal_id: &str, detail: &str, now: i64, outputs: &mut Vec<Output>) {
        let report = self.nothing_left(Evidence::LastCommandRecord, detail, now);
        self.conclude(withdrawal_id, report, outputs);
        self.send_report(withdrawal_id, outputs);
    }

    /// Records an end in which nothing was counted out.
    fn conclude(&mut self, withdrawal_id: &str, report: Report, outputs: &mut Vec<Output>) {
        let shown = ScreenEvent::outcome(withdrawal_id, &report);
        self.record(Fact::Counted { withdrawal_id: withdrawal_id.to_owned(), cash_out: 0, report }, outputs);
        outputs.push(Output::Screen(shown));
    }

    fn nothing_left(&self, evidence: Evidence, detail: &str, now: i64) -> Report {
        Report::without_notes(OutcomeWord::NotDispensed, evidence, detail, &self.plan.currency, now)
    }
}
