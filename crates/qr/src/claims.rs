//! What a QR token says, and its CBOR form: a map with small integer keys in deterministic encoding (RFC 8949 section 4.2.1).

use cashgate_withdrawal::ids::{AtmId, NetworkId, Nonce, QrSessionId};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;
use ciborium::Value;

use crate::batch::EncodeError;
use crate::cbor;
use crate::verification::QrTokenError;

/// The version of the claims that this crate writes, and the only one it reads.
pub const CLAIMS_VERSION: u8 = 1;
/// The shortest lifetime, in seconds.
pub const LIFETIME_SECONDS_MIN: u16 = 1;
/// The longest lifetime, in seconds: a code on a screen is for the person who stands before it.
pub const LIFETIME_SECONDS_MAX: u16 = 300;

/// The longest claims, in bytes of CBOR: ids of 64 characters each, and the largest numbers.
pub(crate) const CLAIMS_LENGTH_MAX: usize = 206;

/// The highest number of a replica: what a database's small integer holds.
pub const REPLICA_MAX: u16 = i16::MAX.unsigned_abs();

/// What a QR token says: which machine shows it, for whom and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QrClaims {
    /// The network that the ATM belongs to.
    pub network: NetworkId,
    /// The ATM that shows the code.
    pub atm: AtmId,
    /// When it was minted. A token carries whole seconds: what lies below is dropped when it is encoded.
    pub issued_at: Timestamp,
    /// How long it may be claimed, in seconds from `issued_at`: [`LIFETIME_SECONDS_MIN`] to [`LIFETIME_SECONDS_MAX`].
    pub lifetime_seconds: u16,
    /// The QR session that it was minted for.
    pub qr_session: QrSessionId,
    /// What makes it unique, from the HSM's generator.
    pub nonce: Nonce,
    /// The amount, above zero, if the customer chose it at the ATM before the code was shown; the approval must match it.
    pub amount: Option<Money>,
    /// The replica of the gateway that shows the code, at most [`REPLICA_MAX`]; none where there is one gateway alone. For the gateway: it says which replica a
    /// scan is for.
    pub replica: Option<u16>,
}

// The keys of the map. All are below 24, so that each takes one byte, and written in rising order, as deterministic CBOR wants.
const VERSION: u8 = 1;
const NETWORK: u8 = 2;
const ATM: u8 = 3;
const ISSUED: u8 = 4;
const LIFETIME: u8 = 5;
const QR_SESSION: u8 = 6;
const NONCE: u8 = 7;
const AMOUNT: u8 = 8;
const CURRENCY: u8 = 9;
const REPLICA: u8 = 10;

impl QrClaims {
    /// Whether these claims may become a token.
    ///
    /// # Errors
    /// The lifetime is out of range, the amount is zero, or the replica's number is too high.
    pub fn check(&self) -> Result<(), EncodeError> {
        if !lifetime_is_allowed(self.lifetime_seconds) {
            return Err(EncodeError::LifetimeNotAllowed { seconds: self.lifetime_seconds });
        }
        if self.amount.is_some_and(Money::is_zero) {
            return Err(EncodeError::ZeroAmount);
        }
        if let Some(replica) = self.replica.filter(|replica| *replica > REPLICA_MAX) {
            return Err(EncodeError::ReplicaNotAllowed { replica });
        }
        Ok(())
    }

