//! What tonic itself costs over mutual TLS: the unavoidable parts of a withdrawal, and the memory of a stream, without any Cashgate.
//!
//! For `cargo xtask bench`; prints one JSON line. The measured side is this process; its peer is a second one of the same program.
//!
//! `bare --what served|made|stream --seconds S CREDENTIALS`: processor time (user and system, in us) of one unary call served, of one made, of
//! one message on a bidirectional stream, with 64 in flight on 16 connections.
//! `bare --what handshakes --seconds S CREDENTIALS`: the same of one TCP connection with a full mutual TLS 1.3 handshake and a byte.
//! `bare --what idle --streams N CREDENTIALS`: resident memory of the server for each idle stream on a connection of its own, in bytes.
//!
//! CREDENTIALS: `--ca FILE --cert FILE --key FILE`, for both sides; the certificate is one that may serve.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a bench stops loudly, reads the clock and prints its figures"
)]

mod handshakes;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cashgate_fleet::credentials::Credentials;
use cashgate_wire::proto::atm::v1::atm_service_client::AtmServiceClient;
use cashgate_wire::proto::atm::v1::atm_service_server::{AtmService, AtmServiceServer};
use cashgate_wire::proto::atm::v1::{AtmMessage, GatewayMessage};
use cashgate_wire::proto::corebank::v1::core_banking_service_client::CoreBankingServiceClient;
use cashgate_wire::proto::corebank::v1::core_banking_service_server::{CoreBankingService, CoreBankingServiceServer};
use cashgate_wire::proto::corebank::v1::{
    ConfirmHoldRequest, ConfirmHoldResponse, GetHoldRequest, GetHoldResponse, PlaceHoldRequest, PlaceHoldResponse,
    ReverseHoldRequest, ReverseHoldResponse,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};

/// What `cashgate` allocates with.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const CONNECTIONS: usize = 16;
const IN_FLIGHT_EACH: usize = 4;
/// As much text as a withdrawal's messages carry.
const ID: &str = "01981f2e-7c1a-7000-8000-000000000001";

fn main() {
    let options = Options::read();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match (options.text("--role"), options.text("--what")) {
            ("server", _) => serve_until_killed(&options).await,
            ("client", what) => call(&options, what, options.text("--address")).await,
            (_, "made") => measure_calls_made(&options).await,
            (_, "idle") => measure_idle_streams(&options).await,
            (_, "handshakes") => handshakes::measure(&options).await,
            (_, what) => measure_served(&options, what).await,
        }
    });
}

/// The figures of a server whose client is the other process.
async fn measure_served(options: &Options, what: &str) {
    let address = serve(options).await;
    let before = processor_time();
    let mut client = options.peer(&["--role", "client", "--what", what, "--address", &address.to_string()]);
    let calls = tokio::task::spawn_blocking(move || last_number(&mut client)).await.expect("a peer");
    print_us(processor_time() - before, calls);
}

/// The figures of a client whose server is the other process.
async fn measure_calls_made(options: &Options) {
    let mut server = options.peer(&["--role", "server"]);
    let mut address = String::new();
    BufReader::new(server.stdout.take().expect("its output")).read_line(&mut address).expect("its address");
    let before = processor_time();
    let calls = unary_calls(options, address.trim()).await;
    print_us(processor_time() - before, calls);
    server.kill().expect("it runs");
    server.wait().expect("it ended");
}

async fn measure_idle_streams(options: &Options) {
    let address = serve(options).await;
    let streams = options.number("--streams");
    let before = resident_bytes();
    let mut client = options.peer(&["--role", "client", "--what", "idle", "--address", &address.to_string()]);
    let opened = BufReader::new(client.stdout.take().expect("its output")).lines().next();
    assert!(opened.is_some_and(|line| line.is_ok()), "the peer opened its streams");
    // What was needed only while they came goes first.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let bytes = (resident_bytes() - before) as f64 / streams as f64;
    client.kill().expect("it runs");
    client.wait().expect("it ended");
    println!(r#"{{"bytes": {bytes:.0}, "streams": {streams}}}"#);
}

fn print_us(spent: Duration, calls: u64) {
    let us = spent.as_secs_f64() * 1_000_000.0 / calls as f64;
    println!(r#"{{"cpu_us": {us:.3}, "calls": {calls}}}"#);
}

async fn serve_until_killed(options: &Options) {
    println!("{}", serve(options).await);
    std::future::pending::<()>().await;
}

async fn serve(options: &Options) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let incoming = TcpListenerStream::new(listener).map(|stream| {
        let stream = stream?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    });
    let serving = Server::builder()
        .tls_config(options.credentials().server_tls())
        .expect("a certificate")
        .add_service(CoreBankingServiceServer::new(Echo))
        .add_service(AtmServiceServer::new(Echo))
        .serve_with_incoming(incoming);
    tokio::spawn(async move { serving.await.expect("serves") });
    address
}

/// Plays the client for as long as asked and prints how much it did.
async fn call(options: &Options, what: &str, address: &str) {
    match what {
        "served" => println!("{}", unary_calls(options, address).await),
        "stream" => println!("{}", stream_messages(options, address).await),
        "handshakes" => println!("{}", handshakes::made(options, address).await),
        _ => {
            let streams = idle_streams(options, address).await;
            println!("{}", streams.len());
            std::future::pending::<()>().await;
        }
    }
}

async fn unary_calls(options: &Options, address: &str) -> u64 {
    let over = Instant::now() + options.seconds();
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let channel = options.connect(address).await;
        for _ in 0..IN_FLIGHT_EACH {
            let mut client = CoreBankingServiceClient::new(channel.clone());
            callers.spawn(async move {
                let mut calls = 0;
                while Instant::now() < over {
                    client.place_hold(hold()).await.expect("an answer");
                    calls += 1;
                }
                calls
            });
        }
    }
    callers.join_all().await.into_iter().sum()
}

