//! Workers take no more utterances than they have room for; the rest waits in the queue.

use hearken_tests::cluster::Nats;
use hearken_tests::command;
use hearken_tests::serve::Came;
use hearken_tests::tenants::{PCM, PHRASES};
use serde_json::json;

use crate::{begin, finals, first_phrase, started};

#[test]
fn an_utterance_waits_until_there_is_room_and_is_heard_then() {
    let nats = Nats::start();
    let worker = nats.worker_with(&["--room", "1"]);
    let gateway = nats.gateway("");
    let (_, end) = first_phrase();
    let mut first = started(&gateway, 300);
    let (_, sent) = begin(&mut first);
    let mut second = started(&gateway, 300);
    assert!(second.push(&PCM[..end]));
    second.say(&json!({"type": "finish"}));
    // Its order is in the queue, and the worker full.
    let waits = || {
        let shown = command::run(&mut command::hearken(&["cluster", "status", "--nats", &nats.url]));
        assert_eq!(shown.code, Some(0), "{shown:?}");
        shown.stdout.contains(" 1 of 1 ")
            && shown.stdout.ends_with("1 utterances wait for a worker with room\n")
    };
    while !waits() {}
    assert_eq!(worker.taken(), 1);
    assert!(first.push(&PCM[sent..end]));
    first.say(&json!({"type": "finish"}));
    for socket in [&mut first, &mut second] {
        let (messages, end) = socket.rest();
        assert_eq!(end, Came::Closed(1000, String::new()), "{messages:?}");
        assert_eq!(finals(&messages), PHRASES[..1]);
    }
    gateway.end();
}
