use cashgate_ledger::LedgerOptions;
use tempfile::TempDir;

use super::super::testing::{FakeHsm, fresh_key, id_of};
use super::*;

const LABEL: &str = "qr-1";
const NEXT: &str = "qr-2";

/// An office over an HSM with the slots `left` and `right`, and its ledger.
struct Site {
    hsm: Arc<FakeHsm>,
    office: KeyOffice,
    ledger: Ledger,
    settings: KeySettings,
    _folder: TempDir,
}

fn settings(publish_before_use_ms: u64) -> KeySettings {
    KeySettings {
        first_label: LABEL.to_owned(),
        publish_before_use: Duration::from_millis(publish_before_use_ms),
        code_lifetime_max: Duration::from_secs(40),
    }
}

impl Site {
    async fn new(publish_before_use_ms: u64) -> Self {
        Self::with_hsm(publish_before_use_ms, |_| {}).await
    }

    async fn with_hsm(publish_before_use_ms: u64, prepare: impl FnOnce(&FakeHsm)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = LedgerOptions { reserve_bytes: 0, ..LedgerOptions::default() };
        let ledger = Ledger::open(folder.path().join("ledger.db"), options).unwrap();
        let hsm = FakeHsm::new(&["left", "right"], LABEL, &ledger);
        prepare(&hsm);
        let settings = settings(publish_before_use_ms);
        let office = KeyOffice::open(hsm.clone(), KeyRing::default(), ledger.clone(), settings.clone()).await;
        Self { hsm, office, ledger, settings, _folder: folder }
    }

    /// The office as it is after a restart.
    async fn restarted(&self) -> KeyOffice {
        let events = self.ledger.reader().key_events().unwrap();
        let ring = KeyRing::replay(events.iter().map(|stored| &stored.event)).unwrap();
        KeyOffice::open(self.hsm.clone(), ring, self.ledger.clone(), self.settings.clone()).await
    }

    async fn rotate(&self, to: &str, generate: bool) -> Result<Rotation, KeyRefusal> {
        self.office.rotate(to, generate, &mori(), "yearly").await
    }

    async fn retire(&self, key: [u8; 65], now: bool) -> Result<(), KeyRefusal> {
        self.office.retire(id_of(&key), now, &mori(), "out of use").await
    }

    /// What the audit trail says: who did what to keys of which label.
    fn trail(&self) -> Vec<String> {
        let events = self.ledger.reader().key_events().unwrap();
        let line =
            |event: &KeyEvent| format!("{} {} {} {}", event.actor, event.action.name(), event.label, event.token_label);
        events.iter().map(|stored| line(&stored.event)).collect()
    }
}

fn mori() -> OperatorName {
    "mori".parse().unwrap()
}

fn state_of(office: &KeyOffice, key: [u8; 65]) -> Option<KeyState> {
    office.ring().rows().into_iter().find(|row| row.public_key == key).map(|row| row.state)
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .unwrap_or_else(|_| panic!("it never came to this: {what}"));
}

fn reason<T: std::fmt::Debug>(refused: Result<T, KeyRefusal>) -> &'static str {
    refused.unwrap_err().reason()
}

#[tokio::test]
async fn the_first_keys_are_published_and_sign_at_once() {
    let site = Site::new(60_000).await;
    for slot in ["left", "right"] {
        assert_eq!(state_of(&site.office, site.hsm.key(slot, LABEL)), Some(KeyState::Signing), "{slot}");
    }
    let said = ["published qr-1 left", "published qr-1 right", "signing qr-1 left", "signing qr-1 right"];
    assert_eq!(site.trail(), said.map(|line| format!("gateway {line}")));
    site.restarted().await;
    assert_eq!(site.trail().len(), 4, "nothing new after a restart");
}

