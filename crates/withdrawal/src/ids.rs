//! Ids as types of their own, so that an account can never stand where a device belongs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text was not accepted as an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty, too long or with other characters than letters, digits, `.`, `_` and `-`.
    #[error("{kind} must have 1 to {TEXT_ID_LENGTH_MAX} characters out of A-Z a-z 0-9 . _ -")]
    NotTextId {
        /// Which id it was to be.
        kind: &'static str,
    },
    /// Not eight hexadecimal digits.
    #[error("a key id must be 8 hexadecimal digits")]
    NotKeyId,
    /// Not a UUID in its hyphenated form.
    #[error("{kind} must be a UUID such as 01981f2e-7c1a-7000-8000-0123456789ab")]
    NotUuid {
        /// Which id it was to be.
        kind: &'static str,
    },
    /// Not upper-case hexadecimal digits, or too many.
    #[error("a dispenser's nonce must have 1 to {COMMAND_NONCE_LENGTH_MAX} characters out of 0-9 A-F")]
    NotCommandNonce,
}

/// The longest command nonce, in characters.
pub const COMMAND_NONCE_LENGTH_MAX: usize = 64;

/// The longest text id, in characters.
pub const TEXT_ID_LENGTH_MAX: usize = 64;

macro_rules! text_id {
    ($(#[$meaning:meta])* $name:ident, $kind:literal) => {
        $(#[$meaning])*
        ///
        /// 1 to 64 characters out of `A-Z a-z 0-9 . _ -`.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
                if text.is_empty() || text.len() > TEXT_ID_LENGTH_MAX || !text.bytes().all(allowed) {
                    return Err(IdError::NotTextId { kind: $kind });
                }
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// The ATM network that this gateway serves; several institutions share it.
    NetworkId, "a network id"
);
text_id!(
    /// A bank whose customers withdraw.
    InstitutionId, "an institution id"
);
text_id!(
    /// One cash machine. Comes from its client certificate, never from a message.
    AtmId, "an ATM id"
);
text_id!(
    /// An account at an institution, as the institution names it towards the gateway: opaque, best a keyed hash of the real number.
    AccountId, "an account id"
);
text_id!(
    /// A phone (an app installation) as its institution names it.
    DeviceId, "a device id"
);
text_id!(
    /// A person of the operating side, from the client certificate.
    OperatorName, "an operator name"
);
text_id!(
    /// Core banking's own reference of a hold.
    HoldReference, "a hold reference"
);
text_id!(
    /// A short machine-readable reason, such as why core banking declined.
    ReasonCode, "a reason code"
);

macro_rules! uuid_id {
    ($(#[$meaning:meta])* $name:ident, $kind:literal) => {
        $(#[$meaning])*
        ///
        /// Sixteen bytes, written as a UUID; version 7 (RFC 9562) keeps them in the order of time.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// An id from its bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // In five numbers: an id is written several times for each step that becomes durable.
                let bits = u128::from_be_bytes(self.0);
                let (first, second, third) = (bits >> 96, bits >> 80 & 0xffff, bits >> 64 & 0xffff);
                let (fourth, last) = (bits >> 48 & 0xffff, bits & 0xffff_ffff_ffff);
                write!(f, "{first:08x}-{second:04x}-{third:04x}-{fourth:04x}-{last:012x}")
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                uuid_bytes(text).map(Self).ok_or(IdError::NotUuid { kind: $kind })
            }
        }
    };
}

uuid_id!(
    /// One withdrawal, from approval to its end. It is the idempotency key on every leg and the only identity a dispense command has.
    WithdrawalId, "a withdrawal id"
);
uuid_id!(
    /// The time in which one ATM shows codes for one customer.
    QrSessionId, "a QR session id"
);

/// The random number, drawn in the HSM, that makes a QR token unique.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nonce(pub [u8; 16]);

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(..)")
    }
}

/// A nonce of XFS4IoT end-to-end security, as it stands in a token: the dispenser's own, which a dispense token answers, or the one that a
/// dispenser is asked its present status with.
///
/// 1 to 64 characters out of `0-9 A-F`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandNonce(Arc<str>);

impl CommandNonce {
    /// Sixteen bytes as 32 digits.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(format!("{:032X}", u128::from_be_bytes(bytes)).into())
    }

    /// The nonce as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommandNonce {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let is_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
        let fits = (1..=COMMAND_NONCE_LENGTH_MAX).contains(&text.len());
        if is_hex && fits { Ok(Self(text.into())) } else { Err(IdError::NotCommandNonce) }
    }
}

