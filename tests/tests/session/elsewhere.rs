//! A model whose weights are at another place: the same words, and none lost with a worker.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hearken::audio::Samples;
use hearken::place::{Class, Event, Job, Place, PlaceError, Recognizer, Request, Ticket, Waiting};
use hearken::session::{Session, SessionEvent};
use hearken::{Error, Model, Share, TranscribeOptions};

use crate::{MODEL, PHRASES, SPEECH, finals, listen, options};

/// A place with the sandboxes of [`MODEL`], some of which are lost.
#[derive(Default)]
struct There {
    /// Calls that the next recognizers answer before they are lost. Those behind them live.
    answers: Mutex<VecDeque<u32>>,
}

/// A recognizer that answers a number of calls.
struct Mortal {
    recognizer: Box<dyn Recognizer>,
    answers: Option<u32>,
}

impl Place for There {
    fn submit(&self, share: &Share, class: Class, deadline: Instant, job: Job) -> Ticket {
        MODEL.place().submit(share, class, deadline, job)
    }

    fn open<'a>(&'a self, share: &'a Share) -> Waiting<'a, Result<Box<dyn Recognizer>, Error>> {
        let answers = self.answers.lock().unwrap().pop_front();
        Box::pin(async move {
            let recognizer = MODEL.place().open(share).await?;
            Ok(Box::new(Mortal { recognizer, answers }) as Box<dyn Recognizer>)
        })
    }

    fn width(&self) -> usize {
        2
    }
}

impl Recognizer for Mortal {
    fn write<'a>(&'a mut self, samples: &'a [f32]) -> Waiting<'a, Result<(), Error>> {
        self.recognizer.write(samples)
    }

    fn call<'a>(&'a mut self, request: &'a Request) -> Waiting<'a, Result<Vec<Event>, Error>> {
        match &mut self.answers {
            Some(0) => Box::pin(async { Err(PlaceError::Lost("its cable was cut".to_owned()).into()) }),
            answers => {
                if let Some(left) = answers {
                    *left -= 1;
                }
                self.recognizer.call(request)
            }
        }
    }

    fn spent(&self) -> Duration {
        self.recognizer.spent()
    }
}

/// The model, at a place whose first recognizers answer these numbers of calls.
fn there(answers: &[u32]) -> Model {
    let place = There { answers: Mutex::new(answers.iter().copied().collect()) };
    let facts = MODEL.facts();
    MODEL.engine().elsewhere(&facts, Arc::new(place)).unwrap()
}

fn heard(model: &Model) -> Vec<SessionEvent> {
    listen(&mut Session::driven(model, options()).unwrap())
}

#[test]
fn streams_and_recordings_are_heard_as_in_one_process() {
    let model = there(&[]);
    assert_eq!(model.facts().header, MODEL.facts().header);
    assert_eq!(heard(&model), heard(&MODEL));
    // Recognized by the engine's threads.
    assert_eq!(finals(&listen(&mut Session::new(&model, options()).unwrap())), PHRASES);
    let transcribed = |model: &Model| {
        let mut source = Samples::new(SPEECH.samples.clone(), SPEECH.format).unwrap();
        model.transcribe(&mut source, &TranscribeOptions::new(), |_| {}).unwrap()
    };
    assert_eq!(transcribed(&model), transcribed(&MODEL));
    assert!(model.stats().r#final.count >= 2 * PHRASES.len() as u64, "{:?}", model.stats());
    assert_eq!((model.packed_bytes(), model.snapshot_bytes()), (0, 0), "the weights are not here");
}

#[test]
fn a_lost_worker_costs_no_committed_word() {
    // In the middle of the first phrase; at its end; both.
    for answers in [&[1][..], &[2], &[3], &[1, 1]] {
        let events = heard(&there(answers));
        assert_eq!(finals(&events), PHRASES, "{answers:?}");
        let mut committed = Vec::new();
        for event in events {
            match event {
                SessionEvent::Partial { committed: more, .. } => committed.extend(more),
                SessionEvent::Final { words, .. } => {
                    assert_eq!(words[..committed.len()], committed[..], "{answers:?}");
                    committed.clear();
                }
                SessionEvent::Dropped { .. } => panic!("{answers:?}: {event:?}"),
                _ => {}
            }
        }
    }
}

#[test]
fn an_utterance_that_costs_three_workers_is_dropped_and_no_other() {
    let events = heard(&there(&[0, 0, 0]));
    let dropped: Vec<&SessionEvent> =
        events.iter().filter(|event| matches!(event, SessionEvent::Dropped { .. })).collect();
    let [SessionEvent::Dropped { len, reason, .. }] = dropped[..] else { panic!("{dropped:?}") };
    assert!(*len > 16_000 && reason.to_string().contains("its cable was cut"), "{dropped:?}");
    assert_eq!(finals(&events)[1..], PHRASES[1..]);
}

#[test]
fn facts_that_cannot_be_true_are_refused() {
    let refused = |change: fn(&mut hearken::place::ModelFacts)| {
        let mut facts = MODEL.facts();
        change(&mut facts);
        let error = MODEL.engine().elsewhere(&facts, Arc::new(There::default())).map(drop).unwrap_err();
        assert!(matches!(error, Error::Place(PlaceError::Facts { .. })), "{error}");
        error.to_string()
    };
    assert!(refused(|facts| facts.header[0] = i32::MAX).contains("n_vocab"));
    assert!(refused(|facts| facts.header[1] = -1).contains("n_audio_ctx"));
    assert!(refused(|facts| facts.hash.push('0')).contains("hash"));
    // Costs that no machine can have are not believed, and harm nothing.
    for cost in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
        let mut facts = MODEL.facts();
        facts.cost_of_speech = Some(cost);
        let model = MODEL.engine().elsewhere(&facts, Arc::new(There::default())).unwrap();
        assert_eq!(model.stats().cost_of_speech, None);
    }
}
