//! The one place that reads the clock and the operating system's randomness.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use cashgate_withdrawal::ids::{CommandNonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::time::Timestamp;

/// The present moment: the wall clock when this process began, and the time that has passed since. A wall clock that is set back while
/// the gateway runs must not make an expired code or a held withdrawal valid again.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the module that may")]
pub fn now() -> Timestamp {
    static BEGAN: OnceLock<(Duration, Instant)> = OnceLock::new();
    let (wall, began) = BEGAN.get_or_init(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        (since_epoch, Instant::now())
    });
    let now = wall.saturating_add(began.elapsed());
    Timestamp::from_unix_ms(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// The moment at which tokio's clock shows what [`now`] will show at `at`.
#[must_use]
pub fn deadline(at: Timestamp) -> tokio::time::Instant {
    tokio::time::Instant::now() + at.since(now())
}

/// The moment of tokio's clock that is so far away.
#[must_use]
pub fn in_time(duration: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + duration
}

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// From now on.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the module that may")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// What has passed.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// A fresh id, in the order of time (UUID version 7, RFC 9562).
#[must_use]
pub fn fresh_withdrawal() -> WithdrawalId {
    WithdrawalId::from_bytes(uuid_v7())
}

/// A fresh id, in the order of time.
#[must_use]
pub fn fresh_qr_session() -> QrSessionId {
    QrSessionId::from_bytes(uuid_v7())
}

#[allow(clippy::disallowed_methods, reason = "this is the module that may")]
fn uuid_v7() -> [u8; 16] {
    uuid::Uuid::now_v7().into_bytes()
}

/// A nonce that was never used before, or nothing if the operating system has no random bits to give.
#[must_use]
pub fn fresh_nonce() -> Option<CommandNonce> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(CommandNonce::from_bytes(bytes))
}

/// Random bytes, or nothing if the operating system has none to give.
#[must_use]
pub fn random_bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

/// Random bits, or nothing if the operating system has none to give.
#[must_use]
pub fn random_u32() -> Option<u32> {
    random_bytes().map(u32::from_be_bytes)
}
