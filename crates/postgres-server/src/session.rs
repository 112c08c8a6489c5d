//! Somebody else's session in a database, which has done something and stays.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

/// A session inside a transaction that is neither committed nor undone as long as this lives: what it has locked stays locked.
pub struct Session(Child);

impl Session {
    /// Of `psql` with the words that lead to a database. Waits until `sql` is done.
    pub(crate) fn begin(psql: &mut Command, sql: &str) -> Self {
        let mut child = psql
            .args(["-c", "BEGIN", "-c", sql, "-c", "SELECT 'done'", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql");
        let said = BufReader::new(child.stdout.take().expect("the output of psql"));
        let session = Self(child);
        // Behind whatever rows the statement itself gives.
        let is_done = said.lines().map_while(Result::ok).any(|line| line == "done");
        assert!(is_done, "{sql}");
        session
    }

    /// Commits what it has done. Waits until that is done, and ends it.
    pub fn commit(mut self) {
        let mut asked = self.0.stdin.take().expect("the input of psql");
        asked.write_all(b"COMMIT;\n").expect("psql hears");
        drop(asked);
        assert!(self.0.wait().expect("the end of psql").success(), "not committed");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
