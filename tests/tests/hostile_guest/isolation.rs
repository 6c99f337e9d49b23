//! Isolation of tenants: a hostile tenant's guests change no byte of the others' events.
//!
//! Live sessions of several tenants share an engine. The events of the others are compared with a
//! replay of their journals in an engine without other tenants.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hearken::session::{Journal, Session, SessionEvent, SessionOptions};
use hearken::{Engine, Model, ModelSource, Share};
use hearken_proto::{Event, Word};
use hearken_tests::guest::{BUFFER, Guest, escape};
use hearken_tests::speech::{Recording, espeak};

use crate::{limits, model_file};

/// Address of the guest's hypothesis, in memory that it does not use otherwise, and of the word in
/// it.
const HYPOTHESIS: u32 = 0xb000;
const WORD: &str = "abcdefgh";
/// Number of times that each tenant says its phrase.
const TIMES: usize = 6;

const PHRASES: [&str; 3] = ["seven three nine two zero five", "go left", "one two three four five"];

/// Attacks of a guest in every call once it has heard something loud.
const ATTACKS: [(&str, &str, &str); 3] = [
    ("traps", "(unreachable)", "aborted"),
    ("loops", "(loop $for_ever (br $for_ever))", "CPU time"),
    (
        "exhausts memory",
        // Writes what it gets, so that it costs memory and not only addresses.
        "(loop $more
           (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))
           (i32.store (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 4)) (i32.const 1))
           (br $more))",
        "MiB of memory",
    ),
];

