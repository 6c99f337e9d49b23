//! Rejections: typed answers to requests that are not served, for all protocols.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hearken::Error;
use hearken::audio::AudioError;
use hearken::text;

/// Longest piece of a client's own text that is quoted back to it.
const QUOTE: usize = 80;

/// A rejection. Its message is one line for the client: the thing, and the remedy. Each protocol
/// dresses it in its own form.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error("no key was sent; send it in the header `Authorization: Bearer KEY`")]
    NoKey,
    #[error("this key is not known here; ask the operator for another one")]
    WrongKey,
    #[error("this key was revoked; ask the operator for another one")]
    Revoked,
    #[error(
        "this server has no tenants, and so answers only programs on its own machine and its own page; configure tenants to open it"
    )]
    Foreign,
    #[error("the model {0:?} does not exist here, or not for this key; GET /v1/models lists those that do")]
    UnknownModel(String),
    #[error("the models are being loaded; try again in a second")]
    NotReady,
    #[error("the server is shutting down; try again, or elsewhere")]
    Draining,
    #[error("this key has {0} streams and recordings open, which is its limit; end one, or try again later")]
    TooManyStreams(u32),
    #[error("this key has {0} connections that watch, which is its limit; end one, or try again later")]
    TooManyWatchers(u32),
    #[error("this key has {0} client secrets that are valid, which is the limit; let some expire")]
    TooManySecrets(usize),
    #[error("the server is full; try again later")]
    Full,
    /// The server is at capacity.
    #[error(
        "the server is at capacity; try again in {} seconds", retry.as_secs().max(1)
    )]
    Busy { retry: Duration },
    #[error(
        "this key has used its {allowed} seconds of audio a minute; try again in {} seconds", retry.as_secs().max(1)
    )]
    TooMuchAudio { allowed: u32, retry: Duration },
    #[error("the body is larger than the {} MiB that this key may upload; compress or cut the recording", .0 >> 20)]
    TooLarge(u64),
    #[error("this key's uploads take more than {} MiB together; wait for those that are under way", .0 >> 20)]
    TooManyUploads(u64),
    #[error("this key's long messages take more than {} MiB together; send shorter ones", .0 >> 20)]
    TooManyMessages(u64),
    #[error("the server has no room for more uploads at the moment; try again later")]
    NoRoom,
    #[error("the recording is longer than the {0} minutes that this key may send at once; cut it")]
    TooLong(u32),
    #[error("nothing came for too long; send faster, or check the connection")]
    TooSlow,
    #[error("the request ended too soon; check the connection and try again")]
    Incomplete,
    /// Something in the request is wrong: the parameter, and the remedy.
    #[error("{message}")]
    Invalid { parameter: Option<&'static str>, message: String },
    /// The request is understood, and not supported.
    #[error("{message}")]
    Unsupported { parameter: Option<&'static str>, message: String },
    #[error(transparent)]
    Audio(AudioError),
    #[error("the transcription failed; try again")]
    Internal,
}

impl Rejection {
    pub(super) fn invalid(parameter: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { parameter: Some(parameter), message: message.into() }
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::Invalid { parameter: None, message: message.into() }
    }

    pub(super) fn unsupported(parameter: &'static str, message: impl Into<String>) -> Self {
        Self::Unsupported { parameter: Some(parameter), message: message.into() }
    }

    /// Rejection for an empty token bucket: `left` is the credit that remains of the audio allowed
    /// in a minute, which is 0 or less.
    pub(super) fn too_much_audio(left: f64, allowed: u32) -> Self {
        let retry = Duration::from_secs_f64((-left * 60.0 / f64::from(allowed)).clamp(0.0, 86_400.0));
        Self::TooMuchAudio { allowed, retry: retry + Duration::from_secs(1) }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoKey | Self::WrongKey | Self::Revoked => StatusCode::UNAUTHORIZED,
            Self::Foreign => StatusCode::FORBIDDEN,
            Self::UnknownModel(_) => StatusCode::NOT_FOUND,
            Self::NotReady | Self::Draining | Self::Full | Self::NoRoom | Self::Busy { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::TooManyStreams(_)
            | Self::TooManyUploads(_)
            | Self::TooManyMessages(_)
            | Self::TooManyWatchers(_)
            | Self::TooManySecrets(_)
            | Self::TooMuchAudio { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge(_) | Self::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Incomplete | Self::Invalid { .. } | Self::Unsupported { .. } | Self::Audio(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A short name for programs, logs and metrics.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoKey => "missing_api_key",
            Self::WrongKey => "invalid_api_key",
            Self::Revoked => "key_revoked",
            Self::Foreign => "foreign_origin",
            Self::UnknownModel(_) => "model_not_found",
            Self::NotReady => "not_ready",
            Self::Draining => "shutting_down",
            Self::TooManyStreams(_) => "too_many_streams",
            Self::TooManyWatchers(_) => "too_many_watchers",
            Self::TooManySecrets(_) => "too_many_client_secrets",
            Self::Full => "server_full",
            Self::Busy { .. } => "server_busy",
            Self::TooMuchAudio { .. } => "rate_limit_exceeded",
            Self::TooLarge(_) => "upload_too_large",
            Self::TooLong(_) => "recording_too_long",
            Self::TooManyUploads(_) => "too_many_uploads",
            Self::TooManyMessages(_) => "too_many_messages",
            Self::NoRoom => "storage_full",
            Self::TooSlow => "timeout",
            Self::Incomplete => "incomplete_request",
            Self::Invalid { .. } => "invalid_request",
            Self::Unsupported { .. } => "unsupported",
            Self::Audio(_) => "invalid_audio",
            Self::Internal => "internal_error",
        }
    }

    /// The parameter that is wrong, if it is one.
    pub(super) fn parameter(&self) -> Option<&'static str> {
        match self {
            Self::UnknownModel(_) => Some("model"),
            Self::Audio(_) | Self::TooLarge(_) | Self::TooLong(_) => Some("file"),
            Self::Invalid { parameter, .. } | Self::Unsupported { parameter, .. } => *parameter,
            _ => None,
        }
    }

    /// Time after which to try again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotReady => Some(Duration::from_secs(1)),
            Self::Draining
            | Self::Full
            | Self::NoRoom
            | Self::TooManyStreams(_)
            | Self::TooManyWatchers(_)
            | Self::TooManyMessages(_)
            | Self::TooManyUploads(_) => Some(Duration::from_secs(5)),
            Self::Busy { retry } | Self::TooMuchAudio { retry, .. } => {
                Some((*retry).max(Duration::from_secs(1)))
            }
            _ => None,
        }
    }

    /// The code that closes a WebSocket (RFC 6455, section 7.4, and IANA's registry).
    pub(super) fn close_code(&self) -> u16 {
        match self {
            Self::TooLarge(_) => 1009,
            Self::Internal => 1011,
            Self::NotReady | Self::Draining | Self::Full | Self::NoRoom | Self::Busy { .. } => 1013,
            _ => 1008,
        }
    }
}

