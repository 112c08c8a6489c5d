//! Where the desk puts up what happens beside withdrawals: in the ledger's feed, in the log and in the metrics.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use cashgate_ledger::{Ledger, Notice as LedgerNotice};
use cashgate_policy::Decision;
use cashgate_wire::notices;
use cashgate_withdrawal::ids::{DeviceId, InstitutionId};
use cashgate_withdrawal::notice::{Happening, Notice};
use cashgate_withdrawal::time::Timestamp;

use crate::metrics::Metrics;

/// How many refusals of one phone are told within [`REFUSALS_EACH_MS`]: a phone that tries without end must not fill the ledger.
const REFUSALS_MAX: u32 = 10;
const REFUSALS_EACH_MS: u64 = 3_600_000;

/// Hears what happens beside withdrawals. Nobody waits for it.
pub trait NoticeBoard: fmt::Debug + Send + Sync {
    /// Something happened.
    fn post(&self, notice: Notice);
    /// The policy decided.
    fn decided(&self, decision: &Decision);
    /// The set that is only tried would have decided so in its place.
    fn shadowed(&self, decision: &Decision, shadow: &Decision);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoBoard;

impl NoticeBoard for NoBoard {
    fn post(&self, _: Notice) {}
    fn decided(&self, _: &Decision) {}
    fn shadowed(&self, _: &Decision, _: &Decision) {}
}

/// A notice as the ledger keeps it.
#[must_use]
pub fn in_ledger(notice: &Notice) -> LedgerNotice {
    LedgerNotice {
        at: notice.at,
        kind: notice.what.name(),
        institution: notice.what.institution().cloned(),
        body: notices::encode(notice),
    }
}

/// Which refusals are told: of one phone not too many. Remembers the phones that were refused lately, since when, and how often since.
#[derive(Debug, Default)]
pub struct RefusalsTold {
    phones: HashMap<(InstitutionId, DeviceId), (Timestamp, u32)>,
    /// How many there were after those whose hour is over had been let go.
    kept: usize,
}

impl RefusalsTold {
    /// Whether this refusal is told. Those of the past hour are counted by phone.
    pub fn is_told(&mut self, institution: &InstitutionId, device: &DeviceId, now: Timestamp) -> bool {
        let is_over = |since: Timestamp| since.unix_ms().saturating_add(REFUSALS_EACH_MS) <= now.unix_ms();
        let (since, count) = self.phones.entry((institution.clone(), device.clone())).or_insert((now, 0));
        if is_over(*since) {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        let is_told = *count <= REFUSALS_MAX;
        // Phones whose hour is over are let go whenever there are twice as many as after the last time.
        if self.phones.len() > self.kept.saturating_mul(2).max(1_024) {
            self.phones.retain(|_, (since, _)| !is_over(*since));
            self.kept = self.phones.len();
        }
        is_told
    }
}

/// The gateway's board.
#[derive(Debug)]
pub struct LedgerBoard {
    ledger: Ledger,
    metrics: Metrics,
    refused: Mutex<RefusalsTold>,
}

impl LedgerBoard {
    /// A board over a ledger.
    #[must_use]
    pub fn new(ledger: Ledger, metrics: Metrics) -> Self {
        Self { ledger, metrics, refused: Mutex::default() }
    }

    fn is_told(&self, institution: &InstitutionId, device: &DeviceId, now: Timestamp) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.is_told(institution, device, now)
    }
}

impl NoticeBoard for LedgerBoard {
    fn post(&self, notice: Notice) {
        match &notice.what {
            Happening::ApprovalRefused(refused) if !self.is_told(&refused.institution, &refused.device, notice.at) => {
                return self.metrics.noticed("approval_refused_not_told");
            }
            Happening::Alarm { institution, atm, pattern, detail, .. } => {
                self.metrics.alarmed(pattern);
                tracing::error!(?institution, ?atm, pattern, "alarm: {detail}");
            }
            _ => {}
        }
        self.metrics.noticed(notice.what.name());
        self.ledger.notice_later(in_ledger(&notice));
    }

    fn decided(&self, decision: &Decision) {
        self.metrics.decided("running", decision);
    }

    fn shadowed(&self, decision: &Decision, shadow: &Decision) {
        self.metrics.decided("shadow", shadow);
        if decision.verdict != shadow.verdict {
            self.metrics.shadow_differed(decision, shadow);
        }
    }
}
