//! Several replicas in one world: which of them something happens in, how they hear from the database, how they stand still and are cut off.

use std::sync::Arc;
use std::time::Duration;

use cashgate_gateway::admission::Desk;
use cashgate_gateway::notice_board::RefusalsTold;
use cashgate_gateway::replica::{Attempts, DEAD_AFTER_USUAL, Pulse};
use cashgate_gateway::stops::Stops;
use cashgate_withdrawal::lane::Input;
use cashgate_withdrawal::notice::{Happening, Notice};
#[cfg(feature = "planted")]
use cashgate_withdrawal::planted::{Bug, is};
use cashgate_withdrawal::stop::StopScope;
use cashgate_withdrawal::time::Timestamp;

use crate::boundary::{Among, AtmNo, What};
use crate::database::{Heard, StopNotice};
use crate::event::Event;
use crate::faults::FaultKind;
use crate::gateway::Gateway;
use crate::hearing::Board;
use crate::names;
use crate::world::World;

/// How often a replica asks the database what others wrote, and says that it lives.
const POLL_EVERY_MS: u64 = 500;
/// After how long without a heartbeat a replica counts as dead.
pub(crate) const DEAD_AFTER: Duration = DEAD_AFTER_USUAL;

/// What a process keeps of the other replicas and the database.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) pulse: Pulse,
    pub(crate) stops: Arc<Stops>,
    /// What its desk puts up, and which refusals are told.
    pub(crate) board: Arc<Board>,
    pub(crate) refusals: RefusalsTold,
    /// Who asked for money, as far as it has heard; nothing before it has read what the ledger had at its start.
    pub(crate) attempts: Option<Attempts>,
    pub(crate) is_reading_attempts: bool,
    /// What became durable up to here it has read at its start.
    pub(crate) recalled: u64,
    /// Whether it asks again and again who hears the database, and whether somebody else does and it does not.
    pub(crate) is_looking: bool,
    pub(crate) served_elsewhere: bool,
    /// Up to where it knows what others wrote.
    pub(crate) seen: u64,
    pub(crate) paused_until_ms: u64,
    pub(crate) database_cut_until_ms: u64,
    pub(crate) peers_cut_until_ms: u64,
    pub(crate) bank_cut_until_ms: u64,
}

impl Membership {
    pub(crate) fn new(stops: Arc<Stops>) -> Self {
        Self {
            pulse: Pulse::new(DEAD_AFTER),
            stops,
            board: Arc::default(),
            refusals: RefusalsTold::default(),
            attempts: None,
            is_reading_attempts: false,
            recalled: 0,
            is_looking: false,
            served_elsewhere: false,
            seen: 0,
            paused_until_ms: 0,
            database_cut_until_ms: 0,
            peers_cut_until_ms: 0,
            bank_cut_until_ms: 0,
        }
    }

    fn learn(&mut self, stop: StopNotice) {
        #[cfg(feature = "planted")]
        if is(Bug::StopsNotFollowed) {
            return;
        }
        let (scope, actor, reason) = (StopScope::Atm(names::atm(stop.atm)), "operator/mori".to_owned(), String::new());
        let what = if stop.thrown {
            Happening::Stopped { scope, actor, reason }
        } else {
            Happening::Released { scope, actor, reason }
        };
        self.stops.learn(&Notice { at: Timestamp::from_unix_ms(stop.at_ms), what });
    }
}

impl World {
    pub(crate) const fn is_replicated(&self) -> bool {
        self.plan.replicas > 0
    }

    /// The replica in which the present event happens becomes this one.
    pub(crate) fn enter(&mut self, replica: u16) {
        if self.gateway.replica == replica {
            return;
        }
        if let Some(other) = self.others.iter_mut().find(|other| other.replica == replica) {
            std::mem::swap(&mut self.gateway, other);
        }
    }

    /// The replica whose present process this is. Says whether there is one.
    pub(crate) fn enter_life(&mut self, life: u32) -> bool {
        let found = self.gateways().find(|gateway| gateway.up && gateway.life == life).map(|gateway| gateway.replica);
        if let Some(replica) = found {
            self.enter(replica);
        }
        found.is_some()
    }

    pub(crate) fn gateways(&self) -> impl Iterator<Item = &Gateway> {
        std::iter::once(&self.gateway).chain(&self.others)
    }

