//! Errors of a cluster.

use std::path::PathBuf;

/// Why a process cannot be part of a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No connection to NATS.
    #[error("cannot connect to NATS at {url}: {reason}; check the address, and that nats-server runs")]
    Connect {
        /// The address, without its password.
        url: String,
        /// Why.
        reason: String,
    },
    /// The credentials cannot be read.
    #[error("cannot read the NATS credentials {}: {cause}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The server is too old.
    #[error("NATS at {url} has version {found}, and hearken needs {needed} or newer; upgrade nats-server")]
    TooOld {
        /// The address, without its password.
        url: String,
        /// The server's version.
        found: String,
        /// The oldest version that will do.
        needed: String,
    },
    /// The server has no JetStream.
    #[error(
        "NATS at {url} has no JetStream ({reason}); start nats-server with --jetstream, or enable it for this account"
    )]
    NoJetStream {
        /// The address, without its password.
        url: String,
        /// The server's answer.
        reason: String,
    },
    /// The server takes too short messages.
    #[error(
        "NATS at {url} takes messages of {most} bytes, and hearken needs {needed}; raise max_payload in nats-server's configuration"
    )]
    Payload {
        /// The address, without its password.
        url: String,
        /// The longest message, in bytes.
        most: usize,
        /// The least that will do, in bytes.
        needed: usize,
    },
    /// The work queue cannot be made, or is another one.
    #[error("the JetStream stream {name} cannot be used: {reason}")]
    Stream {
        /// The stream.
        name: String,
        /// Why, and the remedy.
        reason: String,
    },
    /// A subject cannot be listened to.
    #[error("NATS refuses {subject}: {reason}; allow hk.> to this user")]
    Subject {
        /// The subject.
        subject: String,
        /// Why.
        reason: String,
    },
}
