//! A connection whose peer is known, and the patience with it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use cashgate_withdrawal::time::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::Peer;
use crate::clock;
use crate::guard::{Cut, FrameMeter, PortGuard, Seat};
use crate::tls::Tls;

/// How long HTTP/2 may take to begin after the handshake.
const PREFACE_MAX: Duration = Duration::from_secs(5);
/// How long a block of headers may take.
const HEADERS_MAX: Duration = Duration::from_secs(5);
/// How long the socket may take nothing of what is to be sent.
const WRITE_MAX: Duration = Duration::from_secs(8);
/// A connection that is old and in use is looked at again after this time.
const AGED_AGAIN: Duration = Duration::from_secs(10);
/// A certificate that ends later than this is not waited for: no connection gets that old.
const EXPIRY_NEAR: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct TlsConnection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    seat: Seat,
    tls: Tls,
    meter: FrameMeter,
    patience: Patience,
    timer: Pin<Box<Sleep>>,
    idle_max: Option<Duration>,
    ended: bool,
}

/// What a connection is waited for, and until when.
#[derive(Debug, Default)]
struct Patience {
    preface: Option<Instant>,
    idle: Option<Instant>,
    headers: Option<Instant>,
    write: Option<Instant>,
    age: Option<Instant>,
    certificate: Option<Instant>,
}

impl Patience {
    fn with_new(guard: &PortGuard, age: Duration, certificate_ends: Option<Timestamp>) -> Self {
        let near = |ends: &Timestamp| ends.since(clock::now()) < EXPIRY_NEAR;
        Self {
            preface: Some(clock::in_time(PREFACE_MAX)),
            // Where a stream lasts as long as its connection, the stream is asked to end: its ATM may be serving somebody.
            age: guard.idle_max.is_none().then(|| clock::in_time(age)),
            certificate: certificate_ends.filter(near).map(clock::deadline),
            ..Self::default()
        }
    }

    /// What ends first.
    fn first(&self) -> Option<(Instant, Cut)> {
        let all = [
            (self.preface, Cut::NoPreface),
            (self.idle, Cut::Idle),
            (self.headers, Cut::SlowHeaders),
            (self.write, Cut::SlowReader),
            (self.age, Cut::Aged),
            (self.certificate, Cut::Expired),
        ];
        all.into_iter().filter_map(|(at, cut)| Some((at?, cut))).min_by_key(|(at, _)| *at)
    }
}

impl TlsConnection {
    pub(super) fn new(
        stream: TlsStream<TcpStream>,
        peer: Peer,
        seat: Seat,
        tls: Tls,
        certificate_ends: Option<Timestamp>,
    ) -> Self {
        let guard = *seat.link().guard();
        let patience = Patience::with_new(&guard, seat.link().age(), certificate_ends);
        let first = patience.first().map_or_else(|| clock::in_time(PREFACE_MAX), |(at, _)| at);
        Self {
            stream,
            peer,
            tls,
            meter: FrameMeter::new(&guard),
            patience,
            timer: Box::pin(tokio::time::sleep_until(first)),
            idle_max: guard.idle_max,
            seat,
            ended: false,
        }
    }

    /// Whether this connection may go on. Called whenever it is polled, so that it is woken when it may not any more.
    fn poll_guard(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.still_welcome(cx) {
            Ok(()) => Ok(()),
            Err(cut) => Err(self.end(cut)),
        }
    }

