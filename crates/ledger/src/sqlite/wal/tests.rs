use rusqlite::Connection;

use super::*;

/// The bytes of a log with `commits` commits of one to three pages, and the number of the frame that ends each.
fn log(connection: &Connection, path: &Path, commits: usize) -> (Vec<u8>, Vec<u64>) {
    let mut ends = Vec::new();
    for n in 0..commits {
        let pages: Vec<String> = (0..=n % 3).map(|row| format!("({row}, randomblob(3000))")).collect();
        connection.execute_batch(&format!("REPLACE INTO t VALUES {}", pages.join(", "))).unwrap();
        let bytes = std::fs::metadata(path_of(path)).unwrap().len();
        ends.push((bytes - HEADER_BYTES as u64) / SLOT);
    }
    (std::fs::read(path_of(path)).unwrap(), ends)
}

const SLOT: u64 = (FRAME_HEADER_BYTES + PAGE_BYTES_DEFAULT) as u64;

fn database(folder: &Path) -> (Connection, PathBuf) {
    let path = folder.join("test.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = FULL")
        .unwrap();
    connection.execute_batch("CREATE TABLE t (row INTEGER PRIMARY KEY, body BLOB)").unwrap();
    connection
        .execute_batch("INSERT INTO t VALUES (0, zeroblob(3000)), (1, zeroblob(3000)), (2, zeroblob(3000))")
        .unwrap();
    (connection, path)
}

fn end_of(bytes: &[u8]) -> LogEnd {
    Log::read(bytes).unwrap()
}

fn offset_of(frame: u64) -> usize {
    usize::try_from(HEADER_BYTES as u64 + (frame - 1) * SLOT).unwrap()
}

/// All places: one bit in each byte of each frame's header, and some in each page.
fn flips(frame: u64) -> impl Iterator<Item = usize> {
    (0..24).chain([24, 25, 1000, 4118, 4119]).map(move |at| offset_of(frame) + at)
}

#[test]
fn a_flipped_bit_anywhere_before_the_last_commit_is_damage_and_in_it_a_torn_tail() {
    let folder = tempfile::tempdir().unwrap();
    let (connection, path) = database(folder.path());
    let (whole, ends) = log(&connection, &path, 9);
    assert_eq!(end_of(&whole), LogEnd::Whole);
    let [.., before_last, last] = *ends else { unreachable!() };
    let mut undecided = Vec::new();
    for frame in 1..=last {
        for at in flips(frame) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            let place = (frame, at - offset_of(frame));
            let end = end_of(&bytes);
            if frame > before_last {
                check_in_last(place, frame == last, offset_of(before_last + 1) as u64, end);
            } else if matches!(end, LogEnd::Torn { commit_mark: true, .. }) {
                undecided.push(place);
            } else {
                assert_eq!(end, LogEnd::Damaged { frame, offset: offset_of(frame) as u64 }, "{place:?}");
            }
        }
    }
    assert_eq!(undecided, [], "taken for a torn tail");
}

fn check_in_last((frame, at): (u64, usize), ends_commit: bool, begin: u64, end: LogEnd) {
    match end {
        LogEnd::Torn { offset, commit_mark, .. } => {
            assert_eq!(
                (offset, commit_mark),
                (begin, !(ends_commit && (8..16).contains(&at))),
                "frame {frame}, byte {at}"
            );
        }
        // A last commit of one frame without the salts looks like one of the log before.
        LogEnd::Whole => assert!(ends_commit && (8..16).contains(&at), "frame {frame}, byte {at}"),
        // A mark that was not there: the last commit looks like two, and no crash makes such.
        LogEnd::Damaged { frame: found, .. } => {
            assert!(found == frame && !ends_commit && (4..8).contains(&at), "frame {frame}, byte {at}");
        }
    }
}

#[test]
fn a_damaged_header_with_frames_behind_it_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (connection, path) = database(folder.path());
    let (whole, _) = log(&connection, &path, 1);
    for at in 0..HEADER_BYTES {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert_eq!(end_of(&bytes), LogEnd::Damaged { frame: 0, offset: 0 }, "byte {at}");
    }
    // Without frames there is nothing to lose.
    for length in 0..=HEADER_BYTES {
        assert_eq!(end_of(&vec![0; length]), LogEnd::Whole);
        assert_eq!(end_of(&whole[..length]), LogEnd::Whole);
    }
    assert_eq!(end_of(&vec![0; 100_000]), LogEnd::Whole, "a file that grew before it was written");
}

