//! The gateway process: production's attendants, desk, limits and recovery, around a model of its disk.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::{NonZeroU8, NonZeroU32};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cashgate_gateway::admission::{Desk, Policy, Rulebook, Rules};
use cashgate_gateway::config::{CoreBanking, Institution};
use cashgate_gateway::devices::{Device, KnownDevices};
use cashgate_gateway::lanes::{Attendant, Intent, Recovered, recover};
use cashgate_gateway::stops::Stops;
use cashgate_ledger::StepRecord;
use cashgate_limits::{Burst, Caps, LimitFigures, Limits, SumCaps};
use cashgate_policy::{Decision, Facts, Verdict};
use cashgate_qr::approval::DeviceKey;
use cashgate_wire::customer::PinBlock;
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::lane::{Input, LaneSettings, RequestId};
use cashgate_withdrawal::money::Currency;
use cashgate_withdrawal::time::Timestamp;

use crate::adopting::Waiting;
use crate::boundary::{AtmNo, What};
use crate::chance::Chance;
use crate::crash_plan::Tail;
use crate::database::Write;
use crate::end_to_end::EveryKey;
use crate::event::{Asked, Caller, Event};
use crate::faults::FaultKind;
use crate::journal::NotAppended;
use crate::names;
use crate::plan::Plan;
use crate::replicas::{Membership, with_stops};
use crate::world::World;

/// Small worlds need few shards.
const SHARDS: usize = 2;

/// The process, or what will be one.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// Which replica it is; 0 if there is one gateway alone.
    pub(crate) replica: u16,
    pub(crate) up: bool,
    /// Which process it is: a later one, of whatever replica, has a higher number.
    pub(crate) life: u32,
    pub(crate) members: Membership,
    /// Machines that wait for their lanes.
    pub(crate) adopting: BTreeMap<AtmNo, Waiting>,
    /// What waits for the next commit, and the one that was sent, with how often it was sent before.
    pub(crate) to_commit: Vec<Write>,
    pub(crate) sent: Option<(u64, u32)>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) desk: Arc<Desk>,
    settings: Arc<LaneSettings>,
    institutions: Arc<[Institution]>,
    slots: BTreeMap<AtmNo, Slot>,
    /// Appends that wait for the next group.
    pub(crate) queued: Vec<(AtmNo, Vec<StepRecord>)>,
    /// Whose appends are in the group that is being committed.
    pub(crate) committing: Vec<AtmNo>,
    pub(crate) callers: BTreeMap<(AtmNo, RequestId), Caller>,
    next_request: u64,
    next_number: u64,
    pub(crate) calls: BTreeMap<u64, (AtmNo, Asked)>,
    next_call: u64,
    /// The dispenser's nonce of each QR session that a machine began with one.
    pub(crate) command_nonces: BTreeMap<u128, u128>,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) attendant: Attendant,
    pub(crate) inbox: VecDeque<(Input, Option<PinBlock>)>,
    /// With several replicas: the epoch in which the lane is this one's.
    pub(crate) epoch: u64,
    /// Whether what waits is durable and only waits for the replica to be allowed to act.
    pub(crate) is_durable: bool,
    /// Whether entries of the limits are being read.
    pub(crate) is_reading: bool,
    /// How often the approval that comes next was taken back.
    pub(crate) tries: u32,
    /// The intent whose records are being made durable.
    pub(crate) waiting: Option<Intent>,
    pub(crate) link: Option<u64>,
    wakes_at: Option<u64>,
    /// The states that the records so far have led to.
    pub(crate) states: HashMap<WithdrawalId, &'static str>,
}

/// Asks for a code where the phone is one of those that the world is wary of.
#[derive(Debug)]
struct Wary {
    seed: u64,
    per_mille: u64,
}

impl Policy for Wary {
    fn decide(&self, facts: &Facts) -> Decision {
        let phone = facts.device.as_str().bytes().fold(0_u64, |sum, byte| sum * 31 + u64::from(byte));
        let wary = Chance::of(self.seed, phone).per_mille(self.per_mille);
        let verdict = if wary { Verdict::StepUp } else { Verdict::Permit };
        Decision { verdict, reasons: Vec::new(), rules: Vec::new(), policy_version: self.version().to_owned() }
    }

    fn version(&self) -> &str {
        "world-1"
    }
}

#[allow(clippy::expect_used, reason = "a constant key")]
static PHONE_KEY: LazyLock<DeviceKey> =
    LazyLock::new(|| DeviceKey::from_spki_der(include_bytes!("phone-key.der")).expect("a public key"));

