//! The attacks: each a few peers that do one wrong thing, until the gateway is rid of them.

mod certificates;
mod floods;
mod messages;
mod silence;

use std::future::Future;
use std::pin::Pin;
use std::thread;
use std::time::Duration;

use tokio::runtime::{self, Runtime};
use tokio::task::JoinSet;

use crate::clock;
use crate::honest::Honest;
use crate::report::Outcome;
use crate::site::Site;

/// How many attack, and how long is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Peers that wait or drip.
    pub(crate) slow: usize,
    /// Peers that send as fast as they can.
    pub(crate) fast: usize,
    /// Connections that are opened and left alone.
    pub(crate) idle: usize,
    /// Connections one after the other.
    pub(crate) storm: usize,
    /// Honest ATMs that show a code 20 times a second each: a 99th percentile needs hundreds.
    pub(crate) machines: u64,
    /// How long honest peers are measured before each attack.
    pub(crate) before: Duration,
    /// How long they are measured at least during it.
    pub(crate) during_min: Duration,
}

impl Scale {
    pub(crate) const QUICK: Self = Self {
        slow: 10,
        fast: 2,
        idle: 1_000,
        storm: 100,
        machines: 1,
        before: Duration::from_millis(500),
        during_min: Duration::from_millis(500),
    };
    pub(crate) const FULL: Self = Self {
        slow: 200,
        fast: 4,
        idle: 19_000,
        storm: 2_000,
        machines: 5,
        before: Duration::from_secs(8),
        during_min: Duration::from_secs(8),
    };
}

/// What the attackers came to: how many they were, how long the longest was borne, and what else was found.
pub(crate) struct Borne {
    attackers: usize,
    longest: Option<Duration>,
    found: Result<String, String>,
}

type Attacking<'a> = Pin<Box<dyn Future<Output = Result<Borne, String>> + 'a>>;

/// An attack.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// A gateway without revocation lists cannot be attacked so.
    pub(crate) needs_crl: bool,
    /// Done soon enough for a stage of the tests.
    pub(crate) is_quick: bool,
    run: for<'a> fn(&'a Site, &'a Scale) -> Attacking<'a>,
}

/// All of them.
pub(crate) fn all() -> Vec<Attack> {
    [silence::ATTACKS, floods::ATTACKS, messages::ATTACKS, certificates::ATTACKS]
        .into_iter()
        .flat_map(|them| them())
        .collect()
}

/// Carries out an attack between honest peers.
pub(crate) fn carry_out(attack: &Attack, site: &Site, scale: &Scale) -> Result<Outcome, String> {
    let honest = Honest::at_work(site, scale.machines)?;
    let measured = |honest: &Honest| [honest.codes.take(), honest.lists.take(), honest.connects.take()];
    // The first ones find cold caches.
    thread::sleep(Duration::from_millis(300));
    measured(&honest);
    thread::sleep(scale.before);
    let before = measured(&honest);
    let (memory, cpu) = (site.memory_kib(), site.cpu_ms());
    let began = clock::now();
    let (borne, mut most) = thread::scope(|scope| {
        let attacking = scope.spawn(|| attackers()?.block_on((attack.run)(site, scale)));
        let mut most = memory;
        while !attacking.is_finished() {
            thread::sleep(Duration::from_millis(50));
            most = most.max(site.memory_kib());
        }
        let borne =
            attacking.join().unwrap_or_else(|_| Err(format!("{}: the attackers' thread panicked", attack.name)));
        borne.map(|borne| (borne, most))
    })?;
    thread::sleep(scale.during_min.saturating_sub(began.elapsed()));
    let during = measured(&honest);
    most = most.max(site.memory_kib());
    if site.memory_kib() == 0 {
        return Err(format!("{}: the gateway has ended", attack.name));
    }
    #[allow(clippy::cast_precision_loss, reason = "KiB of a process and milliseconds of an attack are small numbers")]
    Ok(Outcome {
        name: attack.name,
        attackers: borne.attackers,
        borne: borne.longest,
        found: borne.found,
        memory_mib: (most - memory) as f64 / 1_024.0,
        cpu_s: (site.cpu_ms() - cpu) as f64 / 1_000.0,
        before,
        during,
    })
}

/// Where attackers run: behind everybody whom they share processors with. In life they have their own.
fn attackers() -> Result<Runtime, String> {
    // It may be refused only to go forward.
    let stand_back = || {
        let _ = rustix::process::nice(19);
    };
    stand_back();
    let runtime = runtime::Builder::new_multi_thread().enable_all().on_thread_start(stand_back).build();
    runtime.map_err(|error| format!("no threads for attackers: {error}"))
}

/// Has so many attack at once, and waits until the last of them is closed. A peer that was not even let in was borne for no time.
async fn at_once<F>(many: usize, attacker: impl Fn(usize) -> F) -> Borne
where
    F: Future<Output = Option<Duration>> + Send + 'static,
{
    let mut attacking = JoinSet::new();
    (0..many).for_each(|number| drop(attacking.spawn(attacker(number))));
    let mut longest = Some(Duration::ZERO);
    while let Some(borne) = attacking.join_next().await {
        longest = longest.and_then(|longest| Some(longest.max(borne.ok()??)));
    }
    Borne { attackers: many, longest, found: Ok(String::new()) }
}
