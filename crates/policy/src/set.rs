//! A rule set that is fit to decide, and how it decides.

use std::collections::BTreeSet;
use std::path::Path;

use cashgate_withdrawal::ids::ReasonCode;
use cedar_policy::{AuthorizationError, Authorizer, Entities, PolicyId, Request, Response, Schema};

use crate::cases::{self, Case, CaseFailure};
use crate::decision::{Decision, Verdict};
use crate::facts::Facts;
use crate::problem::{PolicyError, Problem};
use crate::question::EntityModel;
use crate::rules::{Meaning, NO_PERMIT, POLICY_ERROR, Rule, Rules, reason_code};
use crate::sources::{self, Folder};

/// Fraud rules, validated and ready. Immutable, so threads share it freely; a new set is a new value.
#[derive(Debug)]
pub struct PolicySet {
    version: String,
    rules: Rules,
    schema: Schema,
    model: EntityModel,
    authorizer: Authorizer,
    no_permit: ReasonCode,
    policy_error: ReasonCode,
}

impl PolicySet {
    /// The rules that come with the gateway (`crates/policy/policies`).
    ///
    /// # Errors
    /// [`PolicyError::Invalid`] if they or their cases were broken in the sources; a test sees to it that they are not.
    pub fn builtin() -> Result<Self, PolicyError> {
        Ok(Self::from_sources("builtin", Folder::builtin())?.0)
    }

    /// The built-in rules without those whose reason is not kept, to see what the others do alone. Permits stay. Their cases are not run: they are
    /// the whole set's.
    ///
    /// # Errors
    /// Those of [`PolicySet::builtin`].
    pub fn builtin_part(keeps: impl Fn(&str) -> bool) -> Result<Self, PolicyError> {
        let (whole, _) = Self::from_sources("builtin", Folder { cases: Vec::new(), ..Folder::builtin() })?;
        let is_kept = |rule: &Rule| rule.reason.as_ref().is_none_or(|reason| keeps(reason.as_str()));
        let version = whole.version.replacen("builtin", "part-of-builtin", 1);
        Ok(Self { version, rules: whole.rules.part(is_kept), ..whole })
    }

    /// The codes that its rules give as reasons.
    pub fn reasons(&self) -> impl Iterator<Item = &ReasonCode> {
        self.rules.by_id.values().filter_map(|rule| rule.reason.as_ref())
    }

    /// The rules of a folder: every file named `*.cedar` directly in it, in place of the built-in ones. They are validated against
    /// the built-in schema; a schema file in the folder is not read. Then its cases (every `*.cases.toml`) are run.
    ///
    /// # Errors
    /// [`PolicyError::Folder`] if the folder cannot be listed, [`PolicyError::Empty`] if it holds no rule, and
    /// [`PolicyError::Invalid`] with every problem if any file, rule or case is not in order: then none of the set is used.
    pub fn from_dir(folder: impl AsRef<Path>) -> Result<Self, PolicyError> {
        Ok(Self::from_sources("custom", Folder::read(folder.as_ref())?)?.0)
    }

    /// The rules and cases of a publication: what [`PolicySet::from_dir`] would take from a folder with these files. Its version names the
    /// publication: `published-7-` and the digits.
    ///
    /// # Errors
    /// Those of [`PolicySet::from_dir`].
    pub fn published<'a>(
        number: u64,
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, PolicyError> {
        let (set, _) = Self::from_sources("published", Folder::of_files(files))?;
        let version = set.version.replacen("published", &format!("published-{number}"), 1);
        Ok(Self { version, ..set })
    }

    /// Names and texts of the rules and cases that come with the gateway, to begin a folder of one's own with.
    pub fn builtin_files() -> impl Iterator<Item = (String, String)> {
        Folder::builtin().into_files()
    }

    /// What [`PolicySet::from_dir`] would take, for an analyst who wants to know before it is used.
    ///
    /// # Errors
    /// Those of [`PolicySet::from_dir`].
    pub fn check_dir(folder: impl AsRef<Path>) -> Result<Checked, PolicyError> {
        let folder = Folder::read(folder.as_ref())?;
        let ignored = folder.ignored.clone();
        let (set, cases) = Self::from_sources("custom", folder)?;
        Ok(Checked { ignored, ..Checked::of(&set, &cases) })
    }

    /// The same for the rules that come with the gateway.
    ///
    /// # Errors
    /// Those of [`PolicySet::builtin`].
    pub fn check_builtin() -> Result<Checked, PolicyError> {
        let (set, cases) = Self::from_sources("builtin", Folder::builtin())?;
        Ok(Checked::of(&set, &cases))
    }

    /// The set, and the cases it passed.
    fn from_sources(origin: &'static str, folder: Folder) -> Result<(Self, Vec<Case>), PolicyError> {
        let Folder { rules: sources, cases, mut problems, .. } = folder;
        let schema_source = sources::schema();
        let invalid = |mut problems: Vec<Problem>| {
            problems.sort();
            PolicyError::Invalid { origin, problems }
        };
        let in_schema = |message: String| invalid(vec![Problem::in_file(&schema_source.file, message)]);

        let parsed = Schema::from_cedarschema_str(&schema_source.text);
        let (schema, _) = parsed.map_err(|error| in_schema(error.to_string()))?;
        let model = EntityModel::new().map_err(|error| in_schema(error.to_string()))?;
        let no_permit = reason_code(NO_PERMIT).map_err(in_schema)?;
        let policy_error = reason_code(POLICY_ERROR).map_err(in_schema)?;

        let cases = found(cases.iter().map(cases::parse), &mut problems);
        let cases: Vec<Case> = cases.into_iter().flatten().collect();
        let rules = found([Rules::new(&sources, &schema)], &mut problems).pop();
        let Some(rules) = rules.filter(|_| problems.is_empty()) else { return Err(invalid(problems)) };
        if rules.all.is_empty() {
            return Err(PolicyError::Empty { origin });
        }
        let version = sources::version(origin, &schema_source, &sources);
        let set = Self { version, rules, schema, model, authorizer: Authorizer::new(), no_permit, policy_error };
        let failures = cases::run(&set, &cases);
        if failures.is_empty() {
            Ok((set, cases))
        } else {
            Err(invalid(failures.iter().map(CaseFailure::problem).collect()))
        }
    }

