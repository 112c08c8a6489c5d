//! Paying out: the command, the notes, the count, and what a record without an end means after a power cut.

use cashgate_wire::proto::atm::v1::{Dispense, QueryOutcome};

use super::book::{Fact, stays_out};
use super::command::Fault;
use super::machine::{Machine, Output};
use super::notes::{Notes, part_of, value_of, without};
use super::report::{Evidence, OutcomeWord, Report};
use super::screen::ScreenEvent;
use super::secured::Trick;

/// How much a lying machine claims on top.
const LIE: Notes = Notes { denomination: 10_000, count: 1 };
const NO_NOTES: &str = "no notes";

/// Notes on their way to the shutter.
#[derive(Clone, Debug)]
pub(super) struct Presenting {
    withdrawal_id: String,
    picked: Vec<Notes>,
    fault: Option<Fault>,
    /// The nonce to ask the dispenser's present status with.
    present_nonce: String,
    /// A present token from before, for a machine that replays it.
    early_token: String,
}

impl Machine {
    /// The command to pay out: a new one is recorded and carried out, a known one is answered out of the record.
    pub(super) fn dispense(&mut self, command: Dispense, now: i64, outputs: &mut Vec<Output>) {
        if self.book.get(&command.withdrawal_id).is_some() {
            // Sends nothing while the notes are still moving; the outcome follows by itself.
            return self.send_report(&command.withdrawal_id, outputs);
        }
        let Dispense { withdrawal_id, start_before_unix_ms, .. } = command.clone();
        let asked = command.amount.clone().unwrap_or_default();
        let (amount, currency) = (u64::try_from(asked.minor_units).unwrap_or(0), asked.currency);
        let commanded = Fact::Commanded {
            withdrawal_id: withdrawal_id.clone(),
            amount,
            currency: currency.clone(),
            start_before_unix_ms,
        };
        self.record(commanded, outputs);
        outputs.push(Output::Screen(ScreenEvent::Dispense { withdrawal_id, amount, currency: currency.clone() }));
        if now.saturating_add(self.clock_offset_ms) >= start_before_unix_ms {
            return self.refuse_to_pay(&command, "came too late to begin", now, outputs);
        }
        let fault = self.next_fault.take();
        if fault == Some(Fault::PowerCutBefore) {
            return outputs.push(Output::PowerCut);
        }
        let picked = self.cassettes.pick(amount).filter(|_| currency == self.cassettes.currency());
        let picked = match self.obstacle(fault, picked) {
            Ok(picked) => picked,
            Err(detail) => return self.refuse_to_pay(&command, detail, now, outputs),
        };
        if let Err(detail) = self.authorise(&command, amount, &currency, outputs) {
            return self.refuse_to_pay(&command, &detail, now, outputs);
        }
        if fault == Some(Fault::Empty) {
            return self.refuse_to_pay(&command, NO_NOTES, now, outputs);
        }
        self.move_notes(command, picked, fault, outputs);
    }

