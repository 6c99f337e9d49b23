//! Pauses within an utterance: all words so far are committed, and the utterance goes on.

use std::time::Duration;

use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken_tests::speech::{Recording, with_pauses};

use crate::MODEL;

fn events(options: &SessionOptions, speech: &Recording) -> Vec<SessionEvent> {
    let mut session = Session::driven(&MODEL, options.clone()).unwrap();
    for block in speech.samples.chunks(speech.format.sample_rate as usize / 50) {
        session.push(block).unwrap();
        while session.decode_pending().is_some() {}
    }
    session.finish().unwrap();
    while session.decode_pending().is_some() {}
    let events: Vec<SessionEvent> = session.events().iter().collect();
    let replayed = session.journal().replay(&MODEL, options, &speech.samples).unwrap();
    let decoded = |event: &&SessionEvent| {
        matches!(
            event,
            SessionEvent::Partial { .. } | SessionEvent::Paused { .. } | SessionEvent::Final { .. }
        )
    };
    assert!(events.iter().filter(decoded).eq(replayed.iter().filter(decoded)), "{events:#?}\n{replayed:#?}");
    events
}

#[test]
fn what_was_said_before_a_pause_is_committed_at_once() {
    // Less than an utterance's hangover.
    let speech = with_pauses(&["seven three nine two", "zero five eight one"], 300);
    let pause = Some(Duration::from_millis(150));
    let options = SessionOptions::new(speech.format).journal(true).pause(pause);
    let heard = events(&options, &speech);
    let paused = heard.iter().position(|event| matches!(event, SessionEvent::Paused { .. }));
    let paused = paused.unwrap_or_else(|| panic!("no pause in {heard:#?}"));
    let committed = heard[..paused].iter().flat_map(|event| match event {
        SessionEvent::Partial { committed, .. } => committed.as_slice(),
        SessionEvent::Final { .. } => panic!("one utterance: {heard:#?}"),
        _ => &[],
    });
    let committed: Vec<&str> = committed.map(|word| word.text.as_str()).collect();
    assert_eq!(committed.join(" "), "seven three nine two");
    let finals: Vec<&SessionEvent> =
        heard.iter().filter(|event| matches!(event, SessionEvent::Final { .. })).collect();
    let [SessionEvent::Final { words, .. }] = finals[..] else { panic!("{finals:#?}") };
    let words: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(words.join(" "), "seven three nine two zero five eight one");
    // Without the option nobody hears of pauses.
    let heard = events(&options.pause(None), &speech);
    assert!(!heard.iter().any(|event| matches!(event, SessionEvent::Paused { .. })));
}
