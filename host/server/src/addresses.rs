//! Connections of each address: no stranger takes the places of all others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// Number of connections of each address.
pub(super) struct Addresses {
    counts: Mutex<HashMap<IpAddr, usize>>,
    limit: usize,
    /// This machine's own addresses have no limit: a proxy brings everybody's connections.
    spares_this_machine: bool,
}

impl Addresses {
    pub(super) fn new(limit: usize, spares_this_machine: bool) -> Arc<Self> {
        Arc::new(Self { counts: Mutex::default(), limit, spares_this_machine })
    }
}

/// Slot of a connection among those of its address, until it is dropped.
pub(super) struct Share {
    of: Arc<Addresses>,
    address: IpAddr,
}

impl Share {
    /// Counts one more; `None` if that is one too many.
    pub(super) fn take(of: &Arc<Addresses>, address: IpAddr) -> Option<Self> {
        let address = network(address);
        let spared = of.spares_this_machine && address.is_loopback();
        let mut counts = of.counts.lock();
        let count = counts.entry(address).or_default();
        if !spared && *count >= of.limit {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Self { of: Arc::clone(of), address })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.of.counts.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// The address, or the network of one that has 2⁶⁴ of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::from((address.to_bits() >> 64 << 64).to_be_bytes())
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(configured: Option<usize>) -> Arc<Addresses> {
        Addresses::new(configured.unwrap_or(2), configured.is_none())
    }

    fn take(of: &Arc<Addresses>, address: &str) -> Option<Share> {
        Share::take(of, address.parse().unwrap())
    }

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let of = addresses(None);
        let first = take(&of, "192.0.2.1").unwrap();
        let _second = take(&of, "::ffff:192.0.2.1").unwrap();
        assert!(take(&of, "192.0.2.1").is_none());
        assert!(take(&of, "192.0.2.2").is_some());
        drop(first);
        assert!(take(&of, "192.0.2.1").is_some());
    }

    #[test]
    fn one_network_is_one_address() {
        let of = addresses(Some(1));
        let _one = take(&of, "2001:db8::1").unwrap();
        assert!(take(&of, "2001:db8::2:0:0:1").is_none());
        assert!(take(&of, "2001:db8:0:1::1").is_some());
        assert_eq!(of.counts.lock().len(), 1, "who has gone is forgotten");
    }

    #[test]
    fn a_proxy_on_this_machine_has_no_share_unless_it_is_said() {
        for (configured, most) in [(None, 100), (Some(2), 2)] {
            for address in ["127.0.0.1", "::1"] {
                let of = addresses(configured);
                let taken: Vec<_> = (0..100).map_while(|_| take(&of, address)).collect();
                assert_eq!(taken.len(), most, "{address}");
            }
        }
    }
}
