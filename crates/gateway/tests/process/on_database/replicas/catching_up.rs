//! A replica that was away, and one that cannot read what others wrote.

use std::time::Duration;

use cashgate_gateway::clock;
use cashgate_gateway::lanes::step_record;
use cashgate_gateway::notice_board::in_ledger;
use cashgate_ledger::{AttemptsPart, Ledger, StepRecord};
use cashgate_withdrawal::event::Event;
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::{KeyId, Nonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::lane::Record;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::notice::{Happening, Notice};
use cashgate_withdrawal::step::step;
use cashgate_withdrawal::stop::StopScope;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};
use cashgate_withdrawal::withdrawal::{Decision, Terms, Withdrawal};
use tokio::task::JoinSet;

use super::three::Replicas;
use super::{NEW_PHONES_DRAW, REFUSED, approves};
use crate::harness::{Atm, PERMIT, Phone, Site, eventually, in_words, yen};

/// Two steps each, so that they take three parts. The memory tells 4,096 within an hour apart.
const ATTEMPTS: u64 = AttemptsPart::LOOKED_AT_MAX + 500;

/// A customer whose phone no replica knows was approved, and core banking declined.
fn declined(number: u64, at: Timestamp) -> [StepRecord; 2] {
    let id = ((u128::from(at.unix_ms()) << 80) | (0x7000_8000 << 48) | u128::from(number)).to_be_bytes();
    let terms = Terms {
        withdrawal: WithdrawalId::from_bytes(id),
        institution: "sakura".parse().unwrap(),
        account: format!("acct-of-{number}").parse().unwrap(),
        device: format!("phone-of-{number}").parse().unwrap(),
        // Never four at one machine, which would be a pattern of its own.
        atm: format!("Z{}", number % 1_000).parse().unwrap(),
        qr_session: QrSessionId::from_bytes(id),
        nonce: Nonce(id),
        amount: Money::new(10_000, "JPY".parse().unwrap()).unwrap(),
        approved_at: at,
        decision: Decision {
            policy_version: "another-1".to_owned(),
            rules: Vec::new(),
            facts: String::new(),
            limit_figures: String::new(),
            key: KeyId([0, 1, 2, 3]),
            day: CalendarDay(20_000),
            confirm_code: false,
            machine_location: None,
        },
        command_nonce: None,
        evidence_demanded: EvidenceGrade::C,
    };
    let approved = Withdrawal::open(terms).0;
    let event = Event::HoldDeclined { code: "insufficient_funds".parse().unwrap() };
    let (ended, _) = step(approved.clone(), event.clone(), at).unwrap();
    [
        step_record(&Record { number: 1, at, event: None, after: approved }),
        step_record(&Record { number: 2, at, event: Some(event), after: ended }),
    ]
}

/// Writes all of them. Within an append the approvals stand first, so that parts end between two of them.
async fn write_attempts(ledger: &Ledger) {
    let at = clock::now();
    let mut appending = JoinSet::new();
    for few in (0..ATTEMPTS).collect::<Vec<_>>().chunks(StepRecord::PER_APPEND_MAX / 2) {
        let (approved, ended): (Vec<_>, Vec<_>) =
            few.iter().map(|number| declined(*number, at)).map(|[approved, ended]| (approved, ended)).unzip();
        let ledger = ledger.clone();
        appending.spawn(async move { ledger.append([approved, ended].concat()).await.unwrap() });
    }
    appending.join_all().await;
}

async fn stop(ledger: &Ledger, account: &str) {
    let scope = StopScope::Account("sakura".parse().unwrap(), account.parse().unwrap());
    let what = Happening::Stopped { scope, actor: "operator/mori".to_owned(), reason: "a call".to_owned() };
    ledger.record_urgent_notice(in_ledger(&Notice { at: clock::now(), what })).await.unwrap();
}

/// How many withdrawals by new phones were known where a withdrawal was approved, with this one.
fn known(site: &Site, withdrawal: &str) -> u64 {
    site.shown(withdrawal)["facts"]["institution_new_1h"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_away_knows_stops_first_and_then_each_attempt_once() {
    let replicas = Replicas::with_set(PERMIT, Some(NEW_PHONES_DRAW)).await;
    let away = &replicas.sites[2];
    let mut stopped = Phone::registered(away, "phone-s", "acct-s").await;
    let mut served = Phone::registered(away, "phone-0", "acct-0").await;
    away.stands_still().await;
    let ledger = replicas.sites[0].ledger_as_another_program();
    write_attempts(&ledger).await;
    stop(&ledger, "acct-s").await;
    ledger.close().await.unwrap();

    // Steps cannot be read by those who look for attempts, as if that took very long.
    let held = away.holds("archived_steps");
    away.goes_on();
    assert_eq!(approves(away, &mut stopped, "S").await, Err(REFUSED.to_owned()), "the last that was written");
    let before = approves(away, &mut served, "A0").await.expect("nobody is refused for want of patterns");
    drop(held);
    let mut approved = 1;
    for (number, site) in replicas.sites.iter().enumerate().rev() {
        eventually("it has heard of them all", async || {
            let name = format!("{number}-{approved}");
            let mut probe = Phone::registered(site, &format!("phone-{name}"), &format!("acct-{name}")).await;
            let withdrawal = approves(site, &mut probe, &format!("A{name}")).await.unwrap();
            approved += 1;
            let known = known(site, &withdrawal);
            assert!(known <= ATTEMPTS + approved, "{known} at replica {number}, of {ATTEMPTS} and {approved}");
            (known == ATTEMPTS + approved).then_some(())
        })
        .await;
    }
    assert_eq!(known(away, &before), 1, "it knew of itself alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_what_others_wrote_cannot_be_read_nobody_new_is_served() {
    let mut site = Site::folder_only().await;
    site.be_replica(0);
    site.serve().await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let mut atm = Atm::connect(&site, "A1").await;
    let code = atm.shows_code().await.qr_text;
    phone.scan(&code).await.unwrap();
    let held = site.holds("notices");
    // Longer than what is known is taken for fresh, and not as long as the question waits for its answer.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let refused = phone.bank.approve(phone.approval(&code, &yen(10_000))).await.unwrap_err();
    assert_eq!(in_words(&refused), "Unavailable OVERLOADED", "there might be a stop");
    drop(held);
    eventually("the same customer is served", async || {
        phone.bank.approve(phone.approval(&code, &yen(10_000))).await.ok()
    })
    .await;
    atm.pays_out().await;
}
