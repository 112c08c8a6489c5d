//! What can go wrong, which of it goes wrong in a world, and when.
//!
//! Every world draws its own mix (swarm testing: Groce and others, ISSTA 2012): a bug that needs two rare things at once is found by worlds
//! that have just those two, often, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::chance::Chance;

macro_rules! fault_kinds {
    ($($name:ident: $meaning:literal,)* => over replicas: $($shared:ident: $told:literal,)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FaultKind {
            $(#[doc = $meaning] $name,)*
            $(#[doc = $told] $shared,)*
        }

        impl FaultKind {
            /// Every kind that strikes one gateway by itself.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
            /// The kinds that it takes several replicas and their database for.
            pub const OVER_REPLICAS: &[Self] = &[$(Self::$shared,)*];

            /// What happens, in words.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* $(Self::$shared => $told,)* }
            }
        }
    };
}

fault_kinds! {
    MessageLost: "a message between ATM and gateway is lost",
    MessageDelayed: "a message between ATM and gateway takes seconds",
    MessageHeld: "a message between ATM and gateway is held for minutes",
    MessageReordered: "a message between ATM and gateway overtakes those before it",
    MessageDuplicated: "a message between ATM and gateway arrives twice",
    LineCut: "an ATM's connection breaks",
    DeafAtm: "an ATM hears nothing, but is heard",
    DeafGateway: "an ATM is not heard, but hears",
    AtmPartition: "an ATM is cut off",
    CutWhileHeld: "an ATM is cut off while core banking is asked",
    BankRequestLost: "a request to core banking is lost",
    BankRequestDuplicated: "a request reaches core banking twice",
    BankAnswerLost: "core banking's answer is lost",
    BankAnswerLate: "core banking's answer comes long after its time",
    BankAnswerDuplicated: "core banking's answer arrives twice",
    BankPartition: "core banking is cut off",
    BankCrash: "core banking is down",
    BankOutage: "core banking is down for days",
    BankDeclines: "core banking declines a hold",
    BankContradicts: "core banking's answer contradicts its books",
    PhoneAnswerLost: "the gateway's answer to a phone is lost",
    GatewayCrash: "the gateway is killed between two instructions",
    GatewayCrashes: "the gateway is killed at a random moment",
    LostTail: "a crash loses what was written and not synced",
    TornBlock: "a crash tears the last write",
    SlowSync: "a sync takes seconds",
    SyncFails: "a sync fails and drops the pages",
    DiskFull: "the gateway's disk is full",
    BitFlip: "a bit of the ledger flips",
    ReadFails: "a withdrawal cannot be read back",
    HsmSlow: "the HSM answers too late",
    HsmLost: "the HSM is gone for minutes",
    HsmRefuses: "the HSM refuses a signature",
    AtmPowerCut: "an ATM loses its power",
    AtmClockWrong: "an ATM's clock is minutes off",
    Jam: "an ATM cannot pick the notes",
    PartialDispense: "an ATM pays out fewer notes",
    RetractCounted: "the notes are taken back and counted",
    RetractUncounted: "the notes are taken back and not counted",
    BareWord: "an ATM says that nothing left, without evidence",
    AtmLies: "an ATM's report is a lie",
    AtmLiesTwice: "an ATM reports another outcome after the first was recorded",
    TokenNotMade: "the HSM is away when a dispense token is to be made",
    StatusNotVerified: "the HSM is away when a present token is to be verified",
    StatusReplayed: "an ATM sends a present token of before",
    StatusForged: "an ATM sends a present token that its dispenser did not make",
    StatusStripped: "an ATM leaves the present token out",
    DeniesEarly: "an ATM says that nothing left while the notes lie on the stacker",
    DeniesWithoutProof: "an ATM says that nothing left, without a present token, although notes did",
    EndToEndStripped: "an ATM connects without declaring its dispenser's end-to-end security",
    DoubleTap: "a customer approves twice",
    TwoPhones: "two phones scan one code",
    OldCode: "a phone scans a code of before",
    LateScan: "a phone scans after the code has expired",
    LateApproval: "a customer approves too late",
    CancelsBeforeApproval: "a customer cancels after the scan",
    CancelsAfterApproval: "a customer cancels after the approval",
    WrongCode: "a customer types a wrong code",
    WalksAway: "a customer walks away",
    StopThrown: "the kill switch is thrown at a machine",
    => over replicas:
    ReplicaPaused: "a replica stands still and goes on later",
    DatabaseCut: "a replica is cut off from the database",
    PeersCut: "a replica is cut off from its peers",
    BankCutOfReplica: "a replica is cut off from core banking",
    DatabaseKilled: "the database is killed and comes back",
    DatabaseFailsOver: "the database fails over to its standby",
    CommitLost: "the database dies before a commit",
    CommitAnswerLost: "the database dies after a commit, before its answer",
    AnswerLost: "the answer to a commit is lost on its way",
    OutOfConnections: "the database has no connection left for a replica",
    LettingGoLost: "a replica is not heard when it asks another to let a lane go",
    DatabaseSlow: "the database takes seconds for a commit",
    BalancerBlind: "a request or a machine is sent to a replica that is not ready",
    StopElsewhere: "the kill switch is thrown at a machine through another replica",
}

/// What strikes one gateway's disk, which replicas have not, and what is thrown at one gateway and not at the ledger.
const OF_ONE_GATEWAY: &[FaultKind] = &[
    FaultKind::LostTail,
    FaultKind::TornBlock,
    FaultKind::SlowSync,
    FaultKind::SyncFails,
    FaultKind::DiskFull,
    FaultKind::BitFlip,
    FaultKind::StopThrown,
    // Days of heartbeats are millions of events, and say no more than minutes of them.
    FaultKind::BankOutage,
    // Only then does a machine report what its lane has forgotten, and is it read back.
    FaultKind::ReadFails,
];

/// What strikes a claim or a commit while the database is heard: whoever waits for one waits longer.
const OF_THE_DATABASE: &[FaultKind] = &[
    FaultKind::CommitLost,
    FaultKind::CommitAnswerLost,
    FaultKind::AnswerLost,
    FaultKind::OutOfConnections,
    FaultKind::LettingGoLost,
    FaultKind::DatabaseSlow,
];

/// What keeps a machine from those who would serve it.
const OF_MACHINES_WAYS: &[FaultKind] = &[
    FaultKind::MessageLost,
    FaultKind::MessageDelayed,
    FaultKind::MessageHeld,
    FaultKind::MessageReordered,
    FaultKind::MessageDuplicated,
    FaultKind::LineCut,
    FaultKind::DeafAtm,
    FaultKind::DeafGateway,
    FaultKind::AtmPartition,
    FaultKind::CutWhileHeld,
    FaultKind::AtmPowerCut,
    FaultKind::BalancerBlind,
];

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// One fault of a world: the `number`-th opportunity of its kind at a place (a machine, say).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId {
    /// What.
    pub kind: FaultKind,
    /// Where.
    pub place: u16,
    /// The how many-th opportunity, from 0.
    pub number: u32,
}

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{}", self.kind, self.place, self.number)
    }
}

