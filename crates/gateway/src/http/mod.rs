//! The HTTP port: metrics, probes and the public keys. It tells nothing about customers and needs no certificate.

mod serving;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use cashgate_hsm::HsmState;
use tokio::sync::watch;

use crate::clock;
use crate::keys::KeyOffice;
use crate::lanes::Surroundings;
use crate::minting::QrHsm;
use crate::publishing::NothingPublished;
use crate::replica::Member;
pub(crate) use serving::serve;

#[derive(Clone)]
struct Served {
    surroundings: Arc<Surroundings>,
    keys: KeyOffice,
    hsm: QrHsm,
    ready: watch::Receiver<Readiness>,
}

/// How far the gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// What was open is being recovered.
    Starting,
    /// ATMs and app back ends may come, if there is an HSM.
    Serving,
    /// They are sent away.
    Stopping,
}

/// The routes.
pub(crate) fn router(
    surroundings: Arc<Surroundings>,
    keys: KeyOffice,
    hsm: QrHsm,
    ready: watch::Receiver<Readiness>,
) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/.well-known/cose-keys", get(cose_keys))
        .with_state(Served { surroundings, keys, hsm, ready })
}

async fn metrics(State(served): State<Served>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], served.surroundings.metrics.text())
}

/// Whether new customers may be sent here. Without an HSM they may not; those who are being served go on all the same.
async fn readyz(State(served): State<Served>) -> impl IntoResponse {
    let not_ready = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n"));
    let readiness = *served.ready.borrow();
    match readiness {
        Readiness::Starting => not_ready("starting"),
        Readiness::Stopping => not_ready("stopping"),
        Readiness::Serving if !follows_the_ledger(&served.surroundings) => {
            not_ready("the ledger does not answer, or what other replicas wrote is not known")
        }
        Readiness::Serving if served.surroundings.desk.rules().policy.version() == NothingPublished::VERSION => {
            not_ready("rules come from the ledger, and nothing is published there")
        }
        Readiness::Serving => match served.hsm.state() {
            HsmState::Ready => (StatusCode::OK, "ready\n".to_owned()),
            HsmState::Degraded => (StatusCode::OK, format!("ready, HSM degraded: {}\n", reasons(&served.hsm))),
            HsmState::Lost => not_ready(&format!("no HSM answers: {}", reasons(&served.hsm))),
        },
    }
}

/// Whether the ledger answers (a file always does), and among replicas whether its word is fresh.
fn follows_the_ledger(surroundings: &Surroundings) -> bool {
    let fresh = |member: &Arc<Member>| {
        let now = clock::now();
        member.pulse().is_fresh(now) && member.pulse().may_act(now)
    };
    surroundings.ledger.reachable() && surroundings.member.as_ref().is_none_or(fresh)
}

fn reasons(hsm: &QrHsm) -> String {
    let slots = hsm.slots();
    let troubled = slots.iter().filter(|slot| !slot.reason.is_empty());
    troubled.map(|slot| format!("{:?}: {}", slot.token_label, slot.reason)).collect::<Vec<_>>().join("; ")
}

/// RFC 7517.
async fn jwks(State(served): State<Served>) -> impl IntoResponse {
    (key_headers(&served, "application/jwk-set+json"), served.keys.ring().published().to_jwks())
}

/// RFC 9052, section 7.
async fn cose_keys(State(served): State<Served>) -> impl IntoResponse {
    match served.keys.ring().published().to_cose_key_set() {
        Ok(set) => (key_headers(&served, "application/cose-key-set"), set).into_response(),
        Err(error) => {
            tracing::error!(%error, "the COSE key set could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Keys may be kept for half the time between publishing and use: who fetches then, late and through a cache that is late too, still
/// knows a key before its first code.
fn key_headers(served: &Served, content_type: &'static str) -> [(header::HeaderName, String); 2] {
    let max_age = served.keys.publish_before_use().as_secs() / 2;
    [(header::CONTENT_TYPE, content_type.to_owned()), (header::CACHE_CONTROL, format!("public, max-age={max_age}"))]
}
