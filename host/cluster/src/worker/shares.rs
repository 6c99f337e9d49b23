//! Tenants of all gateways, as shares of this worker's threads.

use std::collections::HashMap;
use std::sync::Arc;

use hearken::{Share, ShareLimits};
use parking_lot::Mutex;

use crate::wire::ShareOf;

/// Most shares that are remembered. A hostile gateway can make up names.
const MOST: usize = 4096;

/// The shares, by what gateways say of them: a tenant whose weight was changed has another one.
#[derive(Default)]
pub(super) struct Shares(Mutex<HashMap<ShareOf, Share>>);

impl Shares {
    /// The share of a tenant: the same one at each call.
    pub(super) fn get(&self, wanted: &ShareOf) -> Share {
        let mut known = self.0.lock();
        if let Some(share) = known.get(wanted) {
            return share.clone();
        }
        if known.len() >= MOST {
            // Of those without sandboxes nothing is lost but how much they have used lately.
            known.retain(|_, share| share.stats().sandboxes > 0);
        }
        let mut limits = ShareLimits::default();
        if let Some(bytes) = wanted.memory_bytes {
            limits = limits.memory_bytes(bytes);
        }
        let share = Share::named(&wanted.name, wanted.weight, &limits);
        if known.len() < MOST {
            known.insert(wanted.clone(), share.clone());
        }
        share
    }

    /// All of them, by the names of their tenants.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Share)> {
        let known = self.0.lock();
        known.iter().map(|(of, share)| (of.name.as_str().into(), share.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_of_two_gateways_has_one_share() {
        let shares = Shares::default();
        let of = |name: &str, weight| ShareOf { name: name.to_owned(), weight, memory_bytes: None };
        let one = shares.get(&of("a", 2));
        assert!(one.is(&shares.get(&of("a", 2))) && one.weight() == 2);
        assert!(!one.is(&shares.get(&of("b", 2))) && !one.is(&shares.get(&of("a", 3))));
        for n in 0..2 * MOST {
            shares.get(&of(&n.to_string(), 1));
        }
        assert!(shares.0.lock().len() <= MOST);
    }
}
