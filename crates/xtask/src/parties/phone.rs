//! A customer's phone: one short process for each thing that the app's back end does.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::minor_units;
use crate::process::Process;
use crate::site::Site;

const ANSWER: Duration = Duration::from_secs(30);
/// The longest way to an end is an unanswered hold, its time-out and the reversal.
const END: Duration = Duration::from_secs(90);

/// A registered phone and the account that it draws from.
#[derive(Clone)]
pub(crate) struct Phone {
    site: Site,
    institution: &'static str,
    device: String,
    account: String,
}

/// What the gateway answered.
pub(crate) enum Answer {
    /// The lines, in order.
    Accepted { asked: String, lines: Vec<Value> },
    /// The reason of the refusal.
    Refused { asked: String, reason: String },
}

/// How a withdrawal ended, as its watcher was told.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) state: String,
    /// What left the machine, in minor units.
    pub(crate) dispensed: i64,
    pub(crate) reason: String,
}

impl Phone {
    /// A phone whose app was bound to the customer so many hours ago.
    pub(crate) fn register(
        site: &Site,
        institution: &'static str,
        device: &str,
        account: &str,
        bound_hours_ago: u32,
    ) -> Result<Self, String> {
        let phone = Self { site: site.clone(), institution, device: device.to_owned(), account: account.to_owned() };
        let bound = bound_hours_ago.to_string();
        let how = ["--bound-hours-ago", &bound, "--channel", "online", "--attestation", "passed"];
        phone.ask("register", &how, ANSWER)?.accepted()?;
        Ok(phone)
    }

    /// The app is installed anew: the same phone with another key.
    pub(crate) fn change_key(&self) -> Result<(), String> {
        self.ask("register", &["--new-key", "--channel", "online"], ANSWER)?.accepted().map(drop)
    }

    /// Another phone of the same institution that draws from the same account.
    pub(crate) fn another(&self, device: &str) -> Result<Self, String> {
        Self::register(&self.site, self.institution, device, &self.account, 100)
    }

    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    pub(crate) const fn institution(&self) -> &'static str {
        self.institution
    }

    pub(crate) fn scan(&self, code: &str) -> Result<Answer, String> {
        self.ask("scan", &["--code", code, "--account", &self.account], ANSWER)
    }

    pub(crate) fn approve(&self, code: &str, amount: i64, further: &[&str]) -> Result<Answer, String> {
        let amount = amount.to_string();
        let mut args = vec!["--code", code, "--account", &self.account, "--amount", &amount];
        args.extend(further);
        self.ask("approve", &args, ANSWER)
    }

    pub(crate) fn cancel_qr_session(&self, id: &str) -> Result<Answer, String> {
        self.ask("cancel", &["--qr-session", id], ANSWER)
    }

    /// Follows a withdrawal to its end.
    pub(crate) fn watch_to_end(&self, withdrawal: &str) -> Result<End, String> {
        let updates = self.ask("watch", &["--withdrawal", withdrawal, "--until-ended"], END)?.accepted()?;
        let last = updates.iter().rev().find_map(|line| line.get("update"));
        let last = last.ok_or_else(|| format!("watching {withdrawal} told nothing"))?;
        let text = |key: &str| last.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(End { state: text("state"), dispensed: minor_units(last.get("dispensed")), reason: text("reason") })
    }

    /// Scans, approves and follows a withdrawal to its end, all in one process that runs beside the caller.
    pub(crate) fn start_withdrawal(&self, code: &str, amount: i64) -> Result<Process, String> {
        let mut command = self.command("withdraw");
        command.args(["--code", code, "--account", &self.account, "--amount", &amount.to_string()]);
        let mut process =
            Process::start(&format!("{} withdraw", self.device), &mut command, &self.site.log(&self.device))?;
        process.close_stdin();
        Ok(process)
    }

    fn ask(&self, what: &str, further: &[&str], timeout: Duration) -> Result<Answer, String> {
        let mut command = self.command(what);
        command.args(further);
        let name = format!("{} {what}", self.device);
        let mut process = Process::start(&name, &mut command, &self.site.log(&self.device))?;
        process.close_stdin();
        let (status, lines) = process.wait_for_end(timeout)?;
        let error = lines.iter().find_map(|line| line.get("error"));
        match error {
            Some(error) => {
                let word = |key| error.get(key).and_then(Value::as_str).filter(|word| !word.is_empty());
                let reason = word("reason").or(word("code")).unwrap_or("without a reason").to_owned();
                Ok(Answer::Refused { asked: what.to_owned(), reason })
            }
            None if status.success() => Ok(Answer::Accepted { asked: what.to_owned(), lines }),
            None => Err(format!("{name} ended with {status}: {}", process.last_words(3))),
        }
    }

    fn command(&self, what: &str) -> Command {
        let mut command = self.site.fleet("phone");
        command.args([what, "--gateway", &format!("https://127.0.0.1:{}", self.site.ports().api)]);
        self.site.identify(&mut command, &format!("institution-{}", self.institution));
        command.args(["--institution", self.institution, "--device", &self.device]);
        command.arg("--state").arg(self.site.folder().join(format!("phone-{}-{}", self.institution, self.device)));
        command
    }
}

