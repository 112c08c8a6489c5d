//! `cashgate-fleet atm` and `atm-books`.

use std::path::PathBuf;
use std::time::Duration;

use cashgate_fleet::atm::{self, Book, Command, DispenseKey, Ended, Installation, Notes, Plan, ScreenEvent};
use cashgate_fleet::place::Place;
use clap::Args;
use tokio::sync::mpsc;

use super::terminal::{operator_lines, print_line, print_picture, print_text};
use super::{Exit, Failure, GatewayArguments};

#[derive(Args)]
pub(crate) struct AtmArguments {
    /// The machine's id; its certificate says the same.
    #[arg(long)]
    id: String,
    #[command(flatten)]
    gateway: GatewayArguments,
    /// The folder of its durable record; made if it is missing.
    #[arg(long)]
    state: PathBuf,
    /// Its name as customers know it; "ATM" and the id if not given.
    #[arg(long)]
    name: Option<String>,
    /// Where it stands.
    #[arg(long, default_value = "Shibuya, Tokyo")]
    place: String,
    /// The point at which it stands, for fraud rules: decimal degrees, north and east positive, such as 35.6595,139.7005. Not told if not given.
    #[arg(long, value_name = "LAT,LON", allow_hyphen_values = true)]
    location: Option<Place>,
    /// It has nothing but its word for what became of a command, and says so.
    #[arg(long, conflicts_with = "dispense_key")]
    bare_word: bool,
    /// A cassette as DENOMINATIONxCOUNT, in minor units, as it was filled when the record began. Repeatable.
    #[arg(long = "cassette", default_values = ["10000x200", "1000x200"])]
    cassettes: Vec<Notes>,
    /// The currency of its notes.
    #[arg(long, default_value = "JPY")]
    currency: String,
    /// The most notes that it pays out at once.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=200))]
    notes_max: u32,
    /// How long notes take from the cassettes to the customer, in milliseconds.
    #[arg(long, default_value_t = 50)]
    present_ms: u64,
    /// Draws the code on stderr, so that a phone can scan it.
    #[arg(long)]
    show_qr: bool,
    /// Gives it a dispenser with XFS4IoT end-to-end security, which pays only against dispense tokens: a file with the 32-byte key
    /// as 64 hexadecimal digits.
    #[arg(long)]
    dispense_key: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct BooksArguments {
    /// The folder of the machine's durable record.
    #[arg(long)]
    state: PathBuf,
    /// Prints what a count of its notes finds, as the CSV that `cashgate reconcile --atm-counters` reads.
    #[arg(long, requires = "id")]
    csv: bool,
    /// The machine's id, which its record does not name.
    #[arg(long)]
    id: Option<String>,
}

pub(super) async fn run(arguments: AtmArguments) -> Result<Exit, Failure> {
    let dispense_key = arguments.dispense_key.as_deref().map(DispenseKey::read).transpose()?;
    let installation = Installation {
        gateway: arguments.gateway.identity.credentials()?.endpoint(&arguments.gateway.gateway)?,
        state_dir: arguments.state,
        plan: Plan {
            name: arguments.name.unwrap_or_else(|| format!("ATM {}", arguments.id)),
            place: arguments.place,
            filled: arguments.cassettes,
            currency: arguments.currency,
            notes_per_dispense_max: arguments.notes_max,
            present_delay: Duration::from_millis(arguments.present_ms),
            point: arguments.location,
            bare_word: arguments.bare_word,
        },
    };
    let (screen, mut shown) = mpsc::unbounded_channel();
    let (operator, commands) = mpsc::channel(16);
    tokio::spawn(read_commands(operator, screen.clone()));
    let showing = tokio::spawn(async move {
        while let Some(event) = shown.recv().await {
            show(&event, &arguments.id, arguments.show_qr)?;
        }
        Ok::<(), std::io::Error>(())
    });
    let switched_off = std::future::pending();
    let ended = match dispense_key {
        Some(key) => atm::run_secured(installation, key, commands, screen, switched_off).await?,
        None => atm::run(installation, commands, screen, switched_off).await?,
    };
    // The task that waits for a line still holds a sender, so the screen is read only to what is there now.
    let _ = tokio::time::timeout(Duration::from_millis(50), showing).await;
    Ok(match ended {
        Ended::SwitchedOff => Exit::Done,
        Ended::PowerCut => Exit::PowerCut,
    })
}

async fn read_commands(operator: mpsc::Sender<Command>, screen: mpsc::UnboundedSender<ScreenEvent>) {
    let mut lines = operator_lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let sent = match line.parse() {
            Ok(command) => operator.send(command).await.is_ok(),
            Err(error) => {
                let detail = atm::CommandError::to_string(&error);
                screen.send(ScreenEvent::BadCommand { detail }).is_ok()
            }
        };
        if !sent {
            return;
        }
    }
}

fn show(event: &ScreenEvent, own_id: &str, draw: bool) -> std::io::Result<()> {
    print_line(event)?;
    match event {
        ScreenEvent::ShowQr { qr_text, .. } if draw => match atm::terminal_picture(qr_text) {
            Ok(picture) => print_picture(&picture)?,
            Err(error) => tracing::warn!("{error}"),
        },
        ScreenEvent::Connected { atm_id } if atm_id != own_id => {
            tracing::warn!("the certificate is that of {atm_id}, not of {own_id}");
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn print_books(arguments: &BooksArguments) -> Result<Exit, Failure> {
    let book = Book::of(&atm::read_facts(&arguments.state)?);
    if let Some(id) = arguments.id.as_deref().filter(|_| arguments.csv) {
        let mut csv = Vec::new();
        book.write_csv(id, &mut csv)?;
        print_text(&csv)?;
        return Ok(Exit::Done);
    }
    for line in book.lines() {
        print_line(&line)?;
    }
    Ok(Exit::Done)
}
