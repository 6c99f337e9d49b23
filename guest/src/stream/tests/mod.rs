mod published;

use hearken_proto::Commit;

use super::*;

/// Samples of one simulated word.
const WORD: usize = 4_000;

/// Simulated recognizer that hears word `n` where the samples have the value `n`, and whose last
/// words are unstable: the word at the end of the audio is misheard until all of it was heard, in a
/// way that changes with each call.
struct Simulated {
    calls: u32,
    unstable: usize,
    /// Number of samples by which each word's end is too early.
    early: u32,
}

fn audio(words: std::ops::Range<usize>) -> Vec<f32> {
    words.flat_map(|n| std::iter::repeat_n(n as f32 + 1.0, WORD)).collect()
}

impl Recognize for Simulated {
    fn recognize(&mut self, pcm: &[f32], forced: &[Spoken], effort: Effort) -> Result<Recognized, Status> {
        self.calls += 1;
        let mut words: Vec<Word> = Vec::new();
        for (position, sample) in pcm.iter().enumerate() {
            let text = format!("w{}", *sample as usize - 1);
            match words.last_mut() {
                Some(last) if last.text == text => last.end = position as u32 + 1,
                _ => words.push(Word {
                    start: position as u32,
                    end: position as u32 + 1,
                    text,
                    probability: 1.0,
                }),
            }
        }
        // It goes on behind the forced prefix, where that can still be heard.
        let number =
            |word: &Word| word.text.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<usize>();
        if let Some(Ok(last)) = forced.last().map(|spoken| number(&spoken.word)) {
            words.retain(|word| number(word).is_ok_and(|number| number > last));
        }
        let stable = words.len().saturating_sub(self.unstable);
        let spoken = words.into_iter().enumerate().map(|(index, mut word)| {
            let attended = Some(word.end);
            if effort == Effort::Partial && index >= stable {
                word.text = format!("misheard in call {} as w{}", self.calls, number(&word).unwrap_or(0));
            }
            word.end = word.end.saturating_sub(self.early).max(word.start);
            Spoken { from: word.start, word, tokens: vec![1], attended, least: 1.0, ..Spoken::default() }
        });
        let words: Vec<Spoken> = spoken.collect();
        Ok(Recognized { settled: words.len(), words, encodes: 1, ..Recognized::default() })
    }
}

fn task(commit: Commit) -> Task {
    Task { commit, ..Task::default() }
}

const AGREEMENT: Commit = Commit::Agreement { hypotheses: 2, doubtful: 2, likely: 0, early: 0, margin: 0 };

/// AlignAtt, for a recognizer that mishears the last `unstable` words.
fn attention(unstable: usize) -> Commit {
    Commit::Attention { margin: (unstable * WORD) as u32 }
}

/// Feeds `count` words in steps, and returns all that was committed.
fn run(commit: Commit, count: usize, step: usize, unstable: usize, capacity: usize) -> Vec<Word> {
    run_with(commit, Simulated { calls: 0, unstable, early: 0 }, count, step, capacity)
}

fn run_with(
    commit: Commit,
    mut recognizer: Simulated,
    count: usize,
    step: usize,
    capacity: usize,
) -> Vec<Word> {
    let (mut window, mut stream) = (Window::new(capacity), Stream::default());
    let mut committed: Vec<Word> = Vec::new();
    for block in audio(0..count).chunks(step) {
        window.samples_mut().extend_from_slice(block);
        assert!(window.samples().len() <= capacity, "the window outgrew the model");
        let hypothesis = stream.step(&mut window, &mut recognizer, &task(commit), Effort::Partial).unwrap();
        for word in hypothesis.committed.iter().chain(&hypothesis.tentative) {
            assert!(word.end <= window.end());
        }
        assert_eq!(hypothesis.encodes, 1);
        committed.extend(hypothesis.committed);
    }
    let last = stream.step(&mut window, &mut recognizer, &task(commit), Effort::Final).unwrap();
    assert!(last.tentative.is_empty());
    committed.extend(last.committed);
    committed
}

fn texts(words: &[Word]) -> Vec<&str> {
    words.iter().map(|word| word.text.as_str()).collect()
}

#[test]
fn what_is_committed_is_what_was_said_whatever_the_tail_did() {
    let expected: Vec<String> = (0..40).map(|n| format!("w{n}")).collect();
    for unstable in 0..3 {
        for step in [WORD / 2, WORD, WORD * 3 / 2, WORD * 2] {
            for commit in [AGREEMENT, attention(unstable)] {
                // Ten seconds, as a small model has; 40 words are as long.
                let committed = run(commit, 40, step, unstable, 160_000);
                assert_eq!(texts(&committed), expected, "{commit:?}, unstable {unstable}, step {step}");
            }
        }
    }
}

