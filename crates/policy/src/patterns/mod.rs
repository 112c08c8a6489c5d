//! The memory from which facts come: what accounts, phones, machines and institutions did lately.
//!
//! Time comes in; there is no IO and no lock. All of it is rebuilt by feeding the last 28 days of withdrawals through
//! [`Patterns::attempted`] and [`Patterns::withdrew`] in the order of their approval, or nearly so: what comes late counts for when it was; what is older is then not known, which makes rules
//! stricter. Names are kept as 64-bit hashes, and an account with its phone takes about 90 bytes.

use std::collections::HashMap;

use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;
use std::time::Duration;

use crate::facts::Facts;

mod account;
mod alarm;
mod hours;
mod institution;
mod partners;
mod place;
mod shelf;
mod watching;
mod young;

pub use alarm::{Alarm, Pattern, Threshold, Watch};
pub use place::Place;

use account::Account;
use hours::{DAY_S, PastHour};
use institution::Institution;
use partners::Partners;
use shelf::{Key, Shelf};
use young::{YOUNG_S, Young};

/// An approval: who wants how much, with what, where and when.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The customer's bank.
    pub institution: &'a InstitutionId,
    /// The account to be debited.
    pub account: &'a AccountId,
    /// The phone that approved.
    pub device: &'a DeviceId,
    /// The machine.
    pub atm: &'a AtmId,
    /// Where the machine stands, if that is known.
    pub place: Option<Place>,
    /// How much.
    pub amount: Money,
    /// How long ago the phone was bound to the account; zero if not known.
    pub device_age: Duration,
    /// Whether the institution's limits call the phone new.
    pub is_new_device: bool,
    /// When it was approved.
    pub now: Timestamp,
}

/// The facts that come from memory, named as in [`Facts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the fact of the same name")]
pub struct Gathered {
    pub accounts_on_device_30d: u32,
    pub devices_on_account_30d: u32,
    pub device_drawn_7d: u64,
    pub new_device_withdrawals_at_atm_1h: u32,
    pub new_device_withdrawals_at_institution_1h: u32,
    pub new_device_usual_at_institution_1h_milli: u32,
    pub institution_alarmed_7d: bool,
    pub account_usual_amount: u64,
    pub account_withdrawals_90d: u32,
    pub km_since_last_withdrawal: Option<u32>,
    pub minutes_since_last_withdrawal: Option<u32>,
}

impl Gathered {
    /// The facts with these in their places.
    #[must_use]
    pub fn onto(self, facts: Facts) -> Facts {
        Facts {
            accounts_on_device_30d: self.accounts_on_device_30d,
            devices_on_account_30d: self.devices_on_account_30d,
            device_drawn_7d: self.device_drawn_7d,
            new_device_withdrawals_at_atm_1h: self.new_device_withdrawals_at_atm_1h,
            new_device_withdrawals_at_institution_1h: self.new_device_withdrawals_at_institution_1h,
            new_device_usual_at_institution_1h_milli: self.new_device_usual_at_institution_1h_milli,
            institution_alarmed_7d: self.institution_alarmed_7d,
            account_usual_amount: self.account_usual_amount,
            account_withdrawals_90d: self.account_withdrawals_90d,
            km_since_last_withdrawal: self.km_since_last_withdrawal,
            minutes_since_last_withdrawal: self.minutes_since_last_withdrawal,
            ..facts
        }
    }
}

/// What is remembered. Whoever shares it among threads puts a lock around it.
pub struct Patterns {
    watch: Watch,
    accounts: Shelf<Account>,
    /// The phones of an account.
    phones: Partners,
    /// The accounts of a phone.
    debited: Partners,
    young: Shelf<Young>,
    /// Machines with a withdrawal by a new device in the past hour.
    machines: HashMap<Key, Machine>,
    institutions: HashMap<InstitutionId, Institution>,
    raised: Vec<Alarm>,
}

#[derive(Default)]
struct Machine {
    new_devices: PastHour,
    alarmed_s: Option<u32>,
}

/// An attempt's names as keys, and its time in seconds and days.
struct Keys {
    account: Key,
    device: Key,
    atm: Key,
    now_s: u32,
    today: u16,
}

impl Attempt<'_> {
    fn keys(&self) -> Keys {
        let institution = self.institution.as_str();
        let now_s = seconds(self.now);
        Keys {
            account: Key::of("account", institution, self.account.as_str()),
            device: Key::of("device", institution, self.device.as_str()),
            atm: Key::of("atm", "", self.atm.as_str()),
            now_s,
            today: day(now_s),
        }
    }

    fn is_young(&self) -> bool {
        self.device_age.as_secs() < YOUNG_S
    }
}

impl Patterns {
    /// An empty memory with the default [`Watch`].
    #[must_use]
    pub fn new() -> Self {
        Self::watching(Watch::default())
    }

    /// An empty memory that raises alarms by these figures.
    #[must_use]
    pub fn watching(watch: Watch) -> Self {
        Self {
            watch,
            accounts: Shelf::new(),
            phones: Partners::new(),
            debited: Partners::new(),
            young: Shelf::new(),
            machines: HashMap::new(),
            institutions: HashMap::new(),
            raised: Vec::new(),
        }
    }

