//! What a world is made of before anything goes wrong: drawn from its seed, or written down as a scenario.

use std::collections::BTreeMap;

use crate::boundary::{AccountNo, AtmNo, PhoneNo, Setup};
use crate::chance::Chance;
use crate::customers::Visit;
use crate::faults::{FaultKind, Faults};

/// 2026-01-15T00:00:00Z, 09:00 in the institution's zone.
const ERA_MS: u64 = 1_768_435_200_000;
/// The institution's zone: Asia/Tokyo, without daylight saving.
const ZONE_OFFSET_MS: u64 = 9 * 3_600_000;

/// A world to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What everything is drawn from.
    pub seed: u64,
    /// When it begins.
    pub begins_at_ms: u64,
    /// How long faults may strike.
    pub faulty_for_ms: u64,
    /// How many machines.
    pub atms: u16,
    /// How many accounts.
    pub accounts: u16,
    /// How many phones.
    pub phones: u16,
    /// How long a call to core banking may take.
    pub call_timeout_ms: u64,
    /// Of so many phones in a thousand the policy asks for a code.
    pub step_up_per_mille: u64,
    /// One bit a machine, the lowest for the first: whether its dispenser has end-to-end security.
    pub end_to_end: u16,
    /// What grade of evidence the institution demands: 0 for C, 1 for B, 2 for A.
    pub evidence_demanded: u8,
    /// One bit a phone, the lowest for the first: whether it is new.
    pub new_phones: u16,
    /// How many replicas of the gateway share a database; 0 for one gateway with a disk of its own.
    pub replicas: u16,
    /// The customers of a scenario; in a drawn world they are drawn too.
    pub script: Option<Script>,
}

/// A scenario: its customers, and the faults that are to strike at their first opportunity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its name.
    pub name: &'static str,
    /// The amounts that customers want, one after the other; with several machines, at each in turn and at the same time.
    pub amounts: Vec<u64>,
    /// Whether they choose it at the machine.
    pub at_the_machine: bool,
    /// What is to go wrong.
    pub faults: Vec<FaultKind>,
}

/// What kind of world is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// One gateway with a disk of its own.
    #[default]
    OneGateway,
    /// Several replicas that share a database.
    Replicas,
}

impl Shape {
    /// The world of this shape that a seed draws.
    #[must_use]
    pub fn plan(self, seed: u64) -> Plan {
        match self {
            Self::OneGateway => Plan::of(seed),
            Self::Replicas => Plan::over_replicas(seed),
        }
    }
}

