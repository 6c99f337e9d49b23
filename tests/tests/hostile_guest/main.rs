//! Whatever a guest does, it costs one utterance, in bounded time, and the host says what happened.
//!
//! A model file can take over the guest through a bug in whisper.cpp. So each test puts a guest that was written by
//! hand in place of ours: one that behaves, except for what the test changes.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hearken::audio::{Format, Samples};
use hearken::sandbox::{Limits, SandboxError};
use hearken::{Engine, Error, Model, ModelSource, SAMPLE_RATE, TranscribeOptions, Transcript};
use hearken_proto::{Event, ModelInfo, Segment, Word};
use hearken_tests::guest::{BUFFER, Guest, MEMORY_BYTES, TEXT, info, segment};
use hearken_tests::model::SyntheticModel;
use rustix::time::{ClockId, clock_gettime};

/// CPU time of a call, and of loading.
const CPU: Duration = Duration::from_millis(200);
/// Linear memory.
const MEMORY: u64 = 512 << 20;
/// Where the loud sample lies: in the middle of three chunks.
const LOUD: usize = 12 * SAMPLE_RATE as usize;
const LENGTH: usize = 25 * SAMPLE_RATE as usize;

/// A model that the host believes; no guest in here looks into it.
fn model_file() -> ModelSource {
    static FILE: OnceLock<Arc<[u8]>> = OnceLock::new();
    ModelSource::Bytes(Arc::clone(FILE.get_or_init(|| SyntheticModel::smallest().bytes().into())))
}

fn limits() -> Limits {
    Limits { cpu_per_call: CPU, cpu_to_load: CPU, memory_bytes: MEMORY, ..Limits::default() }
}

fn load_module(module: Vec<u8>) -> Result<Model, Error> {
    Engine::builder().guest(module).no_cache().threads(1).limits(limits()).build()?.load(&model_file())
}

fn load(guest: &Guest) -> Result<Model, Error> {
    load_module(guest.module())
}

/// Twenty-five seconds that are quiet, or loud at one place.
fn hear(model: &Model, loud: bool) -> Transcript {
    let mut samples = vec![0.1; LENGTH];
    if loud {
        samples[LOUD] = 0.9;
    }
    let options = TranscribeOptions { voice_activity: None, ..TranscribeOptions::new() };
    let mut source = Samples::new(samples, Format::MODEL).unwrap();
    model.transcribe(&mut source, &options, |_| {}).expect("a guest fails an utterance, not a recording")
}

/// What takes long is the guest; whether the machine or other tests slow it down does not count.
fn spent<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let cpu = || clock_gettime(ClockId::ProcessCPUTime);
    let (wall, before) = (Instant::now(), cpu());
    let result = work();
    let after = cpu();
    let used = Duration::from_secs((after.tv_sec - before.tv_sec) as u64)
        .saturating_add(Duration::from_nanos(after.tv_nsec as u64))
        .saturating_sub(Duration::from_nanos(before.tv_nsec as u64));
    (result, used.min(wall.elapsed()))
}

/// The loud chunk is lost for a reason that has `why` in it, the chunks around it are not, and neither is what comes
/// after.
fn costs_one_utterance(name: &str, guest: &Guest, why: &str) {
    let model = load(guest).unwrap_or_else(|error| panic!("{name}: does not load: {error}"));
    let (transcript, spent) = spent(|| hear(&model, true));
    // Each chunk is tried twice, and each try may end in a call of its own for its samples.
    assert!(spent < CPU * 4 * 10, "{name}: took {spent:?}");
    let [lost] = transcript.lost.as_slice() else {
        panic!("{name}: {} chunks were lost: {:?}", transcript.lost.len(), transcript.lost)
    };
    assert!((lost.start..lost.end).contains(&(LOUD as u64)), "{name}: lost the wrong chunk: {lost:?}");
    assert!(lost.reason.contains(why), "{name}: {}", lost.reason);
    assert!(lost.reason.chars().count() < 400, "{name}: {} characters of reason", lost.reason.len());
    assert!(!lost.reason.contains(char::is_control), "{name}: {:?}", lost.reason);
    assert!(transcript.segments.len() >= 2, "{name}: its neighbours were lost too");
    assert!(transcript.segments.iter().all(|segment| segment.text == TEXT), "{name}");
    assert_eq!(transcript.duration, LENGTH as u64, "{name}");

    let after = hear(&model, false);
    assert!(after.lost.is_empty(), "{name}: a later recording was lost: {:?}", after.lost);
    assert!(after.segments.len() >= 3, "{name}");
}

