//! A plain TCP connection with a stream behind it: the loop that AudioSocket and Wyoming share. For
//! WebSockets there is [`socket`](super::socket).

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::App;
use super::rejection::Rejection;
use super::stream::Stream;

/// Patience for a client that does not read.
const WRITE_PATIENCE: Duration = Duration::from_secs(20);

/// State of the connection after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// There may be more to do.
    Done,
    /// The next message is incomplete.
    Waits,
    /// The connection is over.
    Over,
}

/// A protocol over a plain connection, with one stream at a time.
pub(super) trait Dialogue: Send {
    /// The stream, while there is one.
    fn stream(&mut self) -> Option<&mut Stream>;

    /// Bytes that came and were not taken.
    fn buffer(&mut self) -> &mut BytesMut;

    /// Takes the next message out of the buffer.
    fn take(&mut self) -> Result<Step, Rejection>;

    /// Passes the stream's events on.
    fn tell(&mut self) -> Result<Step, Rejection>;

    /// Takes the bytes that are to be sent.
    fn outgoing(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// The client sends no more.
    fn closed(&mut self) -> Step;

    /// Maximum silence of the client.
    fn patience(&mut self) -> Duration;
}

/// Serves a connection until it is over or the client has gone.
///
/// A message is taken when the stream has accepted the audio before it. Nothing is read meanwhile,
/// so that the connection's own window holds a client back that sends too fast.
pub(super) async fn hold(
    socket: &mut TcpStream,
    dialogue: &mut impl Dialogue,
    app: &App,
) -> Result<(), Rejection> {
    let mut draining = false;
    let mut heard = Instant::now();
    loop {
        if dialogue.tell()? == Step::Over {
            return Ok(());
        }
        let outgoing = dialogue.outgoing();
        if !outgoing.is_empty() {
            let sent = timeout(WRITE_PATIENCE, socket.write_all(&outgoing)).await;
            if !sent.is_ok_and(|sent| sent.is_ok()) {
                return Ok(());
            }
        }
        let ready = dialogue.stream().is_none_or(|stream| stream.is_listening() && stream.is_hungry());
        if ready {
            match dialogue.take()? {
                Step::Done => continue,
                Step::Over => return Ok(()),
                Step::Waits if draining && dialogue.stream().is_none() => return Err(Rejection::Draining),
                Step::Waits => {}
            }
        } else {
            // Nothing is read, so that silence means nothing.
            heard = Instant::now();
        }
        let (mut changed, mut delay) = (None, None);
        if let Some(stream) = dialogue.stream() {
            if stream.has_work() {
                stream.take()?;
                // Others have their turn.
                tokio::task::yield_now().await;
                continue;
            }
            (changed, delay) = (Some(stream.changed()), stream.delay());
        }
        let has_stream = changed.is_some();
        let limit = heard + dialogue.patience();
        tokio::select! {
            // What came too fast is taken in later.
            () = sleep(delay.unwrap_or_default()), if delay.is_some() => {}
            () = async { if let Some(changed) = changed { changed.await } }, if has_stream => {}
            read = socket.read_buf(dialogue.buffer()), if ready => match read {
                Ok(0) | Err(_) => if dialogue.closed() == Step::Over { return Ok(()) },
                Ok(_) => heard = Instant::now(),
            },
            () = sleep_until(limit), if ready => return Err(Rejection::TooSlow),
            () = app.drained(), if !draining => {
                draining = true;
                if let Some(stream) = dialogue.stream() {
                    stream.finish();
                }
            }
        }
    }
}