/// Messages to and from the server.
async fn stream_messages(options: &Options, address: &str) -> u64 {
    let over = Instant::now() + options.seconds();
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let channel = options.connect(address).await;
        for _ in 0..IN_FLIGHT_EACH {
            let channel = channel.clone();
            callers.spawn(async move {
                let (to_server, mut from_server) = open_stream(channel).await;
                let mut messages = 0;
                while Instant::now() < over {
                    to_server.send(AtmMessage::default()).await.expect("a stream");
                    from_server.message().await.expect("a stream").expect("an answer");
                    messages += 2;
                }
                messages
            });
        }
    }
    callers.join_all().await.into_iter().sum()
}

type OpenStream = (mpsc::Sender<AtmMessage>, Streaming<GatewayMessage>);

async fn idle_streams(options: &Options, address: &str) -> Vec<OpenStream> {
    let mut opening = JoinSet::new();
    let mut streams = Vec::new();
    for _ in 0..options.number("--streams") {
        // As many handshakes at once as there are callers above.
        while opening.len() >= CONNECTIONS * IN_FLIGHT_EACH {
            streams.extend(opening.join_next().await.map(|opened| opened.expect("a stream")));
        }
        let (options, address) = (options.clone(), address.to_owned());
        opening.spawn(async move { open_stream(options.connect(&address).await).await });
    }
    streams.extend(opening.join_all().await);
    streams
}

/// A stream over which one message has gone each way.
async fn open_stream(channel: Channel) -> OpenStream {
    let (to_server, messages) = mpsc::channel(4);
    to_server.send(AtmMessage::default()).await.expect("room");
    let answer = AtmServiceClient::new(channel).connect(ReceiverStream::new(messages)).await.expect("a stream");
    let mut from_server = answer.into_inner();
    from_server.message().await.expect("a stream").expect("an answer");
    (to_server, from_server)
}

fn hold() -> PlaceHoldRequest {
    PlaceHoldRequest {
        withdrawal_id: ID.to_owned(),
        institution_id: "sakura".to_owned(),
        account_id: "acct-1".to_owned(),
        atm_id: "A1".to_owned(),
        device_id: "phone-1".to_owned(),
        ..PlaceHoldRequest::default()
    }
}

/// Answers at once, with nothing.
#[derive(Clone, Copy)]
struct Echo;

#[tonic::async_trait]
impl CoreBankingService for Echo {
    async fn place_hold(&self, _: Request<PlaceHoldRequest>) -> Result<Response<PlaceHoldResponse>, Status> {
        Ok(Response::new(PlaceHoldResponse::default()))
    }

    async fn confirm_hold(&self, _: Request<ConfirmHoldRequest>) -> Result<Response<ConfirmHoldResponse>, Status> {
        Ok(Response::new(ConfirmHoldResponse::default()))
    }

    async fn reverse_hold(&self, _: Request<ReverseHoldRequest>) -> Result<Response<ReverseHoldResponse>, Status> {
        Ok(Response::new(ReverseHoldResponse::default()))
    }

    async fn get_hold(&self, _: Request<GetHoldRequest>) -> Result<Response<GetHoldResponse>, Status> {
        Ok(Response::new(GetHoldResponse::default()))
    }
}

#[tonic::async_trait]
impl AtmService for Echo {
    type ConnectStream = ReceiverStream<Result<GatewayMessage, Status>>;

    async fn connect(&self, request: Request<Streaming<AtmMessage>>) -> Result<Response<Self::ConnectStream>, Status> {
        let mut messages = request.into_inner();
        let (answer, answers) = mpsc::channel(4);
        tokio::spawn(async move {
            while let Ok(Some(_)) = messages.message().await {
                if answer.send(Ok(GatewayMessage::default())).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

/// User and system time of this process so far.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // The fields behind the program's name, which stands in brackets; the twelfth and thirteenth are ticks of 10 ms.
    let behind_the_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_the_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks"));
    Duration::from_millis(10 * ticks.sum::<u64>())
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    4_096 * statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages")
}

fn last_number(peer: &mut Child) -> u64 {
    let output = BufReader::new(peer.stdout.take().expect("its output"));
    let line = output.lines().map_while(Result::ok).last().expect("a line");
    peer.wait().expect("it ended");
    line.parse().expect("a number")
}

#[derive(Clone)]
struct Options(HashMap<String, String>);

impl Options {
    fn read() -> Self {
        // Cargo adds `--bench` when it runs a bench.
        let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
        Self(words.chunks(2).filter_map(|pair| Some((pair.first()?.clone(), pair.get(1)?.clone()))).collect())
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_else(|_| panic!("{name} is a whole number"))
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs(self.number("--seconds"))
    }

    fn credentials(&self) -> Credentials {
        let file = |name| Path::new(self.text(name));
        Credentials::read(file("--ca"), file("--cert"), file("--key")).expect("credentials")
    }

    async fn connect(&self, address: &str) -> Channel {
        let endpoint = self.credentials().endpoint(&format!("https://{address}")).expect("an address");
        endpoint.connect().await.expect("connects")
    }

    /// The other process: the same options, and these before them.
    fn peer(&self, more: &[&str]) -> Child {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        for (name, value) in self.0.iter().filter(|(name, _)| !more.contains(&name.as_str())) {
            command.args([name, value]);
        }
        command.args(more).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a second process")
    }
}
