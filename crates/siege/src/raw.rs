//! Connections whose every byte the attacker chooses.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::clock;

/// Attackers come from another address than honest peers, as they do in life.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// How long an attacker waits to be closed before it counts as never.
pub(crate) const NEVER: Duration = Duration::from_secs(40);

/// How long an attacker knocks. One that is not let in by then was borne for no time.
const LET_IN_WITHIN: Duration = Duration::from_secs(10);

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A TCP connection from the attacker's address.
pub(crate) async fn tcp(port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((ATTACKER, 0)))?;
    let connecting = socket.connect(SocketAddr::from(([127, 0, 0, 1], port)));
    let stream = tokio::time::timeout(LET_IN_WITHIN, connecting).await.map_err(std::io::Error::from)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The same with TLS done.
pub(crate) async fn tls(port: u16, config: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
    let handshake = TlsConnector::from(Arc::clone(config)).connect(name, tcp(port).await?);
    tokio::time::timeout(LET_IN_WITHIN, handshake).await.map_err(std::io::Error::from)?
}

/// A frame (RFC 9113, section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// How HTTP/2 begins, with these settings.
pub(crate) fn beginning(settings: &[(u16, u32)]) -> Vec<u8> {
    let settings: Vec<u8> =
        settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    [PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat()
}

/// The headers of a gRPC call, as HPACK without a table (RFC 7541, section 6.2.2).
pub(crate) fn headers_of(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap_or(127)][..], text.as_bytes()].concat();
    let mut block = vec![0x83, 0x87, 0x04];
    block.extend(text(path));
    block.push(0x01);
    block.extend(text("localhost"));
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")].iter().chain(more) {
        block.push(0x00);
        block.extend(text(name));
        block.extend(text(value));
    }
    block
}

/// A message of a gRPC stream.
pub(crate) fn message(body: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes(), body].concat()
}

/// `AtmMessage` with a Hello of a machine without cassettes, and one with StartQrSession.
pub(crate) fn hello() -> Vec<u8> {
    // name (1) "M", place (2) "P", notes_per_dispense_max (4) 40, inside field 1
    message(&[0x0a, 8, 0x0a, 1, b'M', 0x12, 1, b'P', 0x20, 40])
}

/// `AtmMessage` with StartQrSession.
pub(crate) const START_QR_SESSION: &[u8] = &[0x12, 0];

/// The rpc that ATMs call.
pub(crate) const CONNECT: &str = "/cashgate.atm.v1.AtmService/Connect";

/// Sends what `next` gives, one after the other with a pause in between, and reads and forgets what comes, until the gateway closes the connection.
/// Gives how long that took from the first byte; `None` if it never did.
pub(crate) async fn press(
    stream: impl AsyncRead + AsyncWrite,
    mut next: impl FnMut() -> Option<Vec<u8>>,
    pause: Duration,
) -> Option<Duration> {
    let began = clock::now();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let read = async {
        let mut taken = vec![0; 16 * 1024];
        while !matches!(reading.read(&mut taken).await, Ok(0) | Err(_)) {}
    };
    let write = async {
        while let Some(bytes) = next() {
            if writing.write_all(&bytes).await.is_err() || writing.flush().await.is_err() {
                return;
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        // Nothing more to say: now it only waits.
        std::future::pending::<()>().await;
    };
    let closed = async {
        tokio::select! { () = read => {}, () = write => {} }
    };
    tokio::time::timeout(NEVER, closed).await.ok().map(|()| began.elapsed())
}

/// The same for whoever says all that it has to say at once.
pub(crate) async fn say(stream: impl AsyncRead + AsyncWrite, bytes: Vec<u8>) -> Option<Duration> {
    let mut bytes = Some(bytes);
    press(stream, || bytes.take(), Duration::ZERO).await
}

/// Sends this, and gives how long it takes until stream 1 is answered or reset, or the connection is closed.
pub(crate) async fn answered(stream: impl AsyncRead + AsyncWrite + Unpin, bytes: Vec<u8>) -> Option<Duration> {
    let began = clock::now();
    let mut stream = stream;
    let answer = async {
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        loop {
            let mut header = [0; 9];
            if stream.read_exact(&mut header).await.is_err() {
                return;
            }
            let [high, middle, low, kind, _, _, _, _, of] = header;
            let mut payload = vec![0; usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)];
            if stream.read_exact(&mut payload).await.is_err() || (of == 1 && matches!(kind, HEADERS | RST_STREAM)) {
                return;
            }
        }
    };
    tokio::time::timeout(NEVER, answer).await.ok().map(|()| began.elapsed())
}

/// Waits for the end without a word and without taking anything.
pub(crate) async fn wait(stream: TcpStream) -> Option<Duration> {
    say(stream, Vec::new()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_the_rfc_draws_it() {
        assert_eq!(frame(PING, 1, 0x0102_0304, &[9, 9]), [0, 0, 2, 6, 1, 1, 2, 3, 4, 9, 9]);
    }

    #[test]
    fn a_hello_has_the_length_that_it_says() {
        let hello = hello();
        assert_eq!(
            usize::try_from(u32::from_be_bytes([hello[1], hello[2], hello[3], hello[4]])).unwrap(),
            hello.len() - 5
        );
        assert_eq!(usize::from(hello[6]), hello.len() - 7);
    }
}
