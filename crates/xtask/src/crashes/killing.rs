//! Who is killed when, and started again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::facts::Settlement;
use super::load::Machine;
use super::token::Token;
use crate::clock;
use crate::dice::Dice;
use crate::parties::core_bank;
use crate::process::Process;
use crate::site::{INSTITUTIONS, Site};

/// How long everything runs between two kills.
const BETWEEN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(1_800));
/// How long the dead stay away.
const AWAY: (Duration, Duration) = (Duration::ZERO, Duration::from_millis(400));
/// How far into its start a gateway is killed again.
const INTO_START: (Duration, Duration) = (Duration::ZERO, Duration::from_millis(500));
const READY_PAUSE: Duration = Duration::from_millis(10);

/// Each may withdraw 255 times a week, the most that limits count, so that the longest run does not meet the limit.
pub(super) const ACCOUNTS: usize = 24;

/// The accounts of every institution, shared by the phones of all ATMs.
pub(super) fn accounts() -> impl Iterator<Item = String> + Clone {
    (1..=ACCOUNTS).map(|number| format!("acct-{number}"))
}

/// Nobody runs dry.
const OPENING_BALANCE: u64 = 1_000_000_000_000;

/// One of the parties that can lose its power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Gateway,
    /// The gateway, and once more while it starts.
    GatewayTwice,
    Atm(usize),
    CoreBank(&'static str),
}

/// The parties that this thread kills and starts.
pub(super) struct Killing<'a> {
    site: &'a Site,
    machines: &'a [Machine],
    gateway: Process,
    core_banks: BTreeMap<&'static str, Process>,
    token: Token,
    dice: Dice,
    /// How often who was killed.
    pub(super) kills: BTreeMap<&'static str, u32>,
    /// How often two at once.
    pub(super) pairs: u32,
    /// How often the HSM's token had to be mended.
    pub(super) mended: u32,
    /// From the start of each gateway that was let live to its readiness.
    pub(super) starts: Vec<Duration>,
    /// What core banks that were killed had been asked.
    settlements: Vec<Settlement>,
}

impl<'a> Killing<'a> {
    pub(super) fn new(
        site: &'a Site,
        machines: &'a [Machine],
        gateway: Process,
        core_banks: BTreeMap<&'static str, Process>,
        dice: Dice,
    ) -> Result<Self, String> {
        let token = Token::of(site)?;
        let (kills, starts, settlements) = (BTreeMap::new(), Vec::new(), Vec::new());
        Ok(Self { site, machines, gateway, core_banks, token, dice, kills, pairs: 0, mended: 0, starts, settlements })
    }

    pub(super) fn killed(&self) -> u32 {
        self.kills.values().sum()
    }

    /// Lets everything run for a moment, then kills one or two, and starts them again.
    pub(super) fn strike(&mut self) -> Result<(), String> {
        std::thread::sleep(self.dice.time(BETWEEN.0, BETWEEN.1));
        if !self.gateway.runs() {
            return Err(format!("the gateway ended by itself: {}", self.gateway.last_words(10)));
        }
        let victims = draw(&mut self.dice, self.machines.len());
        self.pairs += u32::from(victims.len() > 1);
        for victim in &victims {
            self.kill(*victim);
        }
        std::thread::sleep(self.dice.time(AWAY.0, AWAY.1));
        for victim in victims {
            self.restart(victim)?;
        }
        Ok(())
    }

    /// What core banks were asked, once they have been killed a last time, and the gateway, which is to be stopped in order.
    pub(super) fn end(mut self) -> (Vec<Settlement>, Process) {
        for bank in INSTITUTIONS {
            self.kill_core_bank(bank);
        }
        (self.settlements, self.gateway)
    }

    fn kill(&mut self, victim: Victim) {
        match victim {
            Victim::Gateway | Victim::GatewayTwice => {
                self.gateway.kill();
                self.count("gateway");
            }
            Victim::Atm(index) => {
                if let Some(machine) = self.machines.get(index) {
                    machine.kill();
                    self.count("ATM");
                }
            }
            Victim::CoreBank(institution) => {
                self.kill_core_bank(institution);
                self.count("core bank");
            }
        }
    }

    fn kill_core_bank(&mut self, institution: &str) {
        if let Some(core_bank) = self.core_banks.get_mut(institution) {
            core_bank.kill();
            self.settlements.extend(core_bank.last_events().iter().filter_map(Settlement::of));
        }
    }

    fn restart(&mut self, victim: Victim) -> Result<(), String> {
        match victim {
            Victim::Atm(index) => self.machines.get(index).map_or(Ok(()), |machine| machine.restart(self.site)),
            Victim::CoreBank(institution) => {
                self.core_banks.insert(institution, start_core_bank(self.site, institution)?);
                Ok(())
            }
            Victim::Gateway => self.restart_gateway(),
            Victim::GatewayTwice => {
                self.start_gateway()?;
                std::thread::sleep(self.dice.time(INTO_START.0, INTO_START.1));
                self.gateway.kill();
                self.count("gateway while it starts");
                self.restart_gateway()
            }
        }
    }

    fn restart_gateway(&mut self) -> Result<(), String> {
        let began = clock::now();
        self.start_gateway()?;
        self.site.wait_until_ready(&mut self.gateway, READY_PAUSE)?;
        self.starts.push(began.elapsed());
        Ok(())
    }

    fn start_gateway(&mut self) -> Result<(), String> {
        self.mended += u32::from(self.token.mend()?);
        self.gateway = self.site.spawn_gateway()?;
        Ok(())
    }

    fn count(&mut self, who: &'static str) {
        *self.kills.entry(who).or_default() += 1;
    }
}

pub(crate) fn start_core_bank(site: &Site, institution: &str) -> Result<Process, String> {
    core_bank::start(site, institution, accounts(), OPENING_BALANCE)
}

/// One victim, mostly the gateway, or two.
fn draw(dice: &mut Dice, atms: usize) -> Vec<Victim> {
    let other = |dice: &mut Dice| match dice.below(5) {
        0..3 => Victim::Atm(dice.index(atms)),
        _ => Victim::CoreBank(dice.one_of(&INSTITUTIONS).copied().unwrap_or_default()),
    };
    match dice.below(100) {
        0..55 => vec![Victim::Gateway],
        55..67 => vec![Victim::GatewayTwice],
        67..90 => vec![other(dice)],
        90..97 => vec![other(dice), Victim::Gateway],
        _ => {
            let bank = dice.one_of(&INSTITUTIONS).copied().unwrap_or_default();
            vec![Victim::CoreBank(bank), Victim::Atm(dice.index(atms))]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_killed_sooner_or_later_and_the_gateway_mostly() {
        let mut dice = Dice::seeded(1);
        let draws: Vec<Vec<Victim>> = (0..2_000).map(|_| draw(&mut dice, 8)).collect();
        let count = |is_it: &dyn Fn(&Victim) -> bool| draws.iter().flatten().filter(|victim| is_it(victim)).count();
        for index in 0..8 {
            assert!(count(&|victim| *victim == Victim::Atm(index)) > 10, "ATM {index}");
        }
        for institution in INSTITUTIONS {
            assert!(count(&|victim| *victim == Victim::CoreBank(institution)) > 50, "{institution}");
        }
        assert!(count(&|victim| *victim == Victim::GatewayTwice) > 100);
        assert!(count(&|victim| *victim == Victim::Gateway) > draws.len() / 2);
        assert!(draws.iter().filter(|victims| victims.len() == 2).count() > 100);
    }
}