impl fmt::Display for CommandNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CommandNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 digest of a QR token's bytes: what the customer's phone signs, and how the gateway remembers a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct QrTokenDigest(pub [u8; 32]);

impl fmt::Debug for QrTokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QrTokenDigest(..)")
    }
}

/// The id of a key, as it stands in a token's protected header: the first bytes of the key's SHA-256 thumbprint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for KeyId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let hex = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = hex.then(|| u32::from_str_radix(text, 16).ok()).flatten();
        number.map(|n| Self(n.to_be_bytes())).ok_or(IdError::NotKeyId)
    }
}

fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let groups: Vec<&str> = text.split('-').collect();
    if groups.iter().map(|group| group.len()).ne([8, 4, 4, 4, 12]) || !text.is_ascii() {
        return None;
    }
    // `from_str_radix` takes a leading plus sign; a UUID does not.
    let digits = groups.concat();
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ids_take_a_short_plain_alphabet() {
        for good in ["A1", "atm-0001", "tokyo.shibuya_3", &"x".repeat(64)] {
            assert_eq!(good.parse::<AtmId>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "a\n", "ä", "a:b", &"x".repeat(65)] {
            assert_eq!(bad.parse::<AtmId>(), Err(IdError::NotTextId { kind: "an ATM id" }), "{bad:?}");
        }
    }

    #[test]
    fn uuid_ids_read_what_they_write() {
        let id = WithdrawalId::from_bytes([0x01, 0x98, 0x1f, 0x2e, 0x7c, 0x1a, 0x70, 0, 0x80, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(id.to_string(), "01981f2e-7c1a-7000-8000-010203040506");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "01981f2e7c1a70008000010203040506",
            "01981f2e-7c1a-7000-8000-01020304050g",
            "+1981f2e-7c1a-7000-8000-010203040506",
        ] {
            assert!(bad.parse::<WithdrawalId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn key_ids_are_eight_hexadecimal_digits() {
        assert_eq!("0a1b2c3d".parse(), Ok(KeyId([0x0a, 0x1b, 0x2c, 0x3d])));
        for bad in ["", "0a1b2c3", "0a1b2c3d4", "+a1b2c3d", "0a1b2c3g"] {
            assert_eq!(bad.parse::<KeyId>(), Err(IdError::NotKeyId), "{bad:?}");
        }
    }

    #[test]
    fn command_nonces_are_upper_case_hexadecimal_digits() {
        for good in ["0", "254611E63B2531576314E86527338D61", &"F".repeat(64)] {
            assert_eq!(good.parse::<CommandNonce>().unwrap().as_str(), good);
        }
        for bad in ["", "0a", "0G", "0 ", "+1", "1,", &"F".repeat(65)] {
            assert_eq!(bad.parse::<CommandNonce>(), Err(IdError::NotCommandNonce), "{bad:?}");
        }
        let from_bytes = CommandNonce::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]);
        assert_eq!(from_bytes.to_string(), "000102030405060708090A0B0C0D0EFF");
    }

    #[test]
    fn ids_print_as_they_are_written() {
        let key = KeyId([0x0a, 0x1b, 0x2c, 0x3d]);
        assert_eq!((key.to_string(), format!("{key:?}")), ("0a1b2c3d".to_owned(), "0a1b2c3d".to_owned()));
        assert_eq!(key.to_string().parse(), Ok(key));
        let atm: AtmId = "A1".parse().unwrap();
        assert_eq!(format!("{atm} {atm:?}"), "A1 A1");
        let id = WithdrawalId::from_bytes([0x11; 16]);
        assert_eq!(format!("{id:?}"), "11111111-1111-1111-1111-111111111111");
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?} {:?}", Nonce([7; 16]), QrTokenDigest([7; 32])), "Nonce(..) QrTokenDigest(..)");
    }
}
