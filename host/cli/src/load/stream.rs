//! A stream in real time: recordings with pauses between them, until the time is over.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

use super::Plan;
use super::clips::BYTES_PER_SECOND;
use super::dialect::{Heard, Listener};
use super::server::{Connection, PATIENCE};

type Socket = WebSocketStream<Box<dyn Connection>>;

/// Time limit of the last texts after the last audio.
const LAST_TEXTS: Duration = Duration::from_secs(60);

/// A recording's place in a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placed {
    pub(super) clip: usize,
    /// Its begin in the stream's audio [s].
    pub(super) start: f64,
    /// True if all of it was sent.
    pub(super) whole: bool,
}

/// Result of a stream.
#[derive(Debug, Default)]
pub(super) struct Played {
    pub(super) placed: Vec<Placed>,
    /// Answers of the server, with the time since the start of its audio [s].
    pub(super) heard: Vec<(f64, Heard)>,
    /// Delay of each block against its due time [s].
    pub(super) lag: Vec<f64>,
    /// Seconds of audio that were sent.
    pub(super) audio: f64,
    /// Why it is not complete.
    pub(super) ended: Option<Ended>,
}

/// Why a stream is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// The server did not want it.
    Refused(String),
    /// The connection broke, or the answer is incomplete.
    Broken(String),
}

/// Plays from recording number `first` on.
pub(super) async fn play(plan: &Plan, first: usize) -> Played {
    let language = plan.language(first);
    let mut socket = match open(plan, language).await {
        Ok(socket) => socket,
        Err(ended) => return Played { ended: Some(ended), ..Played::default() },
    };
    let mut listener = Listener::new(plan.protocol);
    if let Err(ended) = begin(plan, language, &mut socket, &mut listener).await {
        return Played { ended: Some(ended), ..Played::default() };
    }
    plan.live.opened();
    let (sink, stream) = socket.split();
    let origin = Instant::now();
    let sent = Arc::new(Mutex::new(Played::default()));
    let mut heard = Vec::new();
    let ended = {
        let mut sending = std::pin::pin!(send(plan, first, origin, sink, &sent));
        let mut hearing = std::pin::pin!(hear(origin, stream, &mut listener, &mut heard));
        tokio::select! {
            ended = &mut hearing => ended,
            sent = &mut sending => match sent {
                Ok(_sink) => timeout(LAST_TEXTS, hearing)
                    .await
                    .unwrap_or_else(|_| Some(Ended::Broken("the last texts never came".to_owned()))),
                // The reason is the server's, if it gave one.
                Err(error) => {
                    let last = timeout(Duration::from_secs(2), hearing).await.ok().flatten();
                    Some(last.unwrap_or(Ended::Broken(plain(&error))))
                }
            },
        }
    };
    plan.live.closed();
    let mut played = std::mem::take(&mut *sent.lock());
    played.heard = heard;
    played.ended = ended;
    played
}

/// The handshake.
async fn open(plan: &Plan, language: Option<&str>) -> Result<Socket, Ended> {
    let broken = |error: String| Ended::Broken(error);
    let path = plan.protocol.path(plan.model.as_deref(), language);
    let connection = plan.server.connect().await.map_err(|error| broken(error.to_string()))?;
    let url = format!("ws://{}{path}", plan.server.authority);
    let mut request = tungstenite::client::IntoClientRequest::into_client_request(url.as_str())
        .map_err(|error| broken(plain(&error)))?;
    if let Some(value) = &plan.server.authorization {
        request.headers_mut().insert(axum::http::header::AUTHORIZATION, value.clone());
    }
    let shaken = timeout(PATIENCE, tokio_tungstenite::client_async(request, connection)).await;
    match shaken {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(response))) => {
            let body = response.body().as_deref().unwrap_or_default();
            Err(Ended::Refused(refusal(response.status().as_u16(), body)))
        }
        Ok(Err(error)) => Err(broken(plain(&error))),
        Err(_) => Err(broken("the server does not answer".to_owned())),
    }
}

