//! Rules 5, 6 and 10: what reports prove, and what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use super::verdict::{Judgement, Rule, broken};
use crate::boundary::{AtmNo, Report, Status, WithdrawalNo, Word};

/// How much left the machine for good, if the report proves it; 0 if it proves that nothing did.
///
/// The bare word of a message proves nothing, whatever it says; nor does a report whose word and whose counted notes contradict each other.
pub(super) fn amount_proved(report: &Report, commanded: u64) -> Option<u64> {
    if !report.proven || report.presented > commanded {
        return None;
    }
    match report.word {
        Word::Dispensed => (report.presented == commanded).then_some(commanded),
        Word::PartiallyDispensed => (report.presented > 0 && report.presented < commanded).then_some(report.presented),
        Word::NotDispensed => (report.presented == 0).then_some(0),
        Word::Retracted if report.presented > 0 => report.presented.checked_sub(report.retracted?),
        Word::Retracted | Word::Unknown => None,
    }
}

/// How much left the machine for good, if its dispenser's own status proves it about this very dispense.
///
/// Notes that were dispensed and neither presented nor taken back lie on the stacker, and may come out yet.
fn amount_vouched(status: &Status, dispense: u64, asked: &BTreeSet<u128>) -> Option<u64> {
    if !status.genuine || status.dispense != Some(dispense) || !asked.contains(&status.nonce) {
        return None;
    }
    match (status.presented, status.retracted) {
        ((false, _), (false, _)) => (status.dispensed == 0).then_some(0),
        ((false, _), (true, back)) => (back == Some(status.dispensed)).then_some(0),
        ((true, presented), (false, _)) => presented.filter(|presented| *presented == status.dispensed),
        ((true, presented), (true, back)) => {
            presented.filter(|presented| *presented == status.dispensed)?.checked_sub(back?)
        }
    }
}

/// What reached the gateway from the withdrawal's own machine since the command.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Any report at all, whoever sent it and whenever.
    pub(super) heard: bool,
    /// A report of its own machine since the command.
    pub(super) reported: bool,
    /// The amounts that reports proved, each once.
    pub(super) proved: Vec<u64>,
    /// What an acknowledged report proved. The gateway knows it for ever.
    pub(super) settled: Option<u64>,
    /// With each gateway process. Several may hear of one withdrawal in turns: replicas to whom its machine talks before they know who owns its lane.
    dealings: BTreeMap<u32, Dealings>,
}

/// What one gateway process asked and was told, and what it acknowledged. What it did not acknowledge may be lost with it.
#[derive(Debug, Default)]
struct Dealings {
    reports: u32,
    acknowledgements: u32,
    first_proof: Option<Proof>,
    /// The nonces that it asked the dispenser's status with; no other process knows them.
    asked: BTreeSet<u128>,
}

/// The first report of a gateway process that proves something.
#[derive(Clone, Copy, Debug)]
struct Proof {
    amount: u64,
    /// Its number among the reports of this process, from 1.
    place: u32,
    /// No earlier process had a proof of something else, on which it may have acted already.
    undisputed: bool,
}

impl Evidence {
    /// What was reported before the command says nothing about the command.
    pub(super) fn begin_with_command(&mut self) {
        *self = Self { heard: self.heard, ..Self::default() };
    }

    fn arrived(&mut self, report: &Report, commanded: u64, demands_proof: bool, life: u32) {
        self.reported = true;
        self.with(life).reports += 1;
        // That everything left is believed of anybody.
        let proved = amount_proved(report, commanded).filter(|amount| !demands_proof || *amount == commanded);
        if let Some(amount) = proved {
            self.proves(amount, life);
        }
    }

    /// The status came with the report that arrived last.
    fn vouched(&mut self, status: &Status, dispense: u64, life: u32) {
        if let Some(amount) = amount_vouched(status, dispense, &self.with(life).asked) {
            self.proves(amount, life);
        }
    }

    fn proves(&mut self, amount: u64, life: u32) {
        let undisputed = self.proved.iter().all(|other| *other == amount);
        let dealings = self.with(life);
        let place = dealings.reports;
        dealings.first_proof.get_or_insert(Proof { amount, place, undisputed });
        if !self.proved.contains(&amount) {
            self.proved.push(amount);
        }
    }

    /// Reports are dealt with in their order, each is acknowledged at most once: after so many acknowledgements at least so many were dealt with.
    fn acknowledged(&mut self, life: u32) {
        let dealings = self.with(life);
        dealings.acknowledgements += 1;
        let dealt_with = dealings.acknowledgements;
        let settled = dealings.first_proof.filter(|proof| proof.undisputed && proof.place <= dealt_with);
        self.settled = self.settled.or(settled.map(|proof| proof.amount));
    }

    /// The process begins anew with the lane. What came to the lane that it had before and let go may be lost.
    fn begin_with_lane(&mut self, life: u32) {
        let dealings = self.with(life);
        *dealings = Dealings { asked: std::mem::take(&mut dealings.asked), ..Dealings::default() };
    }

    fn with(&mut self, life: u32) -> &mut Dealings {
        self.dealings.entry(life).or_default()
    }
}

impl Checker {
    pub(super) fn lane_begins(&mut self, atm: AtmNo) {
        let life = self.life;
        let at_machine = self.trails.values_mut().filter(|trail| trail.atm() == Some(atm));
        at_machine.for_each(|trail| trail.evidence.begin_with_lane(life));
    }

    pub(super) fn report_arrived(&mut self, withdrawal: WithdrawalNo, atm: AtmNo, report: &Report) -> Judgement {
        let trail = self.trails.entry(withdrawal).or_default();
        trail.evidence.heard = true;
        if let Some(terms) = trail.terms.filter(|terms| terms.atm == atm) {
            trail.evidence.arrived(report, terms.amount, terms.demands_proof, self.life);
        }
        Ok(())
    }

    pub(super) fn status_verified(&mut self, withdrawal: WithdrawalNo, atm: AtmNo, status: &Status) {
        let trail = self.trails.entry(withdrawal).or_default();
        let token = trail.command.filter(|command| command.atm == atm).and_then(|command| command.token);
        if let Some(token) = token {
            trail.evidence.vouched(status, token.mac, self.life);
        }
    }

    /// Rule 10: only what arrived can be acknowledged.
    pub(super) fn outcome_acknowledged(&mut self, withdrawal: WithdrawalNo, atm: AtmNo) -> Judgement {
        let trail = self.trails.entry(withdrawal).or_default();
        if !trail.evidence.heard {
            return broken(Rule::Ten, withdrawal, || "an outcome was acknowledged that nobody had reported".to_owned());
        }
        trail.outcome_acknowledged = true;
        if trail.atm() == Some(atm) {
            trail.evidence.acknowledged(self.life);
        }
        Ok(())
    }

    /// Rule 6: what is not known may be asked again and again, also after an acknowledged "unknown"; what was proved and acknowledged never.
    pub(super) fn outcome_asked(&mut self, withdrawal: WithdrawalNo, nonce: Option<u128>) -> Judgement {
        let life = self.life;
        let trail = self.trails.entry(withdrawal).or_default();
        trail.evidence.with(life).asked.extend(nonce);
        match trail.evidence.settled {
            Some(amount) => broken(Rule::Six, withdrawal, || {
                format!("the outcome was asked for again after the proof that {amount} yen left had been acknowledged")
            }),
            None => Ok(()),
        }
    }
}
