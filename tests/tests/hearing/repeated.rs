//! Repeated words.

use hearken_tests::random::Random;
use hearken_tests::scene::{Sentence, words_of};

use crate::{stream, text};

#[test]
fn a_word_said_four_times_is_heard_four_times() {
    // What guards against a decoder's loops must not take these for one.
    for word in words_of("en-us", ["zero", "two", "three", "nine"]) {
        let sentence = Sentence::join([&word; 4], 100..300, &mut Random::new(3));
        let expected = [word.text.as_str(); 4].join(" ");
        assert_eq!(text(&stream(&sentence.samples).0), expected);
    }
}
