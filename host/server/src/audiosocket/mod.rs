//! AudioSocket, by which Asterisk gives a call's audio to a program:
//! <https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/>.
//!
//! A connection is one call: its UUID, then audio until somebody hangs up. The protocol has no
//! texts; they are [broadcast](super::broadcast) under the UUID. It has no keys either, so that the
//! address decides who may use it, and the configuration whose limits hold.

mod frame;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hearken::audio::{Encoding, Format};
use hearken::session::SessionOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::frame::Frame;
use super::App;
use super::broadcast::Publisher;
use super::listener::Peer;
use super::rejection::Rejection;
use super::stream::Stream;
use super::tenants::Admitted;

/// Longest silence of the other side: it sends audio fifty times a second, also while nobody
/// speaks.
const SILENT: Duration = Duration::from_secs(30);
/// Patience for the goodbye to be taken.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// The message that ends the call's audio.
const HANG_UP: [u8; 3] = [0, 0, 0];

/// Serves a call to its end.
pub(super) async fn serve(app: Arc<App>, mut socket: TcpStream, peer: Peer) {
    let tenant = match app.unkeyed(app.config.audiosocket.as_ref()) {
        Ok(tenant) => tenant,
        Err(rejection) => return app.note(&rejection),
    };
    let mut call = Call { app: Arc::clone(&app), tenant, publisher: None, stream: None, rate: 0 };
    let ended = call.run(&mut socket).await;
    if let Err(rejection) = ended {
        app.note(&rejection);
        if let Some(publisher) = &call.publisher {
            publisher.rejected(&rejection);
        }
    }
    let _ = timeout(WRITE_PATIENCE, socket.write_all(&HANG_UP)).await;
    tracing::info!(tenant = &*call.tenant.name, "a call has ended");
    drop(peer);
}

struct Call {
    app: Arc<App>,
    tenant: Admitted,
    /// Set once the call has said its name.
    publisher: Option<Publisher>,
    /// Set from the first audio on.
    stream: Option<Stream>,
    /// Rate of the audio [Hz].
    rate: u32,
}

impl Call {
    async fn run(&mut self, socket: &mut TcpStream) -> Result<(), Rejection> {
        let app = Arc::clone(&self.app);
        let (mut buffer, mut draining) = (BytesMut::new(), false);
        let mut heard = Instant::now();
        loop {
            if self.tell()? {
                return Ok(());
            }
            if self.is_ready() {
                if let Some(frame) = frame::next(&mut buffer)? {
                    if self.take(frame)? {
                        return Ok(());
                    }
                    continue;
                }
                if draining && self.stream.is_none() {
                    return Err(Rejection::Draining);
                }
            }
            if self.stream.as_ref().is_some_and(Stream::has_work) {
                if let Some(stream) = &mut self.stream {
                    stream.take()?;
                }
                // Others have their turn.
                tokio::task::yield_now().await;
                continue;
            }
            let ready = self.is_ready();
            if !ready {
                // Nothing is read, so that silence means nothing.
                heard = Instant::now();
            }
            let changed = self.stream.as_ref().map(Stream::changed);
            let has_stream = changed.is_some();
            let delay = self.stream.as_ref().and_then(Stream::delay);
            tokio::select! {
                // What came too fast is taken in later.
                () = sleep(delay.unwrap_or_default()), if delay.is_some() => {}
                () = async { if let Some(changed) = changed { changed.await } }, if has_stream => {}
                read = socket.read_buf(&mut buffer), if ready => match read {
                    // Closing the connection is hanging up, too.
                    Ok(0) | Err(_) => if self.hang_up() { return Ok(()) },
                    Ok(_) => heard = Instant::now(),
                },
                () = sleep_until(heard + SILENT), if ready => return Err(Rejection::TooSlow),
                () = app.drained(), if !draining => {
                    draining = true;
                    self.hang_up();
                }
            }
        }
    }

    /// Returns true if the next message may be taken.
    fn is_ready(&self) -> bool {
        self.stream.as_ref().is_none_or(|stream| stream.is_listening() && stream.is_hungry())
    }

    /// Takes a message; returns true if the call is over.
    fn take(&mut self, frame: Frame) -> Result<bool, Rejection> {
        match frame {
            Frame::Call(name) if self.publisher.is_none() => {
                self.publisher = Some(Publisher::new(&self.app, &self.tenant, &name)?);
            }
            Frame::Audio(rate, samples) => self.hear(rate, samples)?,
            Frame::HangUp => return Ok(self.hang_up()),
            Frame::Error(code) => {
                tracing::info!(tenant = &*self.tenant.name, code, "the telephone's side failed");
                return Ok(self.hang_up());
            }
            Frame::Call(_) | Frame::Other => {}
        }
        Ok(false)
    }

    /// Takes audio. The first opens the stream.
    fn hear(&mut self, rate: u32, samples: Bytes) -> Result<(), Rejection> {
        if self.publisher.is_none() {
            return Err(Rejection::malformed("audio came first; send the call's UUID before it"));
        }
        if self.stream.is_none() {
            let (_, model) = self.app.models.find(&self.tenant, None)?;
            let ticket = self.app.open(&self.tenant, "audiosocket", Some(&model))?;
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

    /// Ends the audio; returns true if there was none.
    fn hang_up(&mut self) -> bool {
        match &mut self.stream {
            Some(stream) => {
                stream.finish();
                false
            }
            None => true,
        }
    }

    /// Passes events on; returns true after the last one.
    fn tell(&mut self) -> Result<bool, Rejection> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        while let Some((_, event)) = stream.next()? {
            if let Some(publisher) = &self.publisher {
                publisher.event(None, &event);
            }
        }
        Ok(stream.is_over())
    }
}

/// Parses a client's bytes, for fuzzing.
#[cfg(any(test, fuzzing))]
pub(super) fn attack(bytes: &[u8]) -> Result<(), Rejection> {
    let mut buffer = BytesMut::from(bytes);
    while frame::next(&mut buffer)?.is_some() {}
    Ok(())
}
