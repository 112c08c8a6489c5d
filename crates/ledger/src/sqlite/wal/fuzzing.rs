use std::path::{Path, PathBuf};

use cashgate_fuzz::{Verdict, fuzz};

use super::*;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/log_frames")
}

/// What is read never goes beyond what there is, whatever the frames say.
#[test]
fn fuzz_log_frames() {
    fuzz(&corpus(), |bytes| {
        let length = bytes.len() as u64;
        match Log::read(bytes).unwrap() {
            LogEnd::Whole => Verdict::Accepted,
            LogEnd::Torn { offset, bytes, .. } => {
                assert!(offset >= HEADER_BYTES as u64 && bytes > 0 && offset + bytes <= length);
                Verdict::Refused
            }
            LogEnd::Damaged { offset, .. } => {
                assert!(offset < length);
                Verdict::Refused
            }
        }
    });
}

/// Makes the corpus: `cargo test -p cashgate-ledger --lib wal::fuzzing -- --ignored`. Small pages, so that a log of several commits is short.
#[test]
#[ignore = "writes files"]
fn write_corpus() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let begin =
        "PRAGMA page_size = 512; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (body BLOB)";
    connection.execute_batch(begin).unwrap();
    for _ in 0..3 {
        connection.execute_batch("INSERT INTO t VALUES (randomblob(600))").unwrap();
    }
    let log = std::fs::read(path_of(&path)).unwrap();
    let put = |name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(corpus()).unwrap();
        std::fs::write(corpus().join(name), bytes).unwrap();
    };
    put("whole", &log);
    put("torn", log.get(..log.len() - 100).unwrap());
    let mut damaged = log.clone();
    damaged.iter_mut().skip(HEADER_BYTES + 100).take(1).for_each(|byte| *byte ^= 1);
    put("damaged", &damaged);
    put("empty", &[]);
}