    /// The notes to move, or what stands in the way before the dispenser is asked at all.
    fn obstacle(&self, fault: Option<Fault>, picked: Option<Vec<Notes>>) -> Result<Vec<Notes>, &'static str> {
        match picked {
            // A dispenser that demands tokens finds out by itself, after it has taken the token.
            _ if fault == Some(Fault::Empty) && self.dispenser.is_none() => Err(NO_NOTES),
            None => Err("the cassettes cannot make the amount"),
            Some(_) if self.presenting.is_some() => Err("busy with another command"),
            Some(picked) => Ok(picked),
        }
    }

    fn move_notes(&mut self, command: Dispense, picked: Vec<Notes>, fault: Option<Fault>, outputs: &mut Vec<Output>) {
        let Dispense { withdrawal_id, present_nonce, .. } = command;
        let early_token = match fault {
            Some(Fault::Stale) => self.present_token(&withdrawal_id, &present_nonce),
            _ => String::new(),
        };
        self.cassettes.take(&picked);
        self.record(Fact::Moving { withdrawal_id: withdrawal_id.clone(), picked: picked.clone() }, outputs);
        if let Some(Fault::PowerCutDuring(taken)) = fault {
            let cash_out = value_of(&taken.map_or_else(|| picked.clone(), |taken| part_of(&picked, taken)));
            self.record(Fact::GoneUncounted { withdrawal_id, cash_out }, outputs);
            return outputs.push(Output::PowerCut);
        }
        self.presenting = Some(Presenting { withdrawal_id, picked, fault, present_nonce, early_token });
        outputs.push(Output::PresentAfter(self.plan.present_delay));
    }

    /// The notes are with the customer, or wherever the fault took them: count, record, and only then say so.
    pub(super) fn finish_presenting(&mut self, now: i64, outputs: &mut Vec<Output>) {
        let Some(presenting) = self.presenting.take() else { return };
        let Presenting { withdrawal_id, picked, fault, present_nonce, early_token } = presenting;
        let (presented, came_back) = whereabouts(&picked, fault);
        let cash_out = stays_out(&presented, &came_back);
        let present_status = self.note_end(&withdrawal_id, &presented, &came_back, fault);
        let trick = Trick::of(fault);
        let mut report = self.words_for(&picked, presented, came_back, fault, now);
        report.present_token = self.token_to_tell(&withdrawal_id, &present_nonce, trick, &early_token);
        let counted = Fact::Counted {
            withdrawal_id: withdrawal_id.clone(),
            cash_out,
            report: report.clone(),
            present_status,
            trick,
        };
        self.record(counted, outputs);
        if fault == Some(Fault::PowerCut) {
            return outputs.push(Output::PowerCut);
        }
        outputs.push(Output::Screen(ScreenEvent::outcome(&withdrawal_id, &report)));
        self.send_report(&withdrawal_id, outputs);
        self.send_cassettes(outputs);
    }

    /// What the machine says of notes that were presented and came back.
    fn words_for(
        &self,
        picked: &[Notes],
        presented: Vec<Notes>,
        came_back: Vec<Notes>,
        fault: Option<Fault>,
        now: i64,
    ) -> Report {
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
            present_token: String::new(),
        };
        match fault {
            Some(Fault::LieMore) => report.presented.push(LIE),
            Some(Fault::LieNothing) => report = self.nothing_left(Evidence::BareWord, "", now),
            Some(Fault::Lie) => report = self.nothing_left(Evidence::LastCommandRecord, NO_NOTES, now),
            Some(Fault::Stale | Fault::Forge) => report = self.nothing_left(Evidence::PresentStatus, NO_NOTES, now),
            _ => {}
        }
        report
    }

    /// Says what became of a command, after making sure that there is something to say.
    pub(super) fn answer_query(&mut self, query: QueryOutcome, now: i64, outputs: &mut Vec<Output>) {
        if self.book.get(&query.withdrawal_id).is_none() {
            let report = self.nothing_left(Evidence::LastCommandRecord, "the command never came", now);
            self.record(Fact::Never { withdrawal_id: query.withdrawal_id.clone(), report }, outputs);
        }
        self.send_answer(&query, outputs);
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

    fn refuse_to_pay(&mut self, command: &Dispense, detail: &str, now: i64, outputs: &mut Vec<Output>) {
        let Dispense { withdrawal_id, present_nonce, .. } = command;
        let mut report = self.nothing_left(Evidence::LastCommandRecord, detail, now);
        // There is one only if the dispenser took the token.
        report.present_token = self.present_token(withdrawal_id, present_nonce);
        self.conclude(withdrawal_id, report, outputs);
        self.send_report(withdrawal_id, outputs);
    }

    /// Records an end in which nothing was counted out.
    fn conclude(&mut self, withdrawal_id: &str, report: Report, outputs: &mut Vec<Output>) {
        let shown = ScreenEvent::outcome(withdrawal_id, &report);
        let withdrawal_id = withdrawal_id.to_owned();
        let counted = Fact::Counted { withdrawal_id, cash_out: 0, report, present_status: None, trick: None };
        self.record(counted, outputs);
        outputs.push(Output::Screen(shown));
    }

    fn nothing_left(&self, evidence: Evidence, detail: &str, now: i64) -> Report {
        Report::without_notes(OutcomeWord::NotDispensed, evidence, detail, &self.plan.currency, now)
    }
}

/// What of the picked notes was presented, and what of that came back.
fn whereabouts(picked: &[Notes], fault: Option<Fault>) -> (Vec<Notes>, Vec<Notes>) {
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
    (presented, came_back)
}
