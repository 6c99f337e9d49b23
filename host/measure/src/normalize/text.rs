//! Text whose characters know which word they come from, and rules that rewrite it.

use unicode_normalization::char::{canonical_combining_class, decompose_compatible};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// A character, and the number of the word that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Char {
    pub(super) c: char,
    pub(super) word: usize,
}

/// A word, and the number of the last word that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) word: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text(pub(super) Vec<Char>);

impl Text {
    /// The words in lower case, with a space between them.
    pub(super) fn lower_case<S: AsRef<str>>(words: &[S]) -> Self {
        let mut text = Self::default();
        for (number, word) in words.iter().enumerate() {
            text.append(&word.as_ref().to_lowercase(), number);
        }
        text
    }

    pub(super) fn of_tokens(tokens: &[Token]) -> Self {
        let mut text = Self::default();
        for token in tokens {
            text.append(&token.text, token.word);
        }
        text
    }

    /// Appends a piece, behind a space if it is not the first.
    pub(super) fn append(&mut self, piece: &str, word: usize) {
        self.append_chars(&piece.chars().map(|c| Char { c, word }).collect::<Vec<_>>());
    }

    /// Appends characters with their origin.
    pub(super) fn append_chars(&mut self, chars: &[Char]) {
        if let (false, Some(first)) = (self.0.is_empty(), chars.first()) {
            self.0.push(Char { c: ' ', word: first.word });
        }
        self.0.extend_from_slice(chars);
    }

    /// Character at a position; `None` behind the end.
    pub(super) fn at(&self, position: usize) -> Option<char> {
        self.0.get(position).map(|char| char.c)
    }

    /// Counts the characters of a kind from `position` on.
    pub(super) fn run(&self, position: usize, is: impl Fn(char) -> bool) -> usize {
        self.0[position.min(self.0.len())..].iter().take_while(|char| is(char.c)).count()
    }

    pub(super) fn starts_with(&self, position: usize, literal: &str) -> bool {
        let mut position = position..;
        literal.chars().all(|c| position.next().and_then(|position| self.at(position)) == Some(c))
    }

    /// Returns true if a word begins or ends between the character before `position` and the one at
    /// it (`\b`).
    pub(super) fn is_boundary(&self, position: usize) -> bool {
        let before = position.checked_sub(1).and_then(|before| self.at(before));
        before.is_some_and(is_word) != self.at(position).is_some_and(is_word)
    }

    /// Replaces the matches of `rule`, from left to right: it gets the text and a position, and
    /// returns the number of characters to replace there, and the replacement. Matches do not
    /// overlap.
    pub(super) fn replace(&mut self, rule: impl Fn(&Self, usize) -> Option<(usize, String)>) {
        let mut result = Vec::with_capacity(self.0.len());
        let mut position = 0;
        while position < self.0.len() {
            match rule(self, position) {
                Some((len @ 1.., by)) => {
                    position += len;
                    let word = self.0[position - 1].word;
                    result.extend(by.chars().map(|c| Char { c, word }));
                }
                _ => {
                    result.push(self.0[position]);
                    position += 1;
                }
            }
        }
        self.0 = result;
    }

    /// Replaces a word or several.
    pub(super) fn replace_word(&mut self, literal: &str, by: &str) {
        self.replace(|text, at| {
            text.is_boundary(at).then(|| text.ending(at, literal)).flatten().map(|len| (len, by.to_owned()))
        });
    }

    /// Replaces the end of a word.
    pub(super) fn replace_ending(&mut self, literal: &str, by: &str) {
        self.replace(|text, at| text.ending(at, literal).map(|len| (len, by.to_owned())));
    }

    /// Length of the literal if it stands at `position` and the word ends behind it.
    fn ending(&self, position: usize, literal: &str) -> Option<usize> {
        let len = literal.chars().count();
        (self.starts_with(position, literal) && self.is_boundary(position + len)).then_some(len)
    }

    /// Removes text between brackets, `<…>` or `[…]`, and between parentheses.
    pub(super) fn remove_enclosed(&mut self) {
        self.replace(|text, at| {
            matches!(text.at(at)?, '<' | '[').then_some(())?;
            let inside = text.run(at + 1, |c| !matches!(c, '>' | ']'));
            text.at(at + 1 + inside).map(|_| (inside + 2, String::new()))
        });
        self.replace(|text, at| {
            (text.at(at)? == '(').then_some(())?;
            let inside = text.run(at + 1, |c| c != ')');
            text.at(at + 1 + inside).filter(|_| inside > 0).map(|_| (inside + 2, String::new()))
        });
    }

    /// Compatibility decomposition (NFKD).
    pub(super) fn decompose(&mut self) {
        let mut result: Vec<Char> = Vec::with_capacity(self.0.len());
        for char in &self.0 {
            decompose_compatible(char.c, |c| result.push(Char { c, ..*char }));
        }
        // Combining marks in a row come in the order of their classes.
        let class = |char: &Char| canonical_combining_class(char.c);
        for marks in result.chunk_by_mut(|one, other| class(one) > 0 && class(other) > 0) {
            marks.sort_by_key(class);
        }
        self.0 = result;
    }

    /// Collapses white space to single spaces.
    pub(super) fn collapse_spaces(&mut self) {
        self.replace(|text, at| match text.run(at, is_space) {
            0 => None,
            len => Some((len, " ".to_owned())),
        });
    }

    pub(super) fn tokens(&self) -> Vec<Token> {
        let words = self.0.split(|char| is_space(char.c)).filter(|word| !word.is_empty());
        words
            .map(|word| Token {
                text: word.iter().map(|char| char.c).collect(),
                word: word.iter().map(|char| char.word).max().unwrap_or_default(),
            })
            .collect()
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|char| std::fmt::Write::write_char(f, char.c))
    }
}

/// White space as Python's `\s` and `split` have it: Unicode's, and the four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Returns true for the characters of Python's `\w`. Marks are no part of it.
pub(super) fn is_word(c: char) -> bool {
    use GeneralCategoryGroup::{Letter, Number};
    c == '_' || matches!(c.general_category_group(), Letter | Number)
}

/// Marks, symbols and punctuation.
pub(super) fn is_symbol(c: char) -> bool {
    use GeneralCategoryGroup::{Mark, Punctuation, Symbol};
    matches!(c.general_category_group(), Mark | Symbol | Punctuation)
}
