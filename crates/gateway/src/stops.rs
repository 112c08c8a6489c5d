//! The kill switch: what is stopped now, in memory for every decision and in the ledger for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use cashgate_ledger::{AppendError, Ledger, LedgerReader, Sequence};
use cashgate_wire::notices;
use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::notice::{Happening, Notice};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::stop::StopScope;
use cashgate_withdrawal::time::Timestamp;

use crate::admission::Intended;
use crate::notice_board::in_ledger;

/// What every operator's name as an actor begins with.
const OPERATOR: &str = "operator/";

/// Everybody who may stop something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopActor {
    /// An operator: anything.
    Operator(String),
    /// An institution: itself, its accounts and its phones.
    Institution(InstitutionId),
}

impl std::fmt::Display for StopActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Operator(name) => write!(f, "{OPERATOR}{name}"),
            Self::Institution(id) => write!(f, "institution/{id}"),
        }
    }
}

/// A stop in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveStop {
    /// Since when.
    pub since: Timestamp,
    /// Who stopped it, as [`StopActor`] writes it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

impl ActiveStop {
    fn is_by_operator(&self) -> bool {
        self.actor.starts_with(OPERATOR)
    }
}

/// What is stopped now.
#[derive(Debug, Default)]
pub struct Stops {
    active: RwLock<BTreeMap<StopScope, ActiveStop>>,
}

impl Stops {
    /// Whether a withdrawal may go on.
    ///
    /// # Errors
    /// It is stopped. What concerns one account or phone alone looks like any other refusal.
    pub fn refuse(&self, intended: Intended<'_>) -> Result<(), Refusal> {
        let Intended { institution, account, device, atm } = intended;
        self.refuse_atm(atm)?;
        let active = self.read();
        if active.is_empty() {
            return Ok(());
        }
        if active.contains_key(&StopScope::Institution(institution.clone())) {
            return Err(Refusal::Stopped { scope: "institution_stopped" });
        }
        if active.contains_key(&StopScope::Account(institution.clone(), account.clone())) {
            return Err(Refusal::NotAllowed { factor: "account_stopped" });
        }
        if active.contains_key(&StopScope::Device(institution.clone(), device.clone())) {
            return Err(Refusal::NotAllowed { factor: "device_stopped" });
        }
        Ok(())
    }

    /// Whether codes may be shown at a machine.
    ///
    /// # Errors
    /// It is stopped, or everything is.
    pub fn refuse_atm(&self, atm: &AtmId) -> Result<(), Refusal> {
        let active = self.read();
        if active.is_empty() {
            return Ok(());
        }
        if active.contains_key(&StopScope::Everything) {
            return Err(Refusal::Stopped { scope: "everything_stopped" });
        }
        if active.contains_key(&StopScope::Atm(atm.clone())) {
            return Err(Refusal::Stopped { scope: "atm_stopped" });
        }
        Ok(())
    }

    /// Whether an institution, or one of its phones, is stopped.
    #[must_use]
    pub fn has_institution_or_device(&self, institution: &InstitutionId, device: &DeviceId) -> bool {
        let active = self.read();
        !active.is_empty()
            && (active.contains_key(&StopScope::Institution(institution.clone()))
                || active.contains_key(&StopScope::Device(institution.clone(), device.clone())))
    }

    /// Whether an account is stopped.
    #[must_use]
    pub fn has_account(&self, institution: &InstitutionId, account: &AccountId) -> bool {
        let active = self.read();
        !active.is_empty() && active.contains_key(&StopScope::Account(institution.clone(), account.clone()))
    }

    /// The stops in force, oldest first.
    #[must_use]
    pub fn active(&self) -> Vec<(StopScope, ActiveStop)> {
        let active = self.read();
        let mut found: Vec<_> = active.iter().map(|(scope, stop)| (scope.clone(), stop.clone())).collect();
        found.sort_by_key(|(_, stop)| stop.since);
        found
    }

    /// Learns of what happened, and says whether it changed anything. The first stop of a scope stays, with its reason; but an operator's takes the
    /// place of an institution's, so that the institution cannot release it.
    pub fn learn(&self, notice: &Notice) -> bool {
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        match &notice.what {
            Happening::Stopped { scope, actor, reason } => {
                let stop = ActiveStop { since: notice.at, actor: actor.clone(), reason: reason.clone() };
                let takes_over = |before: &ActiveStop| !before.is_by_operator() && stop.is_by_operator();
                if active.get(scope).is_some_and(|before| !takes_over(before)) {
                    return false;
                }
                active.insert(scope.clone(), stop);
                true
            }
            Happening::Released { scope, .. } => active.remove(scope).is_some(),
            _ => false,
        }
    }

