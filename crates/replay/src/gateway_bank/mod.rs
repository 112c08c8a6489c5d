//! The gateway's own decision behind the questions of a run: its desk with the real limits, the built-in rules and the memory of patterns.
//!
//! Left out is what a run has no part in: the signed code, core banking, the machine and the ledger. Every machine vouches for what it paid by a record of
//! its own (grade B), and knows where it stands.

mod board;
mod names;
mod setting;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cashgate_gateway::admission::{Desk, LaneDesk, Rulebook};
use cashgate_gateway::devices::{Device, KnownDevices};
use cashgate_limits::Limits;
use cashgate_qr::approval::DeviceKey;
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::{AtmId, InstitutionId, KeyId, Nonce, QrSessionId, QrTokenDigest, WithdrawalId};
use cashgate_withdrawal::lane::{Admission, Approval, AtmFacts, Machine, RequestId, VerifiedCode};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

use crate::attempt::{self, AtmNo, Attempt, Attestation, InstitutionNo, Registration};
use crate::bank::{Alarm, Bank, Verdict};
use crate::calendar::HOUR_MS;
use crate::controls::{Control, Controls};
use board::Heard;
pub use setting::{Setting, SettingError};

/// What a report calls it.
pub const NAME: &str = "the gateway's own limits, rules and patterns, with their defaults";

/// Two banks behind one gateway.
#[derive(Debug)]
pub struct GatewayBank {
    controls: Controls,
    limits: Arc<Limits>,
    desk: Arc<Desk>,
    lane: LaneDesk,
    devices: Arc<KnownDevices>,
    institutions: [InstitutionId; 2],
    machines: HashMap<AtmNo, (AtmId, AtmFacts)>,
    heard: Arc<Heard>,
    withdrawals: u64,
    sweeps_at: Timestamp,
}

#[allow(clippy::expect_used, reason = "a constant key")]
static PHONE_KEY: LazyLock<DeviceKey> =
    LazyLock::new(|| DeviceKey::from_spki_der(include_bytes!("phone-key.der")).expect("a public key"));

impl GatewayBank {
    /// Banks that have seen nothing, in a setting that may be shared by any number of them.
    #[must_use]
    pub fn new(setting: &Setting) -> Self {
        let limits = Arc::new(Limits::new());
        let devices = Arc::new(KnownDevices::default());
        let heard = Arc::new(Heard::default());
        let rulebook = Arc::new(Rulebook::new(setting.rules()));
        let desk = Desk::new(Arc::clone(&limits), rulebook, Arc::clone(&devices), || Some(4_711));
        let desk = Arc::new(desk.with_stops(Arc::default(), Arc::clone(&heard) as _));
        Self {
            controls: setting.controls(),
            limits,
            lane: LaneDesk::new(Arc::clone(&desk), HashMap::new()),
            desk,
            devices,
            institutions: [0, 1].map(|number| names::institution(InstitutionNo(number))),
            machines: HashMap::new(),
            heard,
            withdrawals: 0,
            sweeps_at: Timestamp::from_unix_ms(0),
        }
    }

    fn institution(&self, InstitutionNo(number): InstitutionNo) -> InstitutionId {
        let [first, second] = &self.institutions;
        if number == 0 { first.clone() } else { second.clone() }
    }

    /// The gateway knows one age a phone, however many accounts it is used for: that of the first.
    fn knows(&self, institution: &InstitutionId, device: &attempt::Device) {
        let id = names::device(device.number);
        if self.devices.find(institution, &id).is_none() {
            self.devices.remember(institution.clone(), id, known(device));
        }
    }

    fn approval(&mut self, attempt: &Attempt) -> Approval {
        self.withdrawals += 1;
        Approval {
            request: RequestId(self.withdrawals),
            fresh: self.withdrawal(),
            code: VerifiedCode {
                qr_session: QrSessionId::from_bytes(u128::from(self.withdrawals).to_be_bytes()),
                digest: QrTokenDigest([0; 32]),
                nonce: Nonce([0; 16]),
                key: KeyId([0, 0, 0, 1]),
                expires_at: attempt.now,
            },
            institution: self.institution(attempt.institution),
            account: names::account(attempt.account),
            device: names::device(attempt.device.number),
            amount: attempt.amount,
            location: attempt.phone_place.and_then(names::location),
        }
    }

    fn withdrawal(&self) -> WithdrawalId {
        WithdrawalId::from_bytes(u128::from(self.withdrawals).to_be_bytes())
    }
}

impl Bank for GatewayBank {
    fn registered_device(&mut self, registration: &Registration) {
        self.knows(&self.institution(registration.institution), &registration.device);
    }

    fn decide(&mut self, attempt: &Attempt) -> Verdict {
        let approval = self.approval(attempt);
        // In a world too small for the wave, a victim's phone belongs to nobody who lives in it.
        self.knows(&approval.institution, &attempt.device);
        let (atm, facts) = self.machines.entry(attempt.atm).or_insert_with(|| machine(attempt));
        let machine = Machine { atm, facts, amount_chosen_there: false };
        match self.lane.admit(&approval, machine, attempt.now) {
            Ok(admitted) if admitted.confirm_code.is_some() => Verdict::StepUp { reason: self.heard.why_asked() },
            Ok(_) => Verdict::Permit,
            Err(refusal) => Verdict::Refuse { reason: self.heard.why_refused(&refusal) },
        }
    }

    fn settled(&mut self, attempt: &Attempt, paid: Money) {
        self.lane.end_reservation(self.withdrawal(), Some(paid).filter(|paid| !paid.is_zero()));
        if !paid.is_zero() {
            let institution = self.institution(attempt.institution);
            self.limits.attempt_succeeded(&institution, &names::device(attempt.device.number));
        }
    }

    fn mistyped(&mut self, attempt: &Attempt) {
        if self.controls.has(Control::FailedAttempts) {
            let institution = self.institution(attempt.institution);
            let device = names::device(attempt.device.number);
            let lock_after = cashgate_gateway::config::FAILED_ATTEMPTS_USUAL;
            self.limits.attempt_failed(&institution, &device, lock_after);
        }
    }

    fn advance(&mut self, now: Timestamp) {
        if self.sweeps_at <= now {
            self.sweeps_at = Timestamp::from_unix_ms(now.unix_ms() + HOUR_MS);
            self.desk.forget(now);
        }
    }

    fn alarms(&mut self) -> Vec<Alarm> {
        self.heard.alarms()
    }
}

fn known(device: &attempt::Device) -> Device {
    Device {
        key: PHONE_KEY.clone(),
        key_since: device.bound_at,
        registered_at: device.bound_at,
        bound_at: device.bound_at,
        channel: device.channel.as_str().to_owned(),
        attestation: match device.attestation {
            Attestation::Passed => Some(true),
            Attestation::Failed => Some(false),
            Attestation::NotGiven => None,
        },
        failed_attempts: 0,
        locked_at: None,
        revoked_at: None,
    }
}

fn machine(attempt: &Attempt) -> (AtmId, AtmFacts) {
    let facts = AtmFacts {
        name: String::new(),
        place: String::new(),
        cassettes: names::no_cassettes(),
        location: names::location(attempt.atm_place),
        end_to_end: false,
        evidence_grade: EvidenceGrade::B,
    };
    (names::atm(attempt.atm), facts)
}
