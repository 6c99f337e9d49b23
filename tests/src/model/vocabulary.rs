//! Text of a synthetic model's tokens.

/// Kinds of vocabulary. All have the 256 single bytes, `" -"` and `" '"`, which whisper.cpp looks
/// up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Vocabulary {
    /// Words of made-up syllables.
    Plain,
    /// Words with terminal escapes, control characters and text that runs backwards.
    Escapes,
    /// Words with markup, and with what would start a new subtitle.
    Markup,
    /// Words with bytes that are not UTF-8.
    BrokenUtf8,
    /// Halves of characters: each is broken alone, and two may make a whole one.
    SplitCharacters,
}

impl Vocabulary {
    /// `count` different entries, at least 258.
    pub(super) fn entries(self, count: usize) -> Vec<Vec<u8>> {
        let bytes = (0..=u8::MAX).map(|byte| vec![byte]);
        let fixed = [b" -".to_vec(), b" '".to_vec()];
        let words = (0..).map(|index| self.word(index));
        bytes.chain(fixed).chain(words).take(count.max(258)).collect()
    }

    fn word(self, index: usize) -> Vec<u8> {
        let word = syllables(index);
        match self {
            // Every eighth continues the word before it.
            Self::Plain if index % 8 == 7 => word.into_bytes(),
            Self::Plain => format!(" {word}").into_bytes(),
            Self::Escapes => match index % 4 {
                0 => format!(" \x1b[31m{word}\x1b[0m"),
                1 => format!(" \x1b]0;{word}\x07"),
                2 => format!(" \u{9b}2J{word}\r\n\x08"),
                _ => format!(" \u{202e}{word}\u{2066}\u{200b}\u{2028}"),
            }
            .into_bytes(),
            Self::Markup => match index % 4 {
                0 => format!(" <script>{word}</script>"),
                1 => format!(" -->{word}&amp;"),
                2 => format!("\n\n1\n00:00:00,000 --> 00:00:09,000\n{word}"),
                _ => format!(" {{\\an8}}\"{word}\\\"]}}"),
            }
            .into_bytes(),
            Self::BrokenUtf8 => {
                let breaks: [&[u8]; 4] = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"];
                [b" ", word.as_bytes(), breaks[index % 4]].concat()
            }
            Self::SplitCharacters => {
                // Ideographs from U+4E00 have three bytes; first halves have one or two of them.
                let character = char::from_u32(0x4e00 + (index / 4 % 20_000) as u32).unwrap_or('一');
                let text = character.to_string().into_bytes();
                match index % 4 {
                    0 => text[..1].to_vec(),
                    1 => text[1..].to_vec(),
                    2 => text[..2].to_vec(),
                    _ => text[2..].to_vec(),
                }
            }
        }
    }
}

/// A different pronounceable word for each index.
fn syllables(mut index: usize) -> String {
    const CONSONANTS: &[u8] = b"bdfghklmnprstv";
    const VOWELS: &[u8] = b"aeiou";
    let mut word = String::new();
    loop {
        word.push(char::from(CONSONANTS[index % CONSONANTS.len()]));
        index /= CONSONANTS.len();
        word.push(char::from(VOWELS[index % VOWELS.len()]));
        index /= VOWELS.len();
        if index == 0 {
            return word;
        }
        // So that "ba" and "baba" have different numbers.
        index -= 1;
    }
}
