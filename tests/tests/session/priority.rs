//! Priority of jobs: the order in which texts are made.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use hearken::session::{Session, SessionEvent};
use hearken::{Engine, ModelSource};
use hearken_tests::speech::espeak;

use crate::{PATIENCE, PHRASES, SPEECH, options};

/// Returns true on a thread that recognizes; false on one that pushes audio.
fn recognizes() -> bool {
    std::thread::current().name().is_some_and(|name| name.starts_with("hearken-"))
}

/// An utterance whose partial text waits for a thread when it ends is as urgent as any that has
/// ended.
#[test]
fn an_utterance_that_ends_goes_before_partial_texts_that_wait_longer() {
    let engine = Engine::builder().threads(1).build().unwrap();
    let model = engine.load(&ModelSource::Embedded).unwrap();
    let phrase = &SPEECH.samples[..espeak("en-us", 140, PHRASES[0]).samples.len()];

    // The only thread is held, until the sender is dropped.
    let (release, released) = channel::<()>();
    let (began, begins) = channel();
    let released = Mutex::new(released);
    let mut holder = Session::new(&model, options()).unwrap();
    holder.on_progress(move || {
        if recognizes() {
            let _ = began.send(());
            let _ = released.lock().unwrap().recv();
        }
    });
    holder.push(phrase).unwrap();
    holder.flush().unwrap();
    begins.recv_timeout(PATIENCE).unwrap();

    let order = Arc::new(Mutex::new(Vec::new()));
    let talk = |name: &'static str| {
        let mut session = Session::new(&model, options()).unwrap();
        let order = Arc::clone(&order);
        session.on_progress(move || {
            if recognizes() {
                order.lock().unwrap().push(name);
            }
        });
        // Longer than a step: a partial text is due.
        session.push(phrase).unwrap();
        session
    };
    let first = talk("goes on");
    let mut second = talk("ends");
    second.flush().unwrap();
    drop(release);
    let wait = |session: &Session, wanted: fn(&SessionEvent) -> bool| {
        while !wanted(&session.events().recv_timeout(PATIENCE).unwrap()) {}
    };
    wait(&second, |event| matches!(event, SessionEvent::Final { .. }));
    wait(&first, |event| matches!(event, SessionEvent::Partial { .. }));
    assert_eq!(order.lock().unwrap()[0], "ends");
}
