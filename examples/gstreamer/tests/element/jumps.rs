//! Time that does not go on: seeks, gaps, jumps.

use std::sync::mpsc;

use gst::prelude::*;
use gst::{ClockTime, MessageType, event};

use crate::bench::{Bench, OTHER, PHRASE, RATE, espeak, init, joined};

const GAP: ClockTime = ClockTime::from_seconds(5);

#[test]
fn a_flush_forgets_what_was_not_said_and_what_comes_after_is_heard() {
    for bench in [Bench::live(), Bench::not_live()] {
        flush(bench);
    }
}

fn flush(mut bench: Bench) {
    bench.say(PHRASE, 0);
    assert!(bench.harness.push_event(event::FlushStart::new()));
    assert!(bench.harness.push_event(event::FlushStop::new(true)));
    bench.texts();
    // As after a seek: another segment, from another place.
    let mut segment = gst::FormattedSegment::<ClockTime>::new();
    segment.set_start(ClockTime::from_seconds(100));
    segment.set_time(ClockTime::from_seconds(100));
    assert!(bench.harness.push_event(event::Segment::new(&segment)));
    bench.next = ClockTime::from_seconds(100);
    bench.say(OTHER, 0);
    let texts = bench.end();
    assert_eq!(joined(&texts), OTHER);
    assert!(texts[0].0 >= ClockTime::from_seconds(100), "{texts:?}");
}

#[test]
fn after_a_gap_times_are_still_true() {
    for mut bench in [Bench::live(), Bench::not_live()] {
        bench.say(PHRASE, 0);
        let lost = bench.next;
        bench.next += GAP;
        behind_the_gap(bench, lost);
    }
}

/// A GAP event stands for silence: the end of an utterance need not wait for the next buffer.
#[test]
fn after_a_gap_event_times_are_still_true() {
    for mut bench in [Bench::live(), Bench::not_live()] {
        bench.say(PHRASE, 0);
        let lost = bench.next;
        assert!(bench.harness.push_event(event::Gap::builder(lost).duration(GAP).build()));
        bench.hear("hearken-speech-ended");
        bench.next += GAP;
        behind_the_gap(bench, lost);
    }
}

fn behind_the_gap(mut bench: Bench, lost: ClockTime) {
    bench.say(OTHER, 0);
    let texts = bench.end();
    assert_eq!(joined(&texts), format!("{PHRASE} {OTHER}"));
    let late = texts.iter().find(|(pts, _, _)| *pts >= lost).expect("text behind the gap");
    assert!(late.0 >= lost + GAP - ClockTime::from_mseconds(10), "{texts:?}");
    let dropped = bench.messages("hearken-dropped");
    assert_eq!(dropped.len(), 1, "{dropped:?}");
    let (start, end) = (dropped[0].get::<ClockTime>("start"), dropped[0].get::<ClockTime>("end"));
    let length = end.unwrap() - start.unwrap();
    assert!(length.mseconds().abs_diff(GAP.mseconds()) < 50, "{dropped:?}");
}

/// A clock that was set back, a loop: speech before is delivered with the old times, speech behind
/// with the new ones.
#[test]
fn a_jump_back_begins_anew() {
    for mut bench in [Bench::live(), Bench::not_live()] {
        bench.next = ClockTime::from_seconds(100);
        bench.say(PHRASE, 0);
        bench.next = ClockTime::from_seconds(10);
        bench.say(OTHER, 0);
        let texts = bench.end();
        assert_eq!(joined(&texts), format!("{PHRASE} {OTHER}"));
        let (old, new): (Vec<_>, Vec<_>) =
            texts.into_iter().partition(|(pts, _, _)| *pts >= ClockTime::from_seconds(100));
        assert_eq!((joined(&old), joined(&new)), (PHRASE.to_owned(), OTHER.to_owned()));
        assert!(new.iter().all(|(pts, _, _)| *pts >= ClockTime::from_seconds(10)), "{new:?}");
    }
}

/// A player seeks while the element waits for downstream, which has a text and is paused.
#[test]
fn a_seek_in_a_paused_pipeline_goes_on_from_there() {
    init();
    let (mut bytes, second) = (espeak(PHRASE), RATE as usize * 2);
    bytes.resize(bytes.len() + second, 0);
    let half = ClockTime::from_nseconds(bytes.len() as u64 * ClockTime::SECOND.nseconds() / second as u64);
    bytes.extend(espeak(OTHER));
    bytes.resize(bytes.len() + second, 0);
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("seek.pcm");
    std::fs::write(&path, bytes).expect("room for a recording");
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={} ! rawaudioparse sample-rate={RATE} num-channels=1 ! hearken ! \
         fakesink name=sink signal-handoffs=true sync=false",
        path.display()
    ));
    let pipeline = pipeline.expect("a pipeline").downcast::<gst::Pipeline>().expect("a pipeline");
    let (said, heard) = mpsc::channel();
    pipeline.by_name("sink").expect("a sink").connect("handoff", false, move |values| {
        let buffer = values[1].get::<gst::Buffer>().expect("a buffer");
        let map = buffer.map_readable().expect("it can be read");
        said.send((buffer.pts(), String::from_utf8_lossy(&map).into_owned())).expect("the test waits");
        None
    });
    let limit = ClockTime::from_seconds(60);
    let wait = |wanted| {
        let message =
            pipeline.bus().and_then(|bus| bus.timed_pop_filtered(limit, &[wanted, MessageType::Error]));
        assert_eq!(message.as_ref().map(|message| message.type_()), Some(wanted), "{message:?}");
    };
    pipeline.set_state(gst::State::Paused).expect("it pauses");
    wait(MessageType::AsyncDone);
    pipeline.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, half).expect("it seeks");
    wait(MessageType::AsyncDone);
    pipeline.set_state(gst::State::Playing).expect("it plays");
    wait(MessageType::Eos);
    pipeline.set_state(gst::State::Null).expect("it stops");
    let texts: Vec<_> = heard.try_iter().collect();
    assert_eq!(texts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), [OTHER]);
    assert!(texts[0].0 >= Some(half), "{texts:?}");
}