/// Which faults may strike at all; shrinking narrows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Allowed {
    /// All that the world's mix has.
    #[default]
    Mix,
    /// Of those, only these.
    Only(BTreeSet<FaultId>),
    /// None.
    Nothing,
}

/// How often each kind strikes, in how many of a thousand opportunities, before a world's mix takes most of them out.
const RATES: [u16; 4] = [8, 30, 120, 400];

/// Faults that need another one to make a difference, and which.
const COMPANIONS: &[(FaultKind, FaultKind)] = &[
    (FaultKind::BareWord, FaultKind::Jam),
    (FaultKind::AtmLies, FaultKind::AtmLiesTwice),
    (FaultKind::AtmLiesTwice, FaultKind::Jam),
    (FaultKind::CutWhileHeld, FaultKind::CancelsAfterApproval),
    (FaultKind::StatusNotVerified, FaultKind::Jam),
    (FaultKind::StatusReplayed, FaultKind::Jam),
    (FaultKind::StatusForged, FaultKind::Jam),
    (FaultKind::StatusStripped, FaultKind::Jam),
    (FaultKind::DeniesEarly, FaultKind::PartialDispense),
    (FaultKind::StopThrown, FaultKind::MessageDelayed),
    (FaultKind::StopElsewhere, FaultKind::DatabaseSlow),
    (FaultKind::LettingGoLost, FaultKind::LineCut),
    (FaultKind::LettingGoLost, FaultKind::OutOfConnections),
    (FaultKind::ReplicaPaused, FaultKind::PeersCut),
];

/// The faults of one world.
#[derive(Clone, Debug)]
pub struct Faults {
    seed: u64,
    rates: BTreeMap<FaultKind, u16>,
    opportunities: BTreeMap<(FaultKind, u16), u32>,
    allowed: Allowed,
    healed: bool,
    struck: Vec<(u64, FaultId)>,
    /// In a scenario: what strikes, each at its first opportunity.
    script: Vec<FaultKind>,
}

impl FaultKind {
    /// Whether it strikes what somebody has under way with the database.
    #[must_use]
    pub fn is_of_the_database(self) -> bool {
        OF_THE_DATABASE.contains(&self)
    }
}

impl Faults {
    /// Exactly these faults, each at its first opportunity. The seed gives them their shape.
    #[must_use]
    pub fn scripted(seed: u64, script: Vec<FaultKind>) -> Self {
        let (rates, opportunities) = (BTreeMap::new(), BTreeMap::new());
        Self { seed, rates, opportunities, allowed: Allowed::Nothing, healed: false, struck: Vec::new(), script }
    }

