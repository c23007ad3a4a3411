//! Bodies of requests: how long, how late, and how much of the memory all of them may take together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::connections::Share;
use super::routes::Refusal;

/// The longest review. The API server takes objects of 3 MiB, and a review may hold one twice.
pub const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// What nearly all reviews are shorter than. A quarter of the room is theirs alone: longer ones, which come slowly, do not
/// hold them up.
const SHORT: u32 = 256 * 1024;

/// How long a body waits for room. An API server that is told so tries again by itself, within its own timeout.
const ROOM_TIMEOUT: Duration = Duration::from_secs(2);

const TOO_LARGE: Refusal = Refusal(StatusCode::PAYLOAD_TOO_LARGE, "a review is at most 8 MiB");
const NO_ROOM: Refusal =
    Refusal(StatusCode::TOO_MANY_REQUESTS, "there are more reviews at once than there is memory for: try again");

/// Reads bodies, as long as there is room for them.
#[derive(Clone, Debug)]
pub(super) struct Bodies {
    short: Arc<Semaphore>,
    long: Arc<Semaphore>,
    timeout: Duration,
}

/// A body, and the room that it takes until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    pub body: Bytes,
    _room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Bodies {
    /// Of at most `bytes` together; each has to come within `timeout`.
    pub fn new(bytes: usize, timeout: Duration) -> Self {
        let short = bytes / 4;
        Bodies { short: Arc::new(Semaphore::new(short)), long: Arc::new(Semaphore::new(bytes - short)), timeout }
    }

    /// The body of a request with these headers, by `deadline`; `share` is the room that its sender has.
    pub async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        share: &Share,
        deadline: Instant,
    ) -> Result<Held, Refusal> {
        let length = length(headers)?;
        let limit = deadline.min(Instant::now() + self.timeout);
        let room = timeout_at(limit.min(Instant::now() + ROOM_TIMEOUT), self.room(share, length));
        let room = room.await.ok().flatten().ok_or(NO_ROOM)?;
        Ok(Held { body: read(body, length as usize, limit).await?, _room: room })
    }

    /// Room for so many bytes; taken before the first of them is read, so that nobody waits with half a body.
    async fn room(&self, share: &Share, length: u32) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let of_sender = Arc::clone(&share.0).acquire_many_owned(length).await.ok()?;
        let of_all = if length <= SHORT { &self.short } else { &self.long };
        let of_all = Arc::clone(of_all).acquire_many_owned(length).await.ok()?;
        Some((of_sender, of_all))
    }
}

/// How long the body says that it is; refuses what is no review by its headers.
fn length(headers: &HeaderMap) -> Result<u32, Refusal> {
    let text = |name: HeaderName| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let media_type = text(CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let message = "send an AdmissionReview as content-type: application/json";
        return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body without a content-encoding"));
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err(Refusal(StatusCode::LENGTH_REQUIRED, "send the body in one piece, with its content-length"));
    }
    let length: u64 = text(CONTENT_LENGTH).and_then(|length| length.parse().ok()).unwrap_or(0);
    u32::try_from(length).ok().filter(|length| *length as usize <= BODY_LIMIT).ok_or(TOO_LARGE)
}

/// The body, in one piece. One that comes in one piece is not copied.
async fn read(body: Body, length: usize, limit: Instant) -> Result<Bytes, Refusal> {
    let mut chunks = body.into_data_stream();
    let Some(first) = next_chunk(&mut chunks, limit).await? else { return Ok(Bytes::new()) };
    if first.len() >= length {
        return Ok(first);
    }
    let mut body = BytesMut::with_capacity(length);
    body.extend_from_slice(&first);
    while let Some(chunk) = next_chunk(&mut chunks, limit).await? {
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The next piece of the body; there are never more bytes than the content-length says.
async fn next_chunk(chunks: &mut BodyDataStream, limit: Instant) -> Result<Option<Bytes>, Refusal> {
    match timeout_at(limit, chunks.next()).await {
        Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
        Ok(None) => Ok(None),
        Ok(Some(Err(_))) => Err(Refusal(StatusCode::BAD_REQUEST, "the body ended early")),
        Err(_) => Err(Refusal(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn status(pairs: &[(&'static str, &'static str)]) -> Result<u32, u16> {
        length(&headers(pairs)).map_err(|Refusal(status, _)| status.as_u16())
    }

    #[test]
    fn a_review_says_what_it_is_and_how_long() {
        let json = ("content-type", "application/json");
        assert_eq!(status(&[json, ("content-length", "8388608")]), Ok(8_388_608));
        assert_eq!(status(&[("content-type", "Application/JSON; charset=utf-8"), ("content-length", "2")]), Ok(2));
        assert_eq!(status(&[json]), Ok(0));
        for (headers, refused) in [
            (vec![json, ("content-length", "8388609")], 413),
            (vec![json, ("content-length", "18446744073709551615")], 413),
            (vec![json, ("transfer-encoding", "chunked")], 411),
            (vec![json, ("content-encoding", "gzip")], 415),
            (vec![("content-type", "text/plain")], 415),
            (vec![], 415),
        ] {
            assert_eq!(status(&headers), Err(refused), "{headers:?}");
        }
    }
}