#[allow(clippy::expect_used, reason = "constant figures in one currency")]
fn institution(plan: &Plan) -> Institution {
    let setup = plan.setup();
    let burst = Burst { withdrawals: NonZeroU32::new(3).expect("not zero"), every: Duration::from_secs(30) };
    // What the checker counts: single withdrawals and calendar days. Rolling windows are held by the limits' own tests.
    let caps = Caps {
        per_withdrawal: setup.per_withdrawal,
        per_day: setup.per_day,
        withdrawals_per_day: setup.withdrawals_per_day,
        ..Caps::UNLIMITED
    };
    let limits = LimitFigures::new(Currency::JPY, caps, Vec::new(), None, SumCaps::default(), burst);
    Institution {
        id: names::institution(),
        currency: Currency::JPY,
        time_zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(9)),
        limits: limits.expect("figures within their bounds"),
        failed_attempts_max: NonZeroU8::new(5).expect("not zero"),
        evidence_demanded: EvidenceGrade::ALL.get(usize::from(plan.evidence_demanded)).copied().unwrap_or_default(),
        core_banking: CoreBanking {
            endpoint: String::new(),
            server_name: String::new(),
            call_timeout: Duration::from_millis(plan.call_timeout_ms),
        },
    }
}

impl Gateway {
    pub(crate) fn new(plan: &Plan, replica: u16) -> Self {
        let institutions: Arc<[Institution]> = Arc::new([institution(plan)]);
        let limits = Arc::new(Limits::with_shards(SHARDS));
        Self {
            replica,
            up: false,
            life: 0,
            members: Membership::new(Arc::default()),
            adopting: BTreeMap::new(),
            to_commit: Vec::new(),
            sent: None,
            desk: Arc::new(desk(plan, &limits, &institutions)),
            limits,
            settings: Arc::new(LaneSettings::default()),
            institutions,
            slots: BTreeMap::new(),
            queued: Vec::new(),
            committing: Vec::new(),
            callers: BTreeMap::new(),
            next_request: 0,
            next_number: 0,
            calls: BTreeMap::new(),
            next_call: 0,
            command_nonces: BTreeMap::new(),
        }
    }

    pub(crate) fn link(&self, atm: AtmNo) -> Option<u64> {
        self.slots.get(&atm).and_then(|slot| slot.link)
    }

    pub(crate) fn slot(&mut self, atm: AtmNo) -> Option<&mut Slot> {
        self.slots.get_mut(&atm)
    }

    pub(crate) const fn settings(&self) -> &Arc<LaneSettings> {
        &self.settings
    }

    pub(crate) fn insert_slot(&mut self, atm: AtmNo, slot: Slot) {
        self.slots.insert(atm, slot);
    }

    pub(crate) fn remove_slot(&mut self, atm: AtmNo) -> Option<Slot> {
        self.slots.remove(&atm)
    }

    /// Whether nothing is on its way to the disk or from core banking.
    pub(crate) fn is_idle(&self) -> bool {
        self.sent.is_none()
            && self.to_commit.is_empty()
            && self.committing.is_empty()
            && self.queued.is_empty()
            && self.calls.is_empty()
    }

    pub(crate) fn request(&mut self, atm: AtmNo, caller: Caller) -> RequestId {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.callers.insert((atm, request), caller);
        request
    }

    pub(crate) fn call(&mut self, atm: AtmNo, asked: Asked) -> u64 {
        self.next_call += 1;
        self.calls.insert(self.next_call, (atm, asked));
        self.next_call
    }

    /// 16 bytes that come after all before them, as UUIDs of version 7 do.
    pub(crate) fn fresh(&mut self, now: u64) -> u128 {
        self.next_number += 1;
        u128::from(now) << 80 | 0x7 << 76 | u128::from(self.replica) << 64 | u128::from(self.next_number)
    }

    /// The slot of a machine that connects.
    pub(crate) fn connecting(&mut self, atm: AtmNo, link: u64) {
        let (settings, desk) = (Arc::clone(&self.settings), Arc::clone(&self.desk));
        let slot = self.slots.entry(atm);
        slot.or_insert_with(|| Slot::over(Attendant::new(names::atm(atm), settings, desk))).link = Some(link);
    }
}

/// A phone that has been known for ever.
fn device() -> Device {
    let ever = Timestamp::from_unix_ms(0);
    Device {
        key: PHONE_KEY.clone(),
        key_since: ever,
        registered_at: ever,
        bound_at: ever,
        channel: String::new(),
        attestation: None,
        failed_attempts: 0,
        locked_at: None,
        revoked_at: None,
    }
}

