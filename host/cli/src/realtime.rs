//! A recording at the pace at which it was spoken, through the session that live audio goes
//! through.

use std::time::{Duration, Instant};

use hearken::audio::Source;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Error, Language, Lost, Model, TranscribeOptions, Transcript};

/// Pushes `source` in real time, passes each event to `observer` as it comes, and returns the
/// transcript.
pub(crate) fn follow(
    source: &mut dyn Source,
    model: &Model,
    options: &TranscribeOptions,
    mut observer: impl FnMut(&SessionEvent),
) -> Result<Transcript, Error> {
    let format = source.format();
    let options = SessionOptions::new(format)
        .language(options.language.clone())
        .languages(options.languages.clone())
        .annotations(options.annotations)
        .translate(options.translate)
        .prompt(options.prompt.clone())
        .bias(options.bias.clone())
        .voice_activity(options.voice_activity);
    let mut session = Session::new(model, options)?;
    if !session.is_automatic() {
        session.begin()?;
    }
    let mut transcript = Transcript::default();
    let mut take = |event: SessionEvent, transcript: &mut Transcript| {
        observer(&event);
        collect(event, transcript);
    };

    let started = Instant::now();
    let (mut block, mut frames) = (Vec::new(), 0u64);
    loop {
        match source.read(&mut block) {
            Ok(0) => break,
            Ok(count) => frames += count as u64,
            Err(error) if frames == 0 => return Err(error.into()),
            Err(error) => {
                transcript.damage = Some(error.to_string());
                break;
            }
        }
        session.push_as(source.format(), &block)?;
        // The next block is spoken when this one is over; until then there are events to wait for.
        let due = started + Duration::from_secs_f64(frames as f64 / f64::from(format.sample_rate));
        while let Ok(event) = session.events().recv_deadline(due) {
            take(event, &mut transcript);
        }
    }
    session.finish()?;
    while let Ok(event) = session.events().recv() {
        take(event, &mut transcript);
    }
    transcript.faults = source.faults();
    transcript.taken_channel = session.taken_channel();
    transcript.loudest_db = session.loudest_db();
    if let (None, false) = (&transcript.language, transcript.segments.is_empty()) {
        let only = model.only_language();
        transcript.language = only.map(|code| Language { code: code.to_owned(), probability: None });
    }
    Ok(transcript)
}

/// Adds an event to the transcript.
fn collect(event: SessionEvent, transcript: &mut Transcript) {
    match event {
        SessionEvent::Final { .. } => transcript.segments.extend(event.segment()),
        SessionEvent::Language(language) => transcript.language = Some(language),
        SessionEvent::Dropped { position, len, reason } => {
            transcript.lost.push(Lost::new(position..position + len, reason));
        }
        SessionEvent::Unrecognized { position, len } => {
            transcript.unrecognized.push(position..position + len)
        }
        SessionEvent::Finished { duration } => transcript.duration = duration,
        _ => {}
    }
}
