//! What one approval costs before anything is written: the token's and the phone's signatures, then the desk, with the built-in rules and without.
//!
//! Run by `cargo xtask bench`. One thread, processor time. Prints one JSON line.

#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench stops loudly, reads the clock and prints its figures"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cashgate_fleet::phone::Phone;
use cashgate_gateway::admission::Desk;
use cashgate_gateway::admission::{LaneDesk, Policy, Rulebook, Rules};
use cashgate_gateway::config::{CoreBanking, Institution};
use cashgate_gateway::devices::{Device, KnownDevices};
use cashgate_limits::{Burst, Caps, LimitFigures, Limits, SumCaps};
use cashgate_policy::{Decision, Facts, PolicySet, Verdict};
use cashgate_qr::approval::{ApprovalStatement, DeviceKey, verify};
use cashgate_withdrawal::cassettes::Cassettes;
use cashgate_withdrawal::dispense::NoteCount;
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::{KeyId, Nonce, QrSessionId, QrTokenDigest, WithdrawalId};
use cashgate_withdrawal::lane::{Admission, Approval, AtmFacts, Machine, RequestId, VerifiedCode};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::Timestamp;

const ROUNDS: u32 = 20;
const APPROVALS: u32 = 2_000;
const NOW_MS: u64 = 1_795_000_000_000;

/// Lets everything pass, at no cost.
#[derive(Debug)]
struct NoRules;

impl Policy for NoRules {
    fn decide(&self, _: &Facts) -> Decision {
        Decision { verdict: Verdict::Permit, reasons: Vec::new(), rules: Vec::new(), policy_version: String::new() }
    }

    fn version(&self) -> &str {
        "none"
    }
}

fn main() {
    let phone = Phone::ephemeral("bank-a", "phone-1").expect("a phone");
    let key = DeviceKey::from_spki_der(&phone.public_key().expect("its key")).expect("a P-256 key");
    let mut with = desk(Arc::new(PolicySet::builtin().expect("the built-in rules")), &key);
    let mut without = desk(Arc::new(NoRules), &key);
    let (mut with_us, mut without_us, mut signature_us) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        with_us.push(admitted(&mut with, round));
        without_us.push(admitted(&mut without, round));
        signature_us.push(verified(&phone, &key));
    }
    println!(
        r#"{{"admit_us": {:.2}, "admit_without_rules_us": {:.2}, "signature_us": {:.2}, "rounds": {ROUNDS}}}"#,
        median(&mut with_us),
        median(&mut without_us),
        median(&mut signature_us),
    );
}

#[allow(clippy::float_arithmetic, reason = "a mean of times")]
fn each(began: Instant, count: u32) -> f64 {
    began.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().expect("some rounds")
}

/// Microseconds for each of many approvals by established phones, each admitted and given back.
fn admitted(desk: &mut LaneDesk, round: u32) -> f64 {
    let facts = facts();
    let atm = "tokyo-0001".parse().expect("an id");
    let approvals: Vec<Approval> = (0..APPROVALS).map(|number| approval(round * APPROVALS + number)).collect();
    let began = Instant::now();
    for approval in &approvals {
        let machine = Machine { atm: &atm, facts: &facts, amount_chosen_there: false };
        let admitted = desk.admit(approval, machine, Timestamp::from_unix_ms(NOW_MS + u64::from(round)));
        black_box(admitted.expect("an ordinary customer"));
        desk.end_reservation(approval.fresh, None);
    }
    each(began, APPROVALS)
}

/// Microseconds for one signature of a phone.
fn verified(phone: &Phone, key: &DeviceKey) -> f64 {
    let statement = ApprovalStatement {
        qr_token: QrTokenDigest([1; 32]),
        institution: "bank-a".parse().expect("an id"),
        account: "acct-1".parse().expect("an id"),
        amount: yen(30_000),
        device: "phone-1".parse().expect("an id"),
    };
    let signature = phone.approval_signature("CG1:", "acct-1", yen(30_000)).expect("a signature");
    let began = Instant::now();
    for _ in 0..APPROVALS / 10 {
        // A wrong signature costs as much as a right one.
        let _ = black_box(verify(statement.clone(), &signature, key));
    }
    each(began, APPROVALS / 10)
}

fn desk(policy: Arc<dyn Policy>, key: &DeviceKey) -> LaneDesk {
    let known = KnownDevices::default();
    let ever = Timestamp::from_unix_ms(NOW_MS - 400 * 86_400_000);
    let device = Device {
        key: key.clone(),
        key_since: ever,
        registered_at: ever,
        bound_at: ever,
        channel: "branch".to_owned(),
        attestation: Some(true),
        failed_attempts: 0,
        locked_at: None,
        revoked_at: None,
    };
    for number in 0..1_000 {
        known.remember(
            "bank-a".parse().expect("an id"),
            format!("phone-{number}").parse().expect("an id"),
            device.clone(),
        );
    }
    let rulebook = Arc::new(Rulebook::new(Rules::new(policy, &[institution()])));
    LaneDesk::new(
        Arc::new(Desk::new(Arc::new(Limits::new()), rulebook, Arc::new(known), || Some(4_711))),
        Default::default(),
    )
}

fn institution() -> Institution {
    let burst = Burst { withdrawals: 100.try_into().expect("not zero"), every: Duration::ZERO };
    let limits = LimitFigures::new(Currency::JPY, Caps::UNLIMITED, vec![], None, SumCaps::default(), burst);
    Institution {
        id: "bank-a".parse().expect("an id"),
        currency: Currency::JPY,
        time_zone: jiff::tz::TimeZone::get("Asia/Tokyo").expect("a time zone"),
        limits: limits.expect("figures within their bounds"),
        failed_attempts_max: 5.try_into().expect("not zero"),
        evidence_demanded: EvidenceGrade::C,
        core_banking: CoreBanking {
            endpoint: String::new(),
            server_name: String::new(),
            call_timeout: Duration::from_secs(1),
        },
    }
}

fn facts() -> AtmFacts {
    let notes = [NoteCount { denomination: yen(10_000), count: 100 }];
    let cassettes = Cassettes::new(&notes, Currency::JPY, 40).expect("a full cassette");
    AtmFacts {
        name: "ATM 1".to_owned(),
        place: "Tokyo".to_owned(),
        cassettes,
        location: None,
        end_to_end: false,
        evidence_grade: EvidenceGrade::B,
    }
}

/// Of one of a thousand phones, each with an account of its own, so that nothing stands out.
fn approval(number: u32) -> Approval {
    let mut id = [0; 16];
    id[12..].copy_from_slice(&number.to_be_bytes());
    let customer = number % 1_000;
    Approval {
        request: RequestId(1),
        fresh: WithdrawalId::from_bytes(id),
        code: VerifiedCode {
            qr_session: QrSessionId::from_bytes(id),
            digest: QrTokenDigest([1; 32]),
            nonce: Nonce(id),
            key: KeyId([1; 4]),
            expires_at: Timestamp::from_unix_ms(NOW_MS + 30_000),
        },
        institution: "bank-a".parse().expect("an id"),
        account: format!("acct-{customer}").parse().expect("an id"),
        device: format!("phone-{customer}").parse().expect("an id"),
        amount: yen(30_000),
        location: None,
    }
}

fn yen(amount: u64) -> Money {
    Money::from_minor_units(amount, Currency::JPY).expect("an amount")
}
