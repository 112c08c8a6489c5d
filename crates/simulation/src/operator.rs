//! The course of a world: how it begins, what strikes it, how it heals, and the person who decides about suspects.

use cashgate_wire::journal;
use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::lane::{Input, Resolution};
use cashgate_withdrawal::stop::StopScope;

use crate::books;
use crate::boundary::{Among, AtmNo, Closing, What};
use crate::chance::Chance;
use crate::checker::{Rule, Violation};
use crate::core_bank::Standing;
use crate::event::{Act, Caller, Event};
use crate::faults::FaultKind;
use crate::names::{self, yen};
use crate::world::World;

/// Every PIN block of a world.
pub(crate) const PIN_MARK: [u8; 16] = *b"\xd1PIN-BLOCK-MARK\xd1";

/// What may strike at any moment, and how often it gets its chance.
const AT_ANY_MOMENT: [FaultKind; 13] = [
    FaultKind::GatewayCrashes,
    FaultKind::LineCut,
    FaultKind::DeafAtm,
    FaultKind::DeafGateway,
    FaultKind::AtmPartition,
    FaultKind::AtmPowerCut,
    FaultKind::BankPartition,
    FaultKind::BankCrash,
    FaultKind::BankOutage,
    FaultKind::HsmLost,
    FaultKind::DiskFull,
    FaultKind::BitFlip,
    FaultKind::StopThrown,
];
/// The same, with several replicas.
const AT_ANY_MOMENT_OVER_REPLICAS: &[FaultKind] = &[
    FaultKind::ReplicaPaused,
    FaultKind::DatabaseCut,
    FaultKind::PeersCut,
    FaultKind::BankCutOfReplica,
    FaultKind::DatabaseKilled,
    FaultKind::DatabaseFailsOver,
    FaultKind::DatabaseSlow,
    FaultKind::StopElsewhere,
];
const CHANCE_EVERY_MS: u64 = 60_000;
const OPERATOR_EVERY_MS: u64 = 60_000;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 1_440 * MINUTE_MS;

impl World {
    pub(crate) fn begin(&mut self) {
        for replica in 0..self.plan.replicas.max(1) {
            self.after(u64::from(replica), Event::GatewayStarts { replica });
        }
        for atm in 0..self.plan.atms {
            self.after(500, Event::AtmDials { atm, boot: 0 });
            self.after(30_000, Event::AtmRepeats { atm, boot: 0 });
            if let Some(mut chance) = self.strikes(FaultKind::AtmClockWrong, atm) {
                let error = i64::try_from(chance.between(1_000, 20 * MINUTE_MS)).unwrap_or(0);
                let error = if chance.per_mille(500) { error } else { -error };
                if let Some(atm) = self.atm(atm) {
                    atm.clock_error_ms = error;
                }
            }
        }
        for (visit, at) in self.visits.iter().map(|visit| visit.begins_at).enumerate().collect::<Vec<_>>() {
            self.schedule(at, Event::Visit { visit, act: Act::Arrives });
        }
        for kind in AT_ANY_MOMENT.iter().chain(AT_ANY_MOMENT_OVER_REPLICAS).copied() {
            if self.faults.has(kind) {
                let places = match kind {
                    _ if is_of_an_atm(kind) => self.plan.atms,
                    _ if is_of_a_replica(kind) => self.plan.replicas.max(1),
                    _ => 1,
                };
                for place in 0..places {
                    let at = self.now + self.network.between(1, CHANCE_EVERY_MS);
                    self.schedule(at, Event::Strikes { kind, place });
                }
            }
        }
        self.after(OPERATOR_EVERY_MS, Event::OperatorLooks);
    }

