//! `cashgate ledger verify`: everything is read once and checked, in memory that does not grow with the ledger.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::time::Timestamp;

use crate::damage::{Damage, Fault};
use crate::error::ReadError;
use crate::open_error::LedgerOpenError;
use crate::publications::{Publication, check_body};
use crate::reader::LedgerReader;
use crate::reads::{PlacedRecord, Reads, Record};
use crate::records::{Sequence, StoredStep, WithdrawalSummary};
use crate::sqlite::{TornTail, looked_at};

/// Something that is wrong, on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The file as a whole: what the storage engine says of its pages and indexes.
    File(String),
    /// The write-ahead log.
    Log(String),
    /// One record.
    Record(Damage),
    /// A withdrawal whose records are whole and tell a history that cannot be: what the caller's check said.
    History {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// What is wrong with it.
        fault: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(said) => write!(f, "file: {said}"),
            Self::Log(said) => write!(f, "log: {said}"),
            Self::Record(damage) => damage.fmt(f),
            Self::History { withdrawal, fault } => write!(f, "history, withdrawal {withdrawal}: {fault}"),
        }
    }
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many withdrawals there are.
    pub withdrawals: u64,
    /// How many of them are open; a damaged row counts as none.
    pub open: u64,
    /// How many steps there are.
    pub steps: u64,
    /// The bytes of all their bodies.
    pub step_bytes: u64,
    /// How many notices there are.
    pub notices: u64,
    /// How many phones there are.
    pub devices: u64,
    /// How many remarks there are.
    pub remarks: u64,
    /// How many things happened to signing keys.
    pub key_events: u64,
    /// How many publications of rules and limits there are.
    pub publications: u64,
    /// The sequence of the last step or notice, when the check began.
    pub last_sequence: Sequence,
    /// How many findings were handed out.
    pub findings: u64,
    /// Whether a gateway was running on the ledger. Its log changes all the time and was not looked at.
    pub running: bool,
    /// What a crash left at the end of the log, if anything. The next start cuts it. With [`TornTail::commit_mark`] it is a finding, too: it
    /// may have been acknowledged.
    pub torn_tail: Option<TornTail>,
}

/// Checks all of the ledger at `path` and hands out each thing that is wrong: the log, the structure of the file, the check of each row,
/// the seal of each step, gaps in the order of steps and notices, rows without steps and steps without rows, nonces claimed twice, the seal of each key event and each publication, publications that no notice tells of and notices without their
/// publication, and what
/// `check_history` says of each withdrawal whose records are whole.
///
/// It only reads, and may run beside a gateway: what is added meanwhile is not looked at. While the structure of the file is checked, a
/// gateway's log cannot start over and grows. The folder must be writable, for the storage engine's own file beside the ledger.
///
/// # Errors
///
/// [`LedgerOpenError`] if nothing could be checked: no such file, or none that opens as a ledger. All else is a finding.
pub fn verify(
    path: impl AsRef<Path>,
    on_finding: &mut dyn FnMut(Finding),
    check_history: &mut dyn FnMut(&WithdrawalSummary, &[StoredStep]) -> Vec<String>,
) -> Result<VerifyReport, LedgerOpenError> {
    let stopped = looked_at(path.as_ref())?;
    let mut check = Check { on_finding, report: VerifyReport { running: stopped.running, ..VerifyReport::default() } };
    for said in &stopped.findings {
        check.found(Finding::Log(said.clone()));
    }
    check.all(&stopped.reader, &|last| stopped.torn_tail(last), check_history);
    Ok(check.report)
}

/// The same for a ledger that a reader has open, in whichever store: all but a file's log.
pub fn verify_open(
    reader: &LedgerReader,
    on_finding: &mut dyn FnMut(Finding),
    check_history: &mut dyn FnMut(&WithdrawalSummary, &[StoredStep]) -> Vec<String>,
) -> VerifyReport {
    let mut check = Check { on_finding, report: VerifyReport::default() };
    check.all(reader.store(), &|_| None, check_history);
    check.report
}

struct Check<'caller> {
    on_finding: &'caller mut dyn FnMut(Finding),
    report: VerifyReport,
}

