//! What a rule set says about one withdrawal.

use cashgate_withdrawal::ids::ReasonCode;

/// The answer for one withdrawal, from the mildest to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// Go on.
    Permit,
    /// Go on once the customer has typed the app's confirm code on the ATM's own keypad.
    StepUp,
    /// Refuse. What the customer's side is told must not say why.
    Forbid,
}

impl Verdict {
    /// All of them, the mildest first.
    pub const ALL: [Self; 3] = [Self::Permit, Self::StepUp, Self::Forbid];

    /// The word that cases, records and tables use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::StepUp => "step_up",
            Self::Forbid => "forbid",
        }
    }
}

/// A verdict and what stands behind it. The same facts under the same version always give the same decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// The `@reason` codes of the rules that led to it, sorted, each once. Never empty unless the verdict is a permit: `no_permit`
    /// if no rule permits, `policy_error` if a rule failed while it ran or the facts were out of range.
    pub reasons: Vec<ReasonCode>,
    /// Those rules, as `file.cedar#n` (the n-th rule of that file, from 1), sorted. For operators and the ledger only.
    pub rules: Vec<String>,
    /// Which set decided: see [`PolicySet::version`](crate::PolicySet::version).
    pub policy_version: String,
}
