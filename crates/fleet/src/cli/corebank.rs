//! `cashgate-fleet corebank` and `corebank-books`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use cashgate_fleet::corebank::{Bank, BankCommand, Branch, Faults, serve};
use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::terminal::{operator_lines, print_line, print_text};
use super::{Exit, Failure, IdentityArguments};

#[derive(Args)]
pub(crate) struct CorebankArguments {
    /// Whose bank this is.
    #[arg(long)]
    institution: String,
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    #[command(flatten)]
    identity: IdentityArguments,
    /// The database file; made if it is missing.
    #[arg(long)]
    db: PathBuf,
    /// An account and its opening balance in minor units, as acct-1=1000000; kept as it is if it exists. Repeatable.
    #[arg(long = "account")]
    accounts: Vec<Opening>,
}

/// An account to open.
#[derive(Clone)]
struct Opening {
    account: String,
    balance: u64,
}

impl FromStr for Opening {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let opening = text
            .split_once('=')
            .and_then(|(account, balance)| Some(Self { account: account.to_owned(), balance: balance.parse().ok()? }));
        opening
            .filter(|opening| !opening.account.is_empty())
            .ok_or_else(|| format!("{text:?} is not ACCOUNT=BALANCE, such as acct-1=1000000"))
    }
}

#[derive(Args)]
pub(crate) struct BooksArguments {
    /// The database file.
    #[arg(long)]
    db: PathBuf,
    /// Prints every hold after the accounts.
    #[arg(long)]
    holds: bool,
    /// Prints the postings as the CSV that `cashgate reconcile --corebank` reads, and nothing else.
    #[arg(long, conflicts_with = "holds")]
    csv: bool,
}

pub(super) async fn run(arguments: CorebankArguments) -> Result<Exit, Failure> {
    let credentials = arguments.identity.credentials()?;
    let bank = Bank::open(&arguments.db)?;
    for Opening { account, balance } in &arguments.accounts {
        bank.open_account(account, *balance)?;
    }
    let listener = TcpListener::bind(arguments.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", arguments.listen))?;
    print_line(&json!({"event": "listening", "address": listener.local_addr()?.to_string()}))?;
    let (events, mut calls) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(call) = calls.recv().await {
            // A reader that has gone away does not stop the bank.
            let _ = print_line(&call);
        }
    });
    let faults = Arc::new(Faults::default());
    let branch =
        Branch { institution: arguments.institution, bank: Arc::new(bank), faults: Arc::clone(&faults), events };
    let (stop, stopped) = oneshot::channel::<()>();
    let serving =
        tokio::spawn(async move { serve(branch, listener, &credentials, async { drop(stopped.await) }).await });
    tokio::select! {
        () = obey(&faults) => {}
        ended = finished(serving) => return ended,
    }
    drop(stop);
    // Callers with open streams get a moment to notice; every answer given is on disk.
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(Exit::Done)
}

async fn finished(
    serving: tokio::task::JoinHandle<Result<(), cashgate_fleet::corebank::ServeError>>,
) -> Result<Exit, Failure> {
    serving.await??;
    Ok(Exit::Done)
}

/// Takes commands until `quit` or the end of standard input.
async fn obey(faults: &Faults) {
    let mut lines = operator_lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match line.parse() {
            Ok(BankCommand::Quit) => return,
            Ok(command) => faults.order(command),
            Err(error) => {
                let detail = cashgate_fleet::corebank::BankCommandError::to_string(&error);
                let _ = print_line(&json!({"event": "bad_command", "detail": detail}));
            }
        }
    }
    let _ = print_line(&json!({"event": "ended", "why": "standard input ended; keep it open to keep the core bank"}));
}

pub(super) fn print_books(arguments: &BooksArguments) -> Result<Exit, Failure> {
    if !arguments.db.exists() {
        return Err(format!("{} does not exist", arguments.db.display()).into());
    }
    let bank = Bank::open(&arguments.db)?;
    if arguments.csv {
        let mut csv = Vec::new();
        bank.write_csv(&mut csv)?;
        print_text(&csv)?;
        return Ok(Exit::Done);
    }
    for line in bank.account_books()? {
        print_line(&line)?;
    }
    if arguments.holds {
        for line in bank.hold_books()? {
            print_line(&line)?;
        }
    }
    Ok(Exit::Done)
}
