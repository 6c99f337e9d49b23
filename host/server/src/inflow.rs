//! Memory for long messages that are on their way in.
//!
//! A WebSocket's message is in memory before anybody sees it. [`MAX_MESSAGE`] is covered by the
//! connection's place. Where a protocol has longer ones, what a connection reads beyond that is
//! charged to its tenant before it is read, until the message was taken in.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::MAX_MESSAGE;
use super::tenants::Tenant;

/// Memory that is charged at once [bytes].
const STEP: u64 = 1 << 20;

/// Account of a connection's message.
#[derive(Default)]
pub(super) struct Inflow(Mutex<State>);

#[derive(Default)]
struct State {
    /// Set where long messages are permitted.
    tenant: Option<Arc<Tenant>>,
    /// Bytes that were read since the last message was taken in.
    read: u64,
    charged: u64,
    /// The message came whole; more is read when it was taken in.
    whole: bool,
}

/// A tenant's long messages take all the memory that it may have for them, which is this [bytes].
#[derive(Debug)]
pub(super) struct Exhausted(pub(super) u64);

impl fmt::Display for Exhausted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "long messages take more than {} MiB", self.0 >> 20)
    }
}

impl std::error::Error for Exhausted {}

impl Inflow {
    /// Charges long messages to this tenant from now on.
    pub(super) fn charge(&self, tenant: &Arc<Tenant>) {
        let mut state = self.0.lock();
        (state.tenant, state.read) = (Some(Arc::clone(tenant)), 0);
    }

    /// Marks the message as whole.
    pub(super) fn mark_whole(&self) {
        self.0.lock().whole = true;
    }

    /// Gives the memory of a whole message back, which was taken in.
    pub(super) fn release(&self) {
        let mut state = self.0.lock();
        if std::mem::take(&mut state.whole) {
            state.read = 0;
            state.give_back();
        }
    }
}

impl State {
    /// Makes sure that this number of bytes may be read.
    fn reserve(&mut self, bytes: u64) -> Result<(), Exhausted> {
        let Some(tenant) = &self.tenant else { return Ok(()) };
        let needed = (self.read + bytes).saturating_sub(MAX_MESSAGE as u64);
        let steps = needed.saturating_sub(self.charged).div_ceil(STEP);
        if steps > 0 {
            tenant.take_memory(steps * STEP).map_err(Exhausted)?;
            self.charged += steps * STEP;
        }
        Ok(())
    }

    fn give_back(&mut self) {
        let charged = std::mem::take(&mut self.charged);
        if let Some(tenant) = self.tenant.as_ref().filter(|_| charged > 0) {
            tenant.give_memory_back(charged);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A connection whose bytes are counted as they are read.
pub(super) struct Counted<S> {
    stream: S,
    inflow: Arc<Inflow>,
}

impl<S> Counted<S> {
    pub(super) fn new(stream: S, inflow: Arc<Inflow>) -> Self {
        Self { stream, inflow }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        this.inflow.0.lock().reserve(buffer.remaining() as u64).map_err(io::Error::other)?;
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        this.inflow.0.lock().read += (buffer.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::config::TenantConfig;
    use super::super::keys::KeyHash;
    use super::super::tenants::Tenants;
    use super::*;

    #[test]
    fn what_is_read_beyond_a_short_message_is_charged_until_it_was_taken_in() {
        let limits =
            TenantConfig { keys: vec![KeyHash::of("key")], messages_mib: 3, ..TenantConfig::default() };
        let tenants = Tenants::new(&BTreeMap::from([("a".to_owned(), limits)]));
        let tenant = tenants.find(Some("key")).unwrap();
        let (one, other) = (Inflow::default(), Inflow::default());
        let read = |inflow: &Inflow, mib: u64| {
            for _ in 0..mib << 10 {
                inflow.0.lock().reserve(1 << 10)?;
                inflow.0.lock().read += 1 << 10;
            }
            Ok::<(), Exhausted>(())
        };
        read(&one, 100).unwrap();
        one.charge(&tenant);
        other.charge(&tenant);
        read(&one, 3).unwrap();
        assert_eq!(one.0.lock().charged, 2 << 20);
        read(&other, 2).unwrap();
        let Exhausted(limit) = read(&other, 1).unwrap_err();
        assert_eq!(limit, 3 << 20);
        // It is in memory until it was taken in, and came whole before.
        one.release();
        assert!(read(&other, 1).is_err());
        one.mark_whole();
        one.release();
        read(&other, 2).unwrap();
        drop(other);
        read(&one, 4).unwrap();
    }
}