impl Check<'_> {
    fn all(
        &mut self,
        store: &dyn Reads,
        torn_tail: &dyn Fn(Sequence) -> Option<TornTail>,
        check_history: &mut dyn FnMut(&WithdrawalSummary, &[StoredStep]) -> Vec<String>,
    ) {
        for line in self.pass(store.structure()).unwrap_or_default() {
            self.found(Finding::File(line));
        }
        if let Some(last) = self.pass(store.end_of_records()) {
            self.report.last_sequence = last;
            self.report.torn_tail = torn_tail(last);
            if let Some(torn) = self.report.torn_tail.filter(|torn| torn.commit_mark) {
                self.found(Finding::Log(torn.to_string()));
            }
            self.order(store, last);
        }
        self.withdrawals(store, check_history);
        self.nonces(store);
        self.devices(store);
        self.remarks(store);
        self.key_events(store);
        self.publications(store);
    }

    fn found(&mut self, finding: Finding) {
        self.report.findings += 1;
        (self.on_finding)(finding);
    }

    /// A value that was read, or `None` after a finding that says why not.
    fn pass<T>(&mut self, read: Result<T, ReadError>) -> Option<T> {
        match read {
            Ok(value) => return Some(value),
            Err(ReadError::Damaged(Damage { fault: Fault::Malformed(said), .. })) => self.found(Finding::File(said)),
            Err(ReadError::Damaged(damage)) => self.found(Finding::Record(damage)),
            Err(ReadError::Storage(error)) => self.found(Finding::File(format!("it could not be read on: {error}"))),
        }
        None
    }

    /// Every step and every notice by itself, in the one order of both.
    fn order(&mut self, store: &dyn Reads, last: Sequence) {
        let mut seen = Sequence(0);
        while seen < last {
            let Some(part) = self.pass(store.order_part(seen, last)) else { return };
            if part.is_empty() {
                return self.found(Finding::Record(Damage::of_gap(seen)));
            }
            for PlacedRecord { sequence, record } in part {
                if let Some(damage) = Damage::between(seen, sequence) {
                    self.found(Finding::Record(damage));
                }
                seen = sequence;
                self.record(record);
            }
        }
    }

    fn record(&mut self, record: Record) {
        let damage = match record {
            Record::Step { has_row, step } => {
                self.report.steps += 1;
                self.report.step_bytes += step.as_ref().map_or(0, |step| step.body.len() as u64);
                match step {
                    Ok(step) => (!has_row).then(|| Damage::of_step(&step, Fault::NoWithdrawal)),
                    Err(damage) => Some(damage),
                }
            }
            Record::Notice(notice) => {
                self.report.notices += 1;
                notice.err()
            }
        };
        if let Some(damage) = damage {
            self.found(Finding::Record(damage));
        }
    }

    /// Every withdrawal with its steps.
    fn withdrawals(
        &mut self,
        store: &dyn Reads,
        check_history: &mut dyn FnMut(&WithdrawalSummary, &[StoredStep]) -> Vec<String>,
    ) {
        let mut seen = String::new();
        loop {
            let Some(part) = self.pass(store.places_after(&seen)) else { return };
            let Some(end) = part.last() else { return };
            seen.clone_from(end);
            for place in part {
                self.report.withdrawals += 1;
                match store.whole_at(&place) {
                    Err(ReadError::Damaged(damage)) if seen_with_its_step(&damage) => {}
                    other => {
                        if let Some(Some((withdrawal, steps))) = self.pass(other) {
                            self.report.open += u64::from(withdrawal.row.open);
                            for fault in check_history(&withdrawal, &steps) {
                                self.found(Finding::History { withdrawal: withdrawal.id, fault });
                            }
                        }
                    }
                }
            }
        }
    }

    fn nonces(&mut self, store: &dyn Reads) {
        for (nonce, count) in self.pass(store.nonces_claimed_twice()).unwrap_or_default() {
            let fault = Fault::NonceClaimedTwice(count);
            self.found(Finding::Record(Damage { table: "withdrawals", record: format!("nonce {nonce}"), fault }));
        }
    }

    fn devices(&mut self, store: &dyn Reads) {
        let mut seen = (String::new(), String::new());
        loop {
            let Some(part) = self.pass(store.devices_after(&seen)) else { return };
            if part.is_empty() {
                return;
            }
            for (key, device) in part {
                seen = key;
                self.report.devices += 1;
                let _ = self.pass(device.map_err(ReadError::Damaged));
            }
        }
    }

    fn remarks(&mut self, store: &dyn Reads) {
        let mut seen = (String::new(), 0_i64);
        loop {
            let Some(part) = self.pass(store.remarks_after(&seen)) else { return };
            if part.is_empty() {
                break;
            }
            for (key, remark) in part {
                seen = key;
                self.report.remarks += 1;
                let _ = self.pass(remark.map_err(ReadError::Damaged));
            }
        }
        for count in self.pass(store.remarks_left_out()).unwrap_or_default() {
            let _ = self.pass(count.map_err(ReadError::Damaged));
        }
        for table in ["remarks", "remarks_left_out"] {
            for withdrawal in self.pass(store.without_withdrawal(table)).unwrap_or_default() {
                let record = format!("withdrawal {withdrawal}");
                self.found(Finding::Record(Damage { table, record, fault: Fault::NoWithdrawal }));
            }
        }
    }

    fn key_events(&mut self, store: &dyn Reads) {
        for event in self.pass(store.key_events()).unwrap_or_default() {
            let is_gap = matches!(&event, Err(Damage { fault: Fault::SequenceGap { .. }, .. }));
            self.report.key_events += u64::from(!is_gap);
            let _ = self.pass(event.map_err(ReadError::Damaged));
        }
    }

    /// Every publication with its body, and the notices that tell of them: so the last one cannot be deleted unseen either.
    fn publications(&mut self, store: &dyn Reads) {
        let mut published = BTreeSet::new();
        let kinds = [Publication::NOTICE_KIND];
        let told = self.pass(store.notices_of(&kinds, Timestamp::from_unix_ms(0))).unwrap_or_default();
        let told: BTreeSet<Sequence> = told.into_iter().map(|notice| notice.sequence).collect();
        for publication in self.pass(store.publications()).unwrap_or_default() {
            let is_gap = matches!(&publication, Err(Damage { fault: Fault::SequenceGap { .. }, .. }));
            self.report.publications += u64::from(!is_gap);
            let Some(found) = self.pass(publication.map_err(ReadError::Damaged)) else { continue };
            published.insert(found.sequence);
            if !told.contains(&found.sequence) {
                self.found(Finding::Record(Damage::of_publication(found.number, Fault::NotTold)));
            }
            if let Some(body) = self.pass(store.publication_body(found.number)) {
                let _ = self.pass(check_body(&found, &body.unwrap_or_default()).map_err(ReadError::Damaged));
            }
        }
        for missing in told.difference(&published) {
            let record = format!("notice at sequence {missing}");
            self.found(Finding::Record(Damage { table: "notices", record, fault: Fault::NotPublished }));
        }
    }
}

/// Whether the same was found when all steps were read one by one.
fn seen_with_its_step(damage: &Damage) -> bool {
    damage.table == "steps" && matches!(damage.fault, Fault::Seal | Fault::Column(_) | Fault::StepNumber { .. })
}
