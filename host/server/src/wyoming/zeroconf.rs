//! Announces Wyoming's address on the local network, so that Home Assistant finds the server:
//! zeroconf, which is multicast DNS (RFC 6762) with service discovery (RFC 6763).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mdns_sd::{DaemonEvent, IfKind, Receiver, ServiceDaemon, ServiceInfo};

use crate::App;

/// The service that Home Assistant browses for.
const SERVICE: &str = "_wyoming._tcp.local.";
/// Maximum length of one part of a name in DNS \[bytes\].
pub(crate) const LONGEST_NAME: usize = 63;
/// Time that the announcement has to be taken back.
const GOODBYE: Duration = Duration::from_secs(1);

/// Announcement of a server, and the thread that answers queries for it.
pub(crate) struct Announcement {
    daemon: ServiceDaemon,
    service: ServiceInfo,
    events: Receiver<DaemonEvent>,
}

impl Announcement {
    /// Starts the thread. Nothing is announced until it [runs](Self::run).
    pub(crate) fn new(name: &str, listening: SocketAddr) -> Result<Self, mdns_sd::Error> {
        let daemon = ServiceDaemon::new()?;
        let any = listening.ip().is_unspecified();
        let service = if any {
            ServiceInfo::new(SERVICE, name, &host(), (), listening.port(), None)?.enable_addr_auto()
        } else {
            ServiceInfo::new(SERVICE, name, &host(), listening.ip(), listening.port(), None)?
        };
        match listening.ip() {
            IpAddr::V4(_) if any => daemon.disable_interface(IfKind::IPv6)?,
            IpAddr::V6(_) if any => {}
            // Other networks cannot reach it.
            address => {
                daemon.disable_interface(IfKind::All)?;
                daemon.enable_interface(IfKind::Addr(address))?;
            }
        }
        let events = daemon.monitor()?;
        Ok(Self { daemon, service, events })
    }

    /// Announces the server when its models are loaded, and takes that back when it drains.
    pub(crate) async fn run(self, app: &App) {
        let Self { daemon, service, events } = self;
        let announced = async {
            app.models.ready().await;
            match daemon.register(service) {
                Ok(()) => report(&events).await,
                Err(error) => tracing::warn!("cannot announce the server (zeroconf): {error}"),
            }
        };
        tokio::select! {
            () = announced => {}
            () = app.drained() => {}
        }
        if let Ok(ended) = daemon.shutdown() {
            let _ = tokio::time::timeout(GOODBYE, ended.recv_async()).await;
        }
    }
}

/// Logs what the operator should know, until the thread ends.
async fn report(events: &Receiver<DaemonEvent>) {
    while let Ok(event) = events.recv_async().await {
        match event {
            DaemonEvent::Announce(service, _) => tracing::info!(service, "announced (zeroconf)"),
            DaemonEvent::NameChange(change) => {
                tracing::warn!(
                    to = change.new_name,
                    "another has the announced name (zeroconf); it is changed"
                );
            }
            DaemonEvent::Error(error) => tracing::warn!("zeroconf: {error}"),
            _ => {}
        }
    }
}

/// Name of this machine among the hosts of the local network. It is not the one that the system's
/// own daemon (Avahi) may have announced, since that has other addresses.
fn host() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    let first = name.split('.').next().unwrap_or_default();
    let plain = first.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-');
    format!("hearken-{}.local.", plain.take(LONGEST_NAME - "hearken-".len()).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_announced_where_it_can_be_reached() {
        for (listening, addresses) in [("127.0.0.1:1", 1), ("0.0.0.0:2", 0), ("[::]:3", 0)] {
            let listening: SocketAddr = listening.parse().unwrap();
            let announcement = Announcement::new("Kitchen, downstairs", listening).unwrap();
            let service = &announcement.service;
            assert_eq!(service.get_port(), listening.port());
            assert_eq!(service.get_addresses().len(), addresses, "{listening}");
            assert_eq!(service.is_addr_auto(), addresses == 0, "{listening}");
            assert_eq!(service.get_fullname(), format!("Kitchen, downstairs.{SERVICE}"));
        }
        let host = host();
        assert!(host.ends_with(".local.") && host.len() <= LONGEST_NAME + ".local.".len(), "{host}");
    }
}
