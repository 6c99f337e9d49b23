//! Words at their times. `make bench-words` measures it on recordings.

use hearken_tests::random::Random;
use hearken_tests::scene::{Sentence, SpokenWord, TimeErrors, words_of};

use crate::{DIGITS, stream};

#[test]
fn words_are_where_they_were_said() {
    let spoken = words_of("en-us", DIGITS);
    let mut random = Random::new(2);
    let mut errors = TimeErrors::default();
    for _ in 0..12 {
        let words: Vec<&SpokenWord> =
            (0..3 + random.below(6)).map(|_| &spoken[random.below(spoken.len())]).collect();
        let sentence = Sentence::join(words, 100..500, &mut random);
        // It checks their order, and that they are inside.
        sentence.compare(&stream(&sentence.samples).0, &mut errors);
    }
    let (start, end) = (errors.start().expect("words"), errors.end().expect("words"));
    let early = errors.starts.iter().filter(|ms| **ms < 0.0).count();
    println!(
        "{early} starts too early; {} of {} words, start {start:?}, end {end:?}",
        errors.starts.len(),
        errors.said
    );
    assert!(errors.starts.len() * 10 >= errors.said * 9, "{errors:?}");
    // Ends come late: docs/evaluation.md has the figures.
    assert!(start.median <= 60.0 && start.p90 <= 200.0, "{start:?}");
    assert!(end.median <= 200.0 && end.p90 <= 600.0, "{end:?}");
}
