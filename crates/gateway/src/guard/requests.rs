//! Counts requests before anything is done for them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cashgate_wire::status;
use cashgate_withdrawal::refusal::Refusal;
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::{Bytes, Service, http};
use tonic::{Status, codegen};
use tower::Layer;

use super::registry::{Shed, UnderWay};
use crate::listener::Peer;

/// The paths of our own services begin so. Each of them knows how long it waits for its caller.
const OURS: &str = "/cashgate.";
/// How long any other call, such as of the health service, may take until its first answer: an ATM that begins one and does not end it would
/// otherwise keep its connection without a Hello.
const ASIDE_MAX: Duration = Duration::from_secs(5);

/// Refuses requests of peers that ask too often, and all while too many are under way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted;

/// A service behind [`Counted`].
#[derive(Clone, Debug)]
pub struct CountedService<S>(S);

impl<S> Layer<S> for Counted {
    type Service = CountedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CountedService(inner)
    }
}

impl<S> Service<http::Request<Body>> for CountedService<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let taken_up = match request.extensions().get::<Peer>() {
            Some(peer) => Arc::clone(&peer.link).takes_up().map_err(|shed| match shed {
                Shed::TooFast(pause) => status::too_fast(pause),
                Shed::Overloaded => status::status(&Refusal::Overloaded),
            }),
            None => Err(Status::internal("a request without a connection")),
        };
        match taken_up {
            Ok(under_way) => {
                let max = (!request.uri().path().starts_with(OURS)).then_some(ASIDE_MAX);
                let answer = self.0.call(request);
                Box::pin(async move {
                    let answer = match max {
                        None => answer.await?,
                        Some(max) => match tokio::time::timeout(max, answer).await {
                            Ok(answer) => answer?,
                            Err(_) => Status::cancelled("the request was not ended in time").into_http(),
                        },
                    };
                    Ok(answer.map(|body| Body::new(Answer { body, _under_way: under_way })))
                })
            }
            Err(status) => Box::pin(async move { Ok(status.into_http()) }),
        }
    }
}

/// An answer whose request is under way until it has been sent.
struct Answer {
    body: Body,
    _under_way: UnderWay,
}

impl codegen::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
