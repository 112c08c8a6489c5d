//! `cashgate-fleet phone`.

use std::path::PathBuf;
use std::time::Duration;

use cashgate_fleet::clock::unix_ms;
use cashgate_fleet::phone::{App, ApprovalRequest, Phone, Registration, after_scan, with_confirm_code};
use cashgate_fleet::place::Place;
use cashgate_fleet::rpc_error::RpcError;
use cashgate_wire::proto::customer::v1::cancel_request::Subject;
use cashgate_wire::proto::customer::v1::{ApproveResponse, PinBlock, ScanResponse, WatchResponse};
use cashgate_wire::proto::withdrawal::v1::{Money, WithdrawalState};
use cashgate_withdrawal::money::Money as CheckedMoney;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::terminal::print_line;
use super::{Exit, Failure, GatewayArguments};

const HOUR_MS: i64 = 3_600_000;
/// How long a broken watch waits before it asks again.
const WATCH_AGAIN_AFTER: Duration = Duration::from_millis(300);
/// The key serial number of ANSI X9.24's worked example.
const PIN_KEY_SERIAL_NUMBER: [u8; 10] = [0xff, 0xff, 0x98, 0x76, 0x54, 0x32, 0x10, 0xe0, 0x00, 0x01];

#[derive(Args)]
pub(crate) struct PhoneArguments {
    #[command(subcommand)]
    command: PhoneCommand,
}

#[derive(Args)]
struct WhoArguments {
    #[command(flatten)]
    gateway: GatewayArguments,
    /// The customer's bank.
    #[arg(long)]
    institution: String,
    /// The app installation's id.
    #[arg(long)]
    device: String,
    /// The folder of the phone's key.
    #[arg(long)]
    state: PathBuf,
}

#[derive(Args)]
struct CodeArguments {
    /// The text of the scanned code.
    #[arg(long)]
    code: String,
    /// The account to draw from.
    #[arg(long)]
    account: String,
}

#[derive(Args)]
struct AmountArguments {
    /// What to draw, in minor units.
    #[arg(long, allow_negative_numbers = true)]
    amount: i64,
    /// Its currency.
    #[arg(long, default_value = "JPY")]
    currency: String,
    /// Signs another amount than the one that is sent.
    #[arg(long)]
    wrong_signature: bool,
    /// An ISO 9564 PIN block in hexadecimal.
    #[arg(long)]
    pin_block: Option<String>,
    /// Where the phone says it is, for fraud rules: decimal degrees, north and east positive, such as 35.6595,139.7005. Not told if not given.
    #[arg(long, value_name = "LAT,LON", allow_hyphen_values = true)]
    location: Option<Place>,
}

/// What the platform said of app and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Attested {
    /// They are genuine.
    Passed,
    /// They are not.
    Failed,
}

#[derive(Subcommand)]
enum PhoneCommand {
    /// Makes the phone's key if there is none, and makes the phone known.
    Register {
        #[command(flatten)]
        who: WhoArguments,
        /// How long ago the bank bound the app to the customer.
        #[arg(long, default_value_t = 100)]
        bound_hours_ago: i64,
        /// How the app was activated, in the bank's own word, such as branch or online.
        #[arg(long, value_name = "WORD", default_value = "")]
        channel: String,
        /// What the platform's attestation said; not asked if not given.
        #[arg(long)]
        attestation: Option<Attested>,
        /// Makes a new key in place of the one that the phone has.
        #[arg(long)]
        new_key: bool,
    },
    /// Ends the phone's right to approve.
    Revoke {
        #[command(flatten)]
        who: WhoArguments,
    },
    /// Scans a code.
    Scan {
        #[command(flatten)]
        who: WhoArguments,
        #[command(flatten)]
        code: CodeArguments,
    },
    /// Approves an amount.
    Approve {
        #[command(flatten)]
        who: WhoArguments,
        #[command(flatten)]
        code: CodeArguments,
        #[command(flatten)]
        amount: AmountArguments,
    },
    /// Prints the state of a withdrawal.
    Watch {
        #[command(flatten)]
        who: WhoArguments,
        #[arg(long)]
        withdrawal: String,
        /// Prints every state to the end, over breaks of the connection too.
        #[arg(long)]
        until_ended: bool,
    },
    /// Cancels a scanned QR session or a withdrawal.
    #[command(group = clap::ArgGroup::new("subject").required(true).args(["withdrawal", "qr_session"]))]
    Cancel {
        #[command(flatten)]
        who: WhoArguments,
        #[arg(long)]
        withdrawal: Option<String>,
        #[arg(long)]
        qr_session: Option<String>,
    },
    /// Scans, approves and watches to the end.
    Withdraw {
        #[command(flatten)]
        who: WhoArguments,
        #[command(flatten)]
        code: CodeArguments,
        #[command(flatten)]
        amount: AmountArguments,
    },
}

