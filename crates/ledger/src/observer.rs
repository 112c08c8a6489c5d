//! Who watches commits from outside.

/// Hears of every commit, on a writer's thread, so it must not wait. The ledger has no clock: whoever wants to know how long a commit takes
/// measures between the two. The commits of one writer come one after the other; a file has one writer, a database some, from 0 on.
pub trait CommitObserver: Send + Sync {
    /// A commit begins.
    fn begins(&self, writer: usize);

    /// It is on disk, with so many steps, notices and other rows. Not called for one that failed.
    fn is_durable(&self, writer: usize, rows: usize);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use cashgate_withdrawal::time::Timestamp;

    use super::*;
    use crate::ledger::{Ledger, LedgerOptions};
    use crate::notices::Notice;

    #[derive(Clone, Default)]
    struct Counting {
        begun: Arc<AtomicUsize>,
        rows: Arc<AtomicUsize>,
    }

    impl CommitObserver for Counting {
        fn begins(&self, _writer: usize) {
            self.begun.fetch_add(1, Ordering::Relaxed);
        }

        fn is_durable(&self, _writer: usize, rows: usize) {
            self.rows.fetch_add(rows, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn every_commit_is_heard_of_with_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let options = LedgerOptions { reserve_bytes: 0, ..LedgerOptions::default() };
        let ledger = Ledger::open(folder.path().join("ledger.db"), options).unwrap();
        let counting = Counting::default();
        ledger.observe_commits(counting.clone());
        let notice = Notice { at: Timestamp::from_unix_ms(1), kind: "stopped", institution: None, body: vec![1] };
        for _ in 0..3 {
            ledger.record_urgent_notice(notice.clone()).await.unwrap();
        }
        let commits = usize::try_from(ledger.stats().commits).unwrap();
        assert_eq!((counting.begun.load(Ordering::Relaxed), counting.rows.load(Ordering::Relaxed)), (commits, 3));
    }
}