impl Rejection {
    /// An answer with this body: the status, and when to try again.
    pub(super) fn answer(&self, body: impl IntoResponse) -> Response {
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs_f64().ceil() as u64));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }

    /// An answer in hearken's own form.
    pub(super) fn plain(&self) -> Response {
        self.answer(Json(
            serde_json::json!({ "error": { "code": self.code(), "message": self.to_string() } }),
        ))
    }
}

impl From<AudioError> for Rejection {
    fn from(error: AudioError) -> Self {
        match error {
            // An upload was stored before it is opened: the server lacks descriptors or memory.
            error @ (AudioError::Open { .. } | AudioError::Sandbox { .. }) => {
                tracing::error!(%error, "an upload could not be decoded");
                Self::Full
            }
            error => Self::Audio(error),
        }
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        match error {
            Error::Audio(error) => Self::Audio(error),
            error @ Error::Language { .. } => Self::invalid("language", error.to_string()),
            Error::EnglishOnly { wanted, .. } => Self::invalid(
                "model",
                format!("this model knows only English; use a multilingual model to {wanted}"),
            ),
            error => {
                // What went wrong inside is for the operator.
                tracing::error!(%error, "a transcription failed");
                Self::Internal
            }
        }
    }
}

/// Quotes text of a client for the client and the operator: one line, and short.
pub(super) fn quote(text: &str) -> String {
    let mut short: String = text::sanitize(text).chars().take(QUOTE).collect();
    if text.chars().nth(QUOTE).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A client can do nothing about the server's descriptors but come back later.
    #[test]
    fn a_lack_of_the_servers_is_not_the_clients_fault() {
        let cause = io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
        let rejection = Rejection::from(AudioError::Open { name: "a.wav".to_owned(), cause });
        assert_eq!(rejection.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(rejection.retry_after().is_some() && !rejection.to_string().contains("a.wav"));
        let rejection = Rejection::from(AudioError::Empty { name: "a.wav".to_owned() });
        assert_eq!((rejection.status(), rejection.code()), (StatusCode::BAD_REQUEST, "invalid_audio"));
    }
}
