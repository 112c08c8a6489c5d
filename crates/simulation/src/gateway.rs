//! The gateway process: production's attendants, desk, limits and recovery, around a model of its disk.

mod life;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::{NonZeroU8, NonZeroU32};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cashgate_gateway::admission::{Desk, Policy, Rulebook, Rules};
use cashgate_gateway::config::{CoreBanking, Institution};
use cashgate_gateway::devices::{Device, KnownDevices};
use cashgate_gateway::lanes::{Attendant, Intent};
use cashgate_ledger::StepRecord;
use cashgate_limits::{Burst, Caps, LimitFigures, Limits, SumCaps, Tier};
use cashgate_policy::{Decision, Facts, Verdict};
use cashgate_qr::approval::DeviceKey;
use cashgate_wire::customer::PinBlock;
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::lane::{Input, LaneSettings, RequestId};
use cashgate_withdrawal::money::Currency;
use cashgate_withdrawal::notice::Notice;
use cashgate_withdrawal::time::Timestamp;

use crate::adopting::Waiting;
use crate::boundary::AtmNo;
use crate::chance::Chance;
use crate::database::Write;
use crate::end_to_end::EveryKey;
use crate::event::{Asked, Caller};
use crate::names;
use crate::plan::Plan;
use crate::replicas::Membership;

/// For so long a phone is new.
const NEW_FOR: Duration = Duration::from_secs(3 * 24 * 3_600);
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
    /// What waits for the next commit, and those that were sent, with how often each was sent before.
    pub(crate) to_commit: Vec<Write>,
    /// Notices that go with it.
    pub(crate) to_tell: Vec<Notice>,
    pub(crate) sent: BTreeMap<u64, u32>,
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
    // Replicas share phones' entries too, and a phone is new in its first days.
    let tiers = if plan.replicas > 0 { vec![Tier { until_age: NEW_FOR, caps }] } else { Vec::new() };
    let limits = LimitFigures::new(Currency::JPY, caps, tiers, None, SumCaps::default(), burst);
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
            to_tell: Vec::new(),
            sent: BTreeMap::new(),
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
        self.sent.is_empty()
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

/// A phone that has been known since a moment.
fn device(since: Timestamp) -> Device {
    Device {
        key: PHONE_KEY.clone(),
        key_since: since,
        registered_at: since,
        bound_at: since,
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
        // An hour before the world begins, or for ever.
        let since = if plan.is_new(phone) { plan.begins_at_ms - 3_600_000 } else { 0 };
        known.remember(names::institution(), names::phone(phone), device(Timestamp::from_unix_ms(since)));
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
