//! Addresses, ring and events: no statement of a guest is trusted.

use hearken::sandbox::SandboxError;
use hearken_proto::{Event, Segment, Word};
use hearken_tests::guest::{BUFFER, Guest, MEMORY_BYTES, escape, segment};
use hearken_tests::random::garbage;

use crate::loading::does_not_load;
use crate::{LENGTH, costs_one_utterance, hear, load};

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
    // What the guest writes over the host's half of the header, and over the header's other fields,
    // has no effect.
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
        ("noise", garbage(200)),
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
    let head = escape(&large.drain(..8).collect::<Vec<u8>>());
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
        let event = Event::Language { code: code.to_owned(), probability: 0.5, certain: true };
        costs_one_utterance(
            "a language",
            &Guest::emitting(hearken_proto::encode(&event)),
            "no known language",
        );
    }
}

/// Numbers and text that lie are no reason to lose an utterance; they are put right. Each report is
/// small enough; there are as many as one call may make, and a recording has hundreds of calls.
#[test]
fn text_that_nobody_can_say_is_refused() {
    const AT: u32 = 0xb000;
    let text = "x".repeat(4000);
    let event = hearken_proto::encode(&Event::Segment(Segment { text, ..segment() }));
    let guest = Guest {
        fields: format!("(data (i32.const {AT}) \"{}\")", escape(&event)),
        attack: format!(
            "(local.set $i (i32.const 0))
             (loop $more
               (call $emit (i32.const {AT}) (i32.const {}))
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $more (i32.lt_u (local.get $i) (i32.const 200))))",
            event.len()
        ),
        ..Guest::default()
    };
    costs_one_utterance("text without end", &guest, "more text than anybody can say");
}

#[test]
fn numbers_in_events_are_believed_within_bounds() {
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
                assert!(
                    segment.avg_logprob.is_some_and(|mean| mean.is_finite() && mean <= 0.0),
                    "{segment:?}"
                );
                assert!(
                    segment.no_speech.is_none_or(|silence| (0.0..=1.0).contains(&silence)),
                    "{segment:?}"
                );
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
