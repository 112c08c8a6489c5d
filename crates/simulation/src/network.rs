//! The lines between the gateway and its machines.
//!
//! A gRPC stream keeps its messages in order and loses none while it lives; these lines do worse than that in worlds that are meant to.

use std::collections::BTreeMap;

use crate::atm::Atm;
use crate::boundary::AtmNo;
use crate::event::{AtmSays, Event};
use crate::faults::FaultKind;
use crate::world::World;
use cashgate_withdrawal::lane::ToAtm;

/// How long a silent line is believed in (HTTP/2 keepalive).
const KEEPALIVE_MS: u64 = 30_000;
/// How long a machine waits for its welcome.
const WELCOME_PATIENCE_MS: u64 = 15_000;

/// All lines, by machine.
#[derive(Debug)]
pub(crate) struct Lines {
    lines: Vec<Line>,
    next_link: u64,
    /// To which replica each connection goes.
    replicas: BTreeMap<u64, u16>,
    pub(crate) bank_cut_until_ms: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    atm_deaf_until: u64,
    gateway_deaf_until: u64,
    last_to_atm: u64,
    last_from_atm: u64,
}

impl Lines {
    pub(crate) fn new(atms: u16) -> Self {
        Self {
            lines: vec![Line::default(); usize::from(atms)],
            next_link: 1,
            replicas: BTreeMap::new(),
            bank_cut_until_ms: 0,
        }
    }

    fn line(&mut self, atm: AtmNo) -> Option<&mut Line> {
        self.lines.get_mut(usize::from(atm))
    }

    /// The replica at a connection's other end.
    pub(crate) fn replica(&self, link: u64) -> u16 {
        self.replicas.get(&link).copied().unwrap_or(0)
    }

    /// A number for a connection, higher than all before.
    pub(crate) fn next_link(&mut self) -> u64 {
        self.next_link += 1;
        self.next_link
    }

    pub(crate) fn heal(&mut self) {
        for line in &mut self.lines {
            (line.atm_deaf_until, line.gateway_deaf_until) = (0, 0);
        }
        self.bank_cut_until_ms = 0;
    }
}

#[derive(Clone, Copy)]
enum Direction {
    ToAtm,
    FromAtm,
}

impl World {
    pub(crate) fn is_cut(&self, atm: AtmNo) -> bool {
        let line = self.lines.lines.get(usize::from(atm)).copied().unwrap_or_default();
        self.now < line.atm_deaf_until || self.now < line.gateway_deaf_until
    }

    pub(crate) fn send_to_atm(&mut self, atm: AtmNo, link: u64, message: ToAtm) {
        for at in self.arrivals(atm, Direction::ToAtm) {
            self.schedule(at, Event::ToAtm { atm, link, message: message.clone() });
        }
    }

    pub(crate) fn send_from_atm(&mut self, atm: AtmNo, message: AtmSays) {
        let Some(link) = self.atms.get(usize::from(atm)).and_then(|atm| atm.link) else { return };
        for at in self.arrivals(atm, Direction::FromAtm) {
            self.schedule(at, Event::FromAtm { atm, link, message: message.clone() });
        }
    }

    /// When a message that is sent now arrives: never, once, or twice.
    fn arrivals(&mut self, atm: AtmNo, direction: Direction) -> Vec<u64> {
        let now = self.now;
        let Some(line) = self.lines.line(atm) else { return Vec::new() };
        let (deaf_until, last) = match direction {
            Direction::ToAtm => (line.atm_deaf_until, line.last_to_atm),
            Direction::FromAtm => (line.gateway_deaf_until, line.last_from_atm),
        };
        if now < deaf_until || self.strikes(FaultKind::MessageLost, atm).is_some() {
            return Vec::new();
        }
        let mut at = now + self.network.between(5, 60);
        if let Some(mut chance) = self.strikes(FaultKind::MessageDelayed, atm) {
            at += chance.between(1_000, 12_000);
        }
        if let Some(mut chance) = self.strikes(FaultKind::MessageHeld, atm) {
            at += chance.between(40_000, 900_000);
        }
        if self.strikes(FaultKind::MessageReordered, atm).is_none() {
            at = at.max(last + 1);
            if let Some(line) = self.lines.line(atm) {
                match direction {
                    Direction::ToAtm => line.last_to_atm = at,
                    Direction::FromAtm => line.last_from_atm = at,
                }
            }
        }
        match self.strikes(FaultKind::MessageDuplicated, atm) {
            Some(mut chance) => vec![at, at + chance.between(1, 20_000)],
            None => vec![at],
        }
    }

    /// A line goes deaf in one direction or both; whoever believes in it notices after a while.
    pub(crate) fn cut_line(&mut self, atm: AtmNo, kind: FaultKind, for_ms: u64) {
        let until = self.now + for_ms;
        let Some(line) = self.lines.line(atm) else { return };
        if kind != FaultKind::DeafGateway {
            line.atm_deaf_until = until;
        }
        if kind != FaultKind::DeafAtm {
            line.gateway_deaf_until = until;
        }
        if for_ms > KEEPALIVE_MS {
            self.break_link(atm, KEEPALIVE_MS);
        }
    }

    /// The present connection of a machine is over; both sides notice within this time.
    pub(crate) fn break_link(&mut self, atm: AtmNo, within_ms: u64) {
        let links: Vec<(u32, u64)> =
            self.gateways().filter_map(|gateway| Some((gateway.life, gateway.link(atm)?))).collect();
        for (life, link) in links {
            let after = self.network.between(0, within_ms);
            self.after(after, Event::GatewayLosesLink { life, atm, link });
        }
        if let Some(link) = self.atms.get(usize::from(atm)).and_then(|atm| atm.link) {
            let after = self.network.between(0, within_ms);
            self.after(after, Event::AtmLosesLink { atm, link });
        }
    }

    pub(crate) fn atm_dials(&mut self, atm: AtmNo, boot: u32) {
        let is_cut = self.is_cut(atm);
        let dials = |machine: &&mut Atm| machine.powered && machine.boot == boot && machine.link.is_none();
        if self.atm(atm).as_ref().is_none_or(|machine| !dials(machine)) {
            return;
        }
        if !self.enter_by_balancer() || is_cut {
            let after = self.network.between(1_000, 8_000);
            return self.after(after, Event::AtmDials { atm, boot });
        }
        let link = self.lines.next_link();
        self.lines.replicas.insert(link, self.gateway.replica);
        let Some(machine) = self.atm(atm) else { return };
        machine.link = Some(link);
        machine.welcomed = false;
        machine.refused.clear();
        let unresolved = machine.unresolved();
        self.note(|| format!("A{atm} connects (link {link}, {} unresolved)", unresolved.len()));
        self.says_hello(atm, unresolved);
        self.after(WELCOME_PATIENCE_MS, Event::AtmWaitsForWelcome { atm, link });
    }
}
