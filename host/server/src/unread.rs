//! Bodies of requests that were answered before they were read, an upload with a wrong key, say.
//!
//! Closing the connection under a client that is still sending resets it, and the client reports a
//! broken connection instead of the answer. So the rest is read and discarded, within limits.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

/// Most bytes that are discarded. The client of a longer body may miss the answer.
const MOST: usize = 64 << 20;
/// Time limit of all of it, and of a pause between two pieces.
const LONGEST: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(500);
/// Time between two reads, in which small packets become a large one.
const GATHERING: Duration = Duration::from_millis(1);

/// Answers a request, and then reads what is left of its body.
pub(super) async fn discard(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let rest = Arc::default();
    let lent = Body::new(Lent { body, rest: Arc::clone(&rest) });
    let response = next.run(Request::from_parts(parts, lent)).await;
    let rest = rest.lock().take();
    if let Some(rest) = rest.filter(|rest| !rest.is_end_stream()) {
        // The answer is sent meanwhile.
        tokio::spawn(timeout(LONGEST, read(rest)));
    }
    response
}

async fn read(body: Body) {
    let (mut pieces, mut bytes) = (body.into_data_stream(), 0);
    while let Ok(Some(Ok(piece))) = timeout(PAUSE, pieces.next()).await {
        bytes += piece.len();
        if bytes > MOST {
            return;
        }
        sleep(GATHERING).await;
    }
}

/// A body that is given back when its reader drops it.
struct Lent {
    body: Body,
    rest: Arc<Mutex<Option<Body>>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let body = std::mem::take(&mut self.body);
        *self.rest.lock() = Some(body);
    }
}
