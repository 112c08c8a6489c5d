//! The same with three gateways on a PostgreSQL with a synchronous standby, ATMs and customers spread over them.

// Shares of a core and of a withdrawal; no money.
#![allow(clippy::float_arithmetic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use cashgate_postgres_server::Server;

use super::{LOOK_EVERY, Order, Watched, prepare, spawn};
use crate::replicas::group::{DATABASE, Group, REPLICAS};
use crate::site::Site;
use crate::{clock, command, interrupt};

/// Of a second; as Linux counts CPU time.
const TICKS_PER_S: f64 = 100.0;

/// Starts everything, lets the generator run, restarts the gateways one by one when it asks for that, and says what the database had to do.
pub(super) fn under_load(site: &Site, generator: &Path, out: &Path, order: &Order<'_>) -> Result<(), String> {
    prepare(site, generator, order)?;
    let mut group = Group::start(site)?;
    let pid_file = site.folder().join("gateways.pid");
    tell_ids(&group, &pid_file)?;
    // The hook lasts as long as the restarts.
    let rolling = site.folder().join("rolling");
    let roll = format!("gateway-restart=touch {0}; while [ -e {0} ]; do sleep 0.1; done", rolling.display());
    let watched = Watched { pid_file: &pid_file, http_ports: group.http_ports(), hooks: vec![roll] };
    let mut load = spawn(site, generator, out, &watched, order)?;
    let before = Work::of(group.database());
    let ended = loop {
        interrupt::check().inspect_err(|_| drop(load.kill()))?;
        match load.try_wait().map_err(|error| format!("cannot wait for the generator: {error}"))? {
            Some(status) => break status,
            None if rolling.exists() => {
                roll_over(&mut group, &pid_file).inspect_err(|_| drop(load.kill()))?;
                fs::remove_file(&rolling).map_err(|error| format!("{}: {error}", rolling.display()))?;
            }
            None => {
                group.check_runs().inspect_err(|_| drop(load.kill()))?;
                std::thread::sleep(LOOK_EVERY);
            }
        }
    };
    before.tell_difference(group.database(), &group);
    let mut verify = Command::new(site.programs_folder().join("cashgate"));
    command::output(verify.args(["ledger", "verify", "--config"]).arg(group.config(0)?))?;
    group.stop()?;
    if ended.success() { Ok(()) } else { Err(format!("the load test did not pass ({ended})")) }
}

/// As a StatefulSet does: the highest number first, the next when it is ready again.
fn roll_over(group: &mut Group, pid_file: &Path) -> Result<(), String> {
    for number in (0..REPLICAS).rev() {
        let (began, stopped_after) = (clock::now(), group.replace(number)?);
        tell_ids(group, pid_file)?;
        println!(
            "replica {number} stopped after {:.1} s and was ready again after {:.1} s",
            stopped_after.as_secs_f32(),
            began.elapsed().as_secs_f32()
        );
    }
    Ok(())
}

fn tell_ids(group: &Group, file: &Path) -> Result<(), String> {
    let ids: Vec<String> = group.ids().iter().map(ToString::to_string).collect();
    fs::write(file, ids.join("\n")).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

/// What the database had done at a moment.
struct Work {
    at: std::time::Instant,
    wal: String,
    withdrawals: f64,
    commits: f64,
    /// CPU time of each of its processes, in ticks.
    ticks: BTreeMap<u32, u64>,
}

impl Work {
    fn of(server: &Server) -> Self {
        let number = |sql: &str| server.sql(DATABASE, sql).parse().unwrap_or_default();
        Self {
            at: clock::now(),
            wal: server.sql(DATABASE, "SELECT pg_current_wal_lsn()"),
            withdrawals: number("SELECT count(*) FROM cashgate.withdrawals"),
            commits: number(&format!("SELECT xact_commit FROM pg_stat_database WHERE datname = '{DATABASE}'")),
            ticks: ticks(server),
        }
    }

    /// What a size is computed from.
    fn tell_difference(&self, server: &Server, group: &Group) {
        let now = Self::of(server);
        let wal: f64 = server
            .sql(DATABASE, &format!("SELECT pg_wal_lsn_diff('{}', '{}')", now.wal, self.wal))
            .parse()
            .unwrap_or_default();
        let used: u64 =
            now.ticks.iter().map(|(pid, ticks)| ticks - self.ticks.get(pid).copied().unwrap_or(0).min(*ticks)).sum();
        let used = u32::try_from(used).unwrap_or(u32::MAX);
        let (each, seconds) =
            ((now.withdrawals - self.withdrawals).max(1.0), now.at.duration_since(self.at).as_secs_f64());
        let connections =
            server.sql(DATABASE, "SELECT usename, count(*) FROM pg_stat_activity WHERE usename IS NOT NULL GROUP BY 1");
        println!(
            "PostgreSQL: {} withdrawals in {seconds:.0} s; a withdrawal: {:.1} KB of WAL, {:.1} commits, {:.1} ms of CPU; connections by role: {}",
            now.withdrawals - self.withdrawals,
            wal / each / 1_000.0,
            (now.commits - self.commits) / each,
            f64::from(used) / TICKS_PER_S * 1_000.0 / each,
            connections.replace('\n', ", "),
        );
        println!("forwarded between replicas: {}", group.counted("cashgate_replica_forwarded_total"));
    }
}

/// User and system time of every process of the server, out of `/proc`.
fn ticks(server: &Server) -> BTreeMap<u32, u64> {
    let pids = server.sql(DATABASE, "SELECT pid FROM pg_stat_activity");
    let of = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((pid.parse().ok()?, user + system))
    };
    pids.lines().filter_map(|pid| of(pid.trim())).collect()
}