    fn still_welcome(&mut self, cx: &mut Context<'_>) -> Result<(), Cut> {
        let link = self.seat.link();
        // Before looking: what comes after is then not missed.
        link.waking(cx.waker());
        if let Some(cut) = link.cut_for() {
            return Err(cut);
        }
        if self.tls.has_changed() {
            let set = self.tls.seen();
            let chain = self.stream.get_ref().1.peer_certificates().unwrap_or_default();
            set.would_accept(chain).map_err(|_| Cut::Revoked)?;
        }
        let in_use = link.requests_under_way() > 0;
        match self.idle_max.filter(|_| self.meter.has_preface() && !in_use) {
            Some(max) => self.patience.idle = self.patience.idle.or_else(|| Some(clock::in_time(max))),
            None => self.patience.idle = None,
        }
        while let Some((at, cut)) = self.patience.first() {
            if self.timer.deadline() != at {
                self.timer.as_mut().reset(at);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            if cut != Cut::Aged || !in_use {
                return Err(cut);
            }
            // Whatever is under way ends first.
            self.patience.age = Some(clock::in_time(AGED_AGAIN));
        }
        Ok(())
    }

    /// Counts what was read, and knows what is waited for next.
    fn count(&mut self, read: &[u8]) -> io::Result<()> {
        if let Err(cut) = self.meter.count(read) {
            return Err(self.end(cut));
        }
        if self.meter.has_preface() {
            self.patience.preface = None;
        }
        self.patience.headers = match self.meter.owes_an_end() {
            // Not from each part anew: one byte now and then would last for ever.
            true => self.patience.headers.or_else(|| Some(clock::in_time(HEADERS_MAX))),
            false => None,
        };
        Ok(())
    }

    fn end(&mut self, cut: Cut) -> io::Error {
        if !self.ended {
            self.ended = true;
            let (link, port) = (self.seat.link(), self.seat.link().guard().port);
            link.metrics().cut(port, cut);
            if cut.is_ordinary() {
                tracing::info!(port, peer = link.who(), why = cut.name(), "a connection was closed");
            } else {
                tracing::warn!(port, peer = link.who(), why = cut.name(), "a connection was cut");
            }
        }
        cut.into()
    }

    /// A write that did not go through is waited for only so long.
    fn written<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            if self.patience.write.is_none() {
                self.patience.write = Some(clock::in_time(WRITE_MAX));
                self.poll_guard(cx)?;
            }
        } else {
            self.patience.write = None;
        }
        polled
    }
}

impl Connected for TlsConnection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_guard(cx)?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.count(buf.filled().get(before..).unwrap_or_default())?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_guard(cx)?;
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_guard(cx)?;
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_guard(cx)?;
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(cx, polled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GuardSection;

    fn new(guard: &PortGuard) -> Patience {
        Patience::with_new(guard, Duration::from_secs(3_600), None)
    }

    #[tokio::test]
    async fn whatever_ends_first_is_the_reason() {
        let mut patience = new(&PortGuard::atm(&GuardSection::default()));
        assert_eq!(patience.first().map(|(_, cut)| cut), Some(Cut::NoPreface));
        let soon = clock::in_time(Duration::from_millis(1));
        for (place, cut) in [(0, Cut::Idle), (1, Cut::SlowHeaders), (2, Cut::SlowReader)] {
            let mut patience = new(&PortGuard::atm(&GuardSection::default()));
            *[&mut patience.idle, &mut patience.headers, &mut patience.write][place] = Some(soon);
            assert_eq!(patience.first(), Some((soon, cut)));
        }
        patience.preface = None;
        assert_eq!(patience.first(), None, "an ATM that is connected and busy is waited for as long as it likes");
    }

    #[tokio::test]
    async fn only_connections_without_a_long_stream_end_by_age() {
        let section = GuardSection::default();
        let mut api = new(&PortGuard::api(&section));
        api.preface = None;
        assert_eq!(api.first().map(|(_, cut)| cut), Some(Cut::Aged));
    }

    #[tokio::test]
    async fn a_certificate_is_waited_for_only_if_it_ends_soon() {
        let guard = PortGuard::atm(&GuardSection::default());
        let ends = |after| Patience::with_new(&guard, Duration::ZERO, Some(clock::now().after(after))).certificate;
        assert!(ends(Duration::from_secs(60)).is_some());
        assert!(ends(Duration::from_secs(10 * 365 * 24 * 3_600)).is_none());
    }
}