    pub(crate) fn happens(&mut self, event: Event) {
        let Some(event) = self.in_its_process(event) else { return };
        match event {
            Event::GatewayStarts { replica } => {
                self.enter(replica);
                self.gateway_starts();
            }
            Event::Wakes { life, atm } => self.wakes(life, atm),
            Event::Written { life } => self.written(life),
            Event::Synced { life } => self.synced(life),
            Event::LooksForSpace { life } => self.looks_for_space(life),
            Event::Minted { life, atm, qr_session, signed } => self.minted(life, atm, qr_session, signed),
            Event::ReadBack { life, atm, withdrawal, report } => self.read_back(life, atm, withdrawal, report),
            Event::CallTimesOut { life, call } => self.call_times_out(life, call),
            Event::TokenMade { life, atm, withdrawal, token } => self.token_made(life, atm, withdrawal, token),
            Event::TokenVerified { life, atm, verifying } => self.token_verified(life, atm, *verifying),
            Event::AtmDials { atm, boot } => self.atm_dials(atm, boot),
            Event::AtmWaitsForWelcome { atm, link } => self.atm_waits_for_welcome(atm, link),
            Event::ToAtm { atm, link, message } => self.atm_hears(atm, link, message),
            Event::FromAtm { atm, link, message } => self.gateway_hears(atm, link, message),
            Event::GatewayLosesLink { life, atm, link } => self.gateway_loses_link(life, atm, link),
            Event::AtmLosesLink { atm, link } => self.atm_loses_link(atm, link),
            Event::NotesArrive { atm, boot, withdrawal } => self.notes_arrive(atm, boot, withdrawal),
            Event::AtmRepeats { atm, boot } => self.atm_repeats(atm, boot),
            Event::AtmPowersOn { atm } => self.powers_on(atm),
            Event::BankHears { life, call, asked } => self.bank_hears(life, call, asked),
            Event::BankAnswers { life, call, atm, answer, late } => self.bank_answers(life, call, atm, answer, late),
            Event::Visit { visit, act } => self.acts(visit, act),
            Event::PhoneAsks { phone, visit, asks } => self.phone_reaches_gateway(phone, visit, asks),
            Event::PhoneHears { visit, answered } => self.phone_hears(visit, answered),
            Event::OperatorLooks => self.operator_looks(),
            Event::Strikes { kind, place } => self.gets_its_chance(kind, place),
            Event::SpaceAgain => self.journal.has_space(),
            Event::Heal => self.heal(),
            of_replicas => self.happens_to_replicas(of_replicas),
        }
    }

    /// An event happens in its process, if that is still there, and not while it stands still.
    fn in_its_process(&mut self, event: Event) -> Option<Event> {
        if !self.is_replicated() {
            return Some(event);
        }
        if let Event::FromAtm { link, .. } = &event {
            self.enter(self.lines.replica(*link));
            return self.unless_paused(event);
        }
        let Some(life) = event.life() else { return Some(event) };
        if self.enter_life(life) { self.unless_paused(event) } else { None }
    }

    fn gets_its_chance(&mut self, kind: FaultKind, place: u16) {
        // An outage of days needs no other faults to last as long.
        if self.now > self.plan.begins_at_ms + self.plan.faulty_for_ms {
            return;
        }
        if let Some(mut chance) = self.strikes(kind, place) {
            match kind {
                FaultKind::LineCut => self.break_link(place, 2_000),
                FaultKind::DeafAtm | FaultKind::DeafGateway | FaultKind::AtmPartition => {
                    let for_ms = chance.between(5_000, 20 * MINUTE_MS);
                    self.cut_line(place, kind, for_ms);
                }
                FaultKind::AtmPowerCut => {
                    let (for_ms, moved) = (chance.between(1_000, 20 * MINUTE_MS), chance.per_mille(500));
                    self.loses_power(place, for_ms, moved);
                }
                FaultKind::BankPartition => self.lines.bank_cut_until_ms = self.now + minutes(1, 10, &mut chance),
                FaultKind::BankCrash => self.bank.down_until_ms = self.now + minutes(1, 10, &mut chance),
                FaultKind::BankOutage if self.heals_at < self.now + DAY_MS / 2 => {
                    self.bank.down_until_ms = self.now + minutes(600, 4_320, &mut chance);
                    self.heals_at = self.heals_at.max(self.bank.down_until_ms);
                }
                FaultKind::HsmLost => self.hsm_lost_until_ms = self.now + minutes(1, 10, &mut chance),
                FaultKind::DiskFull => {
                    self.journal.full = true;
                    let for_ms = minutes(1, 10, &mut chance);
                    self.after(for_ms, Event::SpaceAgain);
                }
                // What it ends at once; that nothing begins while it holds is admission's, and no world needs it.
                FaultKind::StopThrown => self.put(place, Input::Stopped(StopScope::Atm(names::atm(place))), None),
                FaultKind::BitFlip => {
                    if let Some(what) = self.journal.flip_a_bit(&mut chance) {
                        self.note(|| what);
                        self.coverage.flipped += 1;
                    }
                }
                of_replicas => self.strikes_replicas(of_replicas, place, &mut chance),
            }
        }
        self.after(CHANCE_EVERY_MS, Event::Strikes { kind, place });
    }

