//! Makes the scenario's faults happen at their time.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::str::FromStr;
use std::sync::Arc;

use tokio::time::sleep_until;

use crate::parties::core_bank::CoreBank;
use crate::recording::Recorder;
use crate::scenario::{Fault, What};
use crate::visit::Hall;

/// A hook and the shell command that fulfils it, typed as `NAME=COMMAND`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// As scenarios name it, such as `hsm-away`.
    pub name: String,
    /// Run with `sh -c`. The run goes on while it runs; a failure is told and fails the run.
    pub command: String,
}

/// A text is no hook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not NAME=COMMAND, such as gateway-restart=\"systemctl restart cashgate\"")]
pub struct HookError {
    text: String,
}

impl FromStr for Hook {
    type Err = HookError;

    fn from_str(text: &str) -> Result<Self, HookError> {
        let named = text.split_once('=').filter(|(name, command)| !name.is_empty() && !command.is_empty());
        let (name, command) = named.ok_or_else(|| HookError { text: text.to_owned() })?;
        Ok(Self { name: name.to_owned(), command: command.to_owned() })
    }
}

/// Hooks that a scenario wants and nobody fulfils.
#[must_use]
pub fn missing(wanted: &[String], hooks: &[Hook]) -> Vec<String> {
    wanted.iter().filter(|name| !hooks.iter().any(|hook| hook.name == **name)).cloned().collect()
}

/// What faults happen to.
pub(crate) struct Victims {
    pub(crate) hall: Arc<Hall>,
    pub(crate) core_bank: Arc<CoreBank>,
    pub(crate) hooks: Vec<Hook>,
}

/// Begins and ends each fault at its time. Gives what could not be done.
pub(crate) async fn run(victims: Victims, faults: Vec<Fault>) -> Vec<String> {
    let began = victims.hall.recorder.began();
    // Ends and beginnings in the order of their time; of one moment, ends first.
    let mut moments: BTreeMap<_, Vec<(bool, &Fault)>> = BTreeMap::new();
    for fault in &faults {
        moments.entry(fault.at).or_default().push((true, fault));
        if !fault.lasts.is_zero() {
            moments.entry(fault.ends_at()).or_default().insert(0, (false, fault));
        }
    }
    let mut failures = Vec::new();
    for (moment, due) in moments {
        sleep_until(began + moment).await;
        for (begins, fault) in due {
            let done = if begins { victims.begin(&fault.what).await } else { victims.end(&fault.what).await };
            let word = if begins { "begins" } else { "is over" };
            victims.hall.recorder.note(format!("{} {word}", fault.what));
            failures.extend(done.err());
        }
    }
    failures
}

impl Victims {
    async fn begin(&self, what: &What) -> Result<(), String> {
        match what {
            What::CoreBankDown => self.core_bank.go_down(),
            What::CoreBankSlow(delay) => self.core_bank.be_slow(*delay),
            What::ReconnectAll => self.hall.machines.reconnect_all().await,
            What::Hook { begin, .. } => return self.call(begin).await,
        }
        Ok(())
    }

    async fn end(&self, what: &What) -> Result<(), String> {
        match what {
            What::CoreBankDown | What::CoreBankSlow(_) => self.core_bank.recover(),
            What::Hook { end: Some(end), .. } => return self.call(end).await,
            What::ReconnectAll | What::Hook { end: None, .. } => {}
        }
        Ok(())
    }

    async fn call(&self, name: &str) -> Result<(), String> {
        let Some(hook) = self.hooks.iter().find(|hook| hook.name == name) else {
            return Err(format!("nobody fulfils the hook {name}"));
        };
        call(hook, &self.hall.recorder).await
    }
}

async fn call(hook: &Hook, recorder: &Recorder) -> Result<(), String> {
    let Hook { name, command } = hook;
    let ran = tokio::process::Command::new("sh").args(["-c", command]).stdin(Stdio::null()).output().await;
    let ran = ran.map_err(|error| format!("hook {name}: `{command}` cannot be started: {error}"))?;
    recorder.note(format!("hook {name}: `{command}` ended with {}", ran.status));
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    Err(format!("hook {name}: `{command}` failed ({}): {}", ran.status, said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_hook_is_a_name_and_a_command_that_may_have_equal_signs() {
        let hook: Hook = "hsm-away=A=1 mv tokens away".parse().unwrap();
        assert_eq!((hook.name.as_str(), hook.command.as_str()), ("hsm-away", "A=1 mv tokens away"));
        for wrong in ["hsm-away", "=mv", "hsm-away="] {
            assert!(wrong.parse::<Hook>().is_err(), "{wrong}");
        }
        assert_eq!(missing(&["hsm-away".to_owned(), "hsm-back".to_owned()], &[hook]), ["hsm-back"]);
    }

    #[tokio::test]
    async fn a_hook_that_fails_is_told_with_what_it_said() {
        let recorder = Recorder::new(Duration::from_secs(1), Duration::ZERO);
        let hook = |command: &str| Hook { name: "hsm-away".to_owned(), command: command.to_owned() };
        assert_eq!(call(&hook("true"), &recorder).await, Ok(()));
        let said = call(&hook("echo no such token >&2; exit 3"), &recorder).await.unwrap_err();
        assert!(said.contains("no such token") && said.contains('3'), "{said}");
    }
}
