//! The rules of a gateway whose rules come from the ledger, as long as nothing has been published that it understands.

use cashgate_policy::{Decision, Facts, Verdict};

use crate::admission::Policy;

/// Refuses every withdrawal: nobody has said under which rules money may leave. Outcomes of what is open are taken all the same.
#[derive(Clone, Copy, Debug)]
pub struct NothingPublished;

impl NothingPublished {
    /// The version that its refusals are recorded with.
    pub const VERSION: &'static str = "nothing-published";
}

impl Policy for NothingPublished {
    fn decide(&self, _: &Facts) -> Decision {
        Decision {
            verdict: Verdict::Forbid,
            reasons: "nothing_published".parse().into_iter().collect(),
            rules: Vec::new(),
            policy_version: Self::VERSION.to_owned(),
        }
    }

    fn version(&self) -> &str {
        Self::VERSION
    }
}