    /// What befalls one replica, or the database of all.
    fn strikes_replicas(&mut self, kind: FaultKind, place: u16, chance: &mut Chance) {
        match kind {
            FaultKind::GatewayCrashes => {
                self.enter(place);
                let back_after = chance.between(500, 90_000);
                self.gateway_dies("killed", back_after);
            }
            FaultKind::ReplicaPaused => {
                self.enter(place);
                let for_ms = chance.between(500, 60_000);
                self.gateway.members.paused_until_ms = self.now + for_ms;
                self.crosses_among(Among::StandsStill { until_ms: self.now + for_ms });
                if for_ms > 3_000 {
                    self.count("pauses past the word of the ledger");
                }
                self.machines_notice_a_pause();
            }
            FaultKind::DatabaseCut => {
                self.enter(place);
                self.gateway.members.database_cut_until_ms = self.now + chance.between(500, 60_000);
            }
            FaultKind::PeersCut => {
                self.enter(place);
                let until_ms = self.now + chance.between(500, 120_000);
                self.gateway.members.peers_cut_until_ms = until_ms;
                self.crosses_among(Among::CutFromPeers { until_ms });
            }
            FaultKind::BankCutOfReplica => {
                self.enter(place);
                self.gateway.members.bank_cut_until_ms = self.now + minutes(1, 5, chance);
            }
            FaultKind::DatabaseKilled => self.database_goes(chance.between(3_000, 60_000), "database kills"),
            FaultKind::DatabaseFailsOver => self.database_goes(chance.between(500, 20_000), "database failovers"),
            FaultKind::DatabaseSlow => self.database.slow_until_ms = self.now + minutes(1, 3, chance),
            FaultKind::StopElsewhere => self.stop_elsewhere(place, minutes(1, 4, chance)),
            _ => {}
        }
    }

    fn heal(&mut self) {
        if self.now < self.heals_at {
            return self.schedule(self.heals_at, Event::Heal);
        }
        self.note(|| "-- from here on nothing goes wrong any more".to_owned());
        self.healing = true;
        self.faults.heal();
        self.lines.heal();
        self.heal_replicas();
        self.bank.down_until_ms = 0;
        self.hsm_lost_until_ms = 0;
        self.journal.has_space();
        self.find_damage();
        for atm in 0..self.plan.atms {
            let machine = self.atm(atm).and_then(|machine| machine.link);
            let links: Vec<u64> = self.gateways().filter_map(|gateway| gateway.link(atm)).collect();
            if links != machine.into_iter().collect::<Vec<_>>() {
                self.break_link(atm, 10);
            }
        }
    }

    /// A person has the ledger verified and restores what is damaged.
    fn find_damage(&mut self) {
        if !self.journal.is_damaged() {
            return;
        }
        match self.journal.verify() {
            Err(found) => {
                self.note(|| format!("ledger verify: {found}"));
                self.coverage.damage_found += 1;
            }
            Ok(()) => self.broken("a flipped bit was not found".to_owned()),
        }
        self.journal.restore();
    }

