//! The kill switch's messages.

use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::stop::StopScope;

use crate::fields::{id, invalid, text};
use crate::proto::withdrawal::v1::{self as pb, stop_scope::Scope};

/// Reads what a stop covers.
///
/// # Errors
/// [`Refusal::FieldInvalid`] if there is no scope, or an id in it is none.
pub fn scope_from(scope: Option<pb::StopScope>) -> Result<StopScope, Refusal> {
    match scope.and_then(|scope| scope.scope) {
        None => Err(invalid("scope", "is missing; to stop all say everything")),
        Some(Scope::Everything(_)) => Ok(StopScope::Everything),
        Some(Scope::InstitutionId(text)) => Ok(StopScope::Institution(id("scope.institution_id", &text)?)),
        Some(Scope::AtmId(text)) => Ok(StopScope::Atm(id("scope.atm_id", &text)?)),
        Some(Scope::Account(owned)) => Ok(StopScope::Account(
            id("scope.account.institution_id", &owned.institution_id)?,
            id("scope.account.id", &owned.id)?,
        )),
        Some(Scope::Device(owned)) => Ok(StopScope::Device(
            id("scope.device.institution_id", &owned.institution_id)?,
            id("scope.device.id", &owned.id)?,
        )),
    }
}

/// What a stop covers, as a message carries it.
#[must_use]
pub fn scope_to(scope: &StopScope) -> pb::StopScope {
    let owned = |institution: &dyn ToString, id: &dyn ToString| pb::OwnedId {
        institution_id: institution.to_string(),
        id: id.to_string(),
    };
    let scope = match scope {
        StopScope::Everything => Scope::Everything(pb::Everything {}),
        StopScope::Institution(id) => Scope::InstitutionId(id.to_string()),
        StopScope::Atm(id) => Scope::AtmId(id.to_string()),
        StopScope::Account(institution, id) => Scope::Account(owned(institution, id)),
        StopScope::Device(institution, id) => Scope::Device(owned(institution, id)),
    };
    pb::StopScope { scope: Some(scope) }
}

/// Reads why something is done, for the auditor.
///
/// # Errors
/// [`Refusal::FieldInvalid`] if it is empty, longer than 512 bytes or not printable.
pub fn reason_from(reason: String) -> Result<String, Refusal> {
    text("reason", reason, 1..=512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_comes_back_as_it_went() {
        let (bank, it) = ("sakura".parse().unwrap(), "x-1");
        for scope in [
            StopScope::Everything,
            StopScope::Institution(bank),
            StopScope::Atm(it.parse().unwrap()),
            StopScope::Account("ume".parse().unwrap(), it.parse().unwrap()),
            StopScope::Device("ume".parse().unwrap(), it.parse().unwrap()),
        ] {
            assert_eq!(scope_from(Some(scope_to(&scope))), Ok(scope));
        }
    }

    #[test]
    fn a_scope_that_names_nothing_stops_nothing() {
        let owned = |institution: &str, id: &str| pb::OwnedId { institution_id: institution.into(), id: id.into() };
        for (scope, field) in [
            (None, "scope"),
            (Some(Scope::InstitutionId(String::new())), "scope.institution_id"),
            (Some(Scope::AtmId("a b".into())), "scope.atm_id"),
            (Some(Scope::Account(owned("", "x"))), "scope.account.institution_id"),
            (Some(Scope::Account(owned("ume", ""))), "scope.account.id"),
            (Some(Scope::Device(owned("ume", "/"))), "scope.device.id"),
        ] {
            let refused = scope_from(scope.map(|scope| pb::StopScope { scope: Some(scope) }));
            assert!(matches!(refused, Err(Refusal::FieldInvalid { field: named, .. }) if named == field), "{field}");
        }
    }
}
