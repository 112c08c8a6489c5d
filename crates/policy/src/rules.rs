//! From texts to rules that are fit to decide: parsed, annotated and valid against the schema, or else every mistake at once.

use std::collections::HashMap;

use cashgate_withdrawal::ids::ReasonCode;
use cedar_policy::{Effect, Policy, PolicyId, Schema, ValidationMode, Validator};

use crate::problem::Problem;
use crate::sources::Source;

/// The reason when no permit fits.
pub(crate) const NO_PERMIT: &str = "no_permit";
/// The reason when a rule failed while it ran, or the facts were out of range.
pub(crate) const POLICY_ERROR: &str = "policy_error";

/// The only step-up there is.
const CONFIRM_CODE: &str = "confirm_code";

/// What a satisfied rule means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Permit,
    StepUp,
    Forbid,
}

/// What is kept of a rule beside Cedar's own form of it.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) meaning: Meaning,
    /// Every forbid has one.
    pub(crate) reason: Option<ReasonCode>,
}

/// Valid rules.
#[derive(Debug)]
pub(crate) struct Rules {
    /// All of them.
    pub(crate) all: cedar_policy::PolicySet,
    /// All but the step-ups: what still applies once the code has been typed.
    pub(crate) after_step_up: cedar_policy::PolicySet,
    /// By Cedar's policy id, which is `file.cedar#n`.
    pub(crate) by_id: HashMap<PolicyId, Rule>,
}

impl Rules {
    pub(crate) fn new(sources: &[Source], schema: &Schema) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut drafts = Vec::new();
        for source in sources {
            match drafts_in(source) {
                Ok(found) => drafts.extend(found),
                Err(found) => problems.extend(found),
            }
        }
        let mut rules = Self {
            all: cedar_policy::PolicySet::new(),
            after_step_up: cedar_policy::PolicySet::new(),
            by_id: HashMap::new(),
        };
        for draft in &drafts {
            match draft.rule().and_then(|rule| rules.add(draft, rule)) {
                Ok(()) => {}
                Err(message) => problems.push(draft.problem(message)),
            }
        }
        // Also those whose annotations are wrong: whoever mends a set wants to see all of it at once.
        problems.extend(validation_problems(&drafts, schema));
        if problems.is_empty() { Ok(rules) } else { Err(problems) }
    }

    /// Those of them that are kept.
    pub(crate) fn part(mut self, is_kept: impl Fn(&Rule) -> bool) -> Self {
        let dropped: Vec<PolicyId> =
            self.by_id.iter().filter(|(_, rule)| !is_kept(rule)).map(|(id, _)| id.clone()).collect();
        for id in dropped {
            // Of a set that does not hold it there is nothing to remove.
            let _ = self.all.remove_static(id.clone());
            let _ = self.after_step_up.remove_static(id.clone());
            self.by_id.remove(&id);
        }
        self
    }

    fn add(&mut self, draft: &Draft<'_>, rule: Rule) -> Result<(), String> {
        self.all.add(draft.policy.clone()).map_err(|error| error.to_string())?;
        if rule.meaning != Meaning::StepUp {
            self.after_step_up.add(draft.policy.clone()).map_err(|error| error.to_string())?;
        }
        self.by_id.insert(draft.policy.id().clone(), rule);
        Ok(())
    }
}

/// A reason code, or why the text is none.
pub(crate) fn reason_code(text: &str) -> Result<ReasonCode, String> {
    text.parse().map_err(|error| format!("\"{text}\": {error}"))
}

/// A rule that parsed, and where it stands.
struct Draft<'a> {
    source: &'a Source,
    /// Its number in the file, from 1.
    number: usize,
    line: Option<usize>,
    /// With the id `file.cedar#n`.
    policy: Policy,
}

