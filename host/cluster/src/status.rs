//! The state of a cluster, for its operator.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use hearken::text::sanitize;
use tokio::time::{Instant, timeout_at};

use crate::connect::{Link, causes};
use crate::error::ClusterError;
use crate::news::{self, Demand, Load, PERIOD};
use crate::subject::{self, ALL_DEMANDS, ALL_LOADS};

/// Time for which it is listened: all processes speak several times.
const LISTENING: Duration = PERIOD.saturating_mul(5);

/// Most processes that are listed.
const MOST: usize = 10_000;

/// The state of a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Version of the wire that this program speaks.
    pub wire: String,
    /// The workers, in order of machine and process.
    pub workers: Vec<WorkerStatus>,
    /// The gateways.
    pub gateways: Vec<GatewayStatus>,
    /// Orders that wait for a worker with room.
    pub waiting: u64,
}

/// A worker.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// Name of its machine, and its process there.
    pub host: String,
    /// Process identity on that machine.
    pub pid: u32,
    /// Version of hearken.
    pub version: String,
    /// Version of the wire.
    pub wire: String,
    /// Threads that can run at once, each as far as it has a core.
    pub threads: f64,
    /// Living sandboxes.
    pub sandboxes: u32,
    /// Utterances that it serves at the same time.
    pub room: u32,
    /// True if it takes no more.
    pub draining: bool,
    /// Its models, by the names for clients.
    pub models: Vec<String>,
}

/// A gateway.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct GatewayStatus {
    /// Version of the wire.
    pub wire: String,
    /// Threads that the final texts of its active streams need.
    pub threads: f64,
    /// Active streams.
    pub speaking: u64,
}

/// Listens to all workers and gateways, of all versions, for a second or so.
///
/// # Errors
///
/// [`ClusterError`].
// Boxed, as all that is public here: it is compiled in this crate alone.
pub fn status(link: &Link) -> BoxFuture<'_, Result<Status, ClusterError>> {
    Box::pin(listen(link))
}

async fn listen(link: &Link) -> Result<Status, ClusterError> {
    let mut loads = link.listen(ALL_LOADS.to_owned()).await?;
    let mut demands = link.listen(ALL_DEMANDS.to_owned()).await?;
    let (mut workers, mut gateways) = (BTreeMap::new(), BTreeMap::new());
    let until = Instant::now() + LISTENING;
    let listen = async {
        loop {
            tokio::select! {
                Some(message) = loads.next() => {
                    let subject = message.subject.to_string();
                    if let Some(load) = news::read::<Load>(&message.payload)
                        && workers.len() < MOST
                    {
                        workers.insert(subject, load);
                    }
                }
                Some(message) = demands.next() => {
                    let subject = message.subject.to_string();
                    if let Some(demand) = news::read::<Demand>(&message.payload)
                        && gateways.len() < MOST
                    {
                        gateways.insert(subject, demand);
                    }
                }
            }
        }
    };
    let _: Result<(), _> = timeout_at(until, listen).await;
    let info = link.queue().await?.get_info().await.map_err(|error| ClusterError::Stream {
        name: crate::connect::STREAM.to_owned(),
        reason: causes(&error),
    })?;
    let mut workers: Vec<WorkerStatus> = workers.into_iter().map(worker).collect();
    workers.sort_by(|one, other| (&one.host, one.pid).cmp(&(&other.host, other.pid)));
    let gateways = gateways.into_iter().map(|(subject, demand)| GatewayStatus {
        wire: wire(&subject),
        threads: demand.threads,
        speaking: demand.speaking,
    });
    Ok(Status {
        wire: subject::version(),
        workers,
        gateways: gateways.collect(),
        waiting: info.state.messages,
    })
}

fn worker((subject, load): (String, Load)) -> WorkerStatus {
    WorkerStatus {
        host: sanitize(&load.host),
        pid: load.pid,
        version: sanitize(&load.version),
        wire: wire(&subject),
        threads: load.threads,
        sandboxes: load.sandboxes,
        room: load.room,
        draining: load.draining,
        models: load.models.iter().map(|offer| sanitize(&offer.name)).collect(),
    }
}

/// The version in a subject.
fn wire(subject: &str) -> String {
    sanitize(subject.split('.').nth(1).unwrap_or_default())
}
