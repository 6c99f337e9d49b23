//! Workers die, hang and end in the middle of an utterance: no committed word is lost or changed.

use std::time::{Duration, Instant};

use hearken_tests::cluster::{Nats, Worker, taker};
use hearken_tests::serve::{Came, Server, Socket};
use hearken_tests::tenants::{PCM, PHRASES};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{assert_committed_stays, begin, finals, first_phrase, started};

/// Longest delay of a final text for a lost worker: 2.5 s until it counts as lost, and time for an
/// order and a decode on a machine that does other things as well.
const LATE: Duration = Duration::from_secs(8);

/// A stream whose first phrase is being spoken.
struct Spoken {
    socket: Socket,
    messages: Vec<Value>,
    /// Bytes that were sent.
    sent: usize,
}

impl Spoken {
    /// Speaks until words of the first phrase are committed.
    fn begin(gateway: &Server) -> Self {
        let mut socket = started(gateway, 300);
        let (messages, sent) = begin(&mut socket);
        Self { socket, messages, sent }
    }

    /// Speaks the phrase to its end, and waits for its final text. Returns how long that took.
    fn end_phrase(&mut self) -> Duration {
        let (_, end) = first_phrase();
        assert!(self.socket.push(&PCM[self.sent..end]));
        self.sent = end;
        let spoken = Instant::now();
        self.messages.extend(self.socket.until("final"));
        let took = spoken.elapsed();
        println!("the final text came {took:?} after its audio");
        took
    }

    /// Speaks the rest, and checks that all was heard as it was said, each phrase once.
    fn assert_nothing_is_lost(mut self) {
        for audio in PCM[self.sent..].chunks(8_820) {
            assert!(self.socket.push(audio));
        }
        self.socket.say(&json!({"type": "finish"}));
        let (rest, end) = self.socket.rest();
        assert_eq!(end, Came::Closed(1000, String::new()), "{rest:?}");
        self.messages.extend(rest);
        assert_eq!(finals(&self.messages), PHRASES, "{:?}", self.messages);
        assert_committed_stays(&self.messages);
        let numbers: Vec<u64> =
            self.messages.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (2..).take(numbers.len()).collect::<Vec<_>>());
    }
}

#[test]
fn a_worker_that_is_killed_costs_seconds_and_no_word() {
    let nats = Nats::start();
    let workers = [nats.worker(), nats.worker()];
    let gateway = nats.gateway("");
    let mut spoken = Spoken::begin(&gateway);
    let holder = taker(&[&workers[0], &workers[1]], &[0, 0]);
    workers[holder].signal(Signal::KILL);
    let took = spoken.end_phrase();
    assert!(took < LATE, "{took:?}");
    spoken.assert_nothing_is_lost();
    assert!(workers[1 - holder].taken() > 0);
    gateway.end();
}

#[test]
fn a_worker_that_hangs_is_replaced_and_not_heard_when_it_wakes_up() {
    let nats = Nats::start();
    let workers = [nats.worker(), nats.worker()];
    let gateway = nats.gateway("");
    let mut spoken = Spoken::begin(&gateway);
    let holder = taker(&[&workers[0], &workers[1]], &[0, 0]);
    workers[holder].signal(Signal::STOP);
    let took = spoken.end_phrase();
    assert!(took < LATE, "{took:?}");
    workers[holder].signal(Signal::CONT);
    // It answers now, for an utterance that is over, and takes others again.
    gateway.wait_for_metric("hearken_workers 2");
    spoken.assert_nothing_is_lost();
    gateway.end();
}

#[test]
fn a_worker_that_ends_completes_what_it_has() {
    let nats = Nats::start();
    let mut workers = [nats.worker(), nats.worker()];
    let gateway = nats.gateway("");
    let mut spoken = Spoken::begin(&gateway);
    let holder = taker(&[&workers[0], &workers[1]], &[0, 0]);
    let before = workers[holder].taken();
    workers[holder].signal(Signal::TERM);
    spoken.end_phrase();
    assert!(workers[holder].wait().success(), "{}", workers[holder].log());
    assert_eq!(workers[holder].taken(), before, "it took no more");
    spoken.assert_nothing_is_lost();
    assert!(!gateway.end().contains("not heard any more"), "it said goodbye");
}

#[test]
fn what_a_worker_cannot_complete_in_its_time_is_handed_over() {
    let nats = Nats::start();
    let mut workers: Vec<Worker> = (0..2).map(|_| nats.worker_with(&["--grace", "0"])).collect();
    let gateway = nats.gateway("");
    let mut spoken = Spoken::begin(&gateway);
    let holder = taker(&[&workers[0], &workers[1]], &[0, 0]);
    workers[holder].signal(Signal::TERM);
    // It ends while the phrase is still spoken.
    assert!(workers[holder].wait().success(), "{}", workers[holder].log());
    spoken.end_phrase();
    spoken.assert_nothing_is_lost();
    gateway.end();
}

#[test]
fn nats_that_is_away_for_a_while_costs_no_word() {
    let mut nats = Nats::start();
    let _workers = [nats.worker(), nats.worker()];
    let gateway = nats.gateway("");
    let mut spoken = Spoken::begin(&gateway);
    // Longer than the silence after which workers count as lost.
    nats.restart(Duration::from_secs(4));
    spoken.end_phrase();
    spoken.assert_nothing_is_lost();
    gateway.end();
}

#[test]
fn an_utterance_that_costs_three_workers_is_dropped_and_the_next_is_heard() {
    let nats = Nats::start();
    let first = nats.worker();
    let gateway = nats.gateway("");
    let mut spoken = Spoken::begin(&gateway);
    assert_eq!(taker(&[&first], &[0]), 0);
    let (_, end) = first_phrase();
    assert!(spoken.socket.push(&PCM[spoken.sent..end]));
    spoken.sent = end;
    // Hangs keep it from an answer that it might give before it ends.
    let end_it = |worker: &Worker| {
        worker.signal(Signal::STOP);
        worker.signal(Signal::KILL);
    };
    end_it(&first);
    for _ in 0..2 {
        let next = nats.worker_with(&["--room", "1"]);
        assert_eq!(taker(&[&next], &[0]), 0);
        end_it(&next);
    }
    spoken.messages.extend(spoken.socket.until("final"));
    let last = spoken.messages.len() - 1;
    let dropped: Vec<&Value> =
        spoken.messages.iter().filter(|message| message["type"] == "dropped").collect();
    assert_eq!(dropped.len(), 1, "{:?}", spoken.messages);
    let reason = dropped[0]["reason"].as_str().unwrap();
    assert!(reason.contains("worker"), "{reason}");
    assert!(dropped[0]["duration"].as_f64().unwrap() > 0.1, "{dropped:?}");
    assert_committed_stays(&spoken.messages);
    assert_eq!(spoken.messages[last]["type"], "final");
    // Others are not harmed.
    let _fourth = nats.worker();
    for audio in PCM[spoken.sent..].chunks(8_820) {
        assert!(spoken.socket.push(audio));
    }
    spoken.socket.say(&json!({"type": "finish"}));
    let (rest, _) = spoken.socket.rest();
    assert_eq!(finals(&rest), PHRASES[1..], "{rest:?}");
}
