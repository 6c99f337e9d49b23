//! Twilio's Media Streams: the audio of a telephone call over a WebSocket.
//! <https://www.twilio.com/docs/voice/media-streams/websocket-messages>
//!
//! Twilio sends audio, and reads no text: that is [broadcast](crate::broadcast) under the call's
//! SID. Each track, the caller's and the other one's, is a channel. Twilio can set neither headers
//! nor a query, but parameters of the stream: `key`, and `name`, `model` and `language`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use hearken::audio::{Encoding, Format};
use hearken::session::SessionEvent;
use serde::Deserialize;
use tokio::sync::Notify;

use super::{Asked, Call, hang_up};
use crate::App;
use crate::rejection::{Rejection, quote};
use crate::socket::{Adapter, Opening, Outbox, drive};
use crate::stream::{Stream, revoked};
use crate::values::base64;

/// The one format of Media Streams.
const ENCODING: &str = "audio/x-mulaw";
const SAMPLE_RATE: u32 = 8_000;
/// Silence in it.
const SILENCE: u8 = 0xFF;
/// Most audio by which one track may be ahead of the other [samples]: a second. Then the other one
/// was silent.
const AHEAD: usize = SAMPLE_RATE as usize;

/// `GET /v1/twilio`.
pub(crate) async fn upgrade(State(app): State<Arc<App>>, headers: HeaderMap, opening: Opening) -> Response {
    opening.accept(&[], move |mut socket| async move {
        let mut twilio = Twilio { app: Arc::clone(&app), headers, heard: None };
        let given_up = Notify::new();
        // The key is known from the first message on, and looked at with each other one.
        let ended = drive(&mut socket, &mut twilio, &app, &given_up, revoked(None, None)).await;
        hang_up(&app, twilio.heard.as_mut().map(|heard| &mut heard.call), ended).await;
        tracing::info!("a call of Twilio: {ended:?}");
    })
}

/// Message of Twilio.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum FromTwilio {
    Start {
        start: Start,
    },
    Media {
        media: Media,
    },
    Stop,
    /// `connected`, `dtmf`, `mark`, and those of later versions.
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    call_sid: String,
    tracks: Vec<String>,
    media_format: MediaFormat,
    #[serde(default)]
    custom_parameters: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaFormat {
    encoding: String,
    sample_rate: u32,
}

#[derive(Debug, Deserialize)]
struct Media {
    track: String,
    payload: String,
}

impl FromTwilio {
    fn parse(text: &str) -> Result<Self, Rejection> {
        super::parse(text, "Media Streams")
    }
}

/// Parses a message, for fuzzing.
#[cfg(any(test, fuzzing))]
pub(super) fn attack(text: &str) -> Result<(), Rejection> {
    if let FromTwilio::Media { media } = FromTwilio::parse(text)? {
        Tracks::new(&["inbound".to_owned(), "outbound".to_owned()])?.push(&media)?;
    }
    Ok(())
}

/// The tracks of a call, which come one after the other and are to be one piece of audio.
#[derive(Debug)]
struct Tracks {
    names: Vec<String>,
    /// Audio of each that the other one's has not come for.
    waiting: Vec<Vec<u8>>,
}

impl Tracks {
    /// # Errors
    ///
    /// There are none, or more than a call has.
    fn new(names: &[String]) -> Result<Self, Rejection> {
        if !(1..=2).contains(&names.len()) {
            return Err(Rejection::malformed("a call has one or two tracks; name them in `tracks`"));
        }
        Ok(Self { names: names.to_vec(), waiting: vec![Vec::new(); names.len()] })
    }

    /// Takes a piece of one track; returns what there is of all of them, interleaved.
    fn push(&mut self, media: &Media) -> Result<Bytes, Rejection> {
        let track =
            self.names.iter().position(|name| *name == media.track).ok_or_else(|| {
                Rejection::malformed(format!("the call has no track {}", quote(&media.track)))
            })?;
        let audio = base64(&media.payload)
            .map_err(|error| Rejection::malformed(format!("the payload is not base64: {error}")))?;
        self.waiting[track].extend(audio);
        let lengths = || self.waiting.iter().map(Vec::len);
        let (least, most) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
        let whole = if most - least > AHEAD { most } else { least };
        let mut all = Vec::with_capacity(whole * self.waiting.len());
        for frame in 0..whole {
            all.extend(self.waiting.iter().map(|waiting| waiting.get(frame).copied().unwrap_or(SILENCE)));
        }
        for waiting in &mut self.waiting {
            waiting.drain(..whole.min(waiting.len()));
        }
        Ok(all.into())
    }
}

struct Twilio {
    app: Arc<App>,
    headers: HeaderMap,
    /// Set from the start message on.
    heard: Option<Heard>,
}

