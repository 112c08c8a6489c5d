//! What an operator, or a test, tells a simulated machine.

use std::str::FromStr;

/// A line of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A customer touches "cardless cash", with an amount in minor units if it is chosen here.
    Start(Option<u64>),
    /// The customer walks away.
    End,
    /// The customer types the code that the app shows.
    Code(String),
    /// What goes wrong with the next dispense.
    Fault(Fault),
    /// Hang up and come back as a machine without end-to-end security, until it is switched off. Its dispenser goes on to demand tokens.
    Strip,
    /// Hang up and stay away.
    Disconnect,
    /// Come back.
    Connect,
    /// Switch off in order: a dispense that has begun is finished first.
    Quit,
}

/// What goes wrong with one dispense. Amounts are minor units; notes are never split, so less may move than named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing leaves; reported so.
    Empty,
    /// Only so much is presented.
    Jam(u64),
    /// All is presented, taken back and counted.
    Retract,
    /// All is presented and taken back without a count, except what the customer had kept.
    RetractUncounted(u64),
    /// So much of it is taken back, counted.
    RetractSome(u64),
    /// The power fails after the count is recorded and before it is reported.
    PowerCut,
    /// The power fails after the command is recorded and before a note moves.
    PowerCutBefore,
    /// The power fails while notes move; so much was with the customer by then (all if not named).
    PowerCutDuring(Option<u64>),
    /// Pays the amount and claims 10,000 more.
    LieMore,
    /// Pays the amount and claims, on its bare word, that nothing left.
    LieNothing,
    /// Pays the amount, claims that its record says that nothing left, and hands out no present token, then or later.
    Lie,
    /// The same claim with a genuine present token that was asked before the notes were presented; replayed whenever it is asked again.
    Stale,
    /// The same claim with a present token made up for it, whose HMAC is wrong.
    Forge,
}

impl Fault {
    /// Whether it takes a dispenser with end-to-end security.
    #[must_use]
    pub fn is_about_tokens(self) -> bool {
        matches!(self, Self::Lie | Self::Stale | Self::Forge)
    }
}

/// A line was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{line:?} is not one of: start [AMOUNT] | end | code 1234 | fault NAME [AMOUNT] | disconnect | connect | quit; \
     faults: empty, jam AMOUNT, retract, retract-uncounted, retract-some AMOUNT, power-cut, power-cut-before, \
     power-cut-during [AMOUNT], lie-more, lie-nothing; with --dispense-key also lie, stale, forge, and strip at once"
)]
pub struct CommandError {
    line: String,
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(line: &str) -> Result<Self, CommandError> {
        let words: Vec<&str> = line.split_whitespace().collect();
        command(&words).ok_or_else(|| CommandError { line: line.trim().to_owned() })
    }
}

fn command(words: &[&str]) -> Option<Command> {
    Some(match words {
        ["start"] => Command::Start(None),
        ["start", amount] => Command::Start(Some(amount.parse().ok()?)),
        ["end"] => Command::End,
        ["code", code] => Command::Code((*code).to_owned()),
        ["fault", "strip"] => Command::Strip,
        ["fault", name] => Command::Fault(fault(name, None)?),
        ["fault", name, amount] => Command::Fault(fault(name, Some(amount.parse().ok()?))?),
        ["disconnect"] => Command::Disconnect,
        ["connect"] => Command::Connect,
        ["quit"] => Command::Quit,
        _ => return None,
    })
}

fn fault(name: &str, amount: Option<u64>) -> Option<Fault> {
    Some(match (name, amount) {
        ("empty", None) => Fault::Empty,
        ("jam", Some(amount)) => Fault::Jam(amount),
        ("retract", None) => Fault::Retract,
        ("retract-uncounted", kept) => Fault::RetractUncounted(kept.unwrap_or(0)),
        ("retract-some", Some(amount)) => Fault::RetractSome(amount),
        ("power-cut", None) => Fault::PowerCut,
        ("power-cut-before", None) => Fault::PowerCutBefore,
        ("power-cut-during", taken) => Fault::PowerCutDuring(taken),
        ("lie-more", None) => Fault::LieMore,
        ("lie-nothing", None) => Fault::LieNothing,
        ("lie", None) => Fault::Lie,
        ("stale", None) => Fault::Stale,
        ("forge", None) => Fault::Forge,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_line_of_the_operators_language() {
        let rows = [
            ("start", Command::Start(None)),
            (" start 30000 ", Command::Start(Some(30_000))),
            ("end", Command::End),
            ("code 0042", Command::Code("0042".to_owned())),
            ("fault empty", Command::Fault(Fault::Empty)),
            ("fault jam 10000", Command::Fault(Fault::Jam(10_000))),
            ("fault retract", Command::Fault(Fault::Retract)),
            ("fault retract-uncounted", Command::Fault(Fault::RetractUncounted(0))),
            ("fault retract-some 10000", Command::Fault(Fault::RetractSome(10_000))),
            ("fault power-cut", Command::Fault(Fault::PowerCut)),
            ("fault power-cut-before", Command::Fault(Fault::PowerCutBefore)),
            ("fault power-cut-during", Command::Fault(Fault::PowerCutDuring(None))),
            ("fault lie-more", Command::Fault(Fault::LieMore)),
            ("fault lie-nothing", Command::Fault(Fault::LieNothing)),
            ("fault lie", Command::Fault(Fault::Lie)),
            ("fault stale", Command::Fault(Fault::Stale)),
            ("fault forge", Command::Fault(Fault::Forge)),
            ("fault strip", Command::Strip),
            ("disconnect", Command::Disconnect),
            ("connect", Command::Connect),
            ("quit", Command::Quit),
        ];
        for (line, expected) in rows {
            assert_eq!(line.parse(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for line in
            ["", "pay", "start x", "start -1", "code", "fault", "fault jam", "fault empty 3", "fault jam x", "quit now"]
        {
            assert!(line.parse::<Command>().is_err(), "{line:?}");
        }
    }
}
