//! Runs the three commands of a runbook page as they stand there.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::alerts::rules;
use crate::command;
use crate::site::Site;

/// The gateway that a page is about, as its reader finds it.
pub(super) struct Watched {
    pub(super) config: PathBuf,
    pub(super) log: PathBuf,
    pub(super) http: u16,
}

impl Watched {
    /// The one gateway of a site.
    pub(super) fn alone(site: &Site) -> Self {
        Self { config: site.config(), log: site.log("gateway"), http: site.ports().http }
    }
}

/// Runs them; gives how many. One that fails, or says nothing, is of no use to whoever was woken.
pub(super) fn run_commands(site: &Site, watched: &Watched, alert: &str) -> Result<usize, String> {
    let file = rules::runbooks(&command::root()).join(format!("{alert}.md"));
    let text = std::fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let commands = commands(&text);
    if commands.len() != 3 {
        return Err(format!("{} has {} commands instead of three", file.display(), commands.len()));
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let programs = site.programs_folder().display().to_string();
    for line in &commands {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).env("PATH", format!("{programs}:{path}"));
        shell.env("CONFIG", &watched.config).env("LOG", &watched.log);
        // A site's ledger lies beside its configuration.
        shell.env("LEDGER", watched.config.parent().unwrap_or(&watched.config));
        shell.env("HTTP", format!("http://127.0.0.1:{}", watched.http));
        let done = shell.stdin(Stdio::null()).output().map_err(|error| format!("no shell: {error}"))?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(format!("`{line}` ends with {}: {}", done.status, said.trim()));
        }
    }
    Ok(commands.len())
}

/// The lines of the first block of shell.
fn commands(page: &str) -> Vec<&str> {
    let block = page.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_default();
    block.lines().filter(|line| !line.trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_the_lines_of_the_first_block() {
        assert_eq!(commands("# A\n```sh\na | b\nc\n```\n```sh\nd\n```\n"), ["a | b", "c"]);
        assert!(commands("# A\n").is_empty());
    }
}