    /// The replica that a balancer sends somebody to: one that is ready, unless it is blind. None if there is none.
    pub(crate) fn enter_by_balancer(&mut self) -> bool {
        if !self.is_replicated() {
            return self.gateway.up;
        }
        let is_blind = self.strikes(FaultKind::BalancerBlind, 0).is_some();
        let now = Timestamp::from_unix_ms(self.now);
        let takes = |gateway: &&Gateway| is_blind || (gateway.up && gateway.members.pulse.is_fresh(now));
        let replicas: Vec<u16> = self.gateways().filter(takes).map(|gateway| gateway.replica).collect();
        let Some(replica) = self.network.pick(&replicas) else { return false };
        self.enter(replica);
        self.gateway.up
    }

    /// The replica that has a machine's lane, as far as anybody knows.
    pub(crate) fn enter_owner(&mut self, atm: AtmNo) -> bool {
        self.database.owner(atm).is_some_and(|owner| self.enter_life(owner.life))
    }

    /// Whether the present replica reaches the database.
    pub(crate) fn reaches_database(&self) -> bool {
        self.now >= self.database.down_until_ms && self.now >= self.gateway.members.database_cut_until_ms
    }

    /// How long a word to the database takes, or one from it.
    pub(crate) fn database_takes(&mut self) -> u64 {
        if self.now < self.database.slow_until_ms {
            self.network.between(50, 8_000)
        } else {
            self.network.between(1, 3)
        }
    }

    /// A process whose replica stands still does nothing yet. Gives the event back if it may happen.
    pub(crate) fn unless_paused(&mut self, event: Event) -> Option<Event> {
        let until = self.gateway.members.paused_until_ms;
        if self.now >= until {
            return Some(event);
        }
        self.schedule(until, event);
        None
    }

    /// Machines hear nothing of a replica that stands still, and try another after a while.
    pub(crate) fn machines_notice_a_pause(&mut self) {
        for atm in 0..self.plan.atms {
            let link = self.atm(atm).and_then(|machine| machine.link);
            if let Some(link) = link.filter(|link| self.gateway.link(atm) == Some(*link)) {
                let after = self.network.between(8_000, 31_000);
                if self.now + after < self.gateway.members.paused_until_ms {
                    self.after(after, Event::AtmLosesLink { atm, link });
                }
            }
        }
    }

    /// What happens to replicas and their database.
    pub(crate) fn happens_to_replicas(&mut self, event: Event) {
        match event {
            Event::ReplicaRecalls { replica, mark } => {
                self.enter(replica);
                self.replica_recalls(mark);
            }
            Event::DatabaseHears { life, commit, tried } => self.database_hears(life, commit, tried),
            Event::DatabaseAnswers { commit, tried, verdicts, .. } => self.database_answers(commit, tried, verdicts),
            Event::CommitTimesOut { commit, tried, .. } => self.commit_times_out(commit, tried),
            Event::ReadsEntries { atm, keys, .. } => self.entries_are_read(atm, keys),
            Event::EntriesRead { atm, entries, .. } => self.entries_read(atm, &entries),
            Event::Polls { .. } => self.polls(),
            Event::Polled { asked_at_ms, heard, .. } => self.polled(asked_at_ms, heard),
            Event::GoesStale { .. } => self.goes_stale(),
            Event::AttemptsRead { part, .. } => self.attempts_read(part),
            Event::LooksElsewhere { .. } => self.looks_elsewhere(),
            Event::AsksElsewhere { .. } => self.asks_elsewhere(),
            Event::ElsewhereAnswered { takes, .. } => self.elsewhere_answered(takes),
            Event::Claims { atm, expected, .. } => self.claims(atm, expected),
            Event::Claimed { atm, claimed, .. } => self.claimed(atm, *claimed),
            Event::LetsGo { atm, .. } => self.lets_go(atm, "let go when asked"),
            Event::Forwarded { phone, visit, asks, .. } => self.phone_asks_here(phone, visit, asks),
            Event::StopTakenBack { atm } => self.stop_taken_back(atm),
            _ => {}
        }
    }

    /// Says that it lives, and asks what others wrote.
    pub(crate) fn polls(&mut self) {
        self.tells_due_alarms();
        let life = self.gateway.life;
        self.after(POLL_EVERY_MS, Event::Polls { life });
        if !self.reaches_database() {
            return;
        }
        let replica = self.gateway.replica;
        if self.strikes(FaultKind::OutOfConnections, replica).is_some() {
            return;
        }
        let (asked_at_ms, after) = (self.now, self.database_takes());
        self.database.heartbeat(life, self.now);
        let heard = self.database.heard_after(self.gateway.members.seen, self.journal.last());
        self.after(after, Event::Polled { life, asked_at_ms, heard });
    }