fn desk(plan: &Plan, limits: &Arc<Limits>, institutions: &[Institution]) -> Desk {
    let known = KnownDevices::default();
    for phone in 0..plan.phones {
        known.remember(names::institution(), names::phone(phone), device());
    }
    let policy = Arc::new(Wary { seed: plan.seed, per_mille: plan.step_up_per_mille });
    let rulebook = Arc::new(Rulebook::new(Rules::new(policy, institutions)));
    let desk = Desk::new(Arc::clone(limits), rulebook, Arc::new(known), || Some(4_711));
    desk.with_dispense_tokens(
        cashgate_gateway::dispense_tokens::DispenseTokens::new(Arc::new(EveryKey)).with_final_status(),
    )
}

impl Slot {
    pub(crate) fn over(attendant: Attendant) -> Self {
        let (inbox, states) = (VecDeque::new(), HashMap::new());
        let (epoch, is_durable, is_reading, tries) = (0, false, false, 0);
        Self {
            attendant,
            inbox,
            epoch,
            is_durable,
            is_reading,
            tries,
            waiting: None,
            link: None,
            wakes_at: None,
            states,
        }
    }
}

impl World {
    /// A process starts from what is on the disk, or says that the disk is damaged, and a person restores it.
    pub(crate) fn gateway_starts(&mut self) {
        if self.gateway.up {
            return;
        }
        if self.is_replicated() {
            return self.replica_starts();
        }
        let Gateway { institutions, settings, .. } = &self.gateway;
        let (institutions, settings) = (Arc::clone(institutions), Arc::clone(settings));
        let now = Timestamp::from_unix_ms(self.now);
        let limits = Arc::new(Limits::with_shards(SHARDS));
        let desk = Arc::new(desk(&self.plan, &limits, &institutions));
        let spent = desk.recall(&self.journal, now).map_err(|error| error.to_string());
        let recovered =
            spent.and_then(|_| recover(&self.journal, &desk, &settings, now).map_err(|error| error.to_string()));
        match recovered {
            Err(why) if self.journal.is_damaged() => {
                self.note(|| format!("the gateway does not start: {why}; a person restores the ledger"));
                self.coverage.damage_found += 1;
                self.journal.restore();
                let replica = self.gateway.replica;
                self.after(60_000, Event::GatewayStarts { replica });
            }
            Err(why) => self.broken(format!("the gateway does not start from a ledger without damage: {why}")),
            Ok(recovered) => self.gateway_is_up(limits, desk, recovered),
        }
    }

    fn gateway_is_up(&mut self, limits: Arc<Limits>, desk: Arc<Desk>, recovered: Vec<Recovered>) {
        desk.ledger_has_room(!self.journal.full);
        let gateway = &mut self.gateway;
        (gateway.up, gateway.limits, gateway.desk) = (true, limits, desk);
        self.lives += 1;
        self.gateway.life = self.lives;
        let life = self.lives;
        self.crosses(What::GatewayStarted);
        if self.journal.full {
            self.after(10_000, Event::LooksForSpace { life });
        }
        for Recovered { attendant, first, open } in recovered {
            let atm = names::atm_number(attendant.atm());
            let mut slot = Slot::over(attendant);
            slot.states = open.iter().map(|w| (w.terms.withdrawal, w.state.name())).collect();
            self.gateway.slots.insert(atm, slot);
            self.complete(atm, first);
            self.work(atm);
            if !self.gateway.up {
                return;
            }
        }
    }

    /// A replica's process begins: a new member, with the lanes that its predecessor left.
    fn replica_starts(&mut self) {
        let replica = self.gateway.replica;
        if self.now < self.database.down_until_ms {
            return self.after(1_000, Event::GatewayStarts { replica });
        }
        let institutions = Arc::clone(&self.gateway.institutions);
        let now = Timestamp::from_unix_ms(self.now);
        let (limits, stops) = (Arc::new(Limits::with_shards(SHARDS)), Arc::<Stops>::default());
        let desk = Arc::new(with_stops(desk(&self.plan, &limits, &institutions), &stops));
        if let Err(error) = desk.recall(&self.journal, now) {
            return self.broken(format!("replica {replica} does not start: {error}"));
        }
        self.database.is_gone(self.gateway.life);
        self.lives += 1;
        let life = self.lives;
        let gateway = &mut self.gateway;
        (gateway.up, gateway.life, gateway.limits, gateway.desk) = (true, life, limits, desk);
        let (cut, peers_cut) = (gateway.members.database_cut_until_ms, gateway.members.peers_cut_until_ms);
        gateway.members = Membership::new(stops);
        (gateway.members.database_cut_until_ms, gateway.members.peers_cut_until_ms) = (cut, peers_cut);
        gateway.desk.ledger_is_followed(false);
        self.crosses(What::GatewayStarted);
        self.polls();
    }

