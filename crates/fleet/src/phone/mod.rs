//! A customer's phone: its key, what it signs and shows, and the bank's app back end through which it speaks to the gateway.

mod app;
mod screen;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use cashgate_qr::TEXT_PREFIX;
use cashgate_qr::approval::ApprovalStatement;
use cashgate_withdrawal::ids::{AccountId, DeviceId, IdError, InstitutionId, QrTokenDigest};
use cashgate_withdrawal::money::Money;

pub use app::{App, ApprovalRequest, Registration};
pub use screen::{after_scan, with_confirm_code};

/// Why a phone has no usable key.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// The key file cannot be read or written.
    #[error("{path}: {source}; `register` makes the phone's key")]
    Io {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds no P-256 key in PKCS#8.
    #[error("{path} holds no P-256 key in PKCS#8 DER; remove it and register the phone anew")]
    NotAKey {
        /// The key file.
        path: PathBuf,
    },
    /// The cryptographic library failed.
    #[error("the cryptographic library could not {what}")]
    Crypto {
        /// What it was to do.
        what: &'static str,
    },
    /// The institution's or the device's id is malformed.
    #[error(transparent)]
    Id(#[from] IdError),
}

/// A phone with its key.
#[derive(Debug)]
pub struct Phone {
    institution: InstitutionId,
    device: DeviceId,
    key: EcdsaKeyPair,
}

impl Phone {
    /// The phone whose key lies in a folder.
    ///
    /// # Errors
    /// There is no usable key, or an id is malformed.
    pub fn open(state_dir: &Path, institution: &str, device: &str) -> Result<Self, PhoneError> {
        let (institution, device) = (institution.parse()?, device.parse()?);
        let path = key_path(state_dir, &device);
        let pkcs8 = std::fs::read(&path).map_err(|source| PhoneError::Io { path: path.clone(), source })?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8)
            .map_err(|_| PhoneError::NotAKey { path })?;
        Ok(Self { institution, device, key })
    }

    /// The same, with a new key if there is none yet. Only the owner can read the file (mode 0600).
    ///
    /// # Errors
    /// The key cannot be made, written or read, or an id is malformed.
    pub fn open_or_make(state_dir: &Path, institution: &str, device: &str) -> Result<Self, PhoneError> {
        let path = key_path(state_dir, &device.parse()?);
        let io = |source| PhoneError::Io { path: path.clone(), source };
        std::fs::create_dir_all(state_dir).map_err(io)?;
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                file.write_all(new_key()?.as_ref()).map_err(io)?;
                file.sync_all().map_err(io)?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io(error)),
        }
        Self::open(state_dir, institution, device)
    }

    /// The same, with a new key in place of the one that there may be, as an app has it that was installed anew.
    ///
    /// # Errors
    /// As [`Self::open_or_make`].
    pub fn with_new_key(state_dir: &Path, institution: &str, device: &str) -> Result<Self, PhoneError> {
        let path = key_path(state_dir, &device.parse()?);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(PhoneError::Io { path, source }),
            _ => {}
        }
        Self::open_or_make(state_dir, institution, device)
    }

    /// A phone with a fresh key that is kept nowhere, for load.
    ///
    /// # Errors
    /// The key cannot be made, or an id is malformed.
    pub fn ephemeral(institution: &str, device: &str) -> Result<Self, PhoneError> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, new_key()?.as_ref())
            .map_err(|_| PhoneError::Crypto { what: "read its own key" })?;
        Ok(Self { institution: institution.parse()?, device: device.parse()?, key })
    }

    /// The app installation's id.
    #[must_use]
    pub fn device_id(&self) -> &str {
        self.device.as_str()
    }

    /// The public key as phones export it: SubjectPublicKeyInfo in DER, 91 bytes.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn public_key(&self) -> Result<Vec<u8>, PhoneError> {
        let der: PublicKeyX509Der<'_> =
            self.key.public_key().as_der().map_err(|_| PhoneError::Crypto { what: "export the public key" })?;
        Ok(der.as_ref().to_vec())
    }

    /// The signature over the approval text: ECDSA P-256 with SHA-256 as ASN.1 DER, as `ApproveRequest.signature` describes it.
    ///
    /// # Errors
    /// The account's id is malformed, or the library fails.
    pub fn approval_signature(&self, qr_text: &str, account: &str, amount: Money) -> Result<Vec<u8>, PhoneError> {
        let statement = ApprovalStatement {
            qr_token: scanned_digest(qr_text),
            institution: self.institution.clone(),
            account: account.parse::<AccountId>()?,
            amount,
            device: self.device.clone(),
        };
        let signature = self.key.sign(&SystemRandom::new(), statement.signing_text().as_bytes());
        Ok(signature.map_err(|_| PhoneError::Crypto { what: "sign" })?.as_ref().to_vec())
    }
}

