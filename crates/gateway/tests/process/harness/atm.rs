//! An ATM that says and hears one message at a time.

use cashgate_wire::proto::atm::v1::atm_service_client::AtmServiceClient;
use cashgate_wire::proto::atm::v1::{
    AtmMessage, Cassette, Dispense, GatewayMessage, Hello, ShowQr, StartQrSession, atm_message, gateway_message,
};
use cashgate_wire::proto::withdrawal::v1::{EvidenceSource, Money, NoteCount, Outcome, OutcomeReport};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::recording::Recording;
use super::{Port, Site, in_time};

/// A message of the gateway.
pub(crate) type Heard = gateway_message::Message;

/// A connected ATM.
pub(crate) struct Atm {
    saying: mpsc::Sender<AtmMessage>,
    hearing: Streaming<GatewayMessage>,
    recording: Recording,
    heard: usize,
    traceparent: String,
}

impl Atm {
    /// Connects with twenty notes each of 10,000 and 1,000 yen.
    pub(crate) async fn connect(site: &Site, id: &str) -> Self {
        Self::connect_saying(site, id, hello()).await
    }

    /// Connects and is welcome.
    pub(crate) async fn connect_saying(site: &Site, id: &str, hello: Hello) -> Self {
        let first = AtmMessage { message: Some(atm_message::Message::Hello(hello)), ..Default::default() };
        let mut atm = Self::try_connect(site, &format!("atm/{id}"), first).await.unwrap();
        match atm.hears().await {
            Heard::Welcome(welcome) => assert_eq!(welcome.atm_id, id, "the id comes from the certificate"),
            other => panic!("instead of a welcome: {other:?}"),
        }
        atm
    }

    /// Connects as whoever, with whatever first message.
    pub(crate) async fn try_connect(site: &Site, peer: &str, first: AtmMessage) -> Result<Self, Status> {
        let recording = Recording::of(site.channel(Port::Atm, peer).await);
        let (saying, said) = mpsc::channel(16);
        saying.send(first).await.unwrap();
        let mut client = AtmServiceClient::new(recording.clone());
        let connecting = client.connect(ReceiverStream::new(said));
        let hearing = in_time("the stream is answered", connecting).await?.into_inner();
        Ok(Self { saying, hearing, recording, heard: 0, traceparent: String::new() })
    }

    pub(crate) async fn says(&self, message: atm_message::Message) {
        self.says_raw(AtmMessage { message: Some(message), ..Default::default() }).await;
    }

    pub(crate) async fn says_raw(&self, message: AtmMessage) {
        self.saying.send(message).await.unwrap();
    }

    /// Says something, unless the gateway is gone.
    pub(crate) async fn tries_to_say(&self, message: atm_message::Message) -> Option<()> {
        self.saying.send(AtmMessage { message: Some(message), ..Default::default() }).await.ok()
    }

    /// The next message, unless the gateway is gone.
    pub(crate) async fn hears_if_anything(&mut self) -> Option<Heard> {
        self.hears_or_ends().await.ok().flatten()
    }

    /// The next message; a stream that has ended instead is a failure.
    pub(crate) async fn hears(&mut self) -> Heard {
        self.hears_or_ends().await.expect("no error").expect("no end of the stream")
    }

    /// The next message, or how the stream ended.
    pub(crate) async fn hears_or_ends(&mut self) -> Result<Option<Heard>, Status> {
        let message = in_time("the ATM hears something", self.hearing.message()).await?;
        self.heard += 1;
        self.traceparent = message.as_ref().map(|message| message.traceparent.clone()).unwrap_or_default();
        Ok(message.map(|message| message.message.expect("a message says something")))
    }

    /// The trace context that came with the last message.
    pub(crate) fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The last message that was heard, as it was sent.
    pub(crate) fn last_bytes(&self) -> Vec<u8> {
        self.recording.messages()[self.heard - 1].clone()
    }

    /// A customer touches the screen; the code that is then shown.
    pub(crate) async fn shows_code(&mut self) -> ShowQr {
        self.shows_code_for(None).await
    }

    /// The same with the amount chosen at the ATM.
    pub(crate) async fn shows_code_for(&mut self, amount: Option<Money>) -> ShowQr {
        self.says(atm_message::Message::StartQrSession(StartQrSession { amount, ..Default::default() })).await;
        self.shows_next_code().await
    }

    pub(crate) async fn shows_next_code(&mut self) -> ShowQr {
        match self.hears().await {
            Heard::ShowQr(shown) => shown,
            other => panic!("instead of a code: {other:?}"),
        }
    }

    /// Waits until it is told to connect elsewhere, past the codes that it shows until then. Gives after how many milliseconds.
    pub(crate) async fn is_sent_away(&mut self) -> u32 {
        loop {
            match self.hears().await {
                Heard::ShowQr(_) => {}
                Heard::Reconnect(told) => return told.after_ms,
                other => panic!("instead of being sent away: {other:?}"),
            }
        }
    }

    /// Waits for the command to pay out, past the codes and the news that one was scanned.
    pub(crate) async fn is_commanded(&mut self) -> Dispense {
        loop {
            match self.hears().await {
                Heard::Dispense(command) => return command,
                Heard::QrClaimed(_) | Heard::ShowQr(_) => {}
                other => panic!("instead of a command: {other:?}"),
            }
        }
    }

    /// Pays out all that it is commanded to, and hears that its report is on record.
    pub(crate) async fn pays_out(&mut self) -> Dispense {
        let command = self.is_commanded().await;
        self.says(atm_message::Message::Outcome(report_dispensed(&command))).await;
        self.hears_it_recorded(&command.withdrawal_id).await;
        assert!(matches!(self.hears().await, Heard::QrSessionEnded(_)), "the screen may return to its start");
        command
    }

    pub(crate) async fn hears_it_recorded(&mut self, withdrawal_id: &str) {
        match self.hears().await {
            Heard::OutcomeRecorded(recorded) => assert_eq!(recorded.withdrawal_id, withdrawal_id),
            other => panic!("instead of an acknowledgement: {other:?}"),
        }
    }
}

/// A first message that nothing is wrong with.
pub(crate) fn hello() -> Hello {
    let cassette = |value| Cassette { denomination: Some(yen(value)), count: 20 };
    Hello {
        name: "ATM 1".to_owned(),
        place: "Shibuya, Tokyo".to_owned(),
        cassettes: vec![cassette(10_000), cassette(1_000)],
        notes_per_dispense_max: 40,
        unresolved: vec![],
        software: "test 1.0".to_owned(),
        end_to_end: None,
        location: None,
        best_evidence: 0,
    }
}

/// The report that a command was carried out, in notes of 1,000 yen.
pub(crate) fn report_dispensed(command: &Dispense) -> OutcomeReport {
    let amount = command.amount.clone().expect("a command names its amount");
    let count = u32::try_from(amount.minor_units / 1_000).unwrap();
    OutcomeReport {
        withdrawal_id: command.withdrawal_id.clone(),
        outcome: Outcome::Dispensed.into(),
        presented: vec![NoteCount { denomination: Some(yen(1_000)), count }],
        evidence: EvidenceSource::LastCommandRecord.into(),
        observed_at_unix_ms: command.start_before_unix_ms,
        ..Default::default()
    }
}

pub(crate) fn yen(minor_units: i64) -> Money {
    Money { minor_units, currency: "JPY".to_owned() }
}