/// What SQLite makes of each cut is what is said of it.
#[test]
fn a_log_cut_anywhere_is_whole_or_torn_and_loses_what_sqlite_loses() {
    let folder = tempfile::tempdir().unwrap();
    let (connection, path) = database(folder.path());
    let (whole, ends) = log(&connection, &path, 5);
    let database = std::fs::read(&path).unwrap();
    let cut = folder.path().join("cut.db");
    for frames in 1..=*ends.last().unwrap() {
        for piece in [0, 1, 15, 16, 24, 2000, SLOT - 1] {
            let offset = HEADER_BYTES as u64 + frames * SLOT;
            let length = usize::try_from(offset + piece).unwrap().min(whole.len());
            let bytes = &whole[..length];
            let end = end_of(bytes);
            std::fs::write(&cut, &database).unwrap();
            std::fs::write(path_of(&cut), bytes).unwrap();
            let taken = frames_taken(&cut);
            let after = HEADER_BYTES as u64 + taken * SLOT;
            let expected = match length as u64 - after {
                0 => LogEnd::Whole,
                bytes => LogEnd::Torn { offset: after, bytes, commit_mark: false },
            };
            assert_eq!(end, expected, "after {frames} frames and {piece} bytes");
        }
    }
}

/// How many frames SQLite takes from a log.
fn frames_taken(path: &Path) -> u64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
    let frames: i64 = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1)).unwrap();
    u64::try_from(frames).unwrap()
}

/// The log starts over at its beginning, and the old frames behind the new ones are no damage.
#[test]
fn frames_of_the_log_before_are_history() {
    let folder = tempfile::tempdir().unwrap();
    let (connection, path) = database(folder.path());
    let (old, _) = log(&connection, &path, 6);
    for _ in 0..3 {
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        for commits in 1..4 {
            connection.execute_batch("REPLACE INTO t VALUES (1, randomblob(3000))").unwrap();
            let bytes = std::fs::read(path_of(&path)).unwrap();
            assert_eq!(bytes.len(), old.len(), "it did not start over");
            assert_eq!(end_of(&bytes), LogEnd::Whole, "after {commits} commits");

            // A crash in the middle of the last one leaves old bytes where new ones should be.
            let last = usize::try_from(SLOT).unwrap() * (commits - 1) + HEADER_BYTES;
            let mut torn = bytes.clone();
            torn[last + 500..][..1000].copy_from_slice(&old[last + 500..][..1000]);
            let expected = LogEnd::Torn { offset: last as u64, bytes: SLOT, commit_mark: true };
            assert_eq!(end_of(&torn), expected, "after {commits} commits");
        }
    }
}

/// A transaction that was given up leaves frames of this log behind the last commit.
#[test]
fn what_was_rolled_back_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (connection, path) = database(folder.path());
    log(&connection, &path, 3);
    let before = end_of(&std::fs::read(path_of(&path)).unwrap());
    assert_eq!(before, LogEnd::Whole);
    // A cache this small spills into the log before the commit.
    connection.execute_batch("PRAGMA cache_size = 2; BEGIN").unwrap();
    for row in 10..60 {
        connection.execute("REPLACE INTO t VALUES (?1, randomblob(3000))", [row]).unwrap();
    }
    connection.execute_batch("ROLLBACK").unwrap();
    let LogEnd::Torn { commit_mark: false, bytes, .. } = end_of(&std::fs::read(path_of(&path)).unwrap()) else {
        panic!("nothing was spilled")
    };
    assert!(bytes > 10 * SLOT);
    for _ in 0..3 {
        connection.execute_batch("REPLACE INTO t VALUES (1, randomblob(3000))").unwrap();
        let end = end_of(&std::fs::read(path_of(&path)).unwrap());
        assert!(matches!(end, LogEnd::Torn { commit_mark: false, .. }), "{end:?}");
    }
}