#[tokio::test]
async fn slots_that_hold_copies_have_one_key() {
    let site = Site::with_hsm(0, |hsm| hsm.put_key("right", LABEL, hsm.key("left", LABEL))).await;
    assert_eq!(site.trail(), ["gateway published qr-1 left, right", "gateway signing qr-1 left, right"]);
    let status = site.office.status().await;
    assert_eq!(status.keys.iter().map(|key| key.found_in.join("+")).collect::<Vec<_>>(), ["left+right"]);
}

#[tokio::test]
async fn without_an_hsm_nothing_is_published_until_one_comes() {
    let site = Site::with_hsm(60_000, |hsm| {
        hsm.answers("left", false);
        hsm.answers("right", false);
    })
    .await;
    assert!(site.office.ring().is_empty());
    assert_eq!(reason(site.rotate(NEXT, true).await), "HSM_UNAVAILABLE");
    tokio::spawn(site.office.clone().attend());
    site.hsm.answers("left", true);
    until("the key that came signs", || state_of(&site.office, site.hsm.key("left", LABEL)).is_some()).await;
    // The other's key is nothing that apps could have fetched yet.
    site.hsm.answers("right", true);
    let late = site.hsm.key("right", LABEL);
    until("the late key is published", || state_of(&site.office, late) == Some(KeyState::Published)).await;
    assert_eq!(site.office.ring().may_sign(&late), None);
    assert_eq!(site.trail().last().unwrap(), "gateway published qr-1 right");
}

