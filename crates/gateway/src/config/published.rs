//! `limits.toml` of a publication: what a configuration has under `[atm_limits]` and about each institution's limits, in the same words.

use std::num::NonZeroU8;
use std::path::Path;

use cashgate_limits::{LimitFigures, SumCaps};
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::InstitutionId;
use figment::Figment;
use figment::providers::{Format, Toml};
use figment::value::Dict;

use super::reader::{NamedFiles, Reader};
use super::{Institution, limits, read_evidence_demanded};

/// The figures of a publication.
#[derive(Clone, Debug)]
pub struct PublishedFigures {
    /// What any machine may pay out.
    pub atm_limits: SumCaps,
    /// Of each institution that is served here and stands in it.
    pub institutions: Vec<InstitutionFigures>,
    /// Those that stand in it and are not served here.
    pub unknown: Vec<InstitutionId>,
}

/// The figures of an institution, as [`Institution`] has them.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is the field of the same name")]
pub struct InstitutionFigures {
    pub id: InstitutionId,
    pub limits: LimitFigures,
    pub failed_attempts_max: NonZeroU8,
    pub evidence_demanded: EvidenceGrade,
}

/// Reads the figures for the institutions that are served.
///
/// # Errors
/// Everything that is wrong, each with the path of its key.
pub fn published_figures(text: &str, served: &[Institution]) -> Result<PublishedFigures, Vec<String>> {
    let table: Dict = Figment::new()
        .merge(Toml::string(text))
        .extract()
        .map_err(|error| error.into_iter().map(|one| one.to_string()).collect::<Vec<_>>())?;
    let root = Reader::new(table, Path::new("."), NamedFiles::Here);
    let atm_limits = limits::read_atm(&root);
    let (mut institutions, mut named, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for (index, table) in root.tables("institution").iter().enumerate() {
        let id: Option<InstitutionId> = table.parsed("id");
        let of = id.as_ref().and_then(|id| served.iter().find(|one| one.id == *id));
        let figures = limits::read(table, of.map(|of| of.currency));
        let evidence_demanded = read_evidence_demanded(table);
        table.close();
        let Some(id) = id else { continue };
        if named.contains(&id) {
            root.error(&format!("institution[{index}].id"), format!("{id} is there twice"));
        }
        named.push(id.clone());
        match (of, figures, evidence_demanded) {
            (None, ..) => unknown.push(id),
            (Some(_), Some((limits, failed_attempts_max)), Some(evidence_demanded)) => {
                institutions.push(InstitutionFigures { id, limits, failed_attempts_max, evidence_demanded });
            }
            // It has been said what is wrong.
            (Some(_), ..) => {}
        }
    }
    root.close();
    let problems = root.errors();
    match atm_limits {
        Some(atm_limits) if problems.is_empty() => Ok(PublishedFigures { atm_limits, institutions, unknown }),
        _ => Err(problems),
    }
}