    /// `builtin-`, `custom-` or `published-` with a number, and 16 hexadecimal digits: the beginning of a SHA-256 over the schema and every rule file, name and
    /// bytes. Another version means that something in them differs.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What the rules say about one withdrawal.
    ///
    /// The strictest satisfied rule decides: a forbid, then a step-up, then a permit. No permit, a rule that fails while it runs, and
    /// facts out of range are all a forbid. A step-up is answered only if a permit stands behind it: the code at the machine
    /// replaces the step-up rules, not a missing permit.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> Decision {
        let Some((request, entities)) = self.model.question(facts, &self.schema) else {
            return self.forbid(&self.policy_error, Evidence::default());
        };
        let response = self.authorizer.is_authorized(&request, &self.rules.all, &entities);
        let failed: Vec<&PolicyId> = response.diagnostics().errors().map(failed_policy).collect();
        if !failed.is_empty() {
            let mut evidence = self.evidence(&response, |meaning| meaning != Meaning::Permit);
            evidence.rules.extend(failed.into_iter().map(ToString::to_string));
            return self.forbid(&self.policy_error, evidence);
        }

        let satisfied = |wanted| response.diagnostics().reason().any(|id| self.meaning(id) == wanted);
        if satisfied(Meaning::Forbid) {
            self.decision(Verdict::Forbid, self.evidence(&response, |_| true))
        } else if satisfied(Meaning::StepUp) {
            // Cedar names permits only when nothing forbids, so whether there is one must be asked without the step-ups.
            let evidence = self.evidence(&response, |_| true);
            if self.is_permitted_after_step_up(&request, &entities) {
                self.decision(Verdict::StepUp, evidence)
            } else {
                self.forbid(&self.no_permit, evidence)
            }
        } else if satisfied(Meaning::Permit) {
            self.decision(Verdict::Permit, self.evidence(&response, |_| true))
        } else {
            self.forbid(&self.no_permit, Evidence::default())
        }
    }

    fn is_permitted_after_step_up(&self, request: &Request, entities: &Entities) -> bool {
        let response = self.authorizer.is_authorized(request, &self.rules.after_step_up, entities);
        response.decision() == cedar_policy::Decision::Allow && response.diagnostics().errors().next().is_none()
    }

    /// A rule that is not known would be a forbid; there is none, as every policy of the set was added with its rule.
    fn meaning(&self, id: &PolicyId) -> Meaning {
        self.rules.by_id.get(id).map_or(Meaning::Forbid, |rule| rule.meaning)
    }

    fn evidence(&self, response: &Response, counts: impl Fn(Meaning) -> bool) -> Evidence {
        let mut evidence = Evidence::default();
        for id in response.diagnostics().reason().filter(|id| counts(self.meaning(id))) {
            evidence.rules.insert(id.to_string());
            evidence.reasons.extend(self.rules.by_id.get(id).and_then(|rule| rule.reason.clone()));
        }
        evidence
    }

    fn forbid(&self, reason: &ReasonCode, mut evidence: Evidence) -> Decision {
        evidence.reasons.insert(reason.clone());
        self.decision(Verdict::Forbid, evidence)
    }

    fn decision(&self, verdict: Verdict, evidence: Evidence) -> Decision {
        Decision {
            verdict,
            reasons: evidence.reasons.into_iter().collect(),
            rules: evidence.rules.into_iter().collect(),
            policy_version: self.version.clone(),
        }
    }
}

/// A folder that is in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The version that [`PolicySet::version`] would give.
    pub version: String,
    /// How many rules it has.
    pub rules: usize,
    /// How many cases it passed.
    pub cases: usize,
    /// Rules that no case meets: nobody has seen them do anything.
    pub unmet: Vec<String>,
    /// Files that are neither rules nor cases by their names.
    pub ignored: Vec<String>,
}

impl Checked {
    fn of(set: &PolicySet, cases: &[Case]) -> Self {
        let met: BTreeSet<String> = cases.iter().flat_map(|case| set.decide(&case.facts).rules).collect();
        let all: BTreeSet<String> = set.rules.by_id.keys().map(ToString::to_string).collect();
        let unmet = all.difference(&met).cloned().collect();
        Self { version: set.version.clone(), rules: all.len(), cases: cases.len(), unmet, ignored: Vec::new() }
    }
}

/// What went well; what did not goes to the problems.
fn found<T>(results: impl IntoIterator<Item = Result<T, Vec<Problem>>>, problems: &mut Vec<Problem>) -> Vec<T> {
    let mut good = Vec::new();
    for result in results {
        match result {
            Ok(one) => good.push(one),
            Err(found) => problems.extend(found),
        }
    }
    good
}

fn failed_policy(error: &AuthorizationError) -> &PolicyId {
    match error {
        AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
    }
}

/// The rules behind a verdict and their codes, sorted because Cedar hands them out in no order.
#[derive(Default)]
struct Evidence {
    reasons: BTreeSet<ReasonCode>,
    rules: BTreeSet<String>,
}