    /// A person looks at suspects, with the machine's counters and core banking's postings at hand, and decides.
    fn operator_looks(&mut self) {
        self.after(OPERATOR_EVERY_MS, Event::OperatorLooks);
        if (!self.gateway.up && !self.is_replicated()) || !(self.healing || self.network.per_mille(100)) {
            return;
        }
        for (id, atm) in self.journal.suspects() {
            // It may die under the decision before this one.
            if !self.gateway.up && !self.is_replicated() {
                return;
            }
            let atm = names::atm_number(&atm);
            // Whoever is asked passes it on to the replica that has the lane, if it can be reached.
            if self.is_replicated()
                && !(self.enter_owner(atm)
                    && self.gateway.slot(atm).is_some()
                    && self.now >= self.gateway.members.paused_until_ms)
            {
                continue;
            }
            let still_moving = self.atm(atm).is_some_and(|machine| machine.presenting == Some(id));
            if !still_moving {
                self.decides(id, atm);
            }
        }
    }

    fn decides(&mut self, withdrawal: WithdrawalId, atm: AtmNo) {
        let taken = self.cash.get(&withdrawal).copied().unwrap_or(0);
        // What core banking has posted cannot be taken back by anyone here.
        let settlement = match self.bank.standing(books::number(withdrawal)) {
            Some(Standing::Confirmed(amount)) => Settlement::Confirm(yen(amount)),
            Some(Standing::Reversed | Standing::Declined) => Settlement::Reverse,
            _ if taken > 0 => Settlement::Confirm(yen(taken)),
            _ => Settlement::Reverse,
        };
        if self.gateway.slot(atm).is_none() {
            return self.broken(format!("{withdrawal} is a suspect and has no lane"));
        }
        let confirm = match settlement {
            Settlement::Confirm(amount) => Some(amount.minor_units()),
            Settlement::Reverse => None,
        };
        self.crosses(What::PersonDecides { withdrawal: books::number(withdrawal), confirm });
        let request = self.gateway.request(atm, Caller::Operator { withdrawal, settlement });
        let operator = names::operator();
        let reason = "counted".to_owned();
        self.put(atm, Input::Resolved(Resolution { request, withdrawal, settlement, operator, reason }), None);
    }

    pub(crate) fn atm_waits_for_welcome(&mut self, atm: AtmNo, link: u64) {
        let waits = self.atm(atm).is_some_and(|machine| machine.link == Some(link) && !machine.welcomed);
        if waits {
            self.atm_loses_link(atm, link);
        }
    }

    /// The books at the end, and whatever should not be in them.
    pub(crate) fn closing(&mut self) -> Closing {
        let mut books = Vec::new();
        let mut secrets_found = std::mem::take(&mut self.secrets_found);
        let mut unreadable = Vec::new();
        for (id, steps) in self.journal.all() {
            match journal::replay(id, steps.iter().map(|step| (step.number, step.at, step.body.as_slice()))) {
                Ok(withdrawal) => books.push(books::book(&withdrawal)),
                Err(why) => unreadable.push(format!("{id} does not replay: {why}")),
            }
            if steps.iter().any(|step| step.body.windows(PIN_MARK.len()).any(|bytes| bytes == PIN_MARK)) {
                secrets_found.push(format!("the journal of {id}"));
            }
        }
        if self.is_replicated() {
            self.judge_spent(&books);
        }
        for why in unreadable {
            self.broken(why);
        }
        let (reserved, sequence, memories) = (self.reserved(), self.journal.sequence(), self.memories());
        Closing { books, reserved, sequence, memories, secrets_found }
    }

    /// Something that no rule of the design names, and that must not be all the same.
    pub(crate) fn broken(&mut self, what: String) {
        let at_ms = self.now;
        self.violated(Violation { rule: Rule::Liveness, at_ms, withdrawal: None, what });
    }
}

const fn is_of_a_replica(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::GatewayCrashes
            | FaultKind::ReplicaPaused
            | FaultKind::DatabaseCut
            | FaultKind::PeersCut
            | FaultKind::BankCutOfReplica
    )
}

const fn is_of_an_atm(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::LineCut
            | FaultKind::DeafAtm
            | FaultKind::DeafGateway
            | FaultKind::AtmPartition
            | FaultKind::AtmPowerCut
            | FaultKind::StopThrown
            | FaultKind::StopElsewhere
    )
}

fn minutes(low: u64, high: u64, chance: &mut Chance) -> u64 {
    chance.between(low * MINUTE_MS, high * MINUTE_MS)
}
