//! The English normalizer: contractions, titles, numbers, spellings, symbols.

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::numbers;
use super::text::{Char, Text, is_space, is_symbol};

const HESITATIONS: [&str; 6] = ["hmm", "mm", "mhm", "mmm", "uh", "um"];

/// Rules in this order: earlier ones leave less for later ones.
const WORDS: [(&str, &str); 35] = [
    ("won't", "will not"),
    ("can't", "can not"),
    ("let's", "let us"),
    ("ain't", "aint"),
    ("y'all", "you all"),
    ("wanna", "want to"),
    ("gotta", "got to"),
    ("gonna", "going to"),
    ("i'ma", "i am going to"),
    ("imma", "i am going to"),
    ("woulda", "would have"),
    ("coulda", "could have"),
    ("shoulda", "should have"),
    ("ma'am", "madam"),
    ("mr", "mister "),
    ("mrs", "missus "),
    ("st", "saint "),
    ("dr", "doctor "),
    ("prof", "professor "),
    ("capt", "captain "),
    ("gov", "governor "),
    ("ald", "alderman "),
    ("gen", "general "),
    ("sen", "senator "),
    ("rep", "representative "),
    ("pres", "president "),
    ("rev", "reverend "),
    ("hon", "honorable "),
    ("asst", "assistant "),
    ("assoc", "associate "),
    ("lt", "lieutenant "),
    ("col", "colonel "),
    ("jr", "junior "),
    ("sr", "senior "),
    ("esq", "esquire "),
];

/// Ends of words, after [`WORDS`] and in this order: "'s been" before "'s".
const ENDINGS: [(&str, &str); 14] = [
    ("'d been", " had been"),
    ("'s been", " has been"),
    ("'d gone", " had gone"),
    ("'s gone", " has gone"),
    ("'d done", " had done"),
    ("'s got", " has got"),
    ("n't", " not"),
    ("'re", " are"),
    ("'s", " is"),
    ("'d", " would"),
    ("'ll", " will"),
    ("'t", " not"),
    ("'ve", " have"),
    ("'m", " am"),
];

/// Letters that decomposition leaves alone.
const LETTERS: [(char, &str); 16] = [
    ('œ', "oe"),
    ('Œ', "OE"),
    ('ø', "o"),
    ('Ø', "O"),
    ('æ', "ae"),
    ('Æ', "AE"),
    ('ß', "ss"),
    ('ẞ', "SS"),
    ('đ', "d"),
    ('Đ', "D"),
    ('ð', "d"),
    ('Ð', "D"),
    ('þ', "th"),
    ('Þ', "th"),
    ('ł', "l"),
    ('Ł', "L"),
];

/// British to American: word, tab, word, and `#` before remarks.
static SPELLINGS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let lines = include_str!("spellings.tsv").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('\t')).collect()
});

pub(super) fn normalize(text: &mut Text) {
    text.remove_enclosed();
    text.replace(|text, at| {
        text.is_boundary(at).then_some(())?;
        let word = HESITATIONS
            .into_iter()
            .find(|word| text.starts_with(at, word) && text.is_boundary(at + word.len()))?;
        Some((word.len(), String::new()))
    });
    text.replace(|text, at| {
        let spaces = text.run(at, is_space);
        (spaces > 0 && text.at(at + spaces) == Some('\'')).then(|| (spaces + 1, "'".to_owned()))
    });
    for (word, by) in WORDS {
        text.replace_word(word, by);
    }
    for (ending, by) in ENDINGS {
        text.replace_ending(ending, by);
    }
    points_and_commas(text);
    remove_symbols(text);
    *text = numbers::standardize(text);
    spell(text);
    text.replace(|text, at| {
        let sign = matches!(text.at(at)?, '.' | '$' | '¢' | '€' | '£');
        let behind = text.at(at + 1).filter(|c| sign && !c.is_ascii_digit())?;
        Some((2, format!(" {behind}")))
    });
    text.replace(|text, at| {
        let before = text.at(at).filter(|c| !c.is_ascii_digit())?;
        (text.at(at + 1) == Some('%')).then(|| (2, format!("{before} ")))
    });
    text.collapse_spaces();
}

/// Takes commas out of numbers, and leaves points only before digits.
fn points_and_commas(text: &mut Text) {
    let digit = |c: &char| c.general_category() == GeneralCategory::DecimalNumber;
    text.replace(|text, at| {
        let one = text.at(at).filter(digit)?;
        (text.at(at + 1) == Some(',')).then_some(())?;
        let other = text.at(at + 2).filter(digit)?;
        Some((3, format!("{one}{other}")))
    });
    text.replace(|text, at| {
        (text.at(at) == Some('.')).then_some(())?;
        match text.at(at + 1) {
            None => Some((1, " ".to_owned())),
            Some(c) if !c.is_ascii_digit() => Some((2, format!(" {c}"))),
            Some(_) => None,
        }
    });
}

/// Takes marks off letters, and puts spaces for symbols and punctuation that belong to no number.
fn remove_symbols(text: &mut Text) {
    text.decompose();
    let mut result = Text::default();
    for &Char { c, word } in &text.0 {
        let mut push = |c| result.0.push(Char { c, word });
        if matches!(c, '.' | '%' | '$' | '¢' | '€' | '£') {
            push(c);
        } else if let Some((_, letters)) = LETTERS.iter().find(|(letter, _)| *letter == c) {
            letters.chars().for_each(push);
        } else if c.general_category() == GeneralCategory::NonspacingMark {
        } else if is_symbol(c) {
            push(' ');
        } else {
            push(c);
        }
    }
    *text = result;
}

/// American spellings.
fn spell(text: &mut Text) {
    let mut tokens = text.tokens();
    for token in &mut tokens {
        if let Some(american) = SPELLINGS.get(token.text.as_str()) {
            token.text = (*american).to_owned();
        }
    }
    *text = Text::of_tokens(&tokens);
}
