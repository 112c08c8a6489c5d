//! The core bank of one institution, with its books in this process's memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cashgate_fleet::corebank::{self, Bank, BankCommand, BankError, Branch, Faults};
use cashgate_fleet::credentials::Credentials;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What every account has in the beginning: more than the longest run draws from it.
const OPENING: u64 = 1_000_000_000;

/// A core bank that is being served.
pub(crate) struct CoreBank {
    bank: Arc<Bank>,
    faults: Arc<Faults>,
    usual_delay: Duration,
    serving: JoinHandle<()>,
}

/// Why there is no core bank.
#[derive(Debug, thiserror::Error)]
pub enum CoreBankError {
    /// Its port.
    #[error(
        "core banking cannot listen at {at}: {source}; it must be where the gateway's `core_banking.endpoint` points"
    )]
    Port {
        /// The address.
        at: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Its books.
    #[error(transparent)]
    Books(#[from] BankError),
}

impl CoreBank {
    /// Opens the accounts and serves the bank.
    pub(crate) async fn open(
        institution: &str,
        at: SocketAddr,
        credentials: Credentials,
        accounts: &[String],
        usual_delay: Duration,
    ) -> Result<Self, CoreBankError> {
        let listener = TcpListener::bind(at).await.map_err(|source| CoreBankError::Port { at, source })?;
        let bank = Bank::in_memory()?;
        for account in accounts {
            bank.open_account(account, OPENING)?;
        }
        let (bank, faults) = (Arc::new(bank), Arc::new(Faults::default()));
        faults.order(BankCommand::Slow(usual_delay));
        // Its events would be a third account of the same calls; the books are enough.
        let (events, _) = mpsc::unbounded_channel();
        let (branch_bank, branch_faults) = (Arc::clone(&bank), Arc::clone(&faults));
        let branch = Branch { institution: institution.to_owned(), bank: branch_bank, faults: branch_faults, events };
        let serving = tokio::spawn(async move {
            let served = corebank::serve(branch, listener, &credentials, std::future::pending()).await;
            if let Err(error) = served {
                tracing::error!(%error, "core banking is not served");
            }
        });
        Ok(Self { bank, faults, usual_delay, serving })
    }

    pub(crate) fn go_down(&self) {
        self.faults.order(BankCommand::Down);
    }

    pub(crate) fn be_slow(&self, delay: Duration) {
        self.faults.order(BankCommand::Slow(delay));
    }

    /// As in the beginning.
    pub(crate) fn recover(&self) {
        self.faults.order(BankCommand::Up);
        self.faults.order(BankCommand::Slow(self.usual_delay));
    }

    /// Its books.
    pub(crate) fn books(&self) -> Arc<Bank> {
        Arc::clone(&self.bank)
    }
}

impl Drop for CoreBank {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