impl Draft<'_> {
    /// What the annotations make of it. An unknown one is refused: a misspelt `@step_up` would turn a question into a refusal.
    fn rule(&self) -> Result<Rule, String> {
        if let Some((unknown, _)) = self.policy.annotations().find(|(key, _)| !matches!(*key, "reason" | "step_up")) {
            return Err(format!("@{unknown} means nothing here; the annotations are @reason and @step_up"));
        }
        let reason = self.policy.annotation("reason").map(|text| match text {
            NO_PERMIT | POLICY_ERROR => Err(format!("@reason(\"{text}\") is the gateway's own; choose another code")),
            _ => reason_code(text),
        });
        let reason = reason.transpose()?;
        let meaning = match (self.policy.effect(), self.policy.annotation("step_up")) {
            (Effect::Permit, None) => Meaning::Permit,
            (Effect::Permit, Some(_)) => {
                return Err("a permit cannot ask for a step-up; write a forbid with @step_up".to_owned());
            }
            (Effect::Forbid, _) if reason.is_none() => {
                return Err("a forbid must say why: add @reason(\"a_short_code\")".to_owned());
            }
            (Effect::Forbid, None) => Meaning::Forbid,
            (Effect::Forbid, Some(CONFIRM_CODE)) => Meaning::StepUp,
            (Effect::Forbid, Some(other)) => {
                return Err(format!(
                    "@step_up(\"{other}\") is not known; the only one is @step_up(\"{CONFIRM_CODE}\")"
                ));
            }
        };
        Ok(Rule { meaning, reason })
    }

    fn problem(&self, message: String) -> Problem {
        Problem { file: self.source.file.clone(), line: self.line, rule: Some(self.number), message }
    }
}

fn drafts_in(source: &Source) -> Result<Vec<Draft<'_>>, Vec<Problem>> {
    let set: cedar_policy::PolicySet = match source.text.parse() {
        Ok(set) => set,
        Err(errors) => {
            let errors: cedar_policy::ParseErrors = errors;
            return Err(errors.iter().map(|error| Problem::from_cedar(source, None, None, error)).collect());
        }
    };
    // A template decides nothing until it is linked, which nobody here does: it would look like a rule and stop no one.
    let templates = set.templates().map(|template| {
        let message = format!("{} is a template (it has a ?slot) and would never apply", template.id());
        Problem::in_file(&source.file, message)
    });
    let templates: Vec<Problem> = templates.collect();
    if !templates.is_empty() {
        return Err(templates);
    }
    Ok(numbered(source, &set))
}

/// The rules in the order of the file, with their lines.
fn numbered<'a>(source: &'a Source, set: &cedar_policy::PolicySet) -> Vec<Draft<'a>> {
    let mut policies: Vec<&Policy> = set.policies().collect();
    // Cedar hands them out in no order, but names them policy0, policy1, ... as they stand in the file.
    let place = |policy: &Policy| policy.id().to_string().trim_start_matches("policy").parse::<usize>();
    policies.sort_by_key(|policy| place(policy).unwrap_or(usize::MAX));

    let mut searched = 0;
    let numbers = 1..;
    let drafts = numbers.zip(policies).map(|(number, policy)| {
        let text = policy.to_cedar().unwrap_or_default();
        let found = source.text.get(searched..).and_then(|rest| rest.find(&text)).map(|at| searched + at);
        searched = found.map_or(searched, |at| at + text.len());
        let policy = policy.new_id(PolicyId::new(format!("{}#{number}", source.file)));
        Draft { source, number, line: found.map(|at| source.line_at(at)), policy }
    });
    drafts.collect()
}

/// What Cedar's validator says. Its warnings count as well: a rule that can never apply is a hole that looks like a wall.
fn validation_problems(drafts: &[Draft<'_>], schema: &Schema) -> Vec<Problem> {
    let validator = Validator::new(schema.clone());
    let mut problems = Vec::new();
    for draft in drafts {
        // One at a time, so that each finding has its file.
        let set = match cedar_policy::PolicySet::from_policies([draft.policy.clone()]) {
            Ok(set) => set,
            Err(error) => {
                problems.push(draft.problem(error.to_string()));
                continue;
            }
        };
        let found = validator.validate(&set, ValidationMode::Strict);
        let errors = found.validation_errors().map(|error| error as &dyn miette::Diagnostic);
        let warnings = found.validation_warnings().map(|warning| warning as &dyn miette::Diagnostic);
        let findings = errors.chain(warnings);
        problems
            .extend(findings.map(|finding| Problem::from_cedar(draft.source, Some(draft.number), draft.line, finding)));
    }
    problems
}
