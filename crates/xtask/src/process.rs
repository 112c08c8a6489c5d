//! A child process that is told lines and answers with JSON lines, and that never outlives its owner.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::Deadline;
use crate::{command, interrupt};

/// How long a wait sleeps before it looks at Ctrl-C again.
const SLICE: Duration = Duration::from_millis(50);
/// How many of the events that came instead a failed wait shows.
const SHOWN_EVENTS: usize = 6;

/// A running child. Killed when dropped.
pub(crate) struct Process {
    name: String,
    child: Arc<Mutex<Child>>,
    stdin: Option<ChildStdin>,
    arriving: Receiver<Value>,
    events: Vec<Value>,
    log: PathBuf,
}

/// Ends a process from another thread than the one that listens to it.
#[derive(Clone)]
pub(crate) struct Killer(Arc<Mutex<Child>>);

impl Killer {
    /// Has it stand still, or go on: SIGSTOP and SIGCONT.
    pub(crate) fn signal(&self, name: &str) {
        let id = locked(&self.0).id().to_string();
        // It fails only if it has ended already.
        let _ = Command::new("kill").args([&format!("-{name}"), &id]).stderr(Stdio::null()).status();
    }

    /// SIGKILL, as a power cut would end it.
    pub(crate) fn kill(&self) {
        let mut child = locked(&self.0);
        // Both fail only if it has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Process {
    /// Starts a command; its standard error goes to the end of `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self, String> {
        let file = append(log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .process_group(0) // Ctrl-C in the terminal is this program's to handle, not the child's
            .spawn()
            .map_err(|error| format!("{name}: `{}` cannot be started: {error}", command::words(command)))?;
        let stdin = child.stdin.take();
        let arriving = child.stdout.take().map(read_events).ok_or_else(|| format!("{name}: no standard output"))?;
        let child = Arc::new(Mutex::new(child));
        Ok(Self { name: name.to_owned(), child, stdin, arriving, events: Vec::new(), log: log.to_owned() })
    }

    /// What it was called at its start.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Sends one line.
    pub(crate) fn tell(&mut self, line: &str) -> Result<(), String> {
        let sent = self.stdin.as_mut().map(|stdin| writeln!(stdin, "{line}").and_then(|()| stdin.flush()));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => {
                let how = self.how_it_is();
                Err(format!("{}: cannot be told `{line}`: {how}", self.name))
            }
        }
    }

    /// Forgets what came so far, so that a later wait only sees what is new.
    pub(crate) fn forget_events(&mut self) {
        while self.arriving.try_recv().is_ok() {}
        self.events.clear();
    }

