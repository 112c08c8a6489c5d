//! The HTTP port: metrics, probes and the public keys. It tells nothing about customers and needs no certificate.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::watch;

use crate::lanes::Surroundings;

#[derive(Clone)]
struct Served {
    surroundings: Arc<Surroundings>,
    ready: watch::Receiver<bool>,
}

/// The routes. `ready` says whether ATMs and app back ends may be sent here.
pub(crate) fn router(surroundings: Arc<Surroundings>, ready: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/.well-known/cose-keys", get(cose_keys))
        .with_state(Served { surroundings, ready })
}

async fn metrics(State(served): State<Served>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], served.surroundings.metrics.text())
}

async fn readyz(State(served): State<Served>) -> impl IntoResponse {
    if *served.ready.borrow() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

/// RFC 7517.
async fn jwks(State(served): State<Served>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/jwk-set+json")], served.surroundings.mint.keys().to_jwks())
}

/// RFC 9052, section 7.
async fn cose_keys(State(served): State<Served>) -> impl IntoResponse {
    match served.surroundings.mint.keys().to_cose_key_set() {
        Ok(set) => ([(header::CONTENT_TYPE, "application/cose-key-set")], set).into_response(),
        Err(error) => {
            tracing::error!(%error, "the COSE key set could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
