use super::super::testing::{at, event, fresh_key, id_of};
use super::*;

const NEW: KeyAction = KeyAction::Published { use_from: at_const(100) };

const fn at_const(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000 + ms)
}

const SIGNING: KeyAction = KeyAction::Signing;
const RETIRED: KeyAction = KeyAction::Retired { at_once: false };
const RETIRED_AT_ONCE: KeyAction = KeyAction::Retired { at_once: true };

/// The first key, which signs.
fn first(key: [u8; 65]) -> Vec<KeyEvent> {
    vec![event(0, "qr-1", key, KeyAction::Published { use_from: at(0) }), event(0, "qr-1", key, SIGNING)]
}

/// A ring on which a key of label `qr-2` stands in each state, beside one of label `qr-1`, with the events that led there.
fn standing(state: Option<KeyState>, one: [u8; 65], two: [u8; 65]) -> Vec<KeyEvent> {
    let mut events = first(one);
    let to_signing = [event(1, "qr-2", two, NEW), event(100, "qr-2", two, SIGNING)];
    let back = [event(110, "qr-1", one, KeyAction::Published { use_from: at(110) }), event(111, "qr-1", one, SIGNING)];
    match state {
        None => {}
        Some(KeyState::Published) => events.extend_from_slice(&to_signing[..1]),
        Some(KeyState::Signing) => events.extend(to_signing),
        Some(KeyState::Overlapping) => events.extend(to_signing.into_iter().chain(back)),
        Some(KeyState::Retired) => {
            events.extend(to_signing.into_iter().chain(back));
            events.push(event(120, "qr-2", two, RETIRED));
        }
    }
    events
}

#[test]
fn every_event_in_every_state() {
    use IllegalBecause as No;
    use KeyState::{Overlapping, Published, Retired, Signing};
    let table = [
        (None, NEW, Ok(Published)),
        (None, SIGNING, Err(No::Unknown)),
        (None, RETIRED, Err(No::Unknown)),
        (None, RETIRED_AT_ONCE, Err(No::Unknown)),
        (Some(Published), NEW, Err(No::Waiting)),
        (Some(Published), SIGNING, Ok(Signing)),
        (Some(Published), RETIRED, Ok(Retired)),
        (Some(Published), RETIRED_AT_ONCE, Ok(Retired)),
        (Some(Signing), NEW, Err(No::Signs)),
        (Some(Signing), SIGNING, Err(No::Signs)),
        (Some(Signing), RETIRED, Err(No::OnlySigner)),
        (Some(Signing), RETIRED_AT_ONCE, Err(No::OnlySigner)),
        (Some(Overlapping), NEW, Ok(Overlapping)),
        (Some(Overlapping), SIGNING, Err(No::NotScheduled)),
        (Some(Overlapping), RETIRED, Ok(Retired)),
        (Some(Overlapping), RETIRED_AT_ONCE, Ok(Retired)),
        (Some(Retired), NEW, Err(No::Retired)),
        (Some(Retired), SIGNING, Err(No::Retired)),
        (Some(Retired), RETIRED, Err(No::Retired)),
        (Some(Retired), RETIRED_AT_ONCE, Err(No::Retired)),
    ];
    for (state, action, expected) in table {
        let (one, two) = (fresh_key(), fresh_key());
        let ring = KeyRing::replay(&standing(state, one, two)).unwrap();
        let found = |ring: &KeyRing| ring.rows().into_iter().find(|row| row.public_key == two).map(|row| row.state);
        assert_eq!(found(&ring), state);
        let next = event(200, "qr-2", two, action);
        match (ring.after([&next]), expected) {
            (Ok(successor), Ok(expected)) => {
                assert_eq!(found(&ring), state, "{action:?} was effective before it was made so");
                ring.become_successor(successor);
                assert_eq!(found(&ring), Some(expected), "{action:?} in {state:?}");
            }
            (Err(illegal), Err(why)) => assert_eq!((illegal.why, illegal.key_id), (why, id_of(&two)), "{action:?}"),
            (found, expected) => panic!("{action:?} in {state:?}: {found:?} and not {expected:?}"),
        }
    }
}

#[test]
fn only_a_key_that_signs_may_sign_and_all_that_are_not_retired_are_published() {
    use KeyState::{Overlapping, Published, Retired, Signing};
    for (state, signs, published) in [
        (None, false, false),
        (Some(Published), false, true),
        (Some(Signing), true, true),
        (Some(Overlapping), false, true),
        (Some(Retired), false, false),
    ] {
        let (one, two) = (fresh_key(), fresh_key());
        let ring = KeyRing::replay(&standing(state, one, two)).unwrap();
        assert_eq!(ring.may_sign(&two), signs.then(|| id_of(&two)), "{state:?}");
        assert_eq!(ring.published().key(id_of(&two)).is_some(), published, "{state:?}");
        assert_eq!(ring.may_sign(&one).is_some(), !signs, "{state:?}");
        assert!(ring.published().key(id_of(&one)).is_some(), "{state:?}");
        assert_eq!(ring.may_sign(&fresh_key()), None, "a key that nobody knows");
    }
}

#[test]
fn a_key_never_signs_before_its_time() {
    let (one, two) = (fresh_key(), fresh_key());
    let ring = KeyRing::replay(&standing(Some(KeyState::Published), one, two)).unwrap();
    assert_eq!(ring.after([&event(99, "qr-2", two, SIGNING)]).unwrap_err().why, IllegalBecause::TooEarly);
    assert!(ring.after([&event(100, "qr-2", two, SIGNING)]).is_ok());
}

