//! A recording as if somebody spoke it now: partial text while it is spoken.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use console::style;
use hearken::Model;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken_measure::normalize::Normalizer;
use hearken_measure::{Spread, Stamped, Timeline};

use crate::recordings::Recording;
use crate::report::{self, Paragraph, Words};

/// Length of a microphone's block.
const BLOCK: Duration = Duration::from_millis(20);

pub(crate) fn show(model: &Model, recording: &Recording) -> Result<(), Box<dyn Error>> {
    report::heading("Live", recording);
    let mut session = Session::new(model, SessionOptions::new(recording.format()))?;
    let mut screen = Screen::default();
    let started = Instant::now();
    let block = (BLOCK.as_secs_f64() * f64::from(recording.sample_rate)) as usize;
    for (number, samples) in recording.samples.chunks(block).enumerate() {
        // A recording has no pace of its own: this is a microphone's.
        thread::sleep((BLOCK * (number as u32 + 1)).saturating_sub(started.elapsed()));
        session.push(samples)?; // never waits for the recognizer
        while let Ok(event) = session.events().try_recv() {
            screen.show(event, started.elapsed())?;
        }
    }
    session.finish()?;
    while let Ok(event) = session.events().recv() {
        screen.show(event, started.elapsed())?;
    }

    let timeline = Timeline::of(&screen.events);
    let words = Words::compare(&recording.said, &timeline.text());
    let latencies = timeline.word_latencies(&recording.said, Normalizer::English);
    let mut figures = vec![words.error_rate()];
    if let Some(latency) = Spread::of(latencies) {
        figures.push(format!("a word is certain {:.1} s after it was said (median)", latency.median));
    }
    screen.paragraph.finish(&words)?;
    figures.push(report::memory());
    report::figures(&figures);
    Ok(())
}

/// The text so far, drawn again with every event.
#[derive(Default)]
struct Screen {
    events: Vec<Stamped>,
    /// Words that stay, and those that may change.
    certain: Vec<String>,
    /// Number of `certain` words that belong to utterances that are complete.
    complete: usize,
    paragraph: Paragraph,
}

impl Screen {
    fn show(&mut self, event: SessionEvent, elapsed: Duration) -> Result<(), Box<dyn Error>> {
        match &event {
            SessionEvent::Partial { committed, tentative, .. } => {
                self.certain.extend(committed.iter().map(|word| word.text.clone()));
                let tentative = tentative.iter().map(|word| style(word.text.clone()).dim());
                let certain = self.certain.iter().cloned().map(style);
                self.paragraph.replace(&certain.chain(tentative).collect::<Vec<_>>())?;
            }
            SessionEvent::Final { words, .. } => {
                self.certain.truncate(self.complete);
                self.certain.extend(words.iter().map(|word| word.text.clone()));
                self.complete = self.certain.len();
                self.paragraph.replace(&self.certain.iter().cloned().map(style).collect::<Vec<_>>())?;
            }
            _ => {}
        }
        let at = hearken::samples_in(elapsed);
        self.events.push(Stamped { at, event });
        Ok(())
    }
}
