//! A channel that keeps every byte of the answers, so that a test can compare messages as they were sent.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Bytes, Service, http};
use tonic::transport::Channel;

#[derive(Clone)]
pub(super) struct Recording {
    channel: Channel,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Recording {
    pub(super) fn of(channel: Channel) -> Self {
        Self { channel, heard: Arc::default() }
    }

    /// The messages so far: gRPC puts a flag and a length of four bytes before each.
    pub(super) fn messages(&self) -> Vec<Vec<u8>> {
        let heard = self.heard.lock().unwrap();
        let (mut rest, mut messages) = (heard.as_slice(), Vec::new());
        while let [0, a, b, c, d, behind @ ..] = rest {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let Some((message, next)) = behind.split_at_checked(length) else { break };
            messages.push(message.to_vec());
            rest = next;
        }
        messages
    }
}

impl Service<http::Request<Body>> for Recording {
    type Response = http::Response<Recorded>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::poll_ready(&mut self.channel, context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let heard = Arc::clone(&self.heard);
        let answer = Service::call(&mut self.channel, request);
        Box::pin(async move { answer.await.map(|answer| answer.map(|body| Recorded { body, heard })) })
    }
}

pub(super) struct Recorded {
    body: Body,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl HttpBody for Recorded {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, tonic::Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.heard.lock().unwrap().extend_from_slice(data);
        }
        polled
    }
}