/// A worker that took its work just before puts its batch together just after.
#[test]
fn while_another_takes_over_both_may_sign_and_then_one() {
    let (one, two) = (fresh_key(), fresh_key());
    let ring = KeyRing::replay(&standing(Some(KeyState::Published), one, two)).unwrap();
    let clone = ring.clone();
    let taken_over = ring.after([&event(100, "qr-2", two, SIGNING)]).unwrap();
    ring.become_successor(taken_over);
    assert_eq!((clone.may_sign(&one), clone.may_sign(&two)), (Some(id_of(&one)), Some(id_of(&two))));
    ring.finish_take_over(at(99));
    assert!(clone.may_sign(&one).is_some(), "another take-over ended, not this one");
    ring.finish_take_over(at(100));
    assert_eq!((clone.may_sign(&one), clone.may_sign(&two)), (None, Some(id_of(&two))));
    assert_eq!(clone.signing_label().as_deref(), Some("qr-2"));
}

#[test]
fn a_key_that_is_retired_while_another_takes_over_signs_nothing_more() {
    let (one, two) = (fresh_key(), fresh_key());
    let ring = KeyRing::replay(&standing(Some(KeyState::Published), one, two)).unwrap();
    let events = [event(100, "qr-2", two, SIGNING), event(101, "qr-1", one, RETIRED_AT_ONCE)];
    ring.become_successor(ring.after(&events).unwrap());
    assert_eq!(ring.may_sign(&one), None);
    assert!(ring.published().key(id_of(&one)).is_none());
}

#[test]
fn slots_with_keys_of_their_own_go_through_the_states_together() {
    let (left, right, next) = (fresh_key(), fresh_key(), fresh_key());
    let mut events = first(left);
    events.push(event(0, "qr-1", right, KeyAction::Published { use_from: at(50) }));
    let ring = KeyRing::replay(&events).unwrap();
    assert_eq!((ring.may_sign(&left).is_some(), ring.may_sign(&right).is_some()), (true, false));
    events.push(event(50, "qr-1", right, SIGNING));
    let ring = KeyRing::replay(&events).unwrap();
    assert!(ring.may_sign(&left).is_some() && ring.may_sign(&right).is_some(), "one does not replace the other");
    events.extend([event(60, "qr-2", next, NEW), event(100, "qr-2", next, SIGNING)]);
    let ring = KeyRing::replay(&events).unwrap();
    let states: Vec<KeyState> = ring.rows().iter().map(|row| row.state).collect();
    assert_eq!(states, [KeyState::Overlapping, KeyState::Overlapping, KeyState::Signing]);
    assert_eq!(ring.published().len(), 3);
}

#[test]
fn one_of_several_that_sign_may_be_retired_and_the_last_may_not() {
    let (left, right) = (fresh_key(), fresh_key());
    let mut events = first(left);
    events.push(event(0, "qr-1", right, KeyAction::Published { use_from: at(0) }));
    events.push(event(0, "qr-1", right, SIGNING));
    events.push(event(1, "qr-1", left, RETIRED_AT_ONCE));
    let ring = KeyRing::replay(&events).unwrap();
    assert_eq!((ring.may_sign(&left), ring.may_sign(&right)), (None, Some(id_of(&right))));
    let last = event(2, "qr-1", right, RETIRED_AT_ONCE);
    assert_eq!(ring.after([&last]).unwrap_err().why, IllegalBecause::OnlySigner);
}

#[test]
fn what_is_not_its_key_is_refused() {
    let (one, two) = (fresh_key(), fresh_key());
    let ring = KeyRing::replay(&first(one)).unwrap();
    let why = |event: KeyEvent| ring.after([&event]).unwrap_err().why;
    let published = event(1, "qr-2", two, NEW);
    assert_eq!(why(KeyEvent { key_id: KeyId([0; 4]), ..published.clone() }), IllegalBecause::NotItsKey);
    assert_eq!(why(KeyEvent { public_key: [4; 65], ..published.clone() }), IllegalBecause::NotItsKey);
    assert_eq!(why(KeyEvent { key_id: id_of(&one), ..published }), IllegalBecause::IdTaken);
    assert_eq!(why(event(1, "another-label", one, SIGNING)), IllegalBecause::IdTaken);
}

#[test]
fn no_more_keys_are_published_than_a_set_holds() {
    let mut events = first(fresh_key());
    for n in 1..KEYS_MAX {
        events.push(event(1, &format!("other-{n}"), fresh_key(), NEW));
    }
    let ring = KeyRing::replay(&events).unwrap();
    assert_eq!(ring.published().len(), KEYS_MAX);
    let one_more = event(2, "one-more", fresh_key(), NEW);
    assert_eq!(ring.after([&one_more]).unwrap_err().why, IllegalBecause::TooMany);
    let retired = KeyEvent { action: RETIRED, ..events.last().unwrap().clone() };
    assert!(ring.after([&retired, &one_more]).is_ok(), "a retired one makes room");
}

#[test]
fn a_key_may_be_retired_when_no_code_under_it_can_be_valid() {
    use KeyState::{Overlapping, Published, Retired, Signing};
    let valid_for = Duration::from_millis(300);
    for (state, expected) in
        [(Published, Some(at(1))), (Signing, None), (Overlapping, Some(at(111 + 300))), (Retired, None)]
    {
        let (one, two) = (fresh_key(), fresh_key());
        let ring = KeyRing::replay(&standing(Some(state), one, two)).unwrap();
        let row = ring.rows().into_iter().find(|row| row.public_key == two).unwrap();
        assert_eq!(row.may_be_retired_from(valid_for), expected, "{state:?}");
    }
}

#[test]
fn an_empty_ring_signs_nothing() {
    let ring = KeyRing::replay([]).unwrap();
    assert!(ring.is_empty() && ring.published().is_empty());
    assert_eq!((ring.may_sign(&fresh_key()), ring.signing_label()), (None, None));
}
