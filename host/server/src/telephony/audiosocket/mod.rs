//! AudioSocket, by which Asterisk gives a call's audio to a program:
//! <https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/>.
//!
//! A connection is one call: its UUID, then audio until somebody hangs up. The protocol has no
//! texts; they are [broadcast](crate::broadcast) under the UUID. It has no keys either, so that the
//! address decides who may use it, and the configuration whose limits hold.

mod frame;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hearken::audio::{Encoding, Format};
use hearken::session::SessionOptions;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::frame::Frame;
use super::Audience;
use crate::App;
use crate::dialogue::{Dialogue, Step, hold};
use crate::listener::Peer;
use crate::rejection::Rejection;
use crate::stream::Stream;
use crate::tenants::Admitted;

/// Name of the protocol, for metrics and texts.
const PROTOCOL: &str = "audiosocket";
/// Longest silence of the other side: it sends audio fifty times a second, also while nobody
/// speaks.
const SILENT: Duration = Duration::from_secs(30);
/// Patience for the goodbye to be taken.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// The message that ends the call's audio.
const HANG_UP: [u8; 3] = [0, 0, 0];

/// Serves a call to its end.
pub(crate) async fn serve(app: Arc<App>, mut socket: TcpStream, peer: Peer) {
    let tenant = match app.unkeyed(app.config.audiosocket.as_ref()) {
        Ok(tenant) => tenant,
        Err(rejection) => return app.note(&rejection),
    };
    let buffer = BytesMut::new();
    let mut call = Call { app: Arc::clone(&app), tenant, buffer, audience: None, stream: None, rate: 0 };
    if let Err(rejection) = hold(&mut socket, &mut call, &app).await {
        app.note(&rejection);
        if let Some(audience) = &call.audience {
            audience.rejected(&rejection);
        }
    }
    let _ = timeout(WRITE_PATIENCE, socket.write_all(&HANG_UP)).await;
    tracing::info!(tenant = &*call.tenant.name, "a call has ended");
    drop(peer);
}

struct Call {
    app: Arc<App>,
    tenant: Admitted,
    buffer: BytesMut,
    /// Set once the call has said its name.
    audience: Option<Audience>,
    /// Set from the first audio on.
    stream: Option<Stream>,
    /// Rate of the audio [Hz].
    rate: u32,
}

impl Dialogue for Call {
    fn stream(&mut self) -> Option<&mut Stream> {
        self.stream.as_mut()
    }

    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    fn take(&mut self) -> Result<Step, Rejection> {
        match frame::next(&mut self.buffer)? {
            None => return Ok(Step::Waits),
            Some(Frame::Call(name)) if self.audience.is_none() => {
                self.audience = Some(Audience::new(&self.app, &self.tenant, PROTOCOL, Some(&name))?);
            }
            Some(Frame::Audio(rate, samples)) => self.hear(rate, samples)?,
            Some(Frame::HangUp) => return Ok(self.closed()),
            Some(Frame::Error(code)) => {
                tracing::info!(tenant = &*self.tenant.name, code, "the telephone's side failed");
                return Ok(self.closed());
            }
            Some(Frame::Call(_) | Frame::Other) => {}
        }
        Ok(Step::Done)
    }

    fn tell(&mut self) -> Result<Step, Rejection> {
        let Some(stream) = &mut self.stream else { return Ok(Step::Done) };
        while let Some((_, event)) = stream.next()? {
            if let Some(audience) = &self.audience {
                audience.event(None, &event);
            }
        }
        Ok(if stream.is_over() { Step::Over } else { Step::Done })
    }

    /// Closing the connection is hanging up, too.
    fn closed(&mut self) -> Step {
        match &mut self.stream {
            Some(stream) => {
                stream.finish();
                Step::Done
            }
            None => Step::Over,
        }
    }

    fn patience(&mut self) -> Duration {
        SILENT
    }
}

impl Call {
    /// Takes audio. The first opens the stream.
    fn hear(&mut self, rate: u32, samples: Bytes) -> Result<(), Rejection> {
        if self.audience.is_none() {
            return Err(Rejection::malformed("audio came first; send the call's UUID before it"));
        }
        if self.stream.is_none() {
            let (_, model) = self.app.models.find(&self.tenant, None)?;
            let ticket = self.app.open(&self.tenant, PROTOCOL, Some(&model))?;
            let options = SessionOptions::new(Format { sample_rate: rate, channels: 1 });
            self.stream = Some(Stream::open(ticket, &model, Encoding::S16Le, options)?);
            self.rate = rate;
        }
        if rate != self.rate {
            return Err(Rejection::malformed(format!(
                "the audio changes from {} to {rate} Hz; open another connection for it",
                self.rate
            )));
        }
        if let Some(stream) = &mut self.stream {
            stream.feed(samples);
        }
        Ok(())
    }
}

/// Parses a client's bytes, for fuzzing.
#[cfg(any(test, fuzzing))]
pub(super) fn attack(bytes: &[u8]) -> Result<(), Rejection> {
    let mut buffer = BytesMut::from(bytes);
    while frame::next(&mut buffer)?.is_some() {}
    Ok(())
}