/// The gateway refused, or something on this side failed.
enum Trouble {
    Refused(Box<Status>),
    Failed(Failure),
}

impl From<Status> for Trouble {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn failed(error: impl Into<Failure>) -> Trouble {
    Trouble::Failed(error.into())
}

pub(super) async fn run(arguments: PhoneArguments) -> Result<Exit, Failure> {
    match obey(arguments.command).await {
        Ok(()) => Ok(Exit::Done),
        Err(Trouble::Refused(status)) => {
            print_line(&json!({"error": RpcError::from(status.as_ref())}))?;
            Ok(Exit::RpcRefused)
        }
        Err(Trouble::Failed(failure)) => Err(failure),
    }
}

async fn obey(command: PhoneCommand) -> Result<(), Trouble> {
    match command {
        PhoneCommand::Register { who, bound_hours_ago, channel, attestation, new_key } => {
            let make = if new_key { Phone::with_new_key } else { Phone::open_or_make };
            let phone = make(&who.state, &who.institution, &who.device).map_err(failed)?;
            let registration = Registration {
                public_key: phone.public_key().map_err(failed)?,
                bound_at_unix_ms: unix_ms().saturating_sub(bound_hours_ago.saturating_mul(HOUR_MS)),
                activation_channel: channel,
                attestation: attestation.map(|said| said == Attested::Passed),
            };
            who.app()?.register(registration).await?;
            print(&json!({"registered": true}))
        }
        PhoneCommand::Revoke { who } => {
            who.app()?.revoke().await?;
            print(&json!({"revoked": true}))
        }
        PhoneCommand::Scan { who, code } => {
            let scan = who.app()?.scan(&code.code, &code.account).await?;
            print(&scan_as_json(&scan))
        }
        PhoneCommand::Approve { who, code, amount } => {
            approve(&mut who.app()?, &who, &code, &amount).await?;
            Ok(())
        }
        PhoneCommand::Watch { who, withdrawal, until_ended: true } => {
            watch_until_ended(&mut who.app()?, &withdrawal).await
        }
        PhoneCommand::Watch { who, withdrawal, until_ended: false } => {
            match who.app()?.watch(&withdrawal).await?.message().await? {
                Some(update) => print(&update_as_json(&update)),
                None => Err(failed("the gateway told no state")),
            }
        }
        PhoneCommand::Cancel { who, withdrawal, qr_session } => {
            let subject = withdrawal.map(Subject::WithdrawalId).or(qr_session.map(Subject::QrSessionId));
            who.app()?.cancel(subject.ok_or_else(|| failed("nothing to cancel"))?).await?;
            print(&json!({"cancelled": true}))
        }
        PhoneCommand::Withdraw { who, code, amount } => {
            let mut app = who.app()?;
            print(&scan_as_json(&app.scan(&code.code, &code.account).await?))?;
            let approved = approve(&mut app, &who, &code, &amount).await?;
            watch_until_ended(&mut app, &approved.withdrawal_id).await
        }
    }
}

impl WhoArguments {
    fn app(&self) -> Result<App, Trouble> {
        let credentials = self.gateway.identity.credentials().map_err(failed)?;
        Ok(App::new(credentials.channel(&self.gateway.gateway).map_err(failed)?, &self.device))
    }
}

async fn approve(
    app: &mut App,
    who: &WhoArguments,
    code: &CodeArguments,
    amount: &AmountArguments,
) -> Result<ApproveResponse, Trouble> {
    let phone = Phone::open(&who.state, &who.institution, &who.device).map_err(failed)?;
    let pin_block = amount.pin_block.as_deref().map(hex::decode).transpose().map_err(failed)?;
    let pin_block = pin_block.map(|block| PinBlock { block, key_serial_number: PIN_KEY_SERIAL_NUMBER.to_vec() });
    let signature = match signed_amount(amount) {
        Some(signed) => phone.approval_signature(&code.code, &code.account, signed).map_err(failed)?,
        // No phone would sign what is no amount; the gateway is to refuse it all the same.
        None => vec![],
    };
    let money = Money { minor_units: amount.amount, currency: amount.currency.clone() };
    let (qr_text, account_id, place) = (code.code.as_str(), code.account.as_str(), amount.location);
    let approval = ApprovalRequest { qr_text, account_id, amount: money, signature, pin_block, place };
    let approved = app.approve(approval).await?;
    let ApproveResponse { withdrawal_id, confirm_code } = &approved;
    let shown = Some(with_confirm_code(confirm_code)).filter(|_| !confirm_code.is_empty());
    print(&json!({"approved": {"withdrawal_id": withdrawal_id, "confirm_code": confirm_code, "shown": shown}}))?;
    Ok(approved)
}

fn signed_amount(amount: &AmountArguments) -> Option<CheckedMoney> {
    let minor_units = if amount.wrong_signature { amount.amount.checked_add(1)? } else { amount.amount };
    CheckedMoney::new(minor_units, amount.currency.parse().ok()?).ok()
}

/// Prints every state once, and asks again when the connection breaks before the end.
async fn watch_until_ended(app: &mut App, withdrawal_id: &str) -> Result<(), Trouble> {
    let mut last = None;
    loop {
        match watch_once(app, withdrawal_id, &mut last).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(Trouble::Refused(status)) if may_pass(status.code()) => {}
            Err(trouble) => return Err(trouble),
        }
        tokio::time::sleep(WATCH_AGAIN_AFTER).await;
    }
}