    /// The mix of a seed.
    #[must_use]
    pub fn of(seed: u64, allowed: Allowed) -> Self {
        let mut chance = Chance::of(seed, 0xfa01);
        // From worlds where nothing goes wrong to worlds where most things do.
        let density = chance.pick(&[0, 60, 150, 150, 300, 500]).unwrap_or(0);
        let mut rates = BTreeMap::new();
        for kind in FaultKind::ALL {
            if chance.per_mille(density) {
                rates.insert(*kind, chance.pick(&RATES).unwrap_or(0));
            }
        }
        Self::mixed(seed, allowed, rates, chance)
    }

    /// The mix of a seed for a world with several replicas: few of the faults of one gateway, many of those between several.
    #[must_use]
    pub fn over_replicas(seed: u64, allowed: Allowed) -> Self {
        let mut chance = Chance::of(seed, 0xfa02);
        let (of_one, shared) = chance.pick(&[(0, 0), (0, 300), (30, 300), (60, 150), (150, 500)]).unwrap_or((0, 0));
        let mut rates = BTreeMap::new();
        let kinds = FaultKind::ALL.iter().filter(|kind| !OF_ONE_GATEWAY.contains(kind)).map(|kind| (kind, of_one));
        for (kind, density) in kinds.chain(FaultKind::OVER_REPLICAS.iter().map(|kind| (kind, shared))) {
            if chance.per_mille(density) {
                rates.insert(*kind, chance.pick(&RATES).unwrap_or(0));
            }
        }
        for kind in [FaultKind::GatewayCrash, FaultKind::GatewayCrashes] {
            if chance.per_mille(shared) {
                rates.insert(kind, chance.pick(&RATES).unwrap_or(0));
            }
        }
        Self::mixed(seed, allowed, rates, chance)
    }

    /// All that strikes some world with several replicas.
    pub fn all_over_replicas() -> impl Iterator<Item = FaultKind> {
        let of_one = FaultKind::ALL.iter().filter(|kind| !OF_ONE_GATEWAY.contains(kind));
        of_one.chain(FaultKind::OVER_REPLICAS).copied()
    }

    fn mixed(seed: u64, allowed: Allowed, mut rates: BTreeMap<FaultKind, u16>, mut chance: Chance) -> Self {
        // What shows only together with something else comes together with it more often.
        for (kind, with) in COMPANIONS {
            if rates.contains_key(kind) && chance.per_mille(500) {
                rates.insert(*with, 400);
            }
        }
        if rates.contains_key(&FaultKind::BankOutage) && !chance.per_mille(20) {
            rates.remove(&FaultKind::BankOutage);
        }
        Self {
            seed,
            rates,
            opportunities: BTreeMap::new(),
            allowed,
            healed: false,
            struck: Vec::new(),
            script: Vec::new(),
        }
    }

    /// Whether this kind is in the mix.
    #[must_use]
    pub fn has(&self, kind: FaultKind) -> bool {
        self.rates.contains_key(&kind) || self.script.contains(&kind)
    }

    /// Nothing strikes any more.
    pub fn heal(&mut self) {
        self.healed = true;
    }

    /// Whether a fault strikes at this opportunity; if so, with the draws that shape it.
    pub fn strikes(&mut self, kind: FaultKind, place: u16, now_ms: u64) -> Option<Chance> {
        if self.healed {
            return None;
        }
        if let Some(at) = self.script.iter().position(|wanted| *wanted == kind) {
            self.script.remove(at);
            self.struck.push((now_ms, FaultId { kind, place, number: 0 }));
            return Some(Chance::of(self.seed ^ 0x5c21, kind as u64));
        }
        let rate = *self.rates.get(&kind)?;
        let count = self.opportunities.entry((kind, place)).or_default();
        let id = FaultId { kind, place, number: *count };
        *count += 1;
        let name = (kind as u64) << 48 | u64::from(place) << 32 | u64::from(id.number);
        let mut chance = Chance::of(self.seed ^ 0x5eed_fa17, name);
        let strikes = chance.per_mille(u64::from(rate)) && self.allows(&id);
        if strikes {
            self.struck.push((now_ms, id));
        }
        strikes.then_some(chance)
    }

    /// Whether machines always have power and a line, and whoever sends them somewhere knows which replicas are ready.
    #[must_use]
    pub fn leave_machines_their_ways(&self) -> bool {
        !OF_MACHINES_WAYS.iter().any(|kind| self.has(*kind))
    }

    /// What has struck, in order.
    #[must_use]
    pub fn struck(&self) -> &[(u64, FaultId)] {
        &self.struck
    }

    fn allows(&self, id: &FaultId) -> bool {
        match &self.allowed {
            Allowed::Mix => true,
            Allowed::Only(these) => these.contains(id),
            Allowed::Nothing => false,
        }
    }
}
