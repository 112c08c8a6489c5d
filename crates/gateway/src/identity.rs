//! Who a peer is: the SPIFFE URI in its client certificate, and nothing else.

use std::sync::Arc;

use cashgate_withdrawal::ids::{AtmId, InstitutionId, OperatorName};
use cashgate_withdrawal::time::Timestamp;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A peer, as its certificate names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// `spiffe://<trust domain>/atm/<id>`
    Atm(AtmId),
    /// `spiffe://<trust domain>/institution/<id>`: the app back end.
    Institution(InstitutionId),
    /// `spiffe://<trust domain>/corebank/<institution id>`
    CoreBanking(InstitutionId),
    /// `spiffe://<trust domain>/operator/<name>`
    Operator(OperatorName),
    /// `spiffe://<trust domain>/replica/<number>`: another replica of this gateway.
    Replica(u16),
}

/// Why a certificate names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not X.509.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// No URI, or several: a SPIFFE certificate has exactly one (X.509-SVID section 2).
    #[error("the certificate has {0} URI names instead of one")]
    UriCount(usize),
    /// Another trust domain or path.
    #[error("the certificate's URI is not spiffe://{trust_domain}/(atm|institution|corebank|operator|replica)/<id>")]
    Foreign {
        /// The domain that was expected.
        trust_domain: Arc<str>,
    },
}

impl Identity {
    /// Reads a certificate in DER whose chain has been verified already.
    pub fn from_certificate(der: &[u8], trust_domain: &Arc<str>) -> Result<Self, IdentityError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| IdentityError::Unreadable)?;
        let names = certificate.subject_alternative_name().map_err(|_| IdentityError::Unreadable)?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
            .collect();
        match uris.as_slice() {
            [uri] => Self::from_uri(uri, trust_domain),
            others => Err(IdentityError::UriCount(others.len())),
        }
    }

    /// The path of its SPIFFE id, such as `atm/A1`.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Atm(id) => format!("atm/{id}"),
            Self::Institution(id) => format!("institution/{id}"),
            Self::CoreBanking(id) => format!("corebank/{id}"),
            Self::Operator(name) => format!("operator/{name}"),
            Self::Replica(number) => format!("replica/{number}"),
        }
    }

    /// Reads a SPIFFE id.
    pub fn from_uri(uri: &str, trust_domain: &Arc<str>) -> Result<Self, IdentityError> {
        let foreign = || IdentityError::Foreign { trust_domain: Arc::clone(trust_domain) };
        let path = uri
            .strip_prefix("spiffe://")
            .and_then(|rest| rest.strip_prefix(&**trust_domain))
            .and_then(|rest| rest.strip_prefix('/'))
            .ok_or_else(foreign)?;
        let (role, id) = path.split_once('/').ok_or_else(foreign)?;
        match role {
            "atm" => id.parse().map(Self::Atm).map_err(|_| foreign()),
            "institution" => id.parse().map(Self::Institution).map_err(|_| foreign()),
            "corebank" => id.parse().map(Self::CoreBanking).map_err(|_| foreign()),
            "operator" => id.parse().map(Self::Operator).map_err(|_| foreign()),
            // One way to write a number: a name must not be another's in disguise.
            "replica" => {
                id.parse().ok().filter(|number: &u16| number.to_string() == id).map(Self::Replica).ok_or_else(foreign)
            }
            _ => Err(foreign()),
        }
    }
}

/// When a certificate in DER ends.
#[must_use]
pub fn ends_at(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(Timestamp::from_unix_ms(seconds.saturating_mul(1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_five_roles_of_our_trust_domain() {
        let domain: Arc<str> = "cashgate.test".into();
        let read = |uri: &str| Identity::from_uri(uri, &domain);
        assert_eq!(read("spiffe://cashgate.test/atm/A1"), Ok(Identity::Atm("A1".parse().unwrap())));
        assert_eq!(read("spiffe://cashgate.test/operator/mori"), Ok(Identity::Operator("mori".parse().unwrap())));
        for path in ["atm/A1", "institution/sakura", "corebank/sakura", "operator/mori", "replica/2"] {
            assert_eq!(read(&format!("spiffe://cashgate.test/{path}")).unwrap().path(), path);
        }
        for foreign in [
            "spiffe://cashgate.test.evil/atm/A1",
            "spiffe://evil/atm/A1",
            "https://cashgate.test/atm/A1",
            "spiffe://cashgate.test/atm/",
            "spiffe://cashgate.test/atm/A1/extra",
            "spiffe://cashgate.test/atm",
            "spiffe://cashgate.test/gateway/A1",
            "spiffe://cashgate.test/replica/02",
            "spiffe://cashgate.test/replica/+2",
            "spiffe://cashgate.test/replica/65536",
            "spiffe://cashgate.testatm/A1",
        ] {
            assert!(matches!(read(foreign), Err(IdentityError::Foreign { .. })), "{foreign}");
        }
    }
}