#[test]
fn committed_words_are_in_order_and_in_place() {
    for commit in [AGREEMENT, attention(2)] {
        let committed = run(commit, 60, WORD, 2, 160_000);
        let mut settled = 0;
        for (n, word) in committed.iter().enumerate() {
            assert!(word.start >= settled && word.end >= word.start, "{word:?}");
            assert!((word.start as usize).abs_diff(n * WORD) <= WORD, "word {n} at {}", word.start);
            settled = word.end;
        }
    }
}

#[test]
fn a_monologue_needs_one_window() {
    for commit in [AGREEMENT, attention(1)] {
        // 1,200 words are five minutes.
        let committed = run(commit, 1_200, WORD * 2, 1, 160_000);
        assert_eq!(committed.len(), 1_200);
        assert_eq!(committed.last().map(|word| word.end), Some(1_200 * WORD as u32));
    }
}

#[test]
fn a_word_whose_end_is_misjudged_is_not_said_twice() {
    for early in [WORD as u32 / 8, WORD as u32 / 2] {
        for commit in [AGREEMENT, attention(1)] {
            let recognizer = Simulated { calls: 0, unstable: 1, early };
            let committed = run_with(commit, recognizer, 200, WORD * 2, 160_000);
            let expected: Vec<String> = (0..200).map(|n| format!("w{n}")).collect();
            assert_eq!(texts(&committed), expected, "early by {early}");
        }
    }
}

#[test]
fn a_recognizer_that_never_agrees_with_itself_is_cut_all_the_same() {
    // All words are unstable until they are forced out; nothing is lost, and the window stays
    // within bounds.
    for commit in [AGREEMENT, attention(100)] {
        let committed = run(commit, 100, WORD, 100, 160_000);
        assert!(committed.len() >= 90, "{}", committed.len());
    }
}

/// Recognizes one word of each window, and wants to continue behind it.
struct Sparing;

impl Recognize for Sparing {
    fn recognize(&mut self, pcm: &[f32], forced: &[Spoken], _: Effort) -> Result<Recognized, Status> {
        assert!(forced.is_empty(), "a window that is heard again from elsewhere has nothing that was said");
        let text = format!("w{}", pcm[0] as usize - 1);
        let word = Word { start: 0, end: WORD as u32, text, probability: 1.0 };
        let rest = (pcm.len() > WORD).then_some(WORD as u32);
        // Any other words of the model are dropped.
        let more = Spoken { word: Word { text: "more".to_owned(), ..word.clone() }, ..Spoken::default() };
        let words = vec![Spoken { word, ..Spoken::default() }, more];
        let settled = if rest.is_some() { 1 } else { 2 };
        Ok(Recognized { words, settled, rest, encodes: 1, ..Recognized::default() })
    }
}

#[test]
fn a_final_goes_on_where_the_recognizer_stopped_listening() {
    let (mut window, mut stream) = (Window::new(160_000), Stream::default());
    window.samples_mut().extend(audio(0..4));
    let last = stream.step(&mut window, &mut Sparing, &task(AGREEMENT), Effort::Final).unwrap();
    assert_eq!(texts(&last.committed), ["w0", "w1", "w2", "w3", "more"]);
    assert_eq!(last.encodes, 4);
    assert!(last.committed.windows(2).all(|pair| pair[0].end <= pair[1].start));
}

/// Says something of noise: words that it thinks unlikely, and others each time if it is fickle.
struct Inventive {
    calls: u32,
    fickle: bool,
}

impl Recognize for Inventive {
    fn recognize(&mut self, pcm: &[f32], _: &[Spoken], _: Effort) -> Result<Recognized, Status> {
        self.calls += u32::from(self.fickle);
        let word = |n: usize| {
            let (start, end) = ((n * WORD) as u32, ((n + 1) * WORD) as u32);
            let text = format!("noise{}of{}", pcm[n * WORD], self.calls);
            let word = Word { start, end, text, probability: 0.6 };
            Spoken { word, attended: Some(end), tokens: vec![1], ..Spoken::default() }
        };
        let words: Vec<Spoken> = (0..pcm.len() / WORD).map(word).collect();
        Ok(Recognized { settled: words.len(), words, encodes: 1, ..Recognized::default() })
    }
}

