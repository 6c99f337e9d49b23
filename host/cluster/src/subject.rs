//! Subjects: the names of what goes over NATS.
//!
//! All begin with `hk` and the version of the wire, `hk.1-10` say: a process hears only those that
//! speak as it does, and several versions can share a server while they are upgraded.

use hearken::place::Class;
use hearken_proto::abi;

use crate::id::Id;

/// Version of this crate's messages.
const VERSION: u32 = 1;

/// Version of the wire: of this crate's messages, and of the requests and events that they carry.
pub(crate) fn version() -> String {
    format!("{VERSION}-{}", abi::VERSION)
}

/// Two queues, so that recordings do not keep speech waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Utterances.
    Live,
    /// Chunks of recordings.
    Batch,
}

impl Queue {
    /// The queue of a job.
    pub(crate) fn of(class: Class) -> Self {
        match class {
            Class::Final | Class::Partial => Self::Live,
            Class::Batch => Self::Batch,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Batch => "batch",
        }
    }
}

/// The subjects of all orders, of all versions: those of the work queue.
pub(crate) const ALL_ORDERS: &str = "hk.*.utt.>";

/// Orders of a tenant for a model.
pub(crate) fn orders(queue: Queue, model: &str, tenant: &str) -> String {
    format!("hk.{}.utt.{}.{model}.{}", version(), queue.name(), token(tenant))
}

/// Orders of all tenants for a model.
pub(crate) fn orders_of_all(queue: Queue, model: &str) -> String {
    format!("hk.{}.utt.{}.{model}.*", version(), queue.name())
}

/// Name of the consumer through which workers share the orders for a model.
pub(crate) fn consumer(queue: Queue, model: &str) -> String {
    format!("{}-{}-{model}", version(), queue.name())
}

/// Messages to a gateway about a sandbox.
pub(crate) fn gateway(id: Id, sandbox: Id) -> String {
    format!("hk.{}.gateway.{id}.{sandbox}", version())
}

/// Messages to a gateway about all of its sandboxes.
pub(crate) fn gateway_of_all(id: Id) -> String {
    format!("hk.{}.gateway.{id}.*", version())
}

/// Messages to a worker.
pub(crate) fn worker(id: Id) -> String {
    format!("hk.{}.worker.{id}", version())
}

/// News of a worker, four times a second.
pub(crate) fn load(id: Id) -> String {
    format!("hk.{}.load.{id}", version())
}

/// News of all workers of this version.
pub(crate) fn loads() -> String {
    format!("hk.{}.load.*", version())
}

/// News of workers of any version.
pub(crate) const ALL_LOADS: &str = "hk.*.load.*";

/// News of a gateway, four times a second.
pub(crate) fn demand(id: Id) -> String {
    format!("hk.{}.demand.{id}", version())
}

/// News of all gateways of this version.
pub(crate) fn demands() -> String {
    format!("hk.{}.demand.*", version())
}

/// News of gateways of any version.
pub(crate) const ALL_DEMANDS: &str = "hk.*.demand.*";

/// Longest name of a tenant in a subject, in characters; the rest is left out.
const MOST_TOKEN: usize = 100;

/// A name as a part of a subject: letters, digits and dashes stay, others become `%` and two
/// hexadecimal digits each.
fn token(name: &str) -> String {
    let mut token = String::new();
    for byte in name.bytes() {
        if token.len() >= MOST_TOKEN {
            break;
        }
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => token.push(byte.into()),
            _ => token.push_str(&format!("%{byte:02x}")),
        }
    }
    if token.is_empty() { "-".to_owned() } else { token }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_tenant_is_more_than_one_part_of_a_subject() {
        assert_eq!(token("acme-1_B"), "acme-1_B");
        assert_eq!(token(""), "-");
        assert_eq!(token("a.b >*\n"), "a%2eb%20%3e%2a%0a");
        assert!(token(&"ö".repeat(1000)).len() < MOST_TOKEN + 3);
    }

    #[test]
    fn orders_are_in_the_work_queue() {
        let subject = orders(Queue::Batch, "0123", "a b");
        assert_eq!(subject, format!("hk.{}.utt.batch.0123.a%20b", version()));
        assert_eq!(orders_of_all(Queue::Batch, "0123"), subject.replace("a%20b", "*"));
    }
}
