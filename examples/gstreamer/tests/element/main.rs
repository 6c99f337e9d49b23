//! Contract of the element with its neighbors in a pipeline and with the application.

mod bench;
mod jumps;

use gst::prelude::*;
use gst::{Buffer, Caps, ClockTime, EventView, MessageView};

use crate::bench::{Bench, OTHER, PHRASE, RATE, espeak, init, joined};

#[test]
fn the_end_of_the_stream_delivers_the_last_words() {
    for mut bench in [Bench::live(), Bench::not_live()] {
        // Not a moment of silence behind it.
        bench.say(PHRASE, 0);
        let texts = bench.end();
        assert_eq!(joined(&texts), PHRASE);
        let ends = texts.iter().map(|(pts, duration, _)| *pts + *duration);
        assert!(ends.max().is_some_and(|end| end <= bench.next), "{texts:?}");
        assert!(texts.is_sorted_by_key(|(pts, _, _)| *pts), "{texts:?}");
    }
}

/// Audio that is not live is recognized on the streaming thread: the text is there when the push
/// returns.
#[test]
fn buffers_of_a_file_wait_for_their_text() {
    let mut bench = Bench::not_live();
    bench.say(PHRASE, 1_000);
    assert_eq!(joined(&bench.texts()), PHRASE);
}

#[test]
fn a_drain_delivers_the_last_words_and_the_stream_goes_on() {
    let mut bench = Bench::live();
    bench.say(PHRASE, 0);
    let mut drain = gst::query::Drain::new();
    bench.harness.srcpad().expect("a pad").peer_query(&mut drain);
    assert_eq!(joined(&bench.texts()), PHRASE);
    let behind = bench.next;
    bench.say(OTHER, 0);
    let texts = bench.end();
    assert_eq!(joined(&texts), OTHER);
    assert!(texts[0].0 >= behind, "{texts:?}");
}

/// A muxer, or a renderer, goes on without text after a GAP event. Live, a thread must wake up to
/// send it.
#[test]
fn silence_is_reported_by_gap_events() {
    for mut bench in [Bench::live(), Bench::not_live()] {
        let mut told = ClockTime::ZERO;
        for _ in 0..3 {
            bench.wait(3_000);
            while told + ClockTime::from_mseconds(1_500) < bench.next {
                let event = bench.harness.pull_event().expect("a gap before long");
                let EventView::Gap(gap) = event.view() else { continue };
                let (start, duration) = gap.get();
                assert_eq!(start, told);
                told += duration.expect("a length");
            }
        }
    }
}

#[test]
fn a_language_that_the_model_does_not_know_is_an_error_that_says_so() {
    let mut bench = Bench::new(false);
    bench.harness.element().expect("the element").set_property("language", "de");
    assert_eq!(bench.harness.push(Buffer::from_slice(vec![0u8; 882])), Err(gst::FlowError::Error));
    let message = bench.bus.pop_filtered(&[gst::MessageType::Error]).expect("an error on the bus");
    let MessageView::Error(error) = message.view() else { panic!("{message:?}") };
    assert!(error.error().message().contains("knows only English"), "{error:?}");
}

#[test]
fn latency_is_upstreams_and_the_budget() {
    let mut bench = Bench::new(true);
    bench.harness.set_upstream_latency(ClockTime::from_mseconds(20));
    assert_eq!(bench.harness.query_latency(), Some(ClockTime::from_mseconds(3_020)));
    bench.harness.element().expect("the element").set_property("latency", 1_000u32);
    assert_eq!(bench.harness.query_latency(), Some(ClockTime::from_mseconds(1_020)));
}

#[test]
fn messages_tell_what_was_said_while_it_is_said() {
    let mut bench = Bench::live();
    bench.say("one two one two one two one two one two one two one two one two", 1_000);
    bench.end();
    let mut finals = Vec::new();
    let mut partials = 0;
    while let Some(message) = bench.bus.pop() {
        let Some(structure) = message.structure() else { continue };
        match structure.name().as_str() {
            "hearken-partial" => {
                partials += 1;
                let text = structure.get::<String>("text").unwrap();
                let committed = structure.get::<String>("committed").unwrap();
                assert!(text.starts_with(&committed), "{structure:?}");
            }
            "hearken-final" => finals.push(structure.to_owned()),
            _ => {}
        }
    }
    // Pushed at once, so that as little as one decode may have been made before the end.
    println!("{partials} partial texts");
    assert_eq!(finals.len(), 1);
    assert_eq!(finals[0].get::<bool>("complete"), Ok(true));
    assert!(finals[0].get::<String>("text").unwrap().starts_with("one two one two"));
}

#[test]
fn another_format_in_the_middle_is_taken() {
    let mut bench = Bench::live();
    bench.say(PHRASE, 0);
    let stereo = Caps::builder("audio/x-raw")
        .field("format", "F32LE")
        .field("layout", "interleaved")
        .field("rate", RATE as i32)
        .field("channels", 2)
        .field("channel-mask", gst::Bitmask::new(3))
        .build();
    assert!(bench.harness.push_event(gst::event::Caps::new(&stereo)));
    let samples = espeak(OTHER);
    let bytes: Vec<u8> = samples
        .chunks_exact(2)
        .flat_map(|sample| {
            let sample = f32::from(i16::from_le_bytes([sample[0], sample[1]])) / 32_768.0;
            [sample.to_le_bytes(), sample.to_le_bytes()].concat()
        })
        .collect();
    let mut buffer = Buffer::from_slice(bytes);
    buffer.get_mut().expect("it is ours").set_pts(bench.next);
    bench.harness.push(buffer).expect("it is taken");
    assert_eq!(joined(&bench.end()), format!("{PHRASE} {OTHER}"));
}

#[test]
fn invalid_properties_are_errors_with_a_reason() {
    init();
    let element =
        gst::ElementFactory::make("hearken").property("model", "/no/such/model.bin").build().unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Ready).is_err());
    let message = bus.pop_filtered(&[gst::MessageType::Error]).expect("an error");
    let MessageView::Error(error) = message.view() else { panic!("{message:?}") };
    assert!(error.error().to_string().contains("/no/such/model.bin"), "{error:?}");
    element.set_state(gst::State::Null).unwrap();
}