/// Whether a call may succeed later: the gateway restarts, or the line broke.
const fn may_pass(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Aborted)
}

/// Prints what is new, and tells whether the withdrawal has ended.
async fn watch_once(app: &mut App, withdrawal_id: &str, last: &mut Option<WatchResponse>) -> Result<bool, Trouble> {
    let mut updates = app.watch(withdrawal_id).await?;
    let mut ended = false;
    while let Some(update) = updates.message().await? {
        ended = has_ended(update.state());
        if last.as_ref() != Some(&update) {
            print(&update_as_json(&update))?;
        }
        *last = Some(update);
    }
    Ok(ended)
}

const fn has_ended(state: WithdrawalState) -> bool {
    matches!(state, WithdrawalState::Confirmed | WithdrawalState::Reversed | WithdrawalState::Declined)
}

/// A state's name as people write it, such as `held`.
pub(super) fn state_name(state: WithdrawalState) -> String {
    state.as_str_name().trim_start_matches("WITHDRAWAL_STATE_").to_ascii_lowercase()
}

fn scan_as_json(scan: &ScanResponse) -> Value {
    let minor_units = |money: &Option<Money>| money.as_ref().map(|money| money.minor_units);
    json!({"scan": {
        "qr_session_id": scan.qr_session_id,
        "atm_id": scan.atm_id,
        "atm_name": scan.atm_name,
        "atm_place": scan.atm_place,
        "shown": after_scan(scan),
        "amount": minor_units(&scan.amount),
        "amount_max": minor_units(&scan.amount_max),
        "currency": scan.amount_max.as_ref().map(|money| money.currency.as_str()),
        "denominations": scan.denominations.iter().map(|money| money.minor_units).collect::<Vec<_>>(),
        "approve_before_unix_ms": scan.approve_before_unix_ms,
    }})
}

fn update_as_json(update: &WatchResponse) -> Value {
    json!({"update": {
        "withdrawal_id": update.withdrawal_id,
        "state": state_name(update.state()),
        "dispensed": update.dispensed.as_ref().map(|money| money.minor_units),
        "reason": update.reason,
        "since_unix_ms": update.since_unix_ms,
    }})
}

fn print(object: &Value) -> Result<(), Trouble> {
    print_line(object).map_err(failed)
}
