//! Accidents at random times, one after the other, while people's speech is streamed at its own
//! pace: nothing that was committed is lost or changed, and what is lost is named.

use std::env;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hearken_measure::Errors;
use hearken_measure::normalize::Normalizer;
use hearken_tests::cluster::{Nats, Worker};
use hearken_tests::official::official;
use hearken_tests::prompts;
use hearken_tests::random::Random;
use hearken_tests::serve::{Came, Server};
use hearken_tests::speech::{Recording, join};
use hearken_tests::wav;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::assert_committed_stays;

/// Duration of the accidents [s], where `HEARKEN_CHAOS_SECONDS` sets no other.
const SECONDS: u64 = 20;
/// Number of workers, and of gateways with a stream each.
const WORKERS: usize = 3;
const GATEWAYS: usize = 2;
/// Pause after each utterance: a sentence is one utterance [ms].
const PAUSE_MS: u32 = 1_500;
/// Duration of a piece of audio that is sent at once [ms].
const BLOCK_MS: u64 = 100;
/// Maximum part of words that are others than without accidents: an utterance that is decoded again
/// begins behind its last committed word.
const OTHERS: f64 = 0.05;

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number")))
}

/// Streams a recording at its own pace; returns all messages. Without a pace if it is `hurried`.
fn streamed(server: &Server, speech: &Recording, hurried: bool) -> Vec<Value> {
    let rate = speech.format.sample_rate;
    let mut socket = server.socket("/v1/stream", &[]).unwrap();
    socket.say(&json!({"type": "start", "encoding": "s16le", "sample_rate": rate, "language": "en"}));
    let started = Instant::now();
    let block = (u64::from(rate) * BLOCK_MS / 1000) as usize * 2;
    for (number, audio) in (1..).zip(wav::s16le(&speech.samples).chunks(block)) {
        if !hurried {
            let due = started + Duration::from_millis(BLOCK_MS) * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        assert!(socket.push(audio), "the gateway has gone");
    }
    socket.say(&json!({"type": "finish"}));
    let (messages, end) = socket.rest();
    assert_eq!(end, Came::Closed(1000, String::new()), "{messages:?}");
    messages
}

/// Words of all final texts.
fn words(messages: &[Value]) -> Vec<String> {
    let finals = messages.iter().filter(|message| message["type"] == "final");
    let text: Vec<&str> = finals.map(|message| message["text"].as_str().unwrap()).collect();
    let text = Normalizer::for_language("en").text(&text.join(" "));
    text.split_whitespace().map(str::to_owned).collect()
}

/// An accident of one worker, or of NATS.
fn accident(random: &mut Random, nats: &mut Nats, workers: &mut [Worker], start: impl Fn(&Nats) -> Worker) {
    let number = random.below(WORKERS);
    let moment = Duration::from_millis(300 + random.below(3_000) as u64);
    match random.below(6) {
        0 | 1 => {
            println!("worker {number} is killed");
            workers[number].signal(Signal::KILL);
            workers[number] = start(nats);
        }
        2 | 3 => {
            println!("worker {number} hangs for {moment:?}");
            workers[number].signal(Signal::STOP);
            thread::sleep(moment);
            workers[number].signal(Signal::CONT);
        }
        4 => {
            println!("worker {number} is replaced");
            let other = start(nats);
            workers[number].signal(Signal::TERM);
            assert!(workers[number].wait().success(), "{}", workers[number].log());
            workers[number] = other;
        }
        _ => {
            println!("NATS is away for {moment:?}");
            nats.restart(moment);
        }
    }
}

#[test]
fn accidents_cost_no_committed_word_and_what_is_lost_is_named() {
    let Some(model) = official("tiny.en") else { return };
    let model = model.to_str().expect("a path of text");
    let seconds = setting("HEARKEN_CHAOS_SECONDS");
    // The short form has the same accidents each time.
    let chance = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").subsec_nanos();
    let seed = setting("HEARKEN_CHAOS_SEED").unwrap_or_else(|| seconds.map_or(1, |_| u64::from(chance())));
    let seconds = seconds.unwrap_or(SECONDS);
    println!("HEARKEN_CHAOS_SEED={seed}");
    let mut random = Random::new(seed);

    let sentences: Vec<Recording> =
        prompts::sentences("en", 6).into_iter().map(|prompt| prompt.recording).collect();
    let speech = join(&sentences, PAUSE_MS);
    let alone = Server::with_arguments("", &["--model", model]);
    let undisturbed = words(&streamed(&alone, &speech, true));
    alone.end();

    let mut nats = Nats::start();
    let start = |nats: &Nats| nats.worker_with(&["--model", model, "--grace", "1", "--threads", "1"]);
    let mut workers: Vec<Worker> = (0..WORKERS).map(|_| start(&nats)).collect();
    let gateways: Vec<Server> = (0..GATEWAYS).map(|_| nats.gateway("")).collect();
    let until = Instant::now() + Duration::from_secs(seconds);
    let heard: Vec<Vec<Value>> = thread::scope(|scope| {
        let streams: Vec<_> = gateways
            .iter()
            .map(|gateway| {
                let speech = &speech;
                scope.spawn(move || {
                    let mut all = Vec::new();
                    while Instant::now() < until {
                        all.push(streamed(gateway, speech, false));
                    }
                    all
                })
            })
            .collect();
        while Instant::now() < until {
            thread::sleep(Duration::from_millis(1_000 + random.below(4_000) as u64));
            accident(&mut random, &mut nats, &mut workers, start);
        }
        streams.into_iter().flat_map(|stream| stream.join().expect("a stream")).collect()
    });

    let (mut errors, mut dropped) = (Errors::default(), 0);
    for messages in &heard {
        assert_committed_stays(messages);
        let lost: Vec<&Value> = messages.iter().filter(|message| message["type"] == "dropped").collect();
        println!("{} words, dropped: {lost:?}", words(messages).len());
        dropped += lost.len();
        if lost.is_empty() {
            errors += Errors::between(undisturbed.clone(), words(messages));
        }
    }
    println!("{} streams of {} words: {errors:?}, {dropped} dropped", heard.len(), undisturbed.len());
    assert!(dropped < heard.len(), "accidents are seldom three in one utterance");
    assert!(errors.rate().unwrap_or_default() <= OTHERS, "{errors:?}");
    for gateway in gateways {
        gateway.end();
    }
}
