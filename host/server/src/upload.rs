//! Bodies of requests: into a file that has no name, at a pace that makes sense, up to a size.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::time::{Instant, timeout};

use super::rejection::Rejection;

/// Longest pause between two pieces of a body.
const PAUSE: Duration = Duration::from_secs(20);
/// Time before the average is looked at.
const GRACE: Duration = Duration::from_secs(30);
/// Slowest average, in bytes a second: a sixth of the slowest telephone line.
const SLOWEST: f64 = 1024.0;

/// The pieces of a body; an error if they come too slowly, or stop.
pub(super) fn paced(body: Body) -> impl Stream<Item = Result<Bytes, Rejection>> + Send + Unpin {
    let started = Instant::now();
    let pieces = stream::unfold((body.into_data_stream(), 0u64), move |(mut body, mut bytes)| async move {
        let piece = match timeout(PAUSE, body.next()).await {
            Err(_) => Err(Rejection::TooSlow),
            Ok(None) => return None,
            Ok(Some(Err(_))) => Err(Rejection::Incomplete),
            Ok(Some(Ok(piece))) => {
                bytes += piece.len() as u64;
                let elapsed = started.elapsed();
                let slow = elapsed > GRACE && (bytes as f64) < elapsed.as_secs_f64() * SLOWEST;
                if slow { Err(Rejection::TooSlow) } else { Ok(piece) }
            }
        };
        Some((piece, (body, bytes)))
    });
    Box::pin(pieces)
}

/// Room for an upload.
pub(super) trait Room: Sync {
    /// Bytes that it may have by itself.
    fn limit(&self) -> u64;

    /// Makes sure that its file may have `len` bytes.
    fn store(&self, file: BorrowedFd<'_>, len: u64) -> Result<(), Rejection>;
}

/// A file that grows; it is gone when its last handle is.
pub(super) struct Upload<'a> {
    room: &'a dyn Room,
    file: BufWriter<tokio::fs::File>,
    bytes: u64,
    limit: u64,
}

impl<'a> Upload<'a> {
    /// Makes an empty file, in the system's folder for temporary files, for at most as many bytes
    /// as there is room for.
    pub(super) async fn new(room: &'a dyn Room) -> Result<Self, Rejection> {
        let file = tokio::task::spawn_blocking(tempfile::tempfile).await;
        let file = file.map_err(std::io::Error::other).flatten().map_err(|error| not_stored(&error))?;
        let limit = room.limit();
        Ok(Self { room, file: BufWriter::with_capacity(256 << 10, file.into()), bytes: 0, limit })
    }

    pub(super) async fn write(&mut self, piece: &[u8]) -> Result<(), Rejection> {
        self.bytes += piece.len() as u64;
        if self.bytes > self.limit {
            return Err(Rejection::TooLarge(self.limit));
        }
        self.room.store(self.file.get_ref().as_fd(), self.bytes)?;
        self.file.write_all(piece).await.map_err(|error| not_stored(&error))
    }

    /// The file, written to its end.
    pub(super) async fn finish(mut self) -> Result<File, Rejection> {
        self.file.flush().await.map_err(|error| not_stored(&error))?;
        Ok(self.file.into_inner().into_std().await)
    }
}

/// A whole body, in a file.
pub(super) async fn whole(body: Body, room: &dyn Room) -> Result<File, Rejection> {
    let mut pieces = paced(body);
    let mut upload = Upload::new(room).await?;
    while let Some(piece) = pieces.next().await {
        upload.write(&piece?).await?;
    }
    upload.finish().await
}

fn not_stored(error: &std::io::Error) -> Rejection {
    // The disk is the operator's.
    tracing::error!(%error, "an upload could not be stored; TMPDIR names another folder");
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Rejection::NoRoom,
        // Among others, that too many files are open.
        _ => Rejection::Full,
    }
}