    /// The process is gone, and with it all that it had in memory.
    pub(crate) fn gateway_dies(&mut self, why: &str, back_after_ms: u64) {
        if !self.gateway.up {
            return;
        }
        self.note(|| format!("the gateway is gone: {why}"));
        if self.journal.has_unsynced() {
            self.lose_tail();
        }
        for atm in 0..self.plan.atms {
            if !self.is_replicated() || self.gateway.link(atm).is_some() {
                self.break_link(atm, 1_000);
            }
        }
        self.count("replica kills");
        let gateway = &mut self.gateway;
        gateway.up = false;
        gateway.slots.clear();
        gateway.queued.clear();
        gateway.committing.clear();
        gateway.callers.clear();
        gateway.calls.clear();
        gateway.adopting.clear();
        gateway.to_commit.clear();
        gateway.sent = None;
        let replica = gateway.replica;
        // Reservations of a process that is gone must not reach into the next one's limits; those are made anew at its start.
        self.crosses(What::GatewayStopped);
        self.after(back_after_ms, Event::GatewayStarts { replica });
    }

    fn lose_tail(&mut self) {
        // What a disk makes of a write that was not synced is nobody's choice, so no mix leaves it out.
        let drawn = self.network.pick(&[Tail::Lost, Tail::Torn, Tail::Kept]).unwrap_or(Tail::Lost);
        let tail = self.crash_plan.tail.unwrap_or(drawn);
        match tail {
            Tail::Lost => {
                self.coverage.struck(FaultKind::LostTail);
                self.journal.drop_unsynced();
            }
            // A torn group's checksum does not fit, so it is cut: nothing of it counts.
            Tail::Torn => {
                self.coverage.struck(FaultKind::TornBlock);
                self.journal.drop_unsynced();
            }
            Tail::Kept => {
                if let Err(NotAppended::Refused(why)) = self.journal.sync() {
                    self.broken(why);
                }
            }
        }
    }

    /// An input for a lane, with the PIN block of an approval.
    pub(crate) fn put(&mut self, atm: AtmNo, input: Input, pin_block: Option<PinBlock>) {
        let Some(slot) = self.gateway.slot(atm) else { return };
        slot.inbox.push_back((input, pin_block));
        self.work(atm);
    }

    /// Takes inputs one after the other, as long as nothing has to be waited for.
    pub(crate) fn work(&mut self, atm: AtmNo) {
        let now = Timestamp::from_unix_ms(self.now);
        while self.gateway.up {
            let Some(slot) = self.gateway.slot(atm) else { return };
            if slot.waiting.is_some() || slot.is_reading {
                return;
            }
            if self.is_replicated() && (!self.may_act() || self.reads_entries(atm)) {
                return;
            }
            let Some(slot) = self.gateway.slot(atm) else { return };
            let Some((input, pin_block)) = slot.inbox.pop_front() else { break };
            let intent = slot.attendant.take(input, pin_block, now);
            self.complete(atm, intent);
        }
        self.set_alarm(atm);
    }

    fn set_alarm(&mut self, atm: AtmNo) {
        let (life, now) = (self.gateway.life, self.now);
        let Some(slot) = self.gateway.slot(atm).filter(|slot| slot.waiting.is_none()) else { return };
        let Some(at) = slot.attendant.next_deadline().map(Timestamp::unix_ms) else { return };
        if slot.wakes_at.is_none_or(|known| at < known) {
            let at = at.max(now);
            slot.wakes_at = Some(at);
            self.schedule(at, Event::Wakes { life, atm });
        }
    }

    pub(crate) fn wakes(&mut self, life: u32, atm: AtmNo) {
        if !self.gateway.up || life != self.gateway.life {
            return;
        }
        let now = self.now;
        // An alarm that was set anew does not ring at its old time.
        let Some(slot) = self.gateway.slot(atm).filter(|slot| slot.wakes_at.is_some_and(|at| at <= now)) else {
            return;
        };
        slot.wakes_at = None;
        let due = slot.attendant.next_deadline().is_some_and(|at| at.unix_ms() <= self.now);
        if due && slot.inbox.is_empty() {
            slot.inbox.push_back((Input::TimePassed, None));
        }
        self.work(atm);
    }

    /// What limits hold in reserve, by account.
    pub(crate) fn reserved(&mut self) -> Vec<(u16, u64)> {
        if self.is_replicated() {
            return self.reserved_by_replicas();
        }
        let institution = names::institution();
        let of = |account: u16| (account, self.gateway.limits.open(&institution, &names::account(account)).1);
        (0..self.plan.accounts).map(of).collect()
    }
}