    /// The first event since [`Self::forget_events`] that `is_it` accepts; waits for it. Looking at an event does not use it up.
    pub(crate) fn wait_for(
        &mut self,
        what: &str,
        timeout: Duration,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Value, String> {
        if let Some(found) = self.events.iter().find(|event| is_it(event)) {
            return Ok(found.clone());
        }
        let deadline = Deadline::after(timeout);
        loop {
            interrupt::check()?;
            match self.arriving.recv_timeout(deadline.left().min(SLICE)) {
                Ok(event) => {
                    self.events.push(event.clone());
                    if is_it(&event) {
                        return Ok(event);
                    }
                }
                Err(RecvTimeoutError::Timeout) if !deadline.has_passed() => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("{}: no {what} within {timeout:?}; {}", self.name, self.what_came()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let how = self.how_it_is();
                    return Err(format!("{}: {how} before {what}; {}", self.name, self.what_came()));
                }
            }
        }
    }

    /// Waits until the child has ended, and gives how, and all that it wrote since [`Self::forget_events`].
    pub(crate) fn wait_for_end(&mut self, timeout: Duration) -> Result<(ExitStatus, Vec<Value>), String> {
        let deadline = Deadline::after(timeout);
        loop {
            interrupt::check()?;
            // Read while waiting: a child that fills its pipe would never end.
            self.events.extend(self.arriving.try_iter());
            let ended = locked(&self.child).try_wait();
            match ended {
                Ok(Some(status)) => {
                    self.events.extend(self.arriving.iter());
                    return Ok((status, std::mem::take(&mut self.events)));
                }
                Ok(None) if deadline.has_passed() => {
                    let came = self.what_came();
                    self.kill();
                    return Err(format!("{}: had not ended after {timeout:?}; {came}", self.name));
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(format!("{}: cannot be waited for: {error}", self.name)),
            }
        }
    }

    /// Closes standard input: what waits for lines ends by itself.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The system's id of it.
    pub(crate) fn id(&self) -> u32 {
        locked(&self.child).id()
    }

    /// Asks for a graceful stop.
    pub(crate) fn terminate(&self) -> Result<(), String> {
        // By this child's own id; the shell's `kill` needs no package.
        let id = self.id();
        command::run(Command::new("sh").args(["-c", &format!("kill -TERM {id}")]))
    }

    /// SIGKILL, as a power cut would end it.
    pub(crate) fn kill(&mut self) {
        self.killer().kill();
    }

    /// What another thread needs to end it.
    pub(crate) fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.child))
    }

    /// Everything that it said since [`Self::forget_events`], after it was killed.
    pub(crate) fn last_events(&mut self) -> Vec<Value> {
        self.events.extend(self.arriving.iter());
        std::mem::take(&mut self.events)
    }

    /// Whether it runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(locked(&self.child).try_wait(), Ok(None))
    }

    /// The last lines of its standard error.
    pub(crate) fn last_words(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }

    fn how_it_is(&mut self) -> String {
        let ended = locked(&self.child).try_wait();
        match ended {
            Ok(Some(status)) => format!("ended ({status})"),
            Ok(None) => "closed its standard output".to_owned(),
            Err(error) => format!("cannot be waited for ({error})"),
        }
    }

    fn what_came(&self) -> String {
        let from = self.events.len().saturating_sub(SHOWN_EVENTS);
        let shown: Vec<String> = self.events.iter().skip(from).map(Value::to_string).collect();
        let came = if shown.is_empty() { "nothing".to_owned() } else { shown.join(" ") };
        let said = tail(&self.log, 3);
        let said = if said.is_empty() { String::new() } else { format!("; its log ends: {said}") };
        format!("what came: {came}{said}")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a file, or nothing.
pub(crate) fn tail(file: &Path, lines: usize) -> String {
    let bytes = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.trim_end().lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

fn locked(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    // A thread that panicked has not changed what the child is.
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

fn append(log: &Path) -> std::io::Result<File> {
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(log)
}

fn read_events(stdout: ChildStdout) -> Receiver<Value> {
    let (send, arriving) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { return };
            let event = serde_json::from_str(&line).unwrap_or_else(|_| json!({ "not_json": line }));
            if send.send(event).is_err() {
                return;
            }
        }
    });
    arriving
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let log = std::env::temp_dir().join(format!("xtask-process-{}-{}.log", std::process::id(), script.len()));
        Process::start("child", Command::new("sh").args(["-c", script]), &log).unwrap()
    }

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn an_event_is_found_however_late_it_is_asked_for() {
        let mut child = shell(r#"echo '{"event":"a"}'; echo '{"event":"b"}'; read line"#);
        assert_eq!(child.wait_for("b", SOON, |e| e["event"] == "b").unwrap()["event"], "b");
        assert_eq!(child.wait_for("a", SOON, |e| e["event"] == "a").unwrap()["event"], "a");
    }

    #[test]
    fn a_wait_in_vain_tells_what_came_instead() {
        let mut child = shell(r#"echo '{"event":"a"}'; read line"#);
        let problem = child.wait_for("show_qr", Duration::from_millis(500), |e| e["event"] == "show_qr").unwrap_err();
        assert!(problem.contains("no show_qr within") && problem.contains(r#"{"event":"a"}"#), "{problem}");
    }

    #[test]
    fn the_end_of_a_child_ends_the_wait_with_its_exit_code() {
        let mut child = shell("echo why >&2; exit 3");
        let problem = child.wait_for("connected", SOON, |_| false).unwrap_err();
        assert!(problem.contains("before connected") && problem.contains("why"), "{problem}");
        let (status, _) = child.wait_for_end(SOON).unwrap();
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn told_lines_arrive_and_closing_ends_it() {
        let mut child = shell(r#"while read line; do echo "{\"event\":\"$line\"}"; done"#);
        child.tell("start").unwrap();
        assert!(child.wait_for("start", SOON, |e| e["event"] == "start").is_ok());
        child.close_stdin();
        assert!(child.wait_for_end(SOON).unwrap().0.success());
    }
}
