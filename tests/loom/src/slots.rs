//! Clients lose their connections and come back, while timers end what waits too long.

#[path = "../../../host/server/src/native_ws/slots.rs"]
#[allow(dead_code, reason = "one step by itself needs no order")]
mod checked;

use std::sync::Arc;

use checked::{Slots, Taken};

use crate::sync::thread;

crate::checks! {
    a_timer_ends_only_the_wait_that_it_belongs_to: None,
    one_of_two_clients_gets_the_stream_and_the_other_learns_who_has_it: None,
    the_name_of_a_stream_is_never_free_while_it_changes_hands: None,
}

const ID: &str = "stream";

/// Connections are numbers here, and so is the stream.
type Streams = Slots<u32, u32>;

const STREAM: u32 = 100;

fn parked() -> (Arc<Streams>, Arc<str>) {
    let (streams, owner) = (Arc::new(Streams::default()), Arc::from("owner"));
    streams.attach(ID, &owner, &0);
    streams.park(ID, &owner, |_| STREAM);
    (streams, owner)
}

/// A timer that comes late neither ends a stream that was taken over nor one that waits again.
fn a_timer_ends_only_the_wait_that_it_belongs_to() {
    let (streams, owner) = (Arc::new(Streams::default()), Arc::<str>::from("owner"));
    let mut first = None;
    streams.park(ID, &owner, |ticket| {
        let streams = Arc::clone(&streams);
        first = Some(thread::spawn(move || streams.expire(ID, ticket)));
        STREAM
    });
    let taken = streams.take(ID, &owner, &1);
    let again = matches!(taken, Taken::Stream(_));
    if again {
        streams.park(ID, &owner, |_| STREAM + 1);
    }
    let ended = first.unwrap().join().unwrap();
    assert_eq!(ended, (!again).then_some(STREAM), "{taken:?}");
    let left = if again { Taken::Stream(STREAM + 1) } else { Taken::Unknown };
    assert_eq!(streams.take(ID, &owner, &2), left);
}

fn one_of_two_clients_gets_the_stream_and_the_other_learns_who_has_it() {
    let (streams, owner) = parked();
    let clients = [1, 2].map(|connection| {
        let (streams, owner) = (Arc::clone(&streams), Arc::clone(&owner));
        thread::spawn(move || streams.take(ID, &owner, &connection))
    });
    let [first, second] = clients.map(|client| client.join().unwrap());
    let expected = [[Taken::Stream(STREAM), Taken::Attached(1)], [Taken::Attached(2), Taken::Stream(STREAM)]];
    assert!(expected.contains(&[first, second]));
}

/// A stream is on disk, too: were its name free for a moment, it would be restored twice.
fn the_name_of_a_stream_is_never_free_while_it_changes_hands() {
    let (streams, owner) = parked();
    let thief = {
        let (streams, owner) = (Arc::clone(&streams), Arc::clone(&owner));
        thread::spawn(move || streams.reserve(ID, &owner, &9))
    };
    assert_eq!(streams.take(ID, &owner, &1), Taken::Stream(STREAM));
    streams.park(ID, &owner, |_| STREAM);
    assert!(!thief.join().unwrap());
}
