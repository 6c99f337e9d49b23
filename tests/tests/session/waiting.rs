//! Sessions of programs that cannot block on a channel, and of sources that can wait.

use std::sync::mpsc::channel;

use hearken::session::{Session, SessionEvent};
use hearken_tests::speech::espeak;

use crate::{MODEL, PATIENCE, PHRASES, SPEECH, finals, options};

#[test]
fn on_progress_wakes_for_every_event_and_for_the_end() {
    let mut session = Session::new(&MODEL, options()).unwrap();
    let (wake, woken) = channel();
    session.on_progress(move || {
        let _ = wake.send(());
    });
    for block in SPEECH.samples.chunks(SPEECH.format.sample_rate as usize / 50) {
        session.push(block).unwrap();
    }
    session.finish().unwrap();
    let mut events = Vec::new();
    // Nothing is looked at but after a call.
    'all: while woken.recv_timeout(PATIENCE).is_ok() {
        loop {
            match session.events().try_recv() {
                Ok(event) => events.push(event),
                Err(error) if error.is_empty() => break,
                Err(_) => break 'all,
            }
        }
    }
    assert_eq!(finals(&events), PHRASES);
    assert!(matches!(events.last(), Some(SessionEvent::Finished { .. })), "{events:?}");
}

#[test]
fn a_flush_ends_the_utterance_at_once_and_the_next_one_follows() {
    let mut session = Session::driven(&MODEL, options()).unwrap();
    // The first phrase, without the silence that would end it.
    let first = espeak("en-us", 140, PHRASES[0]).samples.len();
    session.push(&SPEECH.samples[..first]).unwrap();
    let waiting = session.waiting();
    assert!(waiting > 16_000, "nothing was decoded yet: {waiting}");
    session.flush().unwrap();
    let ended = session.events().try_iter().filter(|event| matches!(event, SessionEvent::SpeechEnded { .. }));
    assert_eq!(ended.count(), 1, "said before flush returns");
    while session.decode_pending().is_some() {}
    assert_eq!(session.waiting(), 0);
    assert_eq!(finals(&session.events().try_iter().collect::<Vec<_>>()), PHRASES[..1]);
    // Where nothing is spoken there is nothing to end.
    session.flush().unwrap();
    assert!(session.events().is_empty());
    session.push(&SPEECH.samples[first..]).unwrap();
    session.finish().unwrap();
    while session.decode_pending().is_some() {}
    let events: Vec<_> = session.events().iter().collect();
    assert_eq!(finals(&events), PHRASES[1..]);
    assert_eq!(session.accounting().dropped, 0);
    assert!(session.flush().is_err(), "it has ended");
}