    pub(crate) fn polled(&mut self, asked_at_ms: u64, heard: Heard) {
        let now = Timestamp::from_unix_ms(self.now);
        let members = &mut self.gateway.members;
        let news: Vec<StopNotice> = heard.stops.into_iter().filter(|stop| stop.sequence > members.seen).collect();
        members.seen = members.seen.max(heard.last);
        for stop in &news {
            members.learn(*stop);
        }
        self.let_go_what_is_lost(&heard.owners);
        let members = &mut self.gateway.members;
        members.pulse.heard(Timestamp::from_unix_ms(asked_at_ms));
        members.pulse.followed(Timestamp::from_unix_ms(asked_at_ms));
        self.crosses_among(Among::Heard { asked_at_ms });
        let members = &self.gateway.members;
        let may_sweep = members.pulse.may_sweep(now);
        self.gateway.desk.ledger_is_followed_until(members.pulse.fresh_until());
        if !news.is_empty() {
            self.count("stops followed");
            for atm in 0..self.plan.atms {
                self.put(atm, Input::TimePassed, None);
            }
        }
        self.wakes_what_waited();
        self.reads_attempts();
        if may_sweep && self.gateway.up {
            self.sweeps();
        }
        let life = self.gateway.life;
        self.after(1_000, Event::GoesStale { life });
    }

    /// Nothing was heard for a second: the desk admits nobody by itself from here on.
    pub(crate) fn goes_stale(&mut self) {
        if self.is_behind() {
            self.begins_to_look();
        }
    }

    /// The kill switch is thrown at a machine: whoever threw it is told so when it is durable.
    pub(crate) fn stop_elsewhere(&mut self, atm: AtmNo, for_ms: u64) {
        if self.now < self.database.down_until_ms {
            return;
        }
        let sequence = self.journal.notice();
        self.database.stop(sequence, atm, true, self.now);
        self.crosses(What::StopDurable { atm });
        self.after(for_ms, Event::StopTakenBack { atm });
    }

    pub(crate) fn stop_taken_back(&mut self, atm: AtmNo) {
        let sequence = self.journal.notice();
        self.database.stop(sequence, atm, false, self.now);
        self.crosses(What::StopTakenBack { atm });
    }

    /// Everybody goes on, reaches everybody, and is there.
    pub(crate) fn heal_replicas(&mut self) {
        (self.database.down_until_ms, self.database.slow_until_ms) = (0, 0);
        let now = self.now;
        for gateway in std::iter::once(&mut self.gateway).chain(&mut self.others) {
            let members = &mut gateway.members;
            members.paused_until_ms = members.paused_until_ms.min(now);
            (members.database_cut_until_ms, members.peers_cut_until_ms, members.bank_cut_until_ms) = (0, 0, 0);
        }
    }

    /// Of copies of limits that count as the latest: what they hold in reserve. Everything has ended, so nothing may be.
    pub(crate) fn reserved_by_replicas(&mut self) -> Vec<(u16, u64)> {
        let mut reserved = Vec::new();
        for gateway in std::iter::once(&self.gateway).chain(&self.others).filter(|gateway| gateway.up) {
            for account in 0..self.plan.accounts {
                let key = account_key(account);
                if gateway.desk.copied_version(&key) == Some(self.database.version(&key)) {
                    let (institution, id) = (names::institution(), names::account(account));
                    reserved.push((account, gateway.limits.open(&institution, &id).1));
                }
            }
        }
        reserved
    }

    /// What the ledger added up of all customers is what left the machines, once everything has ended.
    pub(crate) fn judge_spent(&mut self, books: &[crate::boundary::Book]) {
        let left = books.iter().filter_map(|book| match book.standing {
            crate::boundary::Standing::Confirmed(amount) => i64::try_from(amount).ok(),
            _ => None,
        });
        let (sum, count) = left.fold((0, 0), |(sum, count), amount| (sum + amount, count + 1));
        let is_at_rest = books
            .iter()
            .all(|book| !matches!(book.standing, crate::boundary::Standing::Open | crate::boundary::Standing::Suspect));
        if is_at_rest && self.database.spent() != (sum, count) {
            let spent = self.database.spent();
            self.broken(format!("the ledger adds {spent:?} up for the institution, and ({sum}, {count}) left"));
        }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        if self.is_replicated() {
            self.coverage.counted(what);
        }
    }
}

pub(crate) fn account_key(account: u16) -> cashgate_gateway::admission::LimitKey {
    cashgate_gateway::admission::LimitKey::Account(names::institution(), names::account(account))
}

/// A desk among others, with what it is told and what it tells.
pub(crate) fn among_others(desk: Desk, members: &Membership) -> Desk {
    desk.with_shared_limits().with_stops(Arc::clone(&members.stops), Arc::<Board>::clone(&members.board))
}
