//! What machines hear, do and say.

use cashgate_withdrawal::cassettes::Cassettes;
use cashgate_withdrawal::dispense::NoteCount;
use cashgate_withdrawal::dispense::{DispenseCommand, EvidenceSource, Outcome, OutcomeReport};
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::{CommandNonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::lane::{AtmFacts, FromAtm, Input, LinkId, ToAtm};
use cashgate_withdrawal::money::Currency;

use crate::adopting::Waiting;
use crate::atm::{Atm, Fate, report};
use crate::books::{self, number};
use crate::boundary::{Among, AtmNo, What};
use crate::event::{AtmSays, Code, Event};
use crate::faults::FaultKind;
use crate::names::yen;
use crate::world::World;

/// How often a machine repeats what nobody has acknowledged.
const REPEAT_MS: u64 = 30_000;

impl World {
    pub(crate) fn atm(&mut self, atm: AtmNo) -> Option<&mut Atm> {
        self.atms.get_mut(usize::from(atm))
    }

    /// A machine's message reaches the gateway.
    pub(crate) fn gateway_hears(&mut self, atm: AtmNo, link: u64, message: AtmSays) {
        if self.is_replicated() {
            self.enter(self.lines.replica(link));
        }
        if !self.gateway.up {
            return;
        }
        match message {
            AtmSays::Hello { end_to_end, unresolved } => {
                if self.gateway.link(atm).is_some_and(|known| known > link) {
                    return;
                }
                for (id, said) in unresolved.iter().filter(|(_, said)| said.present.is_none()) {
                    self.report_arrives(atm, *id, said);
                }
                let facts = facts(end_to_end);
                if self.atm(atm).is_some_and(|machine| machine.link == Some(link)) {
                    self.crosses_among(Among::AtmConnected { atm });
                }
                if self.is_replicated() && self.gateway.slot(atm).is_none() {
                    if self.gateway.members.served_elsewhere {
                        return self.refuses_newcomer(atm, link);
                    }
                    return self.begins_adoption(atm, Waiting { link, facts, unresolved });
                }
                self.gateway.connecting(atm, link);
                self.connects(atm, link, facts, unresolved);
            }
            _ if self.gateway.link(atm) != Some(link) => {}
            AtmSays::Touched { amount, command_nonce } => {
                let fresh = QrSessionId::from_bytes(self.gateway.fresh(self.now).to_be_bytes());
                if let Some(nonce) = command_nonce {
                    self.gateway.command_nonces.insert(u128::from_be_bytes(*fresh.as_bytes()), nonce);
                }
                let command_nonce = command_nonce.map(|nonce| CommandNonce::from_bytes(nonce.to_be_bytes()));
                let message = FromAtm::StartQrSession { amount, command_nonce, fresh };
                self.put(atm, Input::AtmSaid { link: LinkId(link), message }, None);
            }
            AtmSays::Said(message) => {
                if let FromAtm::Outcome { withdrawal, report } = &message
                    && report.present.is_none()
                {
                    self.report_arrives(atm, *withdrawal, report);
                }
                self.put(atm, Input::AtmSaid { link: LinkId(link), message }, None);
            }
        }
    }

    pub(crate) fn report_arrives(&mut self, atm: AtmNo, id: WithdrawalId, said: &OutcomeReport) {
        self.crosses(What::ReportArrived { atm, withdrawal: number(id), report: books::report(said) });
    }

    pub(crate) fn gateway_loses_link(&mut self, life: u32, atm: AtmNo, link: u64) {
        if life != self.gateway.life || self.gateway.link(atm) != Some(link) {
            return;
        }
        if self.atm(atm).is_some_and(|machine| machine.link == Some(link)) {
            // It cannot send away whom it has lost, whatever that one still believes.
            self.crosses_among(Among::AtmLostLink { atm });
        }
        if let Some(slot) = self.gateway.slot(atm) {
            slot.link = None;
        }
        self.put(atm, Input::AtmDisconnected { link: LinkId(link) }, None);
    }

    pub(crate) fn atm_loses_link(&mut self, atm: AtmNo, link: u64) {
        let Some(machine) = self.atm(atm).filter(|machine| machine.link == Some(link)) else { return };
        machine.link = None;
        let boot = machine.boot;
        self.crosses_among(Among::AtmLostLink { atm });
        self.customer_leaves(atm);
        let after = self.network.between(500, 5_000);
        self.after(after, Event::AtmDials { atm, boot });
    }

    /// A message reaches a machine.
    pub(crate) fn atm_hears(&mut self, atm: AtmNo, link: u64, message: ToAtm) {
        let Some(machine) = self.atm(atm).filter(|machine| machine.powered && machine.link == Some(link)) else {
            return;
        };
        match message {
            ToAtm::Dispense(command) => self.dispenses(atm, &command),
            ToAtm::QueryOutcome { withdrawal, present_nonce } => {
                if let Some(said) = machine.asked(withdrawal, present_nonce.is_some()) {
                    let said = self.vouched(atm, withdrawal, said, present_nonce.as_ref());
                    self.says_outcome(atm, withdrawal, said);
                }
            }
            ToAtm::OutcomeRecorded(id) => {
                machine.acknowledged(id);
                self.perhaps_lies_again(atm, id);
            }
            ToAtm::Refused { withdrawal: Some(id), .. } => {
                machine.refused.insert(id);
            }
            ToAtm::ShowQr { code, .. } => {
                let nonce = code.text.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
                let replica = self.lines.replica(link);
                let expires_at_ms = code.expires_at.unix_ms();
                let shown = Code { atm, replica, qr_session: code.qr_session, nonce, expires_at_ms };
                self.customer_sees_code(atm, shown);
            }
            ToAtm::AskConfirmCode { withdrawal, .. } => self.customer_is_asked(atm, withdrawal),
            ToAtm::QrSessionEnded { .. } | ToAtm::TryLater { .. } => self.customer_leaves(atm),
            ToAtm::Welcome { .. } => machine.welcomed = true,
            ToAtm::QrClaimed(_) | ToAtm::Refused { withdrawal: None, .. } => {}
        }
    }

    fn dispenses(&mut self, atm: AtmNo, command: &DispenseCommand) {
        let now = self.now;
        let Some(machine) = self.atm(atm) else { return };
        let is_new = machine.paper(command.withdrawal).is_none();
        if let Some(said) = machine.commanded(command, now) {
            return self.says_outcome(atm, command.withdrawal, said);
        }
        if is_new {
            let (boot, after) = (machine.boot, self.network.between(2_000, 6_000));
            self.after(after, Event::NotesArrive { atm, boot, withdrawal: command.withdrawal });
            self.perhaps_denies_early(atm, command.withdrawal);
        }
    }

    /// The notes come to their fate.
    pub(crate) fn notes_arrive(&mut self, atm: AtmNo, boot: u32, id: WithdrawalId) {
        let Some(machine) = self.atm(atm).filter(|machine| machine.powered && machine.boot == boot) else { return };
        let Some(amount) = machine.paper(id).map(|paper| paper.amount.minor_units()) else { return };
        if let Some(mut chance) = self.strikes(FaultKind::AtmPowerCut, atm) {
            return self.loses_power(atm, chance.between(1_000, 60_000), chance.per_mille(500));
        }
        let fate = self.fate(atm, amount);
        self.notes_move(atm, id, fate, amount);
        let honest = fate.report(amount);
        let said = self.perhaps_lies(atm, &honest, amount);
        let said = self.perhaps_denies(atm, id, said);
        let said = self.vouched(atm, id, said, None);
        if let Some(machine) = self.atm(atm) {
            machine.writes_down(id, said.clone());
            if said.outcome == Outcome::Unknown {
                let status = EvidenceSource::PresentStatus;
                machine.learns(id, report(Outcome::Dispensed, amount + 10_000, None, status));
            }
        }
        self.says_outcome(atm, id, said);
    }

    fn fate(&mut self, atm: AtmNo, amount: u64) -> Fate {
        let notes = amount / 10_000;
        if self.strikes(FaultKind::Jam, atm).is_some() {
            Fate::Jammed { proven: self.strikes(FaultKind::BareWord, atm).is_none() }
        } else if let Some(mut chance) = self.strikes(FaultKind::PartialDispense, atm).filter(|_| notes > 1) {
            Fate::Partial(chance.between(1, notes - 1) * 10_000)
        } else if let Some(mut chance) = self.strikes(FaultKind::RetractCounted, atm) {
            Fate::Retracted { presented: amount, back: chance.between(1, notes.max(1)) * 10_000, counted: true }
        } else if let Some(mut chance) = self.strikes(FaultKind::RetractUncounted, atm) {
            Fate::Retracted { presented: amount, back: chance.between(0, notes) * 10_000, counted: false }
        } else {
            Fate::Dispensed
        }
    }

    fn notes_move(&mut self, atm: AtmNo, id: WithdrawalId, fate: Fate, amount: u64) {
        let (presented, taken) = fate.notes(amount);
        if let Some(machine) = self.atm(atm) {
            machine.dispenser.moved(fate, amount);
        }
        if presented > 0 {
            self.crosses(What::NotesMoved { atm, withdrawal: number(id), presented });
            self.cash.insert(id, taken);
            self.crosses(What::CashTaken { atm, withdrawal: number(id), amount: taken });
        }
    }

    pub(crate) fn says_outcome(&mut self, atm: AtmNo, withdrawal: WithdrawalId, said: OutcomeReport) {
        self.send_from_atm(atm, AtmSays::Said(FromAtm::Outcome { withdrawal, report: said }));
    }

    pub(crate) fn atm_repeats(&mut self, atm: AtmNo, boot: u32) {
        let Some(machine) = self.atm(atm).filter(|machine| machine.boot == boot) else { return };
        let due = if machine.link.is_some() { machine.repeats() } else { Vec::new() };
        for (id, said) in due {
            self.says_outcome(atm, id, said);
        }
        self.after(REPEAT_MS, Event::AtmRepeats { atm, boot });
    }

    /// The power fails; `moved` says whether notes that were under way have reached the customer.
    pub(crate) fn loses_power(&mut self, atm: AtmNo, for_ms: u64, moved: bool) {
        let Some(machine) = self.atm(atm).filter(|machine| machine.powered) else { return };
        machine.powered = false;
        machine.boot += 1;
        machine.dispenser.loses_power();
        let under_way = machine.presenting;
        let link = machine.link.take();
        if let Some(id) = under_way {
            let amount = machine.paper(id).map_or(0, |paper| paper.amount.minor_units());
            let fate = if moved { Fate::Dispensed } else { Fate::Jammed { proven: true } };
            self.notes_move(atm, id, fate, amount);
            // Whether a second look tells more depends on the machine.
            let looks = self.network.per_mille(700);
            let read = OutcomeReport { evidence: EvidenceSource::LastCommandRecord, ..fate.report(amount) };
            let read = self.perhaps_lies(atm, &read, amount);
            if let Some(machine) = self.atm(atm) {
                machine.loses_track(id, looks.then_some(read));
            }
        }
        self.customer_leaves(atm);
        let after = self.network.between(0, 30_000);
        if let Some(link) = link {
            self.crosses_among(Among::AtmLostLink { atm });
            if self.is_replicated() {
                self.enter(self.lines.replica(link));
            }
            let life = self.gateway.life;
            self.after(after, Event::GatewayLosesLink { life, atm, link });
        }
        self.after(for_ms, Event::AtmPowersOn { atm });
    }

    pub(crate) fn powers_on(&mut self, atm: AtmNo) {
        let Some(machine) = self.atm(atm).filter(|machine| !machine.powered) else { return };
        machine.powered = true;
        let boot = machine.boot;
        self.after(0, Event::AtmDials { atm, boot });
        self.after(REPEAT_MS, Event::AtmRepeats { atm, boot });
    }

    fn perhaps_lies(&mut self, atm: AtmNo, honest: &OutcomeReport, amount: u64) -> OutcomeReport {
        if atm != 0 {
            return honest.clone();
        }
        let Some(mut chance) = self.strikes(FaultKind::AtmLies, atm) else { return honest.clone() };
        let status = EvidenceSource::PresentStatus;
        match chance.below(9) {
            0 | 6 => report(Outcome::NotDispensed, 0, None, status),
            // And what a second look tells is a lie too.
            7 | 8 => report(Outcome::Unknown, 0, None, status),
            1 => report(Outcome::Dispensed, amount + 10_000, None, status),
            2 => report(Outcome::Dispensed, amount.saturating_sub(10_000), None, status),
            3 => report(Outcome::PartiallyDispensed, 10_000.min(amount), None, status),
            4 => report(Outcome::Retracted, amount, Some(amount + 10_000), status),
            _ => report(Outcome::Retracted, 0, Some(amount), status),
        }
    }

    /// After the first outcome was recorded, another one.
    fn perhaps_lies_again(&mut self, atm: AtmNo, id: WithdrawalId) {
        let amount = self.atm(atm).and_then(|machine| machine.paper(id)).map_or(0, |paper| paper.amount.minor_units());
        if atm != 0 || amount == 0 || self.strikes(FaultKind::AtmLiesTwice, atm).is_none() {
            return;
        }
        let said_nothing_left = self
            .atm(atm)
            .and_then(|machine| machine.paper(id))
            .and_then(|paper| paper.report.as_ref())
            .is_some_and(|said| said.outcome == Outcome::NotDispensed);
        let said = if !said_nothing_left && self.network.per_mille(500) {
            report(Outcome::NotDispensed, 0, None, EvidenceSource::PresentStatus)
        } else {
            report(Outcome::PartiallyDispensed, 10_000.min(amount), None, EvidenceSource::PresentStatus)
        };
        if let Some(machine) = self.atm(atm) {
            machine.writes_down(id, said.clone());
        }
        self.says_outcome(atm, id, said);
    }
}

#[allow(clippy::expect_used, reason = "constant notes")]
fn facts(end_to_end: bool) -> AtmFacts {
    let notes = [10_000, 1_000].map(|value| NoteCount { denomination: yen(value), count: 100 });
    let cassettes = Cassettes::new(&notes, Currency::JPY, 60).expect("notes");
    let evidence_grade = if end_to_end { EvidenceGrade::A } else { EvidenceGrade::B };
    AtmFacts { name: "Shibuya".into(), place: "Tokyo".into(), cassettes, location: None, end_to_end, evidence_grade }
}
