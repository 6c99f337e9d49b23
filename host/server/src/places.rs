//! Places for connections: as many as are configured, and no more than there are open files for.

use std::sync::Arc;

use rustix::process::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::addresses::Addresses;
use super::config::Config;

/// Open files that are neither a connection nor an upload: snapshots of models, listeners, the
/// log, prepared models while they are loaded, and those of [`Places::for_operations`].
const RESERVED: u64 = 192;
/// Connections to the address for metrics and health.
const OPERATIONS: usize = 64;

/// Places of the connections to some listeners, together.
pub(super) struct Places {
    room: Arc<Semaphore>,
    total: usize,
    pub(super) addresses: Arc<Addresses>,
}

impl Places {
    /// Places of all clients, whatever protocol they speak.
    pub(super) fn for_clients(config: &Config) -> Arc<Self> {
        let files = getrlimit(Resource::Nofile).current;
        let total = with_files(files, config.connections, config.streams);
        if total < config.connections {
            tracing::warn!(
                configured = config.connections,
                connections = total,
                files,
                "fewer connections than configured: raise the limit of open files (`ulimit -Hn`)"
            );
        }
        let limit = config.connections_per_address.unwrap_or((total / 4).max(1));
        Self::new(total, Addresses::new(limit, config.connections_per_address.is_none()))
    }

    /// Places of those who operate the server: clients cannot take them.
    pub(super) fn for_operations() -> Arc<Self> {
        Self::new(OPERATIONS, Addresses::new(OPERATIONS, true))
    }

    fn new(total: usize, addresses: Arc<Addresses>) -> Arc<Self> {
        let total = total.min(Semaphore::MAX_PERMITS);
        Arc::new(Self { room: Arc::new(Semaphore::new(total)), total, addresses })
    }

    /// Waits for a place.
    pub(super) async fn take(&self) -> std::io::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.room).acquire_owned().await.map_err(std::io::Error::other)
    }

    /// Returns true if three quarters of them are taken.
    pub(super) fn are_scarce(&self) -> bool {
        self.room.available_permits() < self.total / 4
    }
}

/// Number of connections for which a process that may have `files` open has room. Each of up to
/// `streams` recordings has a file besides its connection.
fn with_files(files: Option<u64>, connections: usize, streams: u32) -> usize {
    let Some(files) = files else { return connections };
    let free = files.saturating_sub(RESERVED);
    let most = (free / 2).max(free.saturating_sub(u64::from(streams))).max(1);
    connections.min(usize::try_from(most).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_recordings_and_for_the_server_itself() {
        assert_eq!(with_files(None, 20_000, 2_000), 20_000);
        assert_eq!(with_files(Some(1 << 20), 20_000, 2_000), 20_000);
        assert_eq!(with_files(Some(RESERVED + 1_000), 20_000, 2_000), 500, "all of them upload");
        assert_eq!(with_files(Some(RESERVED + 10_000), 20_000, 2_000), 8_000);
        assert_eq!(with_files(Some(64), 20_000, 2_000), 1, "a server for one client");
        assert_eq!(with_files(Some(u64::MAX), 20_000, u32::MAX), 20_000);
    }
}