/// Loading ends in this error, soon.
fn does_not_load(name: &str, module: Vec<u8>, why: &str) -> SandboxError {
    let (result, spent) = spent(|| load_module(module));
    assert!(spent < CPU * 10, "{name}: took {spent:?}");
    match result {
        Err(Error::Sandbox(error)) => {
            assert!(error.to_string().contains(why), "{name}: {error}");
            error
        }
        Err(error) => panic!("{name}: {error}"),
        Ok(_) => panic!("{name}: it loaded"),
    }
}

#[test]
fn a_well_behaved_guest_works() {
    let model = load(&Guest::default()).unwrap();
    assert_eq!(model.whisper_cpp(), "by hand");
    for loud in [false, true] {
        let transcript = hear(&model, loud);
        assert!(transcript.lost.is_empty(), "{:?}", transcript.lost);
        assert!(transcript.segments.len() >= 3);
        assert!(transcript.segments.iter().all(|segment| segment.text == TEXT && segment.words.len() == 2));
    }
}

#[test]
fn a_small_ring_is_filled_again_and_again() {
    for slots in [1, 64, 4096] {
        // A ring of one slot takes a call for each sample, and shares the time of one call.
        let mut guest = Guest::default();
        guest.header[0] = slots;
        let model = load(&guest).unwrap();
        let transcript = hear(&model, true);
        assert!(transcript.lost.is_empty(), "{slots} slots: {:?}", transcript.lost);
    }
}

#[test]
fn an_event_that_ends_where_memory_ends_is_read() {
    let event = hearken_proto::encode(&Event::Segment(segment()));
    let end = format!("(i32.const {})", MEMORY_BYTES - event.len() as u32);
    // The event that is emitted anyway lies fourth.
    let copy = format!("(memory.copy {end} (i32.const 0x6400) (i32.const {}))", event.len());
    let attack = format!("{copy} (call $emit {end} (i32.const {}))", event.len());
    let quiet = hear(&load(&Guest::default()).unwrap(), true).segments.len();
    let transcript = hear(&load(&Guest::attacking(&attack)).unwrap(), true);
    assert!(transcript.lost.is_empty(), "{:?}", transcript.lost);
    assert_eq!(transcript.segments.len(), quiet + 1);
}

#[test]
fn a_guest_that_does_not_end_is_ended() {
    for (name, attack) in [
        ("an endless loop", "(loop $for_ever (br $for_ever))"),
        ("a loop of host calls", "(loop $more (drop (call $random_get (i32.const 65536) (i32.const 65536))) (br $more))"),
        ("a loop of host calls that are refused", "(loop $more (drop (call $random_get (i32.const 0) (i32.const -1))) (br $more))"),
        (
            "a log without end",
            // 64 pieces, each all of memory from address 0 on, as often as there is time.
            "(loop $piece
               (i32.store (i32.add (i32.const 65536) (i32.shl (local.get $i) (i32.const 3))) (i32.const 0))
               (i32.store (i32.add (i32.const 65540) (i32.shl (local.get $i) (i32.const 3))) (i32.shl (memory.size) (i32.const 16)))
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $piece (i32.lt_u (local.get $i) (i32.const 64))))
             (loop $more
               (drop (call $fd_write (i32.const 2) (i32.const 65536) (i32.const 64) (i32.const 8)))
               (br $more))",
        ),
        (
            "lists of pieces that are too long",
            "(loop $more (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 8))) (br $more))",
        ),
    ] {
        costs_one_utterance(name, &Guest::attacking(attack), "of CPU time in one call");
    }
    let guest = Guest {
        drain: "(if (global.get $loud) (then (loop $l (br $l)))) (call $read_all)".to_owned(),
        ..Guest::default()
    };
    costs_one_utterance(
        "an endless loop while it takes samples in",
        &Guest { header: [1024, 0x2_0000, 0, 0], ..guest },
        "of CPU time in one call",
    );
}