impl Answer {
    /// The lines of an accepted request.
    pub(crate) fn accepted(self) -> Result<Vec<Value>, String> {
        match self {
            Self::Accepted { lines, .. } => Ok(lines),
            Self::Refused { asked, reason } => Err(format!("{asked} was refused: {reason}")),
        }
    }

    /// What stands under `key` in the line of an accepted request.
    pub(crate) fn field(self, key: &str) -> Result<Value, String> {
        let lines = self.accepted()?;
        let found = lines.iter().find_map(|line| line.get(key)).cloned();
        found.ok_or_else(|| format!("an answer without `{key}`: {}", joined(&lines)))
    }

    /// The reason, if it is one of these; anything else is a fault.
    pub(crate) fn refused_as(self, reasons: &[&str]) -> Result<String, String> {
        let expected = reasons.join(" or ");
        match self {
            Self::Refused { reason, .. } if reasons.contains(&reason.as_str()) => Ok(reason),
            Self::Refused { asked, reason } => Err(format!("{asked} was refused as {reason} instead of {expected}")),
            Self::Accepted { asked, lines } => {
                Err(format!("{asked} was accepted instead of refused as {expected}: {}", joined(&lines)))
            }
        }
    }
}

fn joined(lines: &[Value]) -> String {
    lines.iter().map(Value::to_string).collect::<Vec<_>>().join(" ")
}

impl End {
    /// The end, if it is this one.
    pub(crate) fn is(self, state: &str, dispensed: i64) -> Result<Self, String> {
        if self.state == state && self.dispensed == dispensed {
            return Ok(self);
        }
        let Self { state: ended, dispensed: left, reason } = self;
        Err(format!("ended {ended} with {left} dispensed ({reason}) instead of {state} with {dispensed}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_must_have_the_right_reason() {
        let asked = || "approve".to_owned();
        let refused = || Answer::Refused { asked: asked(), reason: "NOT_ALLOWED".to_owned() };
        assert!(refused().refused_as(&["LIMIT_EXCEEDED", "NOT_ALLOWED"]).is_ok());
        assert!(refused().refused_as(&["LIMIT_EXCEEDED"]).is_err());
        assert!(refused().accepted().is_err());
        assert!(Answer::Accepted { asked: asked(), lines: vec![] }.refused_as(&["NOT_ALLOWED"]).is_err());
    }

    #[test]
    fn an_end_must_be_the_expected_one_to_the_yen() {
        let end = |state: &str, dispensed| End { state: state.to_owned(), dispensed, reason: String::new() };
        assert!(end("confirmed", 20_000).is("confirmed", 20_000).is_ok());
        assert!(end("confirmed", 20_000).is("confirmed", 30_000).is_err());
        assert!(end("reversed", 0).is("confirmed", 0).is_err());
    }
}
