//! What a simulated core bank can be told to do wrong.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A line of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BankCommand {
    /// The next holds are declined with a code.
    Decline(u32, String),
    /// The next calls get no answer until the caller gives up; a hold is placed all the same.
    Stall(u32),
    /// The next calls are answered UNAVAILABLE before any effect.
    Lose(u32),
    /// The next calls take effect twice, to check that the second changes nothing.
    Twice(u32),
    /// The next holds are placed and answered only after a while, also if the caller has given up.
    Late(u32, Duration),
    /// Every call takes so long from now on, before it has any effect; zero: no longer.
    Slow(Duration),
    /// Every call is answered UNAVAILABLE from now on.
    Down,
    /// No longer.
    Up,
    /// Stop.
    Quit,
}

/// A line was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{line:?} is not one of: decline N CODE | stall N | lose N | twice N | late N MILLISECONDS | slow MILLISECONDS | down | up | quit"
)]
pub struct BankCommandError {
    line: String,
}

impl FromStr for BankCommand {
    type Err = BankCommandError;

    fn from_str(line: &str) -> Result<Self, BankCommandError> {
        let words: Vec<&str> = line.split_whitespace().collect();
        command(&words).ok_or_else(|| BankCommandError { line: line.trim().to_owned() })
    }
}

fn command(words: &[&str]) -> Option<BankCommand> {
    Some(match words {
        ["decline", times, code] => BankCommand::Decline(times.parse().ok()?, (*code).to_owned()),
        ["stall", times] => BankCommand::Stall(times.parse().ok()?),
        ["lose", times] => BankCommand::Lose(times.parse().ok()?),
        ["twice", times] => BankCommand::Twice(times.parse().ok()?),
        ["late", times, ms] => BankCommand::Late(times.parse().ok()?, Duration::from_millis(ms.parse().ok()?)),
        ["slow", ms] => BankCommand::Slow(Duration::from_millis(ms.parse().ok()?)),
        ["down"] => BankCommand::Down,
        ["up"] => BankCommand::Up,
        ["quit"] => BankCommand::Quit,
        _ => return None,
    })
}

/// The faults that wait for calls. Shared between the operator and the server.
#[derive(Debug, Default)]
pub struct Faults {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    down: bool,
    slow: Duration,
    stall: u32,
    lose: u32,
    twice: u32,
    decline: VecDeque<String>,
    late: VecDeque<Duration>,
}

/// Whether a call may place a hold; some faults wait only for those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    PlaceHold,
    Other,
}

/// What befalls one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CallFaults {
    pub(super) unavailable: bool,
    pub(super) slow: Duration,
    pub(super) stalled: bool,
    pub(super) twice: bool,
    pub(super) late: Option<Duration>,
    pub(super) declined: Option<String>,
}

impl Faults {
    /// Takes a command; `Quit` is not a fault and changes nothing.
    pub fn order(&self, command: BankCommand) {
        let mut waiting = self.waiting();
        match command {
            BankCommand::Decline(times, code) => waiting.decline.extend((0..times).map(|_| code.clone())),
            BankCommand::Stall(times) => waiting.stall = waiting.stall.saturating_add(times),
            BankCommand::Lose(times) => waiting.lose = waiting.lose.saturating_add(times),
            BankCommand::Twice(times) => waiting.twice = waiting.twice.saturating_add(times),
            BankCommand::Late(times, pause) => waiting.late.extend((0..times).map(|_| pause)),
            BankCommand::Slow(pause) => waiting.slow = pause,
            BankCommand::Down => waiting.down = true,
            BankCommand::Up => waiting.down = false,
            BankCommand::Quit => {}
        }
    }

    /// What befalls the call that has just come. A call that is lost uses up no other fault.
    pub(super) fn next(&self, kind: CallKind) -> CallFaults {
        let mut waiting = self.waiting();
        if waiting.down || use_up(&mut waiting.lose) {
            return CallFaults { unavailable: true, ..CallFaults::default() };
        }
        let mut faults = CallFaults {
            slow: waiting.slow,
            stalled: use_up(&mut waiting.stall),
            twice: use_up(&mut waiting.twice),
            ..CallFaults::default()
        };
        if kind == CallKind::PlaceHold {
            faults.late = waiting.late.pop_front();
            faults.declined = waiting.decline.pop_front();
        }
        faults
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn use_up(times: &mut u32) -> bool {
    let left = times.checked_sub(1);
    *times = left.unwrap_or(0);
    left.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_line_of_the_operators_language() {
        let rows = [
            ("decline 2 insufficient_funds", BankCommand::Decline(2, "insufficient_funds".to_owned())),
            ("stall 1", BankCommand::Stall(1)),
            ("lose 3", BankCommand::Lose(3)),
            ("twice 1", BankCommand::Twice(1)),
            ("late 1 1500", BankCommand::Late(1, Duration::from_millis(1_500))),
            ("slow 250", BankCommand::Slow(Duration::from_millis(250))),
            ("down", BankCommand::Down),
            ("up", BankCommand::Up),
            (" quit ", BankCommand::Quit),
        ];
        for (line, expected) in rows {
            assert_eq!(line.parse(), Ok(expected), "{line}");
        }
        for line in ["", "decline 1", "stall", "stall x", "late 1", "slow", "down 1"] {
            assert!(line.parse::<BankCommand>().is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_fault_befalls_as_many_calls_as_ordered() {
        let faults = Faults::default();
        for line in ["lose 1", "decline 1 no", "stall 1"] {
            faults.order(line.parse().unwrap());
        }
        assert!(faults.next(CallKind::PlaceHold).unavailable);
        let other = faults.next(CallKind::Other);
        assert_eq!((other.stalled, other.declined), (true, None));
        assert_eq!(faults.next(CallKind::PlaceHold).declined.as_deref(), Some("no"));
        assert_eq!(faults.next(CallKind::PlaceHold), CallFaults::default());
    }

    #[test]
    fn a_slow_bank_is_slow_with_every_call_until_it_is_told_otherwise() {
        let faults = Faults::default();
        faults.order(BankCommand::Slow(Duration::from_millis(20)));
        for kind in [CallKind::PlaceHold, CallKind::Other, CallKind::Other] {
            assert_eq!(faults.next(kind).slow, Duration::from_millis(20), "{kind:?}");
        }
        faults.order(BankCommand::Slow(Duration::ZERO));
        assert_eq!(faults.next(CallKind::Other), CallFaults::default());
    }
}
