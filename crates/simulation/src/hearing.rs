//! What replicas hear of each other's customers, and what they tell of their own.
//!
//! The desk, its memory of patterns, who has heard what and who tells of an alarm are production's own. Here is when they read, what the
//! database gives them, and how their notices come to it.

use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use cashgate_gateway::lanes::Intent;
use cashgate_gateway::notice_board::NoticeBoard;
use cashgate_gateway::replica::Heard;
use cashgate_ledger::{AttemptsPart, Sequence};
use cashgate_policy::Decision;
use cashgate_policy::patterns::{Attempt as Approval, Gathered};
use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, WithdrawalId};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::notice::{Happening, Notice, RefusedApproval};
use cashgate_withdrawal::time::Timestamp;
use cashgate_withdrawal::withdrawal::Terms;

use crate::books::number;
use crate::boundary::{AccountNo, Alarm, Among, AtmNo, Attempt, Memory, Pattern, PhoneNo};
use crate::event::Event;
use crate::gateway::Gateway;
use crate::names::{self, yen};
use crate::world::World;

/// What a desk puts up, until the world tells it.
#[derive(Debug, Default)]
pub(crate) struct Board {
    posted: Mutex<Vec<Notice>>,
}

impl Board {
    fn take(&self) -> Vec<Notice> {
        take(&mut *self.posted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl NoticeBoard for Board {
    fn post(&self, notice: Notice) {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
    }

    fn decided(&self, _: &Decision) {}

    fn shadowed(&self, _: &Decision, _: &Decision) {}
}

impl World {
    /// Policy was asked about what an intent opens.
    pub(crate) fn was_asked(&mut self, intent: &Intent) {
        for record in intent.records().iter().filter(|record| record.event.is_none()) {
            let terms = &record.after.terms;
            let Terms { withdrawal, device, account, atm, amount, .. } = terms;
            self.is_asked(*withdrawal, (device, account, atm), *amount, true);
        }
    }

    fn is_asked(&mut self, id: WithdrawalId, of: (&DeviceId, &AccountId, &AtmId), amount: Money, granted: bool) {
        let (device, account, atm) = of;
        self.last_asked_ms = self.now;
        self.crosses_among(Among::Asked(Attempt {
            withdrawal: number(id),
            phone: names::phone_number(device),
            account: names::account_number(account),
            atm: names::atm_number(atm),
            amount: amount.minor_units(),
            granted,
        }));
    }

    /// What the desk has put up goes to the database with the next commit.
    pub(crate) fn tells(&mut self) {
        for notice in self.gateway.members.board.take() {
            match &notice.what {
                Happening::ApprovalRefused(refused) => {
                    if let Some(attempt) = refused.attempt {
                        let RefusedApproval { device, account, atm, amount, .. } = &**refused;
                        self.is_asked(attempt, (device, account, atm), *amount, false);
                    }
                    let told = &mut self.gateway.members.refusals;
                    if !told.is_told(&refused.institution, &refused.device, notice.at) {
                        continue;
                    }
                }
                Happening::Alarm { .. } => {
                    if let Some(alarm) = alarm_of(&notice) {
                        let is_own = notice.at.unix_ms() == self.now;
                        self.count(if is_own { "alarms told at once" } else { "alarms told after a wait" });
                        self.crosses_among(Among::AlarmTold(alarm));
                    }
                }
                _ => {}
            }
            self.gateway.to_tell.push(notice);
        }
    }

    /// Notices become durable beside a commit's writes.
    pub(crate) fn notices_become_durable(&mut self, told: &[Notice]) {
        for notice in told {
            let sequence = self.journal.tell(notice);
            match &notice.what {
                Happening::ApprovalRefused(refused) => {
                    if let Some(attempt) = refused.attempt {
                        let durable = Among::AttemptDurable { withdrawal: number(attempt), sequence };
                        self.crosses_among(durable);
                    }
                }
                Happening::Alarm { .. } => {
                    if let Some(alarm) = alarm_of(notice) {
                        self.crosses_among(Among::AlarmDurable { alarm, sequence });
                    }
                }
                _ => {}
            }
        }
    }

    /// Asks the database who asked for money behind what the present replica has heard of.
    pub(crate) fn reads_attempts(&mut self) {
        let (life, last) = (self.gateway.life, self.journal.last());
        let members = &mut self.gateway.members;
        let Some(attempts) = &members.attempts else { return };
        if members.is_reading_attempts || attempts.through() >= Sequence(last) {
            return;
        }
        members.is_reading_attempts = true;
        let part = self.journal.attempts_after(attempts.through());
        let after = self.database_takes();
        self.after(after, Event::AttemptsRead { life, part });
    }

    /// They are read, unless the answer is lost: then they are asked for again at the next look.
    pub(crate) fn attempts_read(&mut self, part: AttemptsPart) {
        self.gateway.members.is_reading_attempts = false;
        if !self.reaches_database() {
            return;
        }
        self.counts_what_is_heard(&part);
        let (now, desk) = (Timestamp::from_unix_ms(self.now), Arc::clone(&self.gateway.desk));
        let Some(attempts) = &mut self.gateway.members.attempts else { return };
        let waited = attempts.waiting();
        let is_whole = attempts.take(Heard::of(part, &desk), now);
        let (through, waits) = (attempts.through().0, attempts.waiting());
        if waits != waited {
            self.count(if waits > waited {
                "alarms that wait for another to tell"
            } else {
                "alarms that another told"
            });
        }
        self.crosses_among(Among::AttemptsHeard { through });
        if !is_whole {
            self.count("attempts heard in parts");
            self.reads_attempts();
        }
    }

    fn counts_what_is_heard(&mut self, part: &AttemptsPart) {
        let members = &self.gateway.members;
        let (recalled, is_first) = (members.recalled, part.through.0 <= members.recalled);
        let again = part.approved.iter().any(|(_, first)| first.sequence.0 <= recalled);
        if !part.approved.is_empty() {
            self.count("approvals heard of");
        }
        if part.notices.iter().any(|notice| notice.kind == "approval_refused") {
            self.count("refusals heard of");
        }
        if again || is_first && !part.notices.is_empty() {
            self.count("attempts read at a start and heard again");
        }
    }

    /// Alarms whose wait is over, unless what is being read may say that they were told.
    pub(crate) fn tells_due_alarms(&mut self) {
        if self.gateway.members.is_reading_attempts {
            return;
        }
        let now = Timestamp::from_unix_ms(self.now);
        let told = self.gateway.members.attempts.as_mut().map_or(0, |attempts| attempts.tell_due(now));
        if told > 0 {
            self.tells();
            self.sends_what_waits();
        }
    }

    /// Whether every replica has heard of everything, and nobody has anything to tell.
    pub(crate) fn all_is_heard(&self) -> bool {
        let last = Sequence(self.journal.last());
        let is_quiet = |gateway: &Gateway| {
            let attempts = gateway.members.attempts.as_ref();
            gateway.to_tell.is_empty() && attempts.is_none_or(|one| one.through() >= last && one.waiting() == 0)
        };
        !self.is_replicated() || self.gateways().all(is_quiet)
    }

    /// What each replica remembers, as its policy would be told.
    pub(crate) fn memories(&self) -> Vec<Memory> {
        if !self.is_replicated() {
            return Vec::new();
        }
        self.gateways().filter(|gateway| gateway.up).map(|gateway| self.memory_of(gateway)).collect()
    }

    fn memory_of(&self, gateway: &Gateway) -> Memory {
        let gathered = |phone: PhoneNo, account: AccountNo, atm: AtmNo| self.gathered(gateway, (phone, account, atm));
        let withdrawals = |account| (account, gathered(0, account, 0).account_withdrawals_90d);
        let at_atm = |atm| (atm, gathered(0, 0, atm).new_device_withdrawals_at_atm_1h);
        let with = |phone, account| gathered(phone, account, 0).accounts_on_device_30d;
        // With an account that nobody has, the one that asks is counted for nothing.
        let asked_for = |phone| (phone, with(phone, names::NOBODYS).saturating_sub(1));
        Memory {
            process: gateway.life,
            withdrawals: (0..self.plan.accounts).map(withdrawals).collect(),
            accounts: (0..self.plan.phones).map(asked_for).collect(),
            new_at_atm: (0..self.plan.atms).map(at_atm).collect(),
        }
    }

    /// The facts of an approval just after the last one of the world, by a phone that is not new.
    fn gathered(&self, gateway: &Gateway, (phone, account, atm): (PhoneNo, AccountNo, AtmNo)) -> Gathered {
        gateway.desk.remembered(&Approval {
            institution: &names::institution(),
            account: &names::account(account),
            device: &names::phone(phone),
            atm: &names::atm(atm),
            place: None,
            amount: yen(10_000),
            device_age: std::time::Duration::MAX,
            is_new_device: false,
            now: Timestamp::from_unix_ms(self.last_asked_ms),
        })
    }
}

/// An alarm in plain numbers; nothing if the notice is of none.
fn alarm_of(notice: &Notice) -> Option<Alarm> {
    let Happening::Alarm { atm, device, pattern, .. } = &notice.what else { return None };
    let pattern = match pattern.as_str() {
        "atm_hour" => Pattern::AtmHour,
        "institution_hour" => Pattern::InstitutionHour,
        "strange_devices_day" => Pattern::StrangeDevicesDay,
        "strange_devices_week" => Pattern::StrangeDevicesWeek,
        "device_sum" => Pattern::DeviceSum,
        "device_refused" => Pattern::DeviceRefused,
        _ => return None,
    };
    let (atm, phone) = (atm.as_ref().map(names::atm_number), device.as_ref().map(names::phone_number));
    Some(Alarm { pattern, atm, phone, attempt_at_ms: notice.at.unix_ms() })
}
