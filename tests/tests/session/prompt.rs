//! Condition on previous text: a prompt, and the text of the utterance before.

use hearken::audio::Samples;
use hearken::session::{Session, SessionEvent};
use hearken::{TranscribeOptions, Word};

use crate::{MODEL, PHRASES, SPEECH, finals, listen, options};

/// Words with their probabilities, which show that the decoder had a prompt.
fn words(events: &[SessionEvent]) -> Vec<Vec<Word>> {
    let words = |event: &SessionEvent| match event {
        SessionEvent::Final { words, .. } => Some(words.clone()),
        _ => None,
    };
    events.iter().filter_map(words).collect()
}

#[test]
fn carry_prompts_utterances_with_the_words_of_the_one_before() {
    let hear = |carry| {
        let options = options().carry(carry);
        let mut session = Session::driven(&MODEL, options.clone()).unwrap();
        let mut events = listen(&mut session);
        assert_eq!(finals(&events), PHRASES);
        events.retain(|event| matches!(event, SessionEvent::Partial { .. } | SessionEvent::Final { .. }));
        let replayed = session.journal().replay(&MODEL, &options, &SPEECH.samples).unwrap();
        assert_eq!(replayed, events, "a journal says what was carried");
        words(&events)
    };
    let (told, untold) = (hear(true), hear(false));
    assert_eq!(told[0], untold[0], "nothing came before");
    assert_ne!(told[1..], untold[1..]);
}

/// A prompt's first word is the word that the model knows, not another one that lacks its space.
#[test]
fn a_prompt_leaves_the_words_as_they_are() {
    for prompt in ["three four", " three four", "turn on the light\n", "\0"] {
        let prompt = Some(prompt.to_owned());
        let mut session = Session::driven(&MODEL, options().prompt(prompt.clone())).unwrap();
        assert_eq!(finals(&listen(&mut session)), PHRASES, "{prompt:?}");

        let options = TranscribeOptions::new().prompt(prompt.clone());
        let mut source = Samples::new(SPEECH.samples.clone(), SPEECH.format).unwrap();
        let heard = MODEL.transcribe(&mut source, &options, |_| {}).unwrap();
        assert_eq!(heard.text(), PHRASES.join(" "), "{prompt:?}");
    }
}
