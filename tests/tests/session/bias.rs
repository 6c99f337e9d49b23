//! Words to expect.

use hearken::audio::Samples;
use hearken::session::{Session, SessionEvent};
use hearken::{Bias, TranscribeOptions, Transcript};

use crate::{MODEL, PHRASES, SPEECH, finals, listen, options};

/// Maximum distance between the times of a word [samples]: 100 ms.
const SLACK: u64 = 1_600;

fn bias(words: &[&str]) -> Bias {
    Bias::parse(&words.join("\n")).expect("words")
}

fn file(bias: Bias) -> Transcript {
    let options = TranscribeOptions::new().bias(bias);
    let mut source = Samples::new(SPEECH.samples.clone(), SPEECH.format).unwrap();
    MODEL.transcribe(&mut source, &options, |_| {}).unwrap()
}

#[test]
fn with_words_to_expect_a_file_has_the_same_words_at_the_same_places() {
    // Words that the model knows and nobody says, one that is said, and what has no tokens.
    let (without, with) = (file(Bias::new()), file(bias(&["stop", "twenty", "three", "日本"])));
    assert_eq!(with.text(), PHRASES.join(" "));
    let words = |transcript: &Transcript| -> Vec<_> {
        transcript.segments.iter().flat_map(|segment| segment.words.clone()).collect()
    };
    let (without, with) = (words(&without), words(&with));
    assert_eq!(without.len(), with.len());
    for (one, other) in without.iter().zip(&with) {
        assert!(
            one.start.abs_diff(other.start) <= SLACK && one.end.abs_diff(other.end) <= SLACK,
            "{one:?} {other:?}"
        );
        assert!((one.probability - other.probability).abs() < 0.1, "{one:?} {other:?}");
    }
}

#[test]
fn with_words_to_expect_a_stream_has_the_same_words_and_a_journal_of_them() {
    let options = options().bias(bias(&["stop", "twenty", "go left"]));
    let mut session = Session::driven(&MODEL, options.clone()).unwrap();
    let mut events = listen(&mut session);
    assert_eq!(finals(&events), PHRASES);
    events.retain(|event| matches!(event, SessionEvent::Partial { .. } | SessionEvent::Final { .. }));
    let replayed = session.journal().replay(&MODEL, &options, &SPEECH.samples).unwrap();
    assert_eq!(replayed, events);
}

#[test]
fn the_longest_list_is_heard_with() {
    let list: String = (0..Bias::MAX_PHRASES)
        .map(|number| format!("{} {number}\n", ["stop", "go", "x"][number % 3]))
        .collect();
    assert_eq!(file(Bias::parse(&list).expect("it fits")).text(), PHRASES.join(" "));
}