impl Plan {
    /// A drawn world.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed, 0x91a7);
        let minutes = chance.between(2, 40);
        // Some worlds live through midnight.
        let offset = if chance.per_mille(200) { 15 * 3_600_000 - chance.below(minutes * 60_000) } else { 0 };
        Self {
            seed,
            begins_at_ms: ERA_MS + offset,
            faulty_for_ms: minutes * 60_000,
            atms: u16::try_from(chance.between(1, 3)).unwrap_or(1),
            accounts: u16::try_from(chance.between(1, 3)).unwrap_or(1),
            phones: u16::try_from(chance.between(2, 4)).unwrap_or(2),
            call_timeout_ms: chance.pick(&[5_000, 20_000]).unwrap_or(5_000),
            step_up_per_mille: chance.pick(&[0, 0, 300, 1_000]).unwrap_or(0),
            end_to_end: chance.pick(&[0b000, 0b000, 0b111, 0b010, 0b101]).unwrap_or(0),
            evidence_demanded: chance.pick(&[0, 0, 0, 1, 2]).unwrap_or(0),
            new_phones: 0,
            replicas: 0,
            script: None,
        }
    }

    /// A drawn world with several replicas: more machines, and few accounts, so that their limits are contended for.
    #[must_use]
    pub fn over_replicas(seed: u64) -> Self {
        let mut chance = Chance::of(seed, 0x2e71);
        let atms = u16::try_from(chance.between(2, 5)).unwrap_or(2);
        Self {
            atms,
            accounts: u16::try_from(chance.between(1, 3)).unwrap_or(1),
            replicas: u16::try_from(chance.between(2, 5)).unwrap_or(2),
            faulty_for_ms: chance.between(2, 12) * 60_000,
            new_phones: chance.pick(&[0b0000, 0b1111, 0b1111, 0b0101, 0b1110]).unwrap_or(0),
            ..Self::of(seed)
        }
    }

    /// A scenario's world.
    #[must_use]
    pub fn scenario(script: Script, step_up: bool) -> Self {
        Self {
            seed: 1,
            begins_at_ms: ERA_MS,
            faulty_for_ms: 10 * 60_000,
            atms: 1,
            accounts: 1,
            phones: 2,
            call_timeout_ms: 5_000,
            step_up_per_mille: if step_up { 1_000 } else { 0 },
            end_to_end: 0,
            evidence_demanded: 0,
            new_phones: 0,
            replicas: 0,
            script: Some(script),
        }
    }

    /// What the checker is told, but for the faults.
    #[must_use]
    pub fn setup(&self) -> Setup {
        Setup {
            per_withdrawal: 100_000,
            per_day: 200_000,
            withdrawals_per_day: 5,
            zone_offset_ms: ZONE_OFFSET_MS,
            lying_atms: Vec::new(),
            core_bank_contradicts: false,
            end_to_end_atms: (0..self.atms).filter(|atm| self.is_end_to_end(*atm)).collect(),
            demands_proof: self.evidence_demanded == 2,
            new_phones: (0..self.phones).filter(|phone| self.is_new(*phone)).collect(),
            machines_reach_who_is_ready: false,
        }
    }

    /// Whether a machine's dispenser has end-to-end security.
    #[must_use]
    pub const fn is_end_to_end(&self, atm: AtmNo) -> bool {
        self.end_to_end >> atm & 1 == 1
    }

    /// Whether a phone is new.
    #[must_use]
    pub const fn is_new(&self, phone: PhoneNo) -> bool {
        self.new_phones >> phone & 1 == 1
    }

    /// The machines that lie, if any do.
    #[must_use]
    pub fn lying_atms(&self, faults: &Faults) -> Vec<AtmNo> {
        if faults.has(FaultKind::AtmLies) || faults.has(FaultKind::AtmLiesTwice) { vec![0] } else { Vec::new() }
    }

    /// What is on the accounts.
    pub(crate) fn balances(&self) -> BTreeMap<AccountNo, u64> {
        let mut chance = Chance::of(self.seed, 0xba1a);
        (0..self.accounts).map(|account| (account, chance.pick(&[50_000, 1_000_000, 1_000_000]).unwrap_or(0))).collect()
    }

    /// The customers who come.
    pub(crate) fn visits(&self) -> Vec<Visit> {
        if let Some(script) = &self.script {
            let visit = |(number, amount): (usize, &u64)| {
                let machines = usize::from(self.atms.max(1));
                let (turn, atm) = (number.div_euclid(machines), number.rem_euclid(machines));
                let begins_at = self.begins_at_ms + 1_000 + 240_000 * turn as u64;
                Visit::new(begins_at, AtmNo::try_from(atm).unwrap_or(0), 0, 0, *amount, script.at_the_machine)
            };
            return script.amounts.iter().enumerate().map(visit).collect();
        }
        let mut chance = Chance::of(self.seed, 0x7151);
        let count = if self.replicas > 0 { chance.between(4, 24) } else { chance.between(1, 10) };
        // With several replicas, customers come all at once in some worlds.
        let is_rush = self.replicas > 0 && chance.per_mille(300);
        let rush_at = if self.replicas > 0 { chance.below(self.faulty_for_ms) } else { 0 };
        let number = |chance: &mut Chance, of: u16| u16::try_from(chance.below(u64::from(of))).unwrap_or(0);
        (0..count)
            .map(|_| {
                let at = if is_rush { rush_at + chance.below(20_000) } else { chance.below(self.faulty_for_ms) };
                let begins_at = self.begins_at_ms + at;
                let (atm, phone): (AtmNo, PhoneNo) = (number(&mut chance, self.atms), number(&mut chance, self.phones));
                let account = number(&mut chance, self.accounts);
                let amount = match chance.below(12) {
                    0 => 5_500,
                    1 => 120_000,
                    n => n.div_euclid(2) * 10_000 + 10_000,
                };
                let at_atm = chance.per_mille(300);
                Visit::new(begins_at, atm, phone, account, amount, at_atm)
            })
            .collect()
    }
}
