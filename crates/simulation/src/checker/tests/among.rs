//! What replicas owe each other: machines go where the database is heard, attempts are remembered once, alarms are told by one.

use super::{Checker, DAWN_MS, Rule, Story};
use crate::boundary::{Alarm, Among, Attempt, Closing, Crossing, Memory, Pattern, Setup, What};

/// After how many milliseconds, in which process, what.
type Moment = (u64, u32, What);

fn setup() -> Setup {
    Setup { new_phones: vec![1], machines_reach_who_is_ready: true, ..Story::new().setup }
}

fn judged(mut moments: Vec<Moment>, closing: &Closing) -> Result<(), Rule> {
    moments.sort_by_key(|(after_ms, ..)| *after_ms);
    let mut checker = Checker::new(setup());
    for (after_ms, process, what) in moments {
        let crossing = Crossing { at_ms: DAWN_MS + after_ms, process, what };
        checker.observe(&crossing).map_err(|violation| violation.rule)?;
    }
    checker.conclude(closing).map_err(|found| found.first().expect("an error says something").rule)
}

fn among(after_ms: u64, process: u32, what: Among) -> Moment {
    (after_ms, process, What::Among(what))
}

/// Two processes that start at once and hear the database every half second, each until a moment.
fn hearing(until_ms: [u64; 2]) -> Vec<Moment> {
    let mut moments = Vec::new();
    for (process, until_ms) in (1..).zip(until_ms) {
        moments.push((0, process, What::GatewayStarted));
        for asked in (1..until_ms / 500).map(|number| number * 500) {
            moments.push(among(asked + 5, process, Among::Heard { asked_at_ms: DAWN_MS + asked }));
        }
    }
    moments
}

fn machines_go(until_ms: [u64; 2], then: &[Moment]) -> Result<(), Rule> {
    let connected = among(100, 1, Among::AtmConnected { atm: 0 });
    let moments = hearing(until_ms).into_iter().chain([connected]).chain(then.iter().cloned());
    judged(moments.collect(), &Closing::default())
}

fn sent(after_ms: u64) -> Vec<Moment> {
    vec![
        among(after_ms, 1, Among::AtmSentElsewhere { atm: 0 }),
        among(after_ms + 50, 1, Among::AtmLostLink { atm: 0 }),
        among(after_ms + 2_000, 2, Among::AtmWelcomed { atm: 0 }),
    ]
}

#[test]
fn a_machine_goes_where_the_database_is_heard_and_not_before() {
    // Process 1 asked for the last time at 9.5 s, so its word ends at 12.5 s.
    assert_eq!(machines_go([10_000, 60_000], &sent(12_600)), Ok(()));
    assert_eq!(machines_go([10_000, 60_000], &sent(12_400)), Err(Rule::Elsewhere), "its word still holds");
    assert_eq!(machines_go([10_000, 60_000], &sent(33_000)), Err(Rule::Elsewhere), "it kept the machine");
    assert_eq!(machines_go([10_000, 60_000], &[]), Err(Rule::Elsewhere));
    assert_eq!(machines_go([60_000, 60_000], &[]), Ok(()), "both hear");
    assert_eq!(machines_go([10_000, 10_000], &[]), Ok(()), "nobody hears");
    assert_eq!(machines_go([10_000, 10_000], &sent(14_000)), Err(Rule::Elsewhere), "nobody hears");
}

#[test]
fn who_cannot_ask_keeps_its_machines() {
    let cut = among(5_000, 1, Among::CutFromPeers { until_ms: DAWN_MS + 20_000 });
    let sent_after = |after_ms| sent(after_ms).into_iter().chain([cut.clone()]).collect::<Vec<_>>();
    assert_eq!(machines_go([10_000, 60_000], &sent_after(21_000)), Ok(()));
    assert_eq!(machines_go([10_000, 60_000], &sent_after(41_000)), Err(Rule::Elsewhere));
}

#[test]
fn who_wakes_up_may_find_an_old_answer() {
    let still = among(13_000, 1, Among::StandsStill { until_ms: DAWN_MS + 30_000 });
    let sent_after = |after_ms| [still.clone()].into_iter().chain(sent(after_ms)).collect::<Vec<_>>();
    assert_eq!(machines_go([10_000, 20_000], &sent_after(30_000)), Ok(()));
    assert_eq!(machines_go([10_000, 20_000], &sent_after(31_100)), Err(Rule::Elsewhere), "it has asked again since");
}

#[test]
fn nobody_is_sent_to_a_replica_that_hears_again_only_just_now() {
    let mut then = sent(22_600);
    // Process 2 hears again from 20 s on, and takes machines from 25 s on.
    then.extend((40..60).map(|half| {
        let asked = half * 500;
        among(asked + 5, 2, Among::Heard { asked_at_ms: DAWN_MS + asked })
    }));
    assert_eq!(machines_go([10_000, 10_000], &then), Err(Rule::Elsewhere));
    then.retain(|(after_ms, ..)| *after_ms < 22_600 || *after_ms > 24_700);
    then.extend(sent(25_200));
    assert_eq!(machines_go([10_000, 10_000], &then), Ok(()));
}

