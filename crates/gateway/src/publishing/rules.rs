//! The files of a publication as the rules of this gateway.

use cashgate_limits::SumCaps;
use cashgate_policy::{PolicyError, PolicySet};
use cashgate_wire::publications::Files;

use crate::config::{Institution, PublishedFigures, published_figures, usual_limits};

/// The file with the figures.
pub const LIMITS: &str = "limits.toml";

/// Why a publication cannot hold here.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// Its rules or cases.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Its figures are not there.
    #[error(
        "{LIMITS} is missing: it holds what a configuration has under [atm_limits] and, for each [[institution]], its id, evidence_demanded \
         and [institution.limits]; an [[institution]] with nothing but its id has the usual limits"
    )]
    NoLimits,
    /// Its figures.
    #[error("{LIMITS} is not in order:{}", lines(.0))]
    Limits(Vec<String>),
    /// The ledger's bytes are no publication, as far as this version knows.
    #[error("it is not written as this version writes one: {0}")]
    Unreadable(String),
}

fn lines(problems: &[String]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// A publication that is fit to hold.
#[derive(Debug)]
pub struct Fit {
    /// Its rules.
    pub policy: PolicySet,
    /// The institutions that are served, with its figures.
    pub institutions: Vec<Institution>,
    /// What it lets any machine pay out.
    pub atm_caps: SumCaps,
}

/// Reads a publication that stands in the ledger. It may be about other institutions than this process serves, because another configuration
/// is rolled out at the moment: one that it does not name has the usual limits.
///
/// # Errors
/// It is not fit to hold here.
pub fn read(served: &[Institution], number: u64, files: &Files) -> Result<Fit, PublishedError> {
    let (policy, figures) = parsed(served, number, files)?;
    for id in &figures.unknown {
        tracing::warn!(institution = %id, number, "is not served here: what was published for it is left out");
    }
    for one in served.iter().filter(|one| !names(&figures, one)) {
        tracing::warn!(institution = %one.id, number, "nothing was published for it: the usual limits hold");
    }
    fit(served, policy, &figures)
}

/// Reads a publication that is about to be made: it must name every institution that is served, and no other.
///
/// # Errors
/// It is not fit to be published.
pub fn check(served: &[Institution], number: u64, files: &Files) -> Result<Fit, PublishedError> {
    let (policy, figures) = parsed(served, number, files)?;
    let unknown = figures.unknown.iter().map(|id| format!("institution {id} is not served by this gateway"));
    let missing = served.iter().filter(|one| !names(&figures, one)).map(|one| {
        format!(
            "institution {} is served and not named; an [[institution]] with its id alone has the usual limits",
            one.id
        )
    });
    let problems: Vec<String> = unknown.chain(missing).collect();
    if problems.is_empty() { fit(served, policy, &figures) } else { Err(PublishedError::Limits(problems)) }
}

fn parsed(served: &[Institution], number: u64, files: &Files) -> Result<(PolicySet, PublishedFigures), PublishedError> {
    let policy = PolicySet::published(number, files.iter().map(|(name, content)| (name.as_str(), content.as_slice())))?;
    let limits = files.get(LIMITS).ok_or(PublishedError::NoLimits)?;
    let text = str::from_utf8(limits).map_err(|error| PublishedError::Limits(vec![error.to_string()]))?;
    let figures = published_figures(text, served).map_err(PublishedError::Limits)?;
    Ok((policy, figures))
}

fn names(figures: &PublishedFigures, one: &Institution) -> bool {
    figures.institutions.iter().any(|figures| figures.id == one.id)
}

fn fit(served: &[Institution], policy: PolicySet, figures: &PublishedFigures) -> Result<Fit, PublishedError> {
    let with_figures = |one: &Institution| match figures.institutions.iter().find(|figures| figures.id == one.id) {
        Some(figures) => Ok(Institution {
            limits: figures.limits.clone(),
            failed_attempts_max: figures.failed_attempts_max,
            evidence_demanded: figures.evidence_demanded,
            ..one.clone()
        }),
        None => usual_limits(one.currency).map(|limits| Institution { limits, ..one.clone() }),
    };
    let institutions = served.iter().map(with_figures).collect::<Result<_, _>>();
    let institutions = institutions.map_err(|error| PublishedError::Limits(vec![error.to_string()]))?;
    Ok(Fit { policy, institutions, atm_caps: figures.atm_limits })
}