/// It may be asked thousands of times for one window: they share one budget.
#[test]
fn a_guest_that_is_slow_at_each_of_many_calls_is_ended() {
    let dawdle = "(if (global.get $loud) (then
        (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 20000000))))))
        (call $read_all)";
    let guest = Guest { drain: dawdle.to_owned(), header: [16, 0x2_0000, 0, 0], ..Guest::default() };
    costs_one_utterance("dawdling", &guest, "of CPU time in one call");
}

#[test]
fn a_guest_that_wants_everything_gets_its_limit() {
    costs_one_utterance(
        "a memory bomb",
        &Guest::attacking(
            "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) unreachable",
        ),
        "needs more than 512 MiB",
    );
    costs_one_utterance(
        "all memory at once",
        &Guest::attacking("(if (i32.eq (memory.grow (i32.const 65000)) (i32.const -1)) (then unreachable))"),
        "needs more than 512 MiB",
    );
    let deep = Guest {
        fields: "(func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))"
            .to_owned(),
        ..Guest::attacking("(drop (call $deep (i32.const 0)))")
    };
    costs_one_utterance("deep recursion", &deep, "stack overflowed");
}

#[test]
fn a_guest_that_stops_is_explained() {
    costs_one_utterance("unreachable", &Guest::attacking("unreachable"), "it aborted");
    costs_one_utterance("exit", &Guest::attacking("(call $proc_exit (i32.const 0))"), "it aborted");
    costs_one_utterance(
        "a wild pointer",
        &Guest::attacking("(drop (i32.load (i32.const -4)))"),
        "reached outside its memory",
    );
    costs_one_utterance(
        "a wild call",
        &Guest {
            fields: "(table 4 funcref) (type $t (func))".to_owned(),
            ..Guest::attacking("(call_indirect (type $t) (i32.const 3))")
        },
        "no function of that kind",
    );
    costs_one_utterance(
        "division by zero",
        &Guest::attacking("(drop (i32.div_u (i32.const 1) (i32.const 0)))"),
        "broke a rule",
    );
    let last_words = |text: &str| {
        let attack = format!(
            "(i32.store (i32.const 8) (i32.const 0x8400)) (i32.store (i32.const 12) (i32.const {}))
             (drop (call $fd_write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 8))) unreachable",
            text.len()
        );
        let bytes: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        Guest { fields: format!("(data (i32.const 0x8400) \"{bytes}\")"), ..Guest::attacking(&attack) }
    };
    costs_one_utterance("last words", &last_words("so long\n\n"), "it aborted (so long)");
    costs_one_utterance("an escape as last words", &last_words("\x1b[2Jgone\x07\u{202e}"), "([2Jgone)");
    costs_one_utterance("a book of last words", &last_words(&"word ".repeat(1000)), "(word word");
}

#[test]
fn an_answer_that_is_no_success_is_a_failure() {
    for (status, why) in [
        (1, "could not read the request"),
        (2, "holds no model"),
        (3, "refused the model"),
        (4, "failed to decode"),
        (5, "does not know this language"),
        (6, "cannot translate"),
        (7, "longer than the model's context"),
        (8, "status 8"),
        (-1, "status -1"),
        (i32::MIN, "status -2147483648"),
    ] {
        let attack = format!("(return (i32.const {status}))");
        costs_one_utterance(&format!("status {status}"), &Guest::attacking(&attack), why);
    }
}