/// Key under which an HTTP rejection is counted: its status, and the server's own code if there is
/// one.
pub(super) fn refusal(status: u16, body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = [&body["error"]["code"], &body["err_code"]].into_iter().find_map(Value::as_str);
    let code: String = code.unwrap_or_default().chars().take(60).collect();
    super::super::printable(format!("{status} {code}").trim_end())
}

/// Opens the stream, and waits for the confirmation.
async fn begin(
    plan: &Plan,
    language: Option<&str>,
    socket: &mut Socket,
    listener: &mut Listener,
) -> Result<(), Ended> {
    let Some(start) = plan.protocol.start(plan.model.as_deref(), language) else { return Ok(()) };
    socket.send(start).await.map_err(|error| Ended::Broken(plain(&error)))?;
    let answered = async {
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message.map_err(|error| Ended::Broken(plain(&error)))? else {
                continue;
            };
            for heard in listener.hear(&text) {
                match heard {
                    Heard::Open => return Ok(()),
                    Heard::Refused(code) => return Err(Ended::Refused(code)),
                    _ => {}
                }
            }
        }
        Err(Ended::Broken("the connection ended".to_owned()))
    };
    let late = || Err(Ended::Broken("the server does not answer".to_owned()));
    timeout(PATIENCE, answered).await.unwrap_or_else(|_| late())
}

/// Sends audio as a microphone does: each block when its last sample is due.
async fn send(
    plan: &Plan,
    first: usize,
    origin: Instant,
    mut sink: SplitSink<Socket, Message>,
    sent: &Mutex<Played>,
) -> Result<SplitSink<Socket, Message>, tungstenite::Error> {
    let silence = vec![0; hearken::samples_in(plan.pause) as usize * 2];
    let block = hearken::samples_in(plan.block) as usize * 2;
    let mut bytes = 0;
    for clip in plan.playlist(first) {
        if Instant::now() >= plan.until || plan.is_over() {
            break;
        }
        sent.lock().placed.push(Placed { clip, start: seconds(bytes), whole: false });
        for audio in plan.clips[clip].pcm.chunks(block).chain(silence.chunks(block)) {
            bytes += audio.len();
            let due = origin + Duration::from_secs_f64(seconds(bytes));
            sleep_until(due).await;
            sink.send(plan.protocol.audio(audio)).await?;
            let mut sent = sent.lock();
            sent.lag.push(due.elapsed().as_secs_f64());
            sent.audio = seconds(bytes);
        }
        if let Some(placed) = sent.lock().placed.last_mut() {
            placed.whole = true;
        }
        plan.live.played();
    }
    for message in plan.protocol.finish() {
        sink.send(message).await?;
    }
    Ok(sink)
}

fn seconds(bytes: usize) -> f64 {
    bytes as f64 / BYTES_PER_SECOND as f64
}

/// Collects messages to the end; `None` when the answer is complete.
async fn hear(
    origin: Instant,
    mut stream: SplitStream<Socket>,
    listener: &mut Listener,
    all: &mut Vec<(f64, Heard)>,
) -> Option<Ended> {
    while let Some(message) = stream.next().await {
        let text = match message {
            Ok(Message::Text(text)) => text,
            Ok(Message::Close(_)) => break,
            Ok(_) => continue,
            Err(error) => return Some(Ended::Broken(plain(&error))),
        };
        let at = origin.elapsed().as_secs_f64();
        for heard in listener.hear(&text) {
            match heard {
                Heard::Finished => return None,
                Heard::Refused(code) => return Some(Ended::Refused(code)),
                heard => all.push((at, heard)),
            }
        }
    }
    Some(Ended::Broken("the server closed the connection".to_owned()))
}

fn plain(error: &tungstenite::Error) -> String {
    super::super::printable(&error.to_string())
}