    /// What is known before an attempt is decided on. The attempt itself is in the counts of partners, and in those of new devices if its own is
    /// new.
    #[must_use]
    pub fn gathered(&self, of: &Attempt<'_>) -> Gathered {
        let keys = of.keys();
        let now_s = keys.now_s;
        let this_one = u32::from(of.is_new_device);
        let account = self.accounts.entry(keys.account);
        let institution = self.institutions.get(of.institution);
        let machine = self.machines.get(&keys.atm);
        let last = account.and_then(Account::last);
        let metres = last.and_then(|(_, place)| Some(place?.distance_m(of.place?)));
        Gathered {
            accounts_on_device_30d: self.debited.count(keys.device, keys.account, keys.today),
            devices_on_account_30d: self.phones.count(keys.account, keys.device, keys.today),
            device_drawn_7d: self.young.entry(keys.device).map_or(0, |young| young.drawn(now_s)),
            new_device_withdrawals_at_atm_1h: machine.map_or(0, |one| one.new_devices.count(now_s)) + this_one,
            new_device_withdrawals_at_institution_1h: institution.map_or(0, |one| one.past_hour.count(now_s))
                + this_one,
            new_device_usual_at_institution_1h_milli: institution
                .map_or(0, |one| one.new_devices.usual_in_this_hour_milli(now_s)),
            institution_alarmed_7d: institution.is_some_and(|one| one.is_alarmed(now_s)),
            account_usual_amount: account.map_or(0, Account::usual),
            account_withdrawals_90d: account.map_or(0, |one| one.withdrawals(now_s)),
            km_since_last_withdrawal: metres.map(|metres| metres / 1_000),
            minutes_since_last_withdrawal: last.map(|(last_s, _)| now_s.saturating_sub(last_s) / 60),
        }
    }

    /// Remembers an attempt that was decided on, whether it was allowed or not: a phone that was refused has shown what it wants.
    pub fn attempted(&mut self, attempt: &Attempt<'_>) {
        let keys = attempt.keys();
        self.debited.met(keys.device, keys.account, keys.today);
        self.phones.met(keys.account, keys.device, keys.today);
        if attempt.is_young() {
            self.watch_young(attempt, &keys);
        }
    }

    /// Remembers an approval that was accepted, after [`Patterns::attempted`] of the same.
    pub fn withdrew(&mut self, withdrawal: &Attempt<'_>) {
        let keys = withdrawal.keys();
        let (now_s, amount) = (keys.now_s, withdrawal.amount.minor_units());
        // What a young device draws is not yet the customer's habit: a thief would teach it to us.
        let teaches = !withdrawal.is_young();
        let usual = self.accounts.entry(keys.account).map_or(0, Account::usual);
        if let Some(account) = self.accounts.entry_or(keys.account, Account::new) {
            account.withdrew(now_s, amount, withdrawal.place, teaches);
        }
        if withdrawal.is_young()
            && let Some(young) = self.young.entry_or(keys.device, Young::default)
        {
            young.last_s = young.last_s.max(now_s);
            young.drew(now_s, amount);
            if self.watch.is_vain(amount, usual) {
                young.vain.granted();
            }
        }
        if withdrawal.is_new_device {
            self.watch_new_devices(withdrawal, &keys);
        }
    }

    /// The alarms raised since the last call, the earliest first. After the past was fed in at the start, take them once and drop them.
    pub fn alarms(&mut self) -> Vec<Alarm> {
        std::mem::take(&mut self.raised)
    }

    /// The alarms that `feed` raises, apart from those that wait for [`Patterns::alarms`].
    pub fn alarms_of(&mut self, feed: impl FnOnce(&mut Self)) -> Vec<Alarm> {
        let waiting = std::mem::take(&mut self.raised);
        feed(self);
        std::mem::replace(&mut self.raised, waiting)
    }

    /// Drops what no fact asks for any more. Each call looks at a sixteenth of the accounts and phones, so call it every few minutes.
    pub fn forget_older(&mut self, now: Timestamp) {
        let now_s = seconds(now);
        self.accounts.sweep(|account| account.is_worth_keeping(now_s));
        self.young.sweep(|young| young.is_worth_keeping(now_s));
        self.phones.forget_older(day(now_s));
        self.debited.forget_older(day(now_s));
        self.machines.retain(|_, machine| machine.new_devices.is_worth_keeping(now_s));
    }

    /// How many accounts and phones are remembered.
    #[must_use]
    pub fn remembered(&self) -> (usize, usize) {
        (self.accounts.len(), self.debited.len())
    }
}

impl Default for Patterns {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Patterns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (accounts, devices) = self.remembered();
        write!(f, "Patterns {{ accounts: {accounts}, devices: {devices}, .. }}")
    }
}

/// Good until the year 2106.
fn seconds(now: Timestamp) -> u32 {
    u32::try_from(now.unix_ms() / 1_000).unwrap_or(u32::MAX)
}

fn day(now_s: u32) -> u16 {
    u16::try_from(now_s / DAY_S).unwrap_or(u16::MAX)
}