struct Heard {
    call: Call,
    tracks: Tracks,
}

impl Heard {
    fn open(app: &Arc<App>, headers: &HeaderMap, start: &Start) -> Result<Self, Rejection> {
        let MediaFormat { encoding, sample_rate } = &start.media_format;
        if (encoding.as_str(), *sample_rate) != (ENCODING, SAMPLE_RATE) {
            return Err(Rejection::malformed(format!(
                "the call has {} at {sample_rate} Hz; Media Streams have {ENCODING} at {SAMPLE_RATE} Hz",
                quote(encoding)
            )));
        }
        let parameter = |name: &str| start.custom_parameters.get(name).map(String::as_str);
        let tenant = app.admit(headers, parameter("key"))?;
        let tracks = Tracks::new(&start.tracks)?;
        let asked = Asked {
            protocol: "twilio",
            name: Some(parameter("name").unwrap_or(&start.call_sid)),
            model: parameter("model"),
            language: parameter("language"),
            encoding: Encoding::MuLaw,
            format: Format { sample_rate: SAMPLE_RATE, channels: start.tracks.len() as u16 },
            hints: &[],
        };
        Ok(Self { call: Call::start(app, &tenant, &asked)?, tracks })
    }
}

impl Adapter for Twilio {
    fn stream(&mut self) -> Option<&mut Stream> {
        self.heard.as_mut().map(|heard| &mut heard.call.stream)
    }

    fn event(&mut self, channel: usize, event: SessionEvent, _out: &mut Outbox) {
        if let Some(heard) = &self.heard {
            heard.call.tell(channel, &event);
        }
    }

    fn text(&mut self, text: &str, _out: &mut Outbox) -> Result<(), Rejection> {
        match (FromTwilio::parse(text)?, &mut self.heard) {
            (FromTwilio::Start { start }, None) => {
                self.heard = Some(Heard::open(&self.app, &self.headers, &start)?);
            }
            (FromTwilio::Start { .. }, Some(_)) => {
                return Err(Rejection::malformed("the call has started already"));
            }
            (FromTwilio::Media { media }, Some(heard)) => {
                let audio = heard.tracks.push(&media)?;
                heard.call.hear(audio)?;
            }
            (FromTwilio::Media { .. }, None) => {
                return Err(Rejection::malformed("audio came first; send a start message before it"));
            }
            (FromTwilio::Stop, Some(heard)) => heard.call.stream.finish(),
            (FromTwilio::Stop | FromTwilio::Other, _) => {}
        }
        Ok(())
    }

    fn binary(&mut self, _data: Bytes, _out: &mut Outbox) -> Result<(), Rejection> {
        Err(Rejection::malformed("Media Streams have text messages only"))
    }

    fn refused(&mut self, rejection: &Rejection, _out: &mut Outbox) -> (u16, String) {
        if let Some(heard) = &self.heard {
            heard.call.audience.rejected(rejection);
        }
        // Twilio logs the close frame, and reads no message.
        (rejection.close_code(), rejection.to_string())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn media(track: &str, bytes: &[u8]) -> Media {
        Media { track: track.to_owned(), payload: STANDARD.encode(bytes) }
    }

    #[test]
    fn tracks_are_joined_frame_by_frame_and_a_silent_one_is_not_waited_for() {
        let mut tracks = Tracks::new(&["inbound".to_owned(), "outbound".to_owned()]).unwrap();
        assert_eq!(tracks.push(&media("inbound", &[1, 2, 3])).unwrap(), Bytes::new());
        assert_eq!(tracks.push(&media("outbound", &[7, 8])).unwrap(), [1, 7, 2, 8].as_slice());
        assert_eq!(tracks.push(&media("outbound", &[9])).unwrap(), [3, 9].as_slice());
        // Only one of them goes on.
        let joined = tracks.push(&media("outbound", &[5; AHEAD + 1])).unwrap();
        assert_eq!((joined.len(), &joined[..4]), (2 * (AHEAD + 1), [SILENCE, 5, SILENCE, 5].as_slice()));
        assert!(tracks.push(&media("third", &[1])).is_err());
        let nonsense = Media { track: "inbound".to_owned(), payload: "?".to_owned() };
        assert!(tracks.push(&nonsense).is_err());
        assert!(Tracks::new(&[]).is_err());
    }

    #[test]
    fn messages_of_later_versions_are_left_alone() {
        assert!(attack(r#"{"event": "connected", "protocol": "Call", "version": "1.0.0"}"#).is_ok());
        assert!(attack(r#"{"event": "mark", "mark": {"name": "x"}}"#).is_ok());
        assert!(attack(r#"{"event": "media", "media": {"track": "inbound", "payload": "//8="}}"#).is_ok());
        assert!(attack(r#"{"event": "media"}"#).is_err());
    }
}