#[test]
fn addresses_outside_memory_are_refused() {
    for (name, address, len, why) in [
        ("a pointer past the end", MEMORY_BYTES, 1, "named 1 bytes at address 0x140000"),
        ("a pointer at the end and a length beyond", MEMORY_BYTES - 1, 2, "named 2 bytes"),
        ("a sum that wraps", u32::MAX, 2, "named 2 bytes at address 0xffffffff"),
        ("a length that wraps", 16, u32::MAX, "an event of 4294967295 bytes"),
        ("more than an event may have", 0, (1 << 20) + 1, "an event of 1048577 bytes"),
        ("nothing, at the very end", MEMORY_BYTES, 0, "malformed message"),
    ] {
        let attack = format!("(call $emit (i32.const {address}) (i32.const {len}))");
        costs_one_utterance(name, &Guest::attacking(&attack), why);
    }
    for (name, vectors, written, why) in [
        ("a list of pieces past the end", MEMORY_BYTES - 4, 8, "of a memory of"),
        ("a list of pieces that wraps", u32::MAX - 3, 8, "of a memory of"),
        ("a count past the end", 8, MEMORY_BYTES - 3, "named 4 bytes"),
    ] {
        let attack = format!(
            "(drop (call $fd_write (i32.const 1) (i32.const {vectors}) (i32.const 1) (i32.const {written})))"
        );
        costs_one_utterance(name, &Guest::attacking(&attack), why);
    }
    costs_one_utterance(
        "a piece past the end",
        &Guest::attacking(
            "(i32.store (i32.const 8) (i32.const 16)) (i32.store (i32.const 12) (i32.const -1))
             (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 8)))",
        ),
        "named 4294967295 bytes at address 0x10",
    );
    costs_one_utterance(
        "randomness past the end",
        &Guest::attacking(&format!(
            "(drop (call $random_get (i32.const {}) (i32.const 2)))",
            MEMORY_BYTES - 1
        )),
        "named 2 bytes",
    );
    costs_one_utterance(
        "a model past the end",
        &Guest::attacking("(drop (call $model_read (i32.const -1) (i32.const -1)))"),
        "named 4294967295 bytes",
    );
    for (name, address) in [("past the end", MEMORY_BYTES - 1), ("that wraps", u32::MAX), ("of nothing", 0)] {
        let quiet = format!("(i32.const {BUFFER})");
        let buffer = format!("(select (i32.const {address}) {quiet} (global.get $loud))");
        let why = if address == 0 { "no room for a request" } else { "of a memory of" };
        costs_one_utterance(&format!("a buffer {name}"), &Guest { buffer, ..Guest::default() }, why);
    }
}

#[test]
fn a_ring_that_lies_is_refused() {
    let end = MEMORY_BYTES;
    for (name, header, why) in [
        ("no slots", [0, 0x2_0000, 0, 0], "ring has 0 slots"),
        ("an odd number of slots", [1000, 0x2_0000, 0, 0], "ring has 1000 slots"),
        ("too many slots", [1 << 21, 0, 0, 0], "ring has 2097152 slots"),
        ("misaligned slots", [16, 0x2_0002, 0, 0], "misaligned"),
        ("slots past the end", [16, end - 60, 0, 0], "named 64 bytes"),
        ("slots that wrap", [16, u32::MAX - 3, 0, 0], "named 64 bytes"),
        ("more unread than there are slots", [16, 0x2_0000, 17, 0], "17 unread samples in 16 slots"),
        ("a read position ahead of the write position", [16, 0x2_0000, 0, 1], "unread samples in 16 slots"),
    ] {
        let guest = Guest { header, ..Guest::default() };
        let error = does_not_load(name, guest.module(), why);
        assert!(matches!(error, SandboxError::Misbehaved(_)), "{name}: {error:?}");
    }
    for (name, address, why) in [
        ("a header past the end", end - 8, "of a memory of"),
        ("a header that wraps", u32::MAX, "of a memory of"),
        ("a misaligned header", 0x101, "ring"),
    ] {
        let guest = Guest { ring: format!("(i32.const {address})"), ..Guest::default() };
        let error = does_not_load(name, guest.module(), why);
        assert!(matches!(error, SandboxError::Misbehaved(_)), "{name}: {error:?}");
    }
    for (name, slots, drain, why) in [
        (
            "a reader that never moves",
            1024,
            "(if (i32.eqz (global.get $loud)) (then (call $read_all)))",
            "does not read its ring",
        ),
        (
            "a reader that moves one sample at a time",
            1024,
            "(if (global.get $loud)
               (then (i32.store (i32.const 268) (i32.add (i32.load (i32.const 268)) (i32.const 1))))
               (else (call $read_all)))",
            "does not read its ring",
        ),
        (
            "a reader that overtakes the writer",
            1024,
            "(call $read_all) (if (global.get $loud) (then (i32.store (i32.const 268) (i32.const 0x7fffffff))))",
            "unread samples in 1024 slots",
        ),
    ] {
        let guest = Guest { header: [slots, 0x2_0000, 0, 0], drain: drain.to_owned(), ..Guest::default() };
        costs_one_utterance(name, &guest, why);
    }
    // What the guest writes over the host's half of the header, and over the header's other fields, has no effect.
    let guest = Guest {
        header: [1024, 0x2_0000, 0, 0],
        drain: "(call $read_all) (if (global.get $loud) (then
            (i32.store (i32.const 256) (i32.const 0x40000000))
            (i32.store (i32.const 260) (i32.const -4))
            (i32.store (i32.const 264) (i32.const -1))))"
            .to_owned(),
        ..Guest::default()
    };
    let model = load(&guest).unwrap();
    let transcript = hear(&model, true);
    assert!(transcript.lost.is_empty(), "{:?}", transcript.lost);
}

