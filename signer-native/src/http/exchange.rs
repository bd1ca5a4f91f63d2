//! The exchanges of one connection: counted until their answers have gone, and each request read to its end before it is answered.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderValue, StatusCode, Version, header},
    response::Response,
};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use tower_service::Service;

/// The head of a request, the first one on a connection included, and the pause between two of HTTP/1.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause between two requests of HTTP/2, whose clients keep a connection for long.
const IDLE_TIMEOUT: Duration = Duration::from_mins(10);
/// How long whoever asked may take to read an answer of a known size. Streams, of events and exports, have none and take as long as
/// somebody reads them.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// Octets of a body that are read though nobody wants them.
const MAX_REST: usize = 256 * 1024;
/// How long they may take to arrive.
const REST_TIMEOUT: Duration = Duration::from_secs(5);

/// The requests of one connection. Time limits of the protocols begin with its first octets, and a connection that keeps its place
/// without asking for anything would keep it from others.
#[derive(Debug)]
pub(crate) struct Requests(Mutex<Tally>);

#[derive(Debug)]
struct Tally {
    under_way: usize,
    /// By when the answers that are being sent must have been read.
    sending: Vec<Instant>,
    /// When the last one ended, or the connection began.
    since: Instant,
    /// How long it may last that none is under way.
    limit: Duration,
}

impl Default for Requests {
    fn default() -> Self {
        Self(Mutex::new(Tally { under_way: 0, sending: Vec::new(), since: Instant::now(), limit: HEAD_TIMEOUT }))
    }
}

impl Requests {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn began(self: Arc<Self>) -> UnderWay {
        let mut tally = self.tally();
        tally.under_way += 1;
        tally.limit = IDLE_TIMEOUT;
        drop(tally);
        UnderWay { requests: self, until: None }
    }

    /// Resolves when the first request has not come within [`HEAD_TIMEOUT`], none was under way for [`IDLE_TIMEOUT`], or an answer was
    /// not read within [`ANSWER_TIMEOUT`], at most as long again later.
    pub(crate) async fn quiet(&self) {
        while let Some(rest) = self.rest() {
            tokio::time::sleep(rest).await;
        }
    }

    /// How long to wait until one may look again; `None` when it is over.
    fn rest(&self) -> Option<Duration> {
        let Tally { under_way, sending, since, limit } = &*self.tally();
        if sending.iter().any(|until| *until <= Instant::now()) {
            return None;
        }
        let rest = if *under_way == 0 { limit.saturating_sub(since.elapsed()) } else { ANSWER_TIMEOUT };
        (!rest.is_zero()).then_some(rest)
    }
}

/// A request until the last octet of its answer.
struct UnderWay {
    requests: Arc<Requests>,
    /// By when its answer must have been read.
    until: Option<Instant>,
}

impl UnderWay {
    /// Its answer is sent from now on.
    fn answered(&mut self, by: Instant) {
        self.requests.tally().sending.push(by);
        self.until = Some(by);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut tally = self.requests.tally();
        if let Some(place) = self.until.and_then(|until| tally.sending.iter().position(|by| *by == until)) {
            tally.sending.swap_remove(place);
        }
        tally.under_way = tally.under_way.saturating_sub(1);
        tally.since = Instant::now();
    }
}

/// Answers the requests of a connection.
#[derive(Clone)]
pub(crate) struct Exchanges<S> {
    pub(crate) service: S,
    pub(crate) requests: Arc<Requests>,
}

impl<S> Service<hyper::Request<Incoming>> for Exchanges<S>
where
    S: Service<Request, Response = Response>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: hyper::Request<Incoming>) -> Self::Future {
        let mut under_way = Arc::clone(&self.requests).began();
        let (request, rest) = Rest::of(request);
        let answer = self.service.call(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            if let Some(rest) = rest
                && !rest.read(answer.status()).await
            {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            if answer.body().size_hint().exact().is_some() {
                under_way.answered(Instant::now() + ANSWER_TIMEOUT);
            }
            // An answer that is a stream is under way as long as somebody reads it.
            Ok(answer.map(|body| Body::new(Held { body, _under_way: under_way })))
        })
    }
}

/// What the service has left of a request's body. In HTTP/1 hyper ends a connection on which something is left, without saying so
/// in the answer, and whoever is still writing loses the answer over it (RFC 9112 section 9.6).
struct Rest {
    body: Shared,
    /// The client sends its body when it is told that somebody reads it, and not before (RFC 9110 section 10.1.1).
    waits: bool,
}

impl Rest {
    /// There is none where no body comes, and in HTTP/2 an answer ends nothing but its own stream.
    fn of(request: hyper::Request<Incoming>) -> (Request, Option<Self>) {
        if request.version() > Version::HTTP_11 || request.body().is_end_stream() {
            return (request.map(Body::new), None);
        }
        let waits = request.headers().contains_key(header::EXPECT);
        let (parts, body) = request.into_parts();
        let body = Shared(Arc::new(Mutex::new(Reading { body, begun: false })));
        (Request::from_parts(parts, Body::new(body.clone())), Some(Self { body, waits }))
    }

    /// Whether the whole body has come, now or before. Nobody waits longer for one that the service gave up waiting for.
    async fn read(self, status: StatusCode) -> bool {
        let Self { body, waits } = self;
        if body.is_end_stream() {
            return true;
        }
        if status == StatusCode::REQUEST_TIMEOUT || (waits && !body.lock().begun) {
            return false;
        }
        let mut rest = Limited::new(body, MAX_REST);
        let read = async {
            while let Some(frame) = rest.frame().await {
                if frame.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(REST_TIMEOUT, read).await.unwrap_or(false)
    }
}

/// A request's body, for the service and for what comes after it.
#[derive(Clone)]
struct Shared(Arc<Mutex<Reading>>);

struct Reading {
    body: Incoming,
    begun: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut reading = self.lock();
        reading.begun = true;
        Pin::new(&mut reading.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
    }
}

/// An answer's body, and that its request is under way as long as it is there.
struct Held {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_nobody_reads_ends_its_connection_and_a_stream_does_not() {
        let requests = Arc::new(Requests::default());
        let (mut unread, stream) = (Arc::clone(&requests).began(), Arc::clone(&requests).began());
        let mut read = Arc::clone(&requests).began();
        read.answered(Instant::now());
        assert_eq!(requests.rest(), None);
        drop(read);
        assert_eq!(requests.rest(), Some(ANSWER_TIMEOUT), "it was read");
        unread.answered(Instant::now() + ANSWER_TIMEOUT);
        assert_eq!(requests.rest(), Some(ANSWER_TIMEOUT), "it has its time");
        unread.answered(Instant::now());
        assert_eq!(requests.rest(), None);
        drop(stream);
    }
}
