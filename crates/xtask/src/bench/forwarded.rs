//! What it costs an approval that it reached the wrong one of two gateways.

use std::process::Command;
use std::time::Duration;

use cashgate_postgres_server::Server;

use super::Order;
use super::program::{bench_program, figures, in_turn};
use super::row::{Row, Target};
use crate::command::{self, Build};
use crate::process::Process;
use crate::replicas::configuring::{Configured, configured};
use crate::site::{INSTITUTIONS, Site, wait_until_ready};
use crate::{crashes, packages};

pub(super) const NAMES: [&str; 1] = ["forwarded_approve"];

const DATABASE: &str = "cashgate";
const READY_PAUSE: Duration = Duration::from_millis(50);
const STOPPING: Duration = Duration::from_secs(90);

pub(super) fn measure(order: Order<'_>) -> Result<Vec<Row>, String> {
    packages::ensure(&[packages::POSTGRESQL])?;
    println!("building the gateway and the bench of forwarded approvals (release; the first time takes minutes)");
    let program = bench_program("cashgate-fleet", "forwarded")?;
    let site = Site::new(command::build_programs(Build::Release)?, "cashgate-forwarded")?;
    let [institution, _] = INSTITUTIONS;
    for whose in ["atm/A1", &format!("institution/{institution}"), &format!("corebank/{institution}")] {
        site.issue_certificate(whose)?;
    }
    crashes::configure(&site)?;
    let server = Server::start_new();
    let (mut replicas, at) = start(&site, &server)?;
    let [near, far] = at;
    let mut run = Command::new(program);
    run.args(["--rounds", &order.rounds().to_string(), "--visits", if order.quick { "30" } else { "100" }]);
    let uri = |port: u16| format!("https://127.0.0.1:{port}");
    run.args(["--atm", &uri(near.atm), "--near", &uri(near.api), "--far", &uri(far.api)]);
    let [bank, _] = site.ports().corebanks;
    run.args(["--core-bank", &format!("127.0.0.1:{bank}"), "--institution", institution]);
    run.arg("--certs").arg(site.dir().join("certs")).arg("--ca").arg(site.dir().join("ca.pem"));
    let rounds = in_turn(&figures(&mut run)?)?;
    for replica in &mut replicas {
        replica.terminate()?;
    }
    for replica in &mut replicas {
        replica.wait_for_end(STOPPING)?;
    }
    for (round, (ours, baseline)) in (1..).zip(&rounds) {
        println!("forwarded_approve {round}/{}: forwarded p50 {ours:.0} us, local p50 {baseline:.0} us", rounds.len());
    }
    site.remove()?;
    Ok(vec![Row::median("forwarded_approve", &rounds, "us", Target::AddsAtMost(1_000.0))?])
}

/// Two gateways on one database.
fn start(site: &Site, server: &Server) -> Result<([Process; 2], [Configured; 2]), String> {
    let _ = server.sql("postgres", &format!("CREATE DATABASE {DATABASE}"));
    let dsn = format!("host=127.0.0.1 port={} user=postgres dbname={DATABASE}", server.port());
    let at = [configured(site, 0, &dsn, None)?, configured(site, 1, &dsn, None)?];
    let [first, second] = &at;
    let mut migrate = Command::new(site.programs_folder().join("cashgate"));
    command::output(migrate.args(["migrate", "--config"]).arg(&first.config))?;
    let mut replicas =
        [site.spawn_gateway_with("replica-0", &first.config)?, site.spawn_gateway_with("replica-1", &second.config)?];
    for (replica, at) in replicas.iter_mut().zip(&at) {
        wait_until_ready(replica, at.http, READY_PAUSE)?;
    }
    Ok((replicas, at))
}
