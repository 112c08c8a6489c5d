//! What is allowed at this moment: the policy set, the set that is only tried, and every institution's limits. Replaced as a whole while
//! the gateway runs; what has been counted stays counted.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use cashgate_limits::SumCaps;
use cashgate_policy::{Decision as PolicyDecision, Facts, PolicySet};
use cashgate_withdrawal::ids::InstitutionId;
use cashgate_withdrawal::refusal::Refusal;

use crate::config::Institution;

/// What decides on an approval before limits do: the same facts always get the same answer.
pub trait Policy: fmt::Debug + Send + Sync {
    /// The decision and what stands behind it.
    fn decide(&self, facts: &Facts) -> PolicyDecision;
    /// Which set it is.
    fn version(&self) -> &str;
}

impl Policy for PolicySet {
    fn decide(&self, facts: &Facts) -> PolicyDecision {
        self.decide(facts)
    }

    fn version(&self) -> &str {
        self.version()
    }
}

/// Everything that is allowed.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Decides.
    pub policy: Arc<dyn Policy>,
    /// Is asked as well, and only counted.
    pub shadow: Option<Arc<dyn Policy>>,
    /// The institutions with their limits.
    pub institutions: HashMap<InstitutionId, Institution>,
    /// What any machine may pay out.
    pub atm_caps: SumCaps,
}

impl Rules {
    /// Rules of a policy and institutions alone: nothing is tried, and machines are not limited.
    #[must_use]
    pub fn new(policy: Arc<dyn Policy>, institutions: &[Institution]) -> Self {
        let institutions = institutions.iter().map(|one| (one.id.clone(), one.clone())).collect();
        Self { policy, shadow: None, institutions, atm_caps: SumCaps::default() }
    }

    /// An institution that this gateway serves.
    ///
    /// # Errors
    /// It does not.
    pub fn institution(&self, id: &InstitutionId) -> Result<&Institution, Refusal> {
        self.institutions.get(id).ok_or(Refusal::NotAllowed { factor: "institution_unknown" })
    }
}

/// The rules that hold now.
#[derive(Debug)]
pub struct Rulebook {
    rules: RwLock<Arc<Rules>>,
}

impl Rulebook {
    /// With rules to begin with.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules: RwLock::new(Arc::new(rules)) }
    }

    /// The rules that hold now. A decision takes them once and keeps to them.
    #[must_use]
    pub fn current(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has other rules hold from now on, made from those that hold until then. Nobody replaces them meanwhile.
    pub fn revise(&self, revise: impl FnOnce(&Rules) -> Rules) {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        *rules = Arc::new(revise(&rules));
    }

    /// Has other rules hold from now on.
    pub fn replace(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }
}
