//! The kill switch: what is stopped now, in memory for every decision and in the ledger for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use cashgate_ledger::{Ledger, LedgerReader};
use cashgate_wire::notices;
use cashgate_withdrawal::ids::{AtmId, InstitutionId};
use cashgate_withdrawal::notice::{Happening, Notice};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::stop::StopScope;
use cashgate_withdrawal::time::Timestamp;

use crate::admission::Intended;
use crate::notice_board::in_ledger;

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
            Self::Operator(name) => write!(f, "operator/{name}"),
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
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
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
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
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

    /// The stops in force, oldest first.
    #[must_use]
    pub fn active(&self) -> Vec<(StopScope, ActiveStop)> {
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = active.iter().map(|(scope, stop)| (scope.clone(), stop.clone())).collect();
        found.sort_by_key(|(_, stop)| stop.since);
        found
    }

    /// Learns of what the ledger has.
    fn learn(&self, notice: Notice) {
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        match notice.what {
            Happening::Stopped { scope, actor, reason } => {
                // The first stop stays, with its reason.
                active.entry(scope).or_insert(ActiveStop { since: notice.at, actor, reason });
            }
            Happening::Released { scope, .. } => drop(active.remove(&scope)),
            _ => {}
        }
    }

    fn find(&self, scope: &StopScope) -> Option<ActiveStop> {
        self.active.read().unwrap_or_else(PoisonError::into_inner).get(scope).cloned()
    }
}

/// The hand on the switch.
#[derive(Clone, Debug)]
pub struct StopSwitch {
    ledger: Ledger,
    stops: Arc<Stops>,
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
            stops.learn(notice);
        }
        Ok(Self { ledger, stops: Arc::new(stops), changing: Arc::default() })
    }

    /// What is stopped now.
    #[must_use]
    pub const fn stops(&self) -> &Arc<Stops> {
        &self.stops
    }

    /// Stops something: at once in memory, and durably before it answers. Must be carried to its end once begun: run it in a task of its own.
    ///
    /// # Errors
    /// [`Refusal`] if it is not the actor's to stop; [`StopFailure`] if the ledger failed: it is stopped until the next start.
    pub async fn stop(
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
        tracing::warn!(scope = scope.name(), %actor, reason, "the kill switch is thrown");
        let notice = Notice { at: now, what: Happening::Stopped { scope, actor: actor.to_string(), reason } };
        // In memory first: whatever the disk does, what is to be stopped is stopped.
        self.stops.learn(notice.clone());
        self.record(&notice).await.map(Ok)
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
        if matches!(actor, StopActor::Institution(_)) && active.actor != actor.to_string() {
            return Ok(Err(Refusal::IdentityNotAllowed { needed: "operator/<name>, who stopped it," }));
        }
        tracing::warn!(scope = scope.name(), %actor, reason, "a stop is taken back");
        let notice = Notice { at: now, what: Happening::Released { scope, actor: actor.to_string(), reason } };
        self.record(&notice).await?;
        self.stops.learn(notice);
        Ok(Ok(()))
    }

    async fn record(&self, notice: &Notice) -> Result<(), StopFailure> {
        let recorded = self.ledger.record_urgent_notice(in_ledger(notice)).await;
        recorded.map(drop).map_err(|error| StopFailure(error.to_string()))
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
