//! Serves the HTTP port. It has no certificates to tell peers apart, so each gets little: one request a connection, a few seconds for it, and a
//! share of few connections.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::guard::{GuardMetrics, Shares, source};

/// Connections at once. Probes, Prometheus and a few that fetch keys need a handful.
const CONNECTIONS_MAX: usize = 256;
/// Of these, of one source: whoever holds all of its own keeps no other source out.
const CONNECTIONS_PER_SOURCE_MAX: usize = 32;
/// How long the head of a request may take.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// How long everything may take, until the answer has been taken.
const REQUEST_MAX: Duration = Duration::from_secs(9);
/// How large the head of a request may be, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long accepting pauses when the system has no more sockets to give.
const PAUSE_ON_ERROR: Duration = Duration::from_millis(100);

/// Serves until `stop`, and then what has begun.
pub(crate) async fn serve(listener: TcpListener, pages: Router, metrics: GuardMetrics, stop: impl Future<Output = ()>) {
    let shares = Shares::new(CONNECTIONS_MAX, CONNECTIONS_PER_SOURCE_MAX);
    let mut serving = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
            Some(_) = serving.join_next() => continue,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection to the HTTP port could not be accepted");
                tokio::time::sleep(PAUSE_ON_ERROR).await;
                continue;
            }
        };
        match shares.take(source(address)) {
            Ok(share) => {
                let (pages, metrics) = (pages.clone(), metrics.clone());
                serving.spawn(async move {
                    if tokio::time::timeout(REQUEST_MAX, answer(stream, pages)).await.is_err() {
                        metrics.turned_away("http", "too_slow");
                    }
                    drop(share);
                });
            }
            Err(why) => metrics.turned_away("http", why),
        }
    }
    while serving.join_next().await.is_some() {}
}

async fn answer(stream: TcpStream, pages: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    if let Err(error) = served.await {
        tracing::debug!(%error, "a request to the HTTP port came to nothing");
    }
}