fn key_path(state_dir: &Path, device: &DeviceId) -> PathBuf {
    state_dir.join(format!("{device}.p8"))
}

fn new_key() -> Result<impl AsRef<[u8]>, PhoneError> {
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
        .map_err(|_| PhoneError::Crypto { what: "make a key" })
}

/// The SHA-256 of the scanned token's bytes. A text that is no token is hashed as it is, so that the gateway has something to refuse.
fn scanned_digest(qr_text: &str) -> QrTokenDigest {
    let bytes = qr_text.strip_prefix(TEXT_PREFIX).and_then(|base45| base45::decode(base45).ok());
    let mut value = [0; 32];
    value.copy_from_slice(digest(&SHA256, bytes.as_deref().unwrap_or(qr_text.as_bytes())).as_ref());
    QrTokenDigest(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
    use cashgate_qr::approval::DeviceKey;
    use cashgate_withdrawal::money::Currency;
    use std::os::unix::fs::PermissionsExt;

    const TOKEN: &[u8] = b"the bytes of a COSE_Sign1";

    fn qr_text() -> String {
        format!("CG1:{}", base45::encode(TOKEN))
    }

    fn yen(amount: u64) -> Money {
        Money::from_minor_units(amount, Currency::JPY).unwrap()
    }

    #[test]
    fn a_phone_keeps_its_key_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Phone::open(folder.path(), "sakura", "phone-1"), Err(PhoneError::Io { .. })));
        let made = Phone::open_or_make(folder.path(), "sakura", "phone-1").unwrap().public_key().unwrap();
        let again = Phone::open_or_make(folder.path(), "sakura", "phone-1").unwrap().public_key().unwrap();
        let other = Phone::open_or_make(folder.path(), "sakura", "phone-2").unwrap().public_key().unwrap();
        assert_eq!((made.len(), &made), (91, &again));
        assert_ne!(made, other);
        let anew = Phone::with_new_key(folder.path(), "sakura", "phone-1").unwrap().public_key().unwrap();
        assert_ne!(made, anew);
        assert_eq!(Phone::open(folder.path(), "sakura", "phone-1").unwrap().public_key().unwrap(), anew);
        let mode = std::fs::metadata(folder.path().join("phone-1.p8")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn signs_the_text_that_the_interface_describes() {
        let phone = Phone::ephemeral("sakura", "phone-1").unwrap();
        let signature = phone.approval_signature(&qr_text(), "acct-1", yen(30_000)).unwrap();
        let point = *DeviceKey::from_phone_export(&phone.public_key().unwrap()).unwrap().sec1_uncompressed();
        let verifies = |text: &str| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(text.as_bytes(), &signature).is_ok()
        };
        let token_digest = hex::encode(digest(&SHA256, TOKEN));
        let text =
            |amount: u64| format!("cashgate-approval-v1\n{token_digest}\nsakura\nacct-1\n{amount}\nJPY\nphone-1");
        assert!(verifies(&text(30_000)));
        assert!(!verifies(&text(30_001)));
    }

    #[test]
    fn signs_something_even_for_what_is_no_token() {
        let phone = Phone::ephemeral("sakura", "phone-1").unwrap();
        assert!(!phone.approval_signature("nonsense", "acct-1", yen(1)).unwrap().is_empty());
        assert!(matches!(phone.approval_signature("nonsense", "no account", yen(1)), Err(PhoneError::Id(_))));
    }
}