#[test]
fn a_machine_that_was_sent_away_is_served() {
    let mut then = sent(12_600);
    then.retain(|(_, process, _)| *process == 1);
    assert_eq!(machines_go([10_000, 40_000], &then), Ok(()));
    assert_eq!(machines_go([10_000, 60_000], &then), Err(Rule::Elsewhere));
    then.push(among(30_000, 2, Among::DatabaseStruck));
    assert_eq!(machines_go([10_000, 60_000], &then), Ok(()), "its claim may have been lost");
    assert_eq!(machines_go([10_000, 70_000], &then), Err(Rule::Elsewhere));
    then.pop();
    then.push((30_000, 3, What::GatewayStarted));
    then.push((31_000, 3, What::GatewayStopped));
    assert_eq!(machines_go([10_000, 60_000], &then), Ok(()), "something else was wrong");
}

fn asked(after_ms: u64, process: u32, withdrawal: u128) -> Moment {
    let attempt = Attempt { withdrawal, phone: 1, account: 0, atm: 0, amount: 10_000, granted: true };
    among(after_ms, process, Among::Asked(attempt))
}

fn durable(after_ms: u64, withdrawal: u128, sequence: u64) -> Moment {
    among(after_ms, 1, Among::AttemptDurable { withdrawal, sequence })
}

fn remembers(process: u32, withdrawals: u32) -> Closing {
    let (withdrawals, accounts) = (vec![(0, withdrawals)], vec![(1, 1)]);
    let new_at_atm = vec![(0, withdrawals.first().map_or(0, |(_, count)| *count))];
    Closing { memories: vec![Memory { process, withdrawals, accounts, new_at_atm }], ..Closing::default() }
}

#[test]
fn every_attempt_is_remembered_once() {
    let both = || vec![(0, 1, What::GatewayStarted), (0, 2, What::GatewayStarted)];
    let durable_one = || [both(), vec![asked(1, 1, 7), durable(2, 7, 1)]].concat();
    for process in [1, 2] {
        assert_eq!(judged(durable_one(), &remembers(process, 1)), Ok(()));
        assert_eq!(judged(durable_one(), &remembers(process, 0)), Err(Rule::Memory));
        assert_eq!(judged(durable_one(), &remembers(process, 2)), Err(Rule::Memory));
    }
    let lost = || [durable_one(), vec![asked(3, 1, 8)]].concat();
    assert_eq!(judged(lost(), &remembers(1, 2)), Ok(()), "who counted it may go on counting it");
    assert_eq!(judged(lost(), &remembers(2, 2)), Err(Rule::Memory), "others never heard of it");
}

const fn alarm(attempt_at_ms: u64) -> Alarm {
    Alarm { pattern: Pattern::AtmHour, atm: Some(0), phone: None, attempt_at_ms: DAWN_MS + attempt_at_ms }
}

/// Four attempts in process 1 that become durable; both processes hear of all.
fn four() -> Vec<Moment> {
    let mut moments = vec![(0, 1, What::GatewayStarted), (0, 2, What::GatewayStarted)];
    for number in 1..=4_u32 {
        let after_ms = u64::from(number) * 1_000;
        moments.push(asked(after_ms, 1, number.into()));
        moments.push(durable(after_ms + 2, number.into(), number.into()));
    }
    moments
}

fn alarmed(then: Vec<Moment>) -> Result<(), Rule> {
    judged([four(), then].concat(), &Closing::default())
}

fn told(after_ms: u64, process: u32) -> Moment {
    among(after_ms, process, Among::AlarmTold(alarm(4_000)))
}

fn alarm_durable(after_ms: u64, sequence: u64) -> Moment {
    among(after_ms, 1, Among::AlarmDurable { alarm: alarm(4_000), sequence })
}

#[test]
fn what_stands_out_is_told_by_one() {
    assert_eq!(alarmed(vec![told(4_000, 1), alarm_durable(4_001, 5)]), Ok(()));
    assert_eq!(alarmed(vec![]), Err(Rule::Alarm), "nobody tells");
    assert_eq!(alarmed(vec![told(4_000, 1)]), Err(Rule::Alarm), "it is not durable");
    assert_eq!(alarmed(vec![alarm_durable(4_001, 5)]), Err(Rule::Alarm), "nobody told it");
    let heard = |through| among(4_500, 2, Among::AttemptsHeard { through });
    let again = |through| vec![told(4_000, 1), alarm_durable(4_001, 5), heard(through), told(6_000, 2)];
    assert_eq!(alarmed(again(4)), Ok(()), "it had not heard of the first");
    assert_eq!(alarmed(again(5)), Err(Rule::Alarm), "it had");
    let early = || vec![among(3_000, 1, Among::AlarmTold(alarm(3_000)))];
    assert_eq!(alarmed(early()), Err(Rule::Alarm), "three are no pattern");
    let next = || vec![asked(5_000, 1, 5), among(5_000, 1, Among::AlarmTold(alarm(5_000)))];
    let first = || vec![told(4_000, 1), alarm_durable(4_001, 5)];
    assert_eq!(alarmed([first(), next()].concat()), Err(Rule::Alarm), "the next customer is no news");
}

#[test]
fn who_starts_later_need_not_tell() {
    let mut moments = four();
    moments.retain(|(_, _, what)| *what != What::GatewayStarted);
    moments.push((4_500, 2, What::GatewayStarted));
    assert_eq!(judged(moments, &Closing::default()), Ok(()));
}