    fn find(&self, scope: &StopScope) -> Option<ActiveStop> {
        self.read().get(scope).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<StopScope, ActiveStop>> {
        self.active.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Up to where the ledger's word on a scope is known here.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    through: Sequence,
    /// A stop that holds here already and is not durable yet: what the ledger says before it is of before it.
    pending: bool,
}

/// The hand on the switch.
#[derive(Clone, Debug)]
pub struct StopSwitch {
    ledger: Ledger,
    stops: Arc<Stops>,
    /// With several replicas: what is known of each scope that was changed while this process runs.
    known: Arc<Mutex<BTreeMap<StopScope, Known>>>,
    /// One after the other, so that memory and ledger agree on the order.
    changing: Arc<tokio::sync::Mutex<()>>,
}

/// A failure that is not the caller's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StopFailure(String);

impl StopSwitch {
    /// The switch as the ledger knows it. Blocking.
    ///
    /// # Errors
    /// The ledger cannot be read, or a notice in it.
    pub fn load(ledger: Ledger) -> Result<Self, StopFailure> {
        let stops = Stops::default();
        for notice in found(ledger.reader())? {
            stops.learn(&notice);
        }
        Ok(Self { ledger, stops: Arc::new(stops), known: Arc::default(), changing: Arc::default() })
    }

    /// What is stopped now.
    #[must_use]
    pub const fn stops(&self) -> &Arc<Stops> {
        &self.stops
    }

    /// Stops something in memory, at once: from now on nothing of it begins, and every lane that is woken ends what has begun. To be made durable
    /// by [`StopSwitch::make_durable`]. `None` if it was stopped already.
    ///
    /// # Errors
    /// It is not the actor's to stop.
    pub fn stop(
        &self,
        scope: StopScope,
        actor: &StopActor,
        reason: String,
        now: Timestamp,
    ) -> Result<Option<Notice>, Refusal> {
        may_stop(actor, &scope)?;
        let notice = Notice { at: now, what: Happening::Stopped { scope, actor: actor.to_string(), reason } };
        if !self.stops.learn(&notice) {
            return Ok(None);
        }
        if let Happening::Stopped { scope, .. } = &notice.what {
            self.known().entry(scope.clone()).or_default().pending = true;
        }
        tracing::warn!(%actor, "the kill switch is thrown");
        Ok(Some(notice))
    }

    /// Makes a stop durable, unless it was released meanwhile. An operator's finds room on a full disk. Must be carried to its end once begun: run it in
    /// a task of its own.
    ///
    /// # Errors
    /// [`Refusal::LedgerFull`]; [`StopFailure`] if the ledger failed. Either way it is stopped until the next start.
    pub async fn make_durable(&self, notice: Notice) -> Result<Result<(), Refusal>, StopFailure> {
        let _one_at_a_time = self.changing.lock().await;
        let Happening::Stopped { scope, actor, .. } = &notice.what else { return Ok(Ok(())) };
        if self.stops.find(scope).is_none() {
            return Ok(Ok(()));
        }
        let is_by_operator = actor.starts_with(OPERATOR);
        self.record(&notice, is_by_operator).await
    }

    /// Takes a stop back: durably first, then in memory.
    ///
    /// # Errors
    /// [`Refusal`] if there is none, or it is not the actor's to take back; [`StopFailure`] if the ledger failed: it stays stopped.
    pub async fn release(
        &self,
        scope: StopScope,
        actor: &StopActor,
        reason: String,
        now: Timestamp,
    ) -> Result<Result<(), Refusal>, StopFailure> {
        if let Err(refusal) = may_stop(actor, &scope) {
            return Ok(Err(refusal));
        }
        let _one_at_a_time = self.changing.lock().await;
        let Some(active) = self.stops.find(&scope) else { return Ok(Err(Refusal::StopUnknown)) };
        if matches!(actor, StopActor::Institution(_)) && active.is_by_operator() {
            return Ok(Err(Refusal::IdentityNotAllowed { needed: "operator/<name>, who stopped it," }));
        }
        tracing::warn!(scope = scope.name(), %actor, reason, "a stop is taken back");
        let notice = Notice { at: now, what: Happening::Released { scope, actor: actor.to_string(), reason } };
        let recorded = self.record(&notice, matches!(actor, StopActor::Operator(_))).await?;
        if recorded.is_ok() {
            self.stops.learn(&notice);
        }
        Ok(recorded)
    }

    /// What another replica wrote, or this one, comes back from the ledger. Says whether it changed anything.
    pub fn follow(&self, sequence: Sequence, notice: &Notice) -> bool {
        let (Happening::Stopped { scope, .. } | Happening::Released { scope, .. }) = &notice.what else { return false };
        let mut known = self.known();
        let of = known.entry(scope.clone()).or_default();
        if sequence <= of.through {
            return false;
        }
        of.through = sequence;
        let is_release = matches!(notice.what, Happening::Released { .. });
        if is_release && of.pending {
            return false;
        }
        self.stops.learn(notice)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<StopScope, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ledger's reserve is the operators': an institution could use it up.
    async fn record(&self, notice: &Notice, is_urgent: bool) -> Result<Result<(), Refusal>, StopFailure> {
        let recorded = if is_urgent {
            self.ledger.record_urgent_notice(in_ledger(notice)).await
        } else {
            self.ledger.record_notice(in_ledger(notice)).await
        };
        if let Happening::Stopped { scope, .. } | Happening::Released { scope, .. } = &notice.what {
            let mut known = self.known();
            let of = known.entry(scope.clone()).or_default();
            of.pending = false;
            of.through = of.through.max(recorded.as_ref().copied().unwrap_or_default());
        }
        match recorded {
            Ok(_) => Ok(Ok(())),
            Err(AppendError::NoRoom) => Ok(Err(Refusal::LedgerFull)),
            Err(error) => Err(StopFailure(error.to_string())),
        }
    }
}

/// Whether something is the actor's to stop or release.
fn may_stop(actor: &StopActor, scope: &StopScope) -> Result<(), Refusal> {
    match actor {
        StopActor::Operator(_) => Ok(()),
        StopActor::Institution(own) if scope.institution() == Some(own) => Ok(()),
        StopActor::Institution(_) => Err(Refusal::IdentityNotAllowed { needed: "operator/<name>" }),
    }
}

fn found(reader: &LedgerReader) -> Result<Vec<Notice>, StopFailure> {
    let kinds = ["stopped", "released"];
    let found =
        reader.notices_of(&kinds, Timestamp::from_unix_ms(0)).map_err(|error| StopFailure(error.to_string()))?;
    let read = |stored: cashgate_ledger::StoredNotice| {
        notices::decode(&stored.body).map_err(|error| {
            StopFailure(format!("the ledger's notice {} about a stop cannot be read: {error}", stored.sequence))
        })
    };
    found.into_iter().map(read).collect()
}