/// Numbers of words shown and committed for a minute of noise.
fn of_noise(mut recognizer: Inventive, task: &Task) -> (usize, usize) {
    let (mut window, mut stream) = (Window::new(160_000), Stream::default());
    let (mut shown, mut committed) = (0, 0);
    for block in audio(0..240).chunks(WORD * 2) {
        window.samples_mut().extend_from_slice(block);
        let hypothesis = stream.step(&mut window, &mut recognizer, task, Effort::Partial).unwrap();
        shown += hypothesis.tentative.len();
        committed += hypothesis.committed.len();
    }
    let last = stream.step(&mut window, &mut recognizer, task, Effort::Final).unwrap();
    (shown, committed + last.committed.len())
}

#[test]
fn hallucinations_in_noise_are_neither_shown_nor_committed() {
    for commit in [AGREEMENT, attention(0)] {
        // Another text each time: whatever the model is.
        assert_eq!(of_noise(Inventive { calls: 0, fickle: true }, &task(commit)), (0, 0), "{commit:?}");
        // The same text: where the model's hallucinations on noise are known.
        let known = Task { alone: 0.85, ..task(commit) };
        assert_eq!(of_noise(Inventive { calls: 0, fickle: false }, &known), (0, 0), "{commit:?}");
        // Not known: two hypotheses that agree are believed.
        assert!(of_noise(Inventive { calls: 0, fickle: false }, &task(commit)).1 > 200, "{commit:?}");
    }
}

#[test]
fn few_unclear_words_are_heard() {
    let known = Task { alone: 0.85, ..task(attention(0)) };
    let final_of = |words: usize, fickle: bool| {
        let (mut window, mut stream) = (Window::new(160_000), Stream::default());
        window.samples_mut().extend(audio(0..words));
        let mut recognizer = Inventive { calls: 0, fickle };
        stream.step(&mut window, &mut recognizer, &known, Effort::Final).unwrap().committed.len()
    };
    // Two seconds, and the second hypothesis is the same.
    assert!(final_of(8, false) >= 7);
    assert_eq!((final_of(8, true), final_of(16, false)), (0, 0), "not the same; or noise that goes on");
}

#[test]
fn a_word_that_a_prompt_made_unlikely_is_heard_without_it() {
    /// Is sure of its words where no text came before.
    struct Misled {
        efforts: Vec<Effort>,
    }
    impl Recognize for Misled {
        fn recognize(
            &mut self,
            pcm: &[f32],
            forced: &[Spoken],
            effort: Effort,
        ) -> Result<Recognized, Status> {
            self.efforts.push(effort);
            let mut heard = Simulated { calls: 0, unstable: 0, early: 0 }.recognize(pcm, forced, effort)?;
            let probability = if effort == Effort::Unprompted { 0.5 } else { 0.1 };
            heard.words.iter_mut().for_each(|spoken| spoken.word.probability = probability);
            Ok(heard)
        }
    }
    let final_of = |task: &Task| {
        let (mut window, mut stream) = (Window::new(160_000), Stream::default());
        window.samples_mut().extend(audio(0..1));
        let mut recognizer = Misled { efforts: Vec::new() };
        let last = stream.step(&mut window, &mut recognizer, task, Effort::Final).unwrap();
        (last.committed.len(), recognizer.efforts)
    };
    let unprompted = Task { alone: 0.4, plausible: 0.4, ..task(AGREEMENT) };
    let prompted = Task { prompt: Some("Is there any?".to_owned()), ..unprompted.clone() };
    let (partial, free) = (Effort::Partial, Effort::Unprompted);
    assert_eq!(final_of(&prompted), (1, vec![Effort::Final, partial, free]));
    assert_eq!(final_of(&unprompted), (0, vec![Effort::Final, partial]));
}

#[test]
fn an_unlikely_word_beside_a_likely_one_is_kept() {
    struct Unsure;
    impl Recognize for Unsure {
        fn recognize(
            &mut self,
            pcm: &[f32],
            forced: &[Spoken],
            effort: Effort,
        ) -> Result<Recognized, Status> {
            let mut heard = Simulated { calls: 0, unstable: 0, early: 0 }.recognize(pcm, forced, effort)?;
            heard.words.iter_mut().filter(|spoken| spoken.word.text != "w2").for_each(|spoken| {
                spoken.word.probability = 0.3;
            });
            Ok(heard)
        }
    }
    let (mut window, mut stream) = (Window::new(160_000), Stream::default());
    window.samples_mut().extend(audio(0..5));
    let known = Task { alone: 0.85, ..task(AGREEMENT) };
    let last = stream.step(&mut window, &mut Unsure, &known, Effort::Final).unwrap();
    assert_eq!(texts(&last.committed), ["w0", "w1", "w2", "w3", "w4"]);
}
