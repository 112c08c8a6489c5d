//! One thief and one account: what he tries next, given what he got so far.
//!
//! He asks for as much as he may. Refused, he halves the amount, three tries a visit; then he comes back later, at another machine, with
//! what has worked before, until his patience is at an end ([`Persistence`](super::behaviour::Persistence)) or ten days have passed. He never takes more than he would have
//! taken unhindered: that was in the account.

use std::time::Duration;

use cashgate_withdrawal::time::Timestamp;

use super::{Case, PhonePlace};
use crate::attempt::{AtmNo, Attempt, yen};
use crate::calendar::{Day, HOUR_MS, MINUTE_MS};
use crate::chance::Chance;
use crate::geography::Geography;
use crate::population::habits::MAN_YEN;
use crate::population::seen_from;

/// Tries at one machine before he walks away.
const TRIES_A_VISIT: u8 = 3;
/// After so many days he has given up, or the victim has noticed.
const DAYS_MAX: u64 = 10;

/// A thief at work.
#[derive(Clone, Debug)]
pub struct Thief {
    case: Case,
    chance: Chance,
    atm: AtmNo,
    next_at: Option<Timestamp>,
    left_man: u64,
    /// What he asks for at most after he was refused or paid.
    learned_man: Option<u64>,
    asked_man: u64,
    tries_left: u8,
    failed_visits: usize,
    has_worked_man: Option<u64>,
    drawn: (Day, u64),
}

impl Thief {
    pub(crate) fn new(case: Case, chance: Chance) -> Self {
        Self {
            case,
            chance,
            atm: case.atm,
            next_at: Some(case.first_at),
            left_man: case.total_man,
            learned_man: None,
            asked_man: 0,
            tries_left: TRIES_A_VISIT,
            failed_visits: 0,
            has_worked_man: None,
            drawn: (Day::of(case.first_at), 0),
        }
    }

    /// What he is about.
    #[must_use]
    pub const fn case(&self) -> &Case {
        &self.case
    }

    /// When he acts next, if he does.
    #[must_use]
    pub const fn next_at(&self) -> Option<Timestamp> {
        self.next_at
    }

    /// What he asks for now.
    pub(crate) fn attempt(&mut self, now: Timestamp, geography: &Geography) -> Attempt {
        let today = Day::of(now);
        if self.drawn.0 != today {
            self.drawn = (today, 0);
        }
        let room = self.room_man();
        let wish = self.case.behaviour.wish_man(&mut self.chance);
        self.asked_man = wish.min(self.learned_man.unwrap_or(wish)).min(self.left_man).min(room).max(1);
        let atm_place = geography.place(self.atm);
        Attempt {
            institution: self.case.institution,
            account: self.case.account,
            device: self.case.device,
            atm: self.atm,
            atm_place,
            phone_place: match self.case.phone {
                PhonePlace::Silent => None,
                PhonePlace::AtMachine => Some(seen_from(atm_place, &mut self.chance)),
                PhonePlace::Elsewhere(place) => Some(place),
            },
            amount: yen(self.asked_man * MAN_YEN),
            now,
        }
    }

    /// He got the notes.
    pub(crate) fn paid(&mut self, now: Timestamp) {
        self.left_man = self.left_man.saturating_sub(self.asked_man);
        self.drawn.1 += self.asked_man;
        self.failed_visits = 0;
        self.has_worked_man = Some(self.asked_man.max(self.has_worked_man.unwrap_or(0)));
        let minutes = if self.left_man == 0 {
            return self.next_at = None;
        } else if self.room_man() == 0 {
            self.tries_left = TRIES_A_VISIT;
            let tomorrow = Day(Day::of(now).0 + 1).begins();
            let same_hour = now.since(Day::of(now).begins()).as_secs() / 60;
            tomorrow.since(now).as_secs() / 60 + same_hour.min(22 * 60) + self.chance.between(1, 45)
        } else if self.case.behaviour.day_max_man() < 50 {
            self.chance.between(90, 240)
        } else {
            self.chance.between(1, 3)
        };
        self.comes_at(now, minutes);
    }

    /// He got nothing.
    pub(crate) fn refused(&mut self, now: Timestamp, geography: &Geography) {
        self.tries_left = self.tries_left.saturating_sub(1);
        if self.tries_left > 0 && self.asked_man > 1 {
            self.learned_man = Some(self.asked_man / 2);
            let minutes = self.chance.between(1, 2);
            return self.comes_at(now, minutes);
        }
        self.failed_visits += 1;
        self.tries_left = TRIES_A_VISIT;
        self.learned_man = self.has_worked_man;
        let stays = if self.case.behaviour.is_at_the_machine() { Some(self.case.persistence) } else { None };
        match stays.and_then(|persistence| persistence.comes_back_after_hours(self.failed_visits)) {
            None => self.next_at = None,
            Some(hours) => {
                let minutes = hours * self.chance.between(54, 72);
                self.atm = geography.neighbour(self.atm, &mut self.chance);
                self.comes_at(now, minutes);
            }
        }
    }

    fn room_man(&self) -> u64 {
        self.case.behaviour.day_max_man().saturating_sub(self.drawn.1)
    }

    fn comes_at(&mut self, now: Timestamp, minutes: u64) {
        let at = now.after(Duration::from_millis(minutes * MINUTE_MS));
        let until = self.case.first_at.after(Duration::from_millis(DAYS_MAX * 24 * HOUR_MS));
        self.next_at = (at <= until).then_some(at);
    }
}