    /// The claims as they will be signed, but for a nonce that comes later: whatever stands in [`QrClaims::nonce`] is replaced by it.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn encoded(&self) -> Result<EncodedClaims, EncodeError> {
        let (payload, nonce_at) = self.encode()?;
        Ok(EncodedClaims { payload, nonce_at })
    }

    /// The CBOR form.
    pub(crate) fn to_payload(&self) -> Result<Vec<u8>, EncodeError> {
        self.encode().map(|(payload, _)| payload)
    }

    /// The CBOR form, and where in it the nonce stands.
    fn encode(&self) -> Result<(Vec<u8>, usize), EncodeError> {
        self.check()?;
        let mut to = Vec::with_capacity(CLAIMS_LENGTH_MAX);
        let with_amount = if self.amount.is_some() { 2 } else { 0 };
        cbor::map(&mut to, 7 + with_amount + usize::from(self.replica.is_some()));
        let key = |to: &mut Vec<u8>, key: u8| cbor::unsigned(to, key.into());
        key(&mut to, VERSION);
        cbor::unsigned(&mut to, CLAIMS_VERSION.into());
        key(&mut to, NETWORK);
        cbor::text(&mut to, self.network.as_str());
        key(&mut to, ATM);
        cbor::text(&mut to, self.atm.as_str());
        key(&mut to, ISSUED);
        cbor::unsigned(&mut to, self.issued_at.unix_ms() / 1000);
        key(&mut to, LIFETIME);
        cbor::unsigned(&mut to, self.lifetime_seconds.into());
        key(&mut to, QR_SESSION);
        cbor::bytes(&mut to, self.qr_session.as_bytes());
        key(&mut to, NONCE);
        cbor::bytes(&mut to, &self.nonce.0);
        let nonce_at = to.len() - self.nonce.0.len();
        if let Some(amount) = self.amount {
            key(&mut to, AMOUNT);
            cbor::unsigned(&mut to, amount.minor_units());
            key(&mut to, CURRENCY);
            cbor::text(&mut to, amount.currency().as_str());
        }
        if let Some(replica) = self.replica {
            key(&mut to, REPLICA);
            cbor::unsigned(&mut to, replica.into());
        }
        Ok((to, nonce_at))
    }

    /// Reads claims whose signature has been verified. Only the very bytes that [`Self::to_payload`] writes are taken: other keys,
    /// a key twice, another order, longer forms of a number and trailing bytes all differ from them.
    pub(crate) fn from_payload(payload: &[u8]) -> Result<Self, QrTokenError> {
        let fields = Fields::read(payload)?;
        if fields.unsigned(VERSION, "version")? != u64::from(CLAIMS_VERSION) {
            return Err(malformed("version"));
        }
        let issued_ms = fields.unsigned(ISSUED, "issued")?.checked_mul(1000).ok_or(malformed("issued"))?;
        let lifetime_seconds =
            u16::try_from(fields.unsigned(LIFETIME, "lifetime")?).map_err(|_| malformed("lifetime"))?;
        if !lifetime_is_allowed(lifetime_seconds) {
            return Err(malformed("lifetime"));
        }
        let claims = Self {
            network: fields.text(NETWORK, "network")?.parse().map_err(|_| malformed("network"))?,
            atm: fields.text(ATM, "ATM")?.parse().map_err(|_| malformed("ATM"))?,
            issued_at: Timestamp::from_unix_ms(issued_ms),
            lifetime_seconds,
            qr_session: QrSessionId::from_bytes(fields.bytes16(QR_SESSION, "QR session")?),
            nonce: Nonce(fields.bytes16(NONCE, "nonce")?),
            amount: fields.amount()?,
            replica: fields.replica()?,
        };
        match claims.to_payload() {
            Ok(canonical) if canonical == payload => Ok(claims),
            _ => Err(malformed("claims: not exactly the expected keys in deterministic CBOR")),
        }
    }
}

/// Claims in CBOR that wait for their nonce, made by [`QrClaims::encoded`].
#[derive(Clone, Debug)]
pub struct EncodedClaims {
    payload: Vec<u8>,
    nonce_at: usize,
}

impl EncodedClaims {
    pub(crate) fn with_nonce(&self, nonce: Nonce) -> Vec<u8> {
        let mut payload = self.payload.clone();
        if let Some(place) = payload.get_mut(self.nonce_at..).and_then(|rest| rest.first_chunk_mut()) {
            *place = nonce.0;
        }
        payload
    }
}

fn lifetime_is_allowed(seconds: u16) -> bool {
    (LIFETIME_SECONDS_MIN..=LIFETIME_SECONDS_MAX).contains(&seconds)
}

fn malformed(what: &'static str) -> QrTokenError {
    QrTokenError::Malformed { what }
}

struct Fields(Vec<(Value, Value)>);

impl Fields {
    fn read(payload: &[u8]) -> Result<Self, QrTokenError> {
        match ciborium::from_reader(payload) {
            Ok(Value::Map(fields)) => Ok(Self(fields)),
            _ => Err(malformed("claims: not a CBOR map")),
        }
    }

    fn value(&self, key: u8) -> Option<&Value> {
        let key = Value::from(key);
        self.0.iter().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    fn unsigned(&self, key: u8, what: &'static str) -> Result<u64, QrTokenError> {
        let number = self.value(key).and_then(Value::as_integer).ok_or(malformed(what))?;
        u64::try_from(number).map_err(|_| malformed(what))
    }

    fn text(&self, key: u8, what: &'static str) -> Result<&str, QrTokenError> {
        self.value(key).and_then(Value::as_text).ok_or(malformed(what))
    }

    fn bytes16(&self, key: u8, what: &'static str) -> Result<[u8; 16], QrTokenError> {
        let bytes = self.value(key).and_then(Value::as_bytes).ok_or(malformed(what))?;
        bytes.as_slice().try_into().map_err(|_| malformed(what))
    }

    fn replica(&self) -> Result<Option<u16>, QrTokenError> {
        if self.value(REPLICA).is_none() {
            return Ok(None);
        }
        let number = u16::try_from(self.unsigned(REPLICA, "replica")?).ok().filter(|number| *number <= REPLICA_MAX);
        number.map(Some).ok_or(malformed("replica"))
    }

    fn amount(&self) -> Result<Option<Money>, QrTokenError> {
        if self.value(AMOUNT).is_none() && self.value(CURRENCY).is_none() {
            return Ok(None);
        }
        let minor_units = self.unsigned(AMOUNT, "amount")?;
        let currency = self.text(CURRENCY, "currency")?.parse().map_err(|_| malformed("currency"))?;
        match Money::from_minor_units(minor_units, currency) {
            Ok(amount) if !amount.is_zero() => Ok(Some(amount)),
            _ => Err(malformed("amount")),
        }
    }
}