#[test]
fn events_that_are_none_are_refused() {
    let good = hearken_proto::encode(&Event::Segment(segment()));
    let longer = [good.as_slice(), &[0]].concat();
    // Variant 4 is scores; the length of the first list is a number of up to 32 bits.
    let many = vec![4, 0xff, 0xff, 0xff, 0xff, 0x0f, 1];
    let not_utf8 = {
        let mut bytes = good.clone();
        let at = bytes.windows(2).position(|pair| pair == b" a").unwrap();
        bytes[at] = 0xff;
        bytes
    };
    for (name, event) in [
        ("nothing", vec![]),
        ("an unknown variant", vec![99]),
        ("a truncated one", good[..good.len() - 1].to_vec()),
        ("one with a tail", longer),
        ("one that claims four thousand million entries", many),
        ("one whose text is not UTF-8", not_utf8),
        ("noise", (0..200u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
    ] {
        costs_one_utterance(name, &Guest::emitting(event), "malformed message");
    }
    let emit = format!("(call $emit (i32.const 0x6400) (i32.const {}))", good.len());
    let flood = format!("(loop $more {emit} (br $more))");
    costs_one_utterance("a flood of events", &Guest::attacking(&flood), "too many events");

    // A megabyte of text in each, all of them within their own limit.
    let mut large = hearken_proto::encode(&Event::Segment(Segment {
        text: "x".repeat(1_000_000),
        ..Segment { words: vec![], tokens: vec![], ..segment() }
    }));
    let head: String = large.drain(..8).map(|byte| format!("\\{byte:02x}")).collect();
    let flood = format!(
        "(memory.fill (i32.const 0x20000) (i32.const 120) (i32.const 1000100))
         (memory.copy (i32.const 0x20000) (i32.const 0x8400) (i32.const 8))
         (memory.fill (i32.const {tail}) (i32.const 0) (i32.const 6))
         (loop $more (call $emit (i32.const 0x20000) (i32.const {len})) (br $more))",
        tail = 0x2_0000 + 8 + large.len() - 6,
        len = large.len() + 8,
    );
    let guest = Guest { fields: format!("(data (i32.const 0x8400) \"{head}\")"), ..Guest::attacking(&flood) };
    costs_one_utterance("a flood of large events", &guest, "too many events");
}

#[test]
fn a_language_that_is_none_does_not_spoil_the_rest() {
    for code in ["", "xx", "en\x1b[2J", &"e".repeat(5000)] {
        let event = Event::Language { code: code.to_owned(), probability: 0.5 };
        costs_one_utterance(
            "a language",
            &Guest::emitting(hearken_proto::encode(&event)),
            "no known language",
        );
    }
}

/// Numbers and text that lie are no reason to lose an utterance; they are put right.
#[test]
fn what_events_say_is_believed_within_reason() {
    let numbers = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -7.0, 7.0, 0.5];
    let times = [(0, u32::MAX), (u32::MAX, 0), (u32::MAX, u32::MAX), (16_000, 8000), (5, 5)];
    let texts =
        ["\x1b[31mred\x1b[0m", "\u{9b}2J\u{202e}\u{200b}\0", "-->\n\n1\n00:00:00,000", "\r\rgone\x08\x08"];
    for (case, (start, end)) in times.into_iter().enumerate() {
        for text in texts {
            let number = numbers[case];
            let word = |start, end| Word { start, end, text: text.to_owned(), probability: number };
            let words = vec![word(start, end), word(end, start), word(0, 8000), word(4000, 2000)];
            let event = Segment {
                start,
                end,
                text: format!("x{text}"),
                tokens: vec![u32::MAX],
                avg_logprob: number,
                words,
            };
            let model = load(&Guest::emitting(hearken_proto::encode(&Event::Segment(event)))).unwrap();
            let transcript = hear(&model, true);
            assert!(transcript.lost.is_empty(), "{:?}", transcript.lost);
            let mut before = 0;
            for segment in &transcript.segments {
                assert!(segment.start <= segment.end && segment.end <= LENGTH as u64, "{segment:?}");
                assert!(segment.avg_logprob.is_finite() && segment.avg_logprob <= 0.0, "{segment:?}");
                assert!((0.0..=1.0).contains(&segment.no_speech), "{segment:?}");
                assert!(before <= segment.start, "{segment:?}");
                before = segment.start;
                let mut at = segment.start;
                for word in &segment.words {
                    assert!(
                        at <= word.start && word.start <= word.end && word.end <= segment.end,
                        "{segment:?}"
                    );
                    assert!((0.0..=1.0).contains(&word.probability), "{word:?}");
                    assert!(!word.text.contains(hides), "{:?}", word.text);
                    at = word.end;
                }
                assert!(!segment.text.contains(hides), "{:?}", segment.text);
            }
        }
    }
}

fn hides(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

#[test]
fn a_module_that_is_no_guest_is_refused() {
    let memory = r#"(memory (export "memory") 20)"#;
    for (name, guest, why) in [
        (
            "another version",
            Guest { abi: "(i32.const 999)".to_owned(), ..Guest::default() },
            "ABI version 999",
        ),
        ("no version", Guest::with(r#"(export "hearken_abi")"#, ""), "hearken_abi"),
        ("no way to load", Guest::with(r#"(export "hearken_load")"#, ""), "hearken_load"),
        ("no ring", Guest::with(r#"(export "hearken_ring")"#, ""), "hearken_ring"),
        ("no buffer", Guest::with(r#"(export "hearken_buffer")"#, ""), "hearken_buffer"),
        ("no way to call", Guest::with(r#"(export "hearken_call")"#, ""), "hearken_call"),
        ("no memory", Guest::with(memory, "(memory 20)"), "memory"),
        (
            "a global as memory",
            Guest::with(memory, r#"(memory 20) (global (export "memory") i32 (i32.const 0))"#),
            "memory",
        ),
        (
            "a version of another type",
            Guest {
                abi: "(i64.const 1)".to_owned(),
                ..Guest::with(r#""hearken_abi") (result i32)"#, r#""hearken_abi") (result i64)"#)
            },
            "hearken_abi",
        ),
        (
            "a version with an argument",
            Guest::with(r#""hearken_abi") (result"#, r#""hearken_abi") (param f64) (result"#),
            "hearken_abi",
        ),
        (
            "a call of another type",
            Guest::with(r#""hearken_call") (param i32)"#, r#""hearken_call") (param i64)"#),
            "hearken_call",
        ),
        (
            "a memory that the host should provide",
            Guest::with(memory, r#"(import "hearken" "memory" (memory 20)) (export "memory" (memory 0))"#),
            "imported memories",
        ),
        (
            "an import that nobody grants",
            Guest::with(
                "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $proc_exit (param i32)))",
                "(import \"wasi_snapshot_preview1\" \"path_open\" (func $proc_exit (param i32)))",
            ),
            "path_open",
        ),
        (
            "an import of another type",
            Guest::with(
                "\"proc_exit\" (func $proc_exit (param i32))",
                "\"proc_exit\" (func $proc_exit (param i64))",
            ),
            "proc_exit",
        ),
        ("shared memory", Guest::with(memory, r#"(memory (export "memory") 20 20 shared)"#), "threads"),
        (
            "two memories",
            Guest { fields: "(memory $second 1)".to_owned(), ..Guest::default() },
            "multiple memories",
        ),
        (
            "a table that grows",
            Guest {
                fields: "(table $t 1 funcref)".to_owned(),
                load: "(drop (table.grow $t (ref.null func) (i32.const 1000000)))".to_owned(),
                ..Guest::default()
            },
            "table.grow",
        ),
        (
            "a table that is too large",
            Guest { fields: "(table $t 1000000 funcref)".to_owned(), ..Guest::default() },
            "table",
        ),
        ("a memory that is too large", Guest::with(memory, r#"(memory (export "memory") 20000)"#), "512 MiB"),
        (
            "references that change",
            Guest { fields: "(global $g (mut funcref) (ref.null func))".to_owned(), ..Guest::default() },
            "reference",
        ),
    ] {
        does_not_load(name, guest.module(), why);
    }
    let wide = wat::parse_str(r#"(module (memory (export "memory") i64 20) (func (export "hearken_load")))"#)
        .unwrap();
    does_not_load("64-bit memory", wide, "memory64");
    does_not_load("nothing", vec![], "not a hearken guest");
    does_not_load("noise", vec![7; 100_000], "not a hearken guest");
    let mut cut = Guest::default().module();
    cut.truncate(cut.len() / 2);
    does_not_load("half a guest", cut, "not a hearken guest");
}

#[test]
fn a_guest_that_fails_to_load_is_refused() {
    let loading = |load: &str| Guest { load: load.to_owned(), ..Guest::default() };
    let with = |fields: &str| Guest { fields: fields.to_owned(), ..Guest::default() };
    for (name, guest, why) in [
        ("a loop in load", loading("(loop $l (br $l))"), "of CPU time"),
        ("a loop at the start", with("(func $s (loop $l (br $l))) (start $s)"), "of CPU time"),
        (
            "a loop in a constructor",
            with(r#"(func (export "_initialize") (loop $l (br $l)))"#),
            "of CPU time",
        ),
        ("a trap in a constructor", with(r#"(func (export "_initialize") unreachable)"#), "it aborted"),
        ("a trap at the start", with("(func $s unreachable) (start $s)"), "it aborted"),
        (
            "a constructor of another type",
            with(r#"(func (export "_initialize") (param i32))"#),
            "_initialize",
        ),
        ("an exit", loading("(call $proc_exit (i32.const 7))"), "it aborted"),
        ("a refusal", loading("(return (i32.const 3))"), "refused the model"),
        ("an unknown answer", loading("(return (i32.const 77))"), "status 77"),
        ("no description", loading("(return (i32.const 0))"), "without describing it"),
        (
            "two descriptions",
            loading(&format!(
                "(call $emit (i32.const 0x400) (i32.const {}))",
                hearken_proto::encode(&Event::Loaded(info())).len()
            )),
            "without describing it",
        ),
        (
            "a model read to a wild address",
            loading("(drop (call $model_read (i32.const -1) (i32.const 9)))"),
            "named 9 bytes",
        ),
        (
            "a model that is not read",
            Guest::with("(br_if $more (call $model_read", "(drop (call $model_read"),
            "bytes follow",
        ),
        (
            "a memory bomb",
            loading(
                "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) unreachable",
            ),
            "512 MiB",
        ),
        (
            "a slow version",
            Guest { abi: "(loop $l (br $l)) (i32.const 1)".to_owned(), ..Guest::default() },
            "of CPU time",
        ),
        (
            "a slow ring",
            Guest { ring: "(loop $l (br $l)) (i32.const 256)".to_owned(), ..Guest::default() },
            "of CPU time",
        ),
    ] {
        does_not_load(name, guest.module(), why);
    }
    for (name, info) in [
        ("no context", ModelInfo { n_audio_ctx: 0, ..info() }),
        ("a context without end", ModelInfo { n_audio_ctx: u32::MAX, ..info() }),
        ("another vocabulary", ModelInfo { n_vocab: 7, ..info() }),
        ("other languages", ModelInfo { multilingual: true, ..info() }),
    ] {
        let loaded = hearken_proto::encode(&Event::Loaded(info));
        does_not_load(name, Guest { loaded, ..Guest::default() }.module(), "another model");
    }
}

#[test]
fn the_version_that_a_guest_states_is_only_text() {
    let info = ModelInfo { whisper_cpp: format!("\x1b[2J1.8.3{}", "!".repeat(1000)), ..info() };
    let model =
        load(&Guest { loaded: hearken_proto::encode(&Event::Loaded(info)), ..Guest::default() }).unwrap();
    assert!(model.whisper_cpp().starts_with("[2J1.8.3!"));
    assert!(model.whisper_cpp().len() <= 32);
}
