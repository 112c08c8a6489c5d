//! What goes wrong during a run, and when.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::file::{milliseconds, seconds};

/// A fault and its time, counted from the first arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts; zero for what happens at once.
    pub lasts: Duration,
    /// What it is.
    pub what: What,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Core banking answers UNAVAILABLE to everything.
    CoreBankDown,
    /// Core banking takes so long for every call.
    CoreBankSlow(Duration),
    /// Every ATM hangs up and dials again in the same moment.
    ReconnectAll,
    /// What whoever started the gateway does on request.
    Hook {
        /// The hook that is called in the beginning.
        begin: String,
        /// The hook that ends it.
        end: Option<String>,
    },
}

impl Fault {
    /// When it is over.
    #[must_use]
    pub fn ends_at(&self) -> Duration {
        self.at.saturating_add(self.lasts)
    }
}

impl What {
    /// The hooks that it calls.
    pub(super) fn hooks(&self) -> Vec<String> {
        match self {
            Self::Hook { begin, end } => std::iter::once(begin.clone()).chain(end.clone()).collect(),
            Self::CoreBankDown | Self::CoreBankSlow(_) | Self::ReconnectAll => vec![],
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CoreBankDown => f.write_str("core bank down"),
            Self::CoreBankSlow(delay) => write!(f, "core bank takes {} ms", delay.as_millis()),
            Self::ReconnectAll => f.write_str("all ATMs reconnect"),
            Self::Hook { begin, .. } => f.write_str(begin),
        }
    }
}

/// `[[fault]]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultTable {
    at_s: u32,
    #[serde(default)]
    for_s: u32,
    what: Kind,
    delay_ms: Option<u32>,
    begin: Option<String>,
    end: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    CoreBankDown,
    CoreBankSlow,
    ReconnectAll,
    Hook,
}

impl FaultTable {
    pub(super) fn checked(&self) -> Result<Fault, String> {
        let refuse = |problem: &str| Err(format!("fault at {} s: {problem}", self.at_s));
        if self.delay_ms.is_some() != (self.what == Kind::CoreBankSlow) {
            return refuse("`delay_ms` belongs to `core-bank-slow`, which needs it");
        }
        if self.begin.is_some() != (self.what == Kind::Hook) {
            return refuse("`begin` belongs to `hook`, which needs it");
        }
        if self.end.is_some() && (self.what != Kind::Hook || self.for_s == 0) {
            return refuse("`end` belongs to a `hook` with `for_s`");
        }
        if self.for_s == 0 && matches!(self.what, Kind::CoreBankDown | Kind::CoreBankSlow) {
            return refuse("`for_s` says how long core banking is away or slow");
        }
        let what = match self.what {
            Kind::CoreBankDown => What::CoreBankDown,
            Kind::CoreBankSlow => What::CoreBankSlow(milliseconds(self.delay_ms.unwrap_or_default())),
            Kind::ReconnectAll => What::ReconnectAll,
            Kind::Hook => What::Hook { begin: self.begin.clone().unwrap_or_default(), end: self.end.clone() },
        };
        Ok(Fault { at: seconds(self.at_s), lasts: seconds(self.for_s), what })
    }
}