/// A guest whose word is a checksum of all audio so far: eight letters, each four bits of a sum of
/// the samples' bits.
fn guest(attack: &str) -> Guest {
    let word = || vec![Word { start: 0, end: 8_000, text: WORD.to_owned(), probability: 0.9 }];
    let say = |committed, tentative| {
        let (no_speech, avg_logprob) = (0.0, -0.1);
        hearken_proto::encode(&Event::Hypothesis {
            committed,
            tentative,
            tokens: 1,
            window: 0,
            heard: 0,
            no_speech,
            avg_logprob,
            encodes: 1,
        })
    };
    let (hypothesis, last) = (say(vec![], word()), say(word(), vec![]));
    let place = |event: &[u8]| {
        event.windows(WORD.len()).position(|bytes| bytes == WORD.as_bytes()).expect("the word") as u32
    };
    let last_at = HYPOTHESIS + 0x400;
    let letters: String = (0..WORD.len())
        .map(|index| {
            let letter = format!(
                "(i32.add (i32.const 97) (i32.and (i32.const 15) (i32.shr_u (global.get $sum) (i32.const {}))))",
                index * 4
            );
            [HYPOTHESIS + place(&hypothesis), last_at + place(&last)]
                .map(|at| format!("(i32.store8 (i32.const {}) {letter})\n", at + index as u32))
                .concat()
        })
        .collect();
    let part = |variant: u32, at: u32, bytes: &[u8]| {
        format!(
            "(if (i32.eq (i32.load8_u (i32.const {BUFFER})) (i32.const {variant}))
               (then {letters} (call $emit (i32.const {at}) (i32.const {}))))",
            bytes.len()
        )
    };
    Guest {
        fields: format!(
            "(global $sum (mut i32) (i32.const 0))
             (data (i32.const {HYPOTHESIS}) \"{}\")
             (data (i32.const {last_at}) \"{}\")
             (func $add_all (local $at i32)
               (local.set $at (i32.load (i32.const 0x10c)))
               (block $end (loop $next
                 (br_if $end (i32.eq (local.get $at) (i32.load (i32.const 0x108))))
                 (global.set $sum (i32.add
                   (i32.mul (global.get $sum) (i32.const 31))
                   (i32.load (i32.add (i32.const 0x20000)
                     (i32.shl (i32.and (local.get $at) (i32.const 0x3ffff)) (i32.const 2))))))
                 (local.set $at (i32.add (local.get $at) (i32.const 1)))
                 (br $next))))",
            escape(&hypothesis),
            escape(&last)
        ),
        drain: format!(
            "(call $add_all) (call $read_all)
             (if (global.get $loud) (then {attack}))
             {} {}",
            // Request::Partial is variant 2, Request::Final variant 3.
            part(2, HYPOTHESIS, &hypothesis),
            part(3, last_at, &last)
        ),
        ..Guest::default()
    }
}

fn engine(guest: Option<&Guest>, threads: usize) -> Engine {
    let builder = Engine::builder().threads(threads);
    match guest {
        Some(guest) => {
            builder.guest(guest.module()).no_cache().padding(false).limits(limits()).build().unwrap()
        }
        None => builder.build().unwrap(),
    }
}

/// A phrase several times, with a second of silence after each, no sample above `peak`, and one at
/// it in each phrase.
fn speech(phrase: &str, peak: f32) -> Recording {
    let mut spoken = espeak("en-us", 140, phrase);
    let loudest = spoken.samples.iter().fold(0.0, |most: f32, sample| most.max(sample.abs()));
    spoken.samples.iter_mut().for_each(|sample| *sample *= peak / loudest);
    spoken.samples.resize(spoken.samples.len() + spoken.format.sample_rate as usize, 0.0);
    spoken.samples = spoken.samples.repeat(TIMES);
    spoken
}

fn options(recording: &Recording) -> SessionOptions {
    SessionOptions::new(recording.format).step(Duration::from_millis(300)).journal(true)
}

/// Events of a session, from its beginning to its end, and its journal. The events that a replay
/// gives are those that depend on the guest.
fn live(model: &Model, recording: &Recording) -> (Vec<SessionEvent>, Journal) {
    let share = Some(Share::new(1));
    let mut session = Session::new(model, options(recording).share(share)).unwrap();
    let mut events = Vec::new();
    for block in recording.samples.chunks(recording.format.sample_rate as usize / 50) {
        session.push(block).unwrap();
        // About as fast as it is recognized.
        if session.waiting() > 8_000 {
            events.extend(session.events().recv_timeout(Duration::from_millis(10)));
        }
    }
    session.finish().unwrap();
    events.extend(session.events().iter());
    events.retain(|event| {
        matches!(
            event,
            SessionEvent::Partial { .. }
                | SessionEvent::Final { .. }
                | SessionEvent::Language(_)
                | SessionEvent::Unrecognized { .. }
                | SessionEvent::Dropped { .. }
        )
    });
    (events, session.journal())
}

/// Recording that was pushed, events, and times of decodes.
type Told = (Recording, Vec<SessionEvent>, Journal);

/// Runs the honest tenants beside a hostile one, which goes on until they are done; returns the
/// events of both.
fn beside(honest: &Model, hostile: &Model) -> (Vec<Told>, Vec<SessionEvent>) {
    let done = AtomicBool::new(false);
    let together = Barrier::new(PHRASES.len() + 1);
    let together = &together;
    thread::scope(|scope| {
        let attacker = scope.spawn(|| {
            let loud = speech("seven", 0.9);
            together.wait();
            let mut all = Vec::new();
            loop {
                all.extend(live(hostile, &loud).0);
                if done.load(Ordering::Relaxed) {
                    return all;
                }
            }
        });
        let others: Vec<_> = PHRASES
            .iter()
            .map(|phrase| {
                scope.spawn(move || {
                    let quiet = speech(phrase, 0.4);
                    together.wait();
                    let (events, journal) = live(honest, &quiet);
                    (quiet, events, journal)
                })
            })
            .collect();
        let others = others.into_iter().map(|other| other.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        (others, attacker.join().unwrap())
    })
}

/// Asserts that the honest tenants' events are those of their journals without other tenants, and
/// that the hostile one lost its speech.
#[track_caller]
fn is_isolated(name: &str, why: &str, honest: &Model, hostile: &Model, alone: &Model) {
    let (others, attacker) = beside(honest, hostile);
    let reasons: Vec<String> = attacker
        .iter()
        .filter_map(|event| match event {
            SessionEvent::Dropped { reason, .. } => Some(reason.to_string()),
            _ => None,
        })
        .collect();
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| reason.contains(why)), "{name}: {reasons:?}");
    let (mut count, mut bytes) = (0, 0);
    for (recording, events, journal) in others {
        assert!(
            !events.iter().any(|event| matches!(event, SessionEvent::Dropped { .. })),
            "{name}: {events:?}"
        );
        let finals = events.iter().filter(|event| matches!(event, SessionEvent::Final { .. })).count();
        assert!(finals >= TIMES && events.len() > finals, "{name}: {events:?}");
        let replayed = journal.replay(alone, &options(&recording), &recording.samples).unwrap();
        // Every bit of every number is in its debug form.
        let told = format!("{events:?}");
        assert_eq!(told, format!("{replayed:?}"), "{name}");
        (count, bytes) = (count + events.len(), bytes + told.len());
    }
    println!(
        "a guest that {name} in every call, {} times: the same {count} events of {} others as replayed alone, all {bytes} bytes",
        reasons.len(),
        PHRASES.len()
    );
}

/// Tenants of one engine and one guest, which one of them has taken over.
#[test]
fn a_tenant_that_owns_its_guests_changes_no_byte_of_the_others() {
    for (name, attack, why) in ATTACKS {
        let guest = guest(attack);
        let shared = engine(Some(&guest), 2).load(&model_file()).unwrap();
        let alone = engine(Some(&guest), 1).load(&model_file()).unwrap();
        is_isolated(name, why, &shared, &shared, &alone);
    }
}

/// The same with whisper.cpp for the others.
#[test]
fn whisper_beside_hostile_guests_says_what_it_says_alone() {
    let honest = engine(None, 2).load(&ModelSource::Embedded).unwrap();
    let alone = engine(None, 1).load(&ModelSource::Embedded).unwrap();
    for (name, attack, why) in ATTACKS {
        let hostile = engine(Some(&guest(attack)), 1).load(&model_file()).unwrap();
        is_isolated(name, why, &honest, &hostile, &alone);
    }
}