#[tokio::test]
async fn a_key_that_comes_late_signs_once_it_was_published_for_long_enough() {
    let site = Site::with_hsm(300, |hsm| hsm.answers("right", false)).await;
    tokio::spawn(site.office.clone().attend());
    site.hsm.answers("right", true);
    let late = site.hsm.key("right", LABEL);
    until("the late key signs", || state_of(&site.office, late) == Some(KeyState::Signing)).await;
    assert_eq!(state_of(&site.office, site.hsm.key("left", LABEL)), Some(KeyState::Signing), "the other signs on");
    let row = site.office.ring().rows().into_iter().find(|row| row.public_key == late).unwrap();
    assert!(row.signing_since.unwrap().since(row.published_at) >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_rotation_publishes_waits_and_takes_over() {
    let site = Site::new(400).await;
    let old = site.hsm.key("left", LABEL);
    let before = clock::now();
    let rotation = site.rotate(NEXT, true).await.unwrap();
    assert!(rotation.use_from >= before.after(Duration::from_millis(400)));
    let new = site.hsm.key("left", NEXT);
    assert_eq!((rotation.key_ids.len(), rotation.key_ids[0]), (2, id_of(&new)));
    assert_eq!(site.hsm.signing_key_label(), LABEL, "nothing changes yet");
    assert_eq!((state_of(&site.office, old), site.office.ring().may_sign(&new)), (Some(KeyState::Signing), None));
    tokio::spawn(site.office.clone().attend());
    until("the new key signs", || site.hsm.signing_key_label() == NEXT).await;
    assert!(clock::now() >= rotation.use_from);
    assert_eq!(state_of(&site.office, new), Some(KeyState::Signing));
    assert_eq!(state_of(&site.office, old), Some(KeyState::Overlapping));
    assert_eq!(site.office.ring().published().len(), 4, "both keys of both slots");
    let said = [
        "mori published qr-2 left",
        "mori published qr-2 right",
        "gateway signing qr-2 left",
        "gateway signing qr-2 right",
    ];
    assert_eq!(site.trail()[4..], said);
    assert!(site.office.ring().may_sign(&old).is_some(), "what was taken up under the old key is finished");
    until("the old key signs no more", || site.office.ring().may_sign(&old).is_none()).await;
}

#[tokio::test]
async fn a_restart_before_the_time_keeps_the_schedule() {
    let site = Site::new(700).await;
    let rotation = site.rotate(NEXT, true).await.unwrap();
    let office = site.restarted().await;
    assert_eq!(site.hsm.signing_key_label(), LABEL, "too early");
    let waits: Vec<_> = office.ring().rows().iter().filter_map(|row| row.use_from).collect();
    assert_eq!(waits, [rotation.use_from; 2]);
    tokio::spawn(office.clone().attend());
    until("the new key signs", || site.hsm.signing_key_label() == NEXT).await;
    assert!(clock::now() >= rotation.use_from);
}

#[tokio::test]
async fn a_restart_after_a_rotation_signs_with_the_key_that_was_rotated_to() {
    let site = Site::new(0).await;
    site.rotate(NEXT, true).await.unwrap();
    site.office.look().await;
    assert_eq!(site.hsm.signing_key_label(), NEXT);
    site.hsm.sign_with(LABEL); // As the configuration still says.
    site.restarted().await;
    assert_eq!(site.hsm.signing_key_label(), NEXT);
}

#[tokio::test]
async fn what_cannot_be_rotated_to_is_refused_and_changes_nothing() {
    let site = Site::new(60_000).await;
    let trail = site.trail();
    assert_eq!(reason(site.rotate(LABEL, false).await), "KEY_IN_USE");
    assert_eq!(reason(site.rotate(NEXT, false).await), "KEY_NOT_IN_HSM");
    site.hsm.put_key("left", NEXT, fresh_key());
    assert_eq!(reason(site.rotate(NEXT, false).await), "KEY_NOT_IN_HSM", "the other slot answers and lacks it");
    site.hsm.put_key("right", NEXT, site.hsm.key("left", LABEL));
    assert_eq!(reason(site.rotate(NEXT, false).await), "KEY_ID_TAKEN", "the same key under another label");
    site.hsm.answers("left", false);
    site.hsm.answers("right", false);
    assert_eq!(reason(site.rotate(NEXT, true).await), "HSM_UNAVAILABLE");
    assert_eq!((site.trail(), site.office.ring().rows().len()), (trail, 2));
}

#[tokio::test]
async fn a_slot_that_is_out_does_not_keep_the_others_from_a_new_key() {
    let site = Site::new(60_000).await;
    site.hsm.answers("right", false);
    assert_eq!(site.rotate(NEXT, true).await.unwrap().key_ids.len(), 1);
}

#[tokio::test]
async fn one_rotation_at_a_time_and_retiring_the_new_key_takes_it_back() {
    let site = Site::with_hsm(60_000, |hsm| hsm.put_key("right", LABEL, hsm.key("left", LABEL))).await;
    let next = fresh_key();
    site.hsm.put_key("left", NEXT, next);
    site.hsm.put_key("right", NEXT, next);
    site.rotate(NEXT, false).await.unwrap();
    assert_eq!(reason(site.rotate("qr-3", true).await), "KEY_ROTATION_PENDING");
    site.retire(next, false).await.unwrap();
    assert_eq!(reason(site.rotate(NEXT, false).await), "KEY_RETIRED");
    assert_eq!(reason(site.rotate(NEXT, true).await), "KEY_RETIRED");
    site.rotate("qr-3", true).await.unwrap();
}

#[tokio::test]
async fn a_key_is_retired_when_no_code_under_it_can_be_valid() {
    let site = Site::new(0).await;
    let (old, unknown) = (site.hsm.key("left", LABEL), fresh_key());
    assert_eq!(reason(site.retire(unknown, true).await), "KEY_UNKNOWN");
    assert_eq!(reason(site.retire(old, false).await), "KEY_IN_USE");
    site.rotate(NEXT, true).await.unwrap();
    site.office.look().await;
    let signed_until = site.office.ring().rows()[0].signed_until.unwrap();
    let Err(KeyRefusal::CodesValid { until, .. }) = site.retire(old, false).await else { panic!("codes are valid") };
    assert_eq!(until, signed_until.after(TAKE_OVER + site.settings.code_lifetime_max));
    site.retire(old, true).await.unwrap();
    assert_eq!(site.trail().last().unwrap(), "mori retired_at_once qr-1 left");
    assert!(site.office.ring().published().key(id_of(&old)).is_none());
    assert_eq!(site.office.ring().may_sign(&old), None);
    assert_eq!(reason(site.retire(old, true).await), "KEY_RETIRED");
}

#[tokio::test]
async fn in_an_emergency_one_of_several_that_sign_is_retired_and_the_last_never() {
    let site = Site::new(0).await;
    let (left, right) = (site.hsm.key("left", LABEL), site.hsm.key("right", LABEL));
    assert_eq!(reason(site.retire(left, false).await), "KEY_IN_USE");
    site.retire(left, true).await.unwrap();
    assert_eq!(reason(site.retire(right, true).await), "KEY_IN_USE");
    // The slot still has it, and says so; a rotation to other keys goes on all the same.
    site.rotate(NEXT, true).await.unwrap();
    site.office.look().await;
    assert_eq!(site.hsm.signing_key_label(), NEXT);
}

#[tokio::test]
async fn rotating_back_needs_no_wait_because_apps_know_the_key() {
    let site = Site::new(300).await;
    site.rotate(NEXT, true).await.unwrap();
    tokio::spawn(site.office.clone().attend());
    until("the new key signs", || site.hsm.signing_key_label() == NEXT).await;
    let back = site.rotate(LABEL, false).await.unwrap();
    assert!(back.use_from <= clock::now());
    until("the old key signs again", || site.hsm.signing_key_label() == LABEL).await;
    assert_eq!(state_of(&site.office, site.hsm.key("left", NEXT)), Some(KeyState::Overlapping));
}

#[tokio::test]
async fn no_key_takes_over_that_a_slot_which_answers_does_not_have() {
    let site = Site::new(0).await;
    site.rotate(NEXT, true).await.unwrap();
    let key = site.hsm.key("right", NEXT);
    site.hsm.remove_key("right", NEXT);
    site.office.look().await;
    assert_eq!(site.hsm.signing_key_label(), LABEL, "the slot would be lost");
    site.hsm.answers("left", false);
    site.hsm.answers("right", false);
    site.office.look().await;
    assert_eq!(site.hsm.signing_key_label(), LABEL, "nobody can say whether the key is there");
    site.hsm.put_key("right", NEXT, key);
    site.hsm.answers("left", true);
    site.hsm.answers("right", true);
    site.office.look().await;
    assert_eq!(site.hsm.signing_key_label(), NEXT);
}

#[tokio::test]
async fn a_key_that_turns_up_at_the_take_over_is_published_before_it_is_used() {
    let site = Site::new(500).await;
    site.hsm.answers("right", false);
    let rotation = site.rotate(NEXT, true).await.unwrap();
    let late = fresh_key();
    site.hsm.put_key("right", NEXT, late);
    site.hsm.answers("right", true);
    tokio::spawn(site.office.clone().attend());
    until("the late key is known", || state_of(&site.office, late).is_some()).await;
    until("all keys sign", || site.hsm.signing_key_label() == NEXT).await;
    assert!(clock::now() >= rotation.use_from.after(Duration::from_millis(500)), "apps cannot know the late key");
    assert_eq!(state_of(&site.office, late), Some(KeyState::Signing));
}

#[tokio::test]
async fn what_is_not_durable_is_not_effective() {
    let site = Site::new(0).await;
    site.ledger.clone().close().await.unwrap();
    let refused = site.rotate(NEXT, true).await;
    assert!(matches!(refused, Err(KeyRefusal::Ledger(_))), "{refused:?}");
    site.office.look().await;
    assert_eq!((site.office.ring().rows().len(), site.hsm.signing_key_label().as_str()), (2, LABEL));
    let key = site.hsm.key("left", LABEL);
    assert!(matches!(site.retire(key, true).await, Err(KeyRefusal::Ledger(_))));
    assert!(site.office.ring().may_sign(&key).is_some());
}
