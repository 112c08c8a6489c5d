//! Why there is no run to judge.

use std::path::PathBuf;

use cashgate_fleet::atm::AtmError;
use cashgate_fleet::corebank::BankError;
use cashgate_fleet::credentials::CredentialsError;
use cashgate_fleet::place::PlaceError;

use crate::books::ListingError;
use crate::certificates::CertificateError;
use crate::parties::core_bank::CoreBankError;
use crate::parties::phones::PhonesError;

/// A run could not be made, or its books could not be read. Says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The scenario needs what nobody here can do.
    #[error("the scenario needs somebody who can do {0}: name a command for each with --hook NAME=COMMAND")]
    NoHook(String),
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// An address that is none.
    #[error("{key} {address}: must be https://HOST:PORT, such as https://127.0.0.1:{port}")]
    Address {
        /// The argument.
        key: &'static str,
        /// What it says.
        address: String,
        /// The port that it usually has.
        port: u16,
    },
    /// The gateway does not answer where it was said to be.
    #[error(
        "--api {address}: {source}. Is a gateway's port for app back ends there, and are --ca, --server-name and --operator right?"
    )]
    NoGateway {
        /// Where it was looked for.
        address: String,
        /// What it said.
        source: ListingError,
    },
    /// What was to be seen of the gateway cannot be.
    #[error("{0}")]
    Unseen(String),
    /// An address or credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Core banking.
    #[error(transparent)]
    CoreBank(#[from] CoreBankError),
    /// The phones.
    #[error(transparent)]
    Phones(#[from] PhonesError),
    /// The ATMs did not all connect.
    #[error(
        "only {connected} of {all} ATMs connected: is the gateway's ATM port right, does it trust the certificates' authority, and are \
         enough files allowed to be open (ulimit -n) here and there?"
    )]
    NotConnected {
        /// How many did.
        connected: u64,
        /// How many there are.
        all: u32,
    },
    /// An ATM's record.
    #[error("ATM {atm}: {source}")]
    Atm {
        /// Which.
        atm: String,
        /// Why.
        source: AtmError,
    },
    /// Records of an earlier run.
    #[error("the ATMs' records of an earlier run cannot be deleted: {folder}: {source}")]
    Records {
        /// Where they are.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The gateway's books.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// Core banking's books.
    #[error(transparent)]
    Books(#[from] BankError),
    /// The place where all stand; a mistake of this program.
    #[error(transparent)]
    Place(PlaceError),
    /// A task died.
    #[error("a part of the generator died: {0}")]
    Died(#[from] tokio::task::JoinError),
}
