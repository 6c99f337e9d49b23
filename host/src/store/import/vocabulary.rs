//! Text tokens, out of the files in which models bring them.
//!
//! | file | form |
//! |---|---|
//! | `vocab.json` | object of tokens and their numbers (Hugging Face) |
//! | `tokenizer.json` | the same, as `model.vocab`, with `added_tokens` (Hugging Face) |
//! | `vocabulary.json`, `vocabulary.txt` | all tokens in order, list or lines (CTranslate2) |
//! | `*.tiktoken` | base64 and number of each text token (OpenAI) |
//!
//! All but the last write bytes as characters of byte-level BPE (`bytes_to_unicode` of GPT-2's
//! encoder).

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::error::{ImportError, quoted};
use super::input::Input;
use crate::store::StoreError;

/// Longest file that is read. Whisper's longest, a `tokenizer.json`, has 4 MB.
const MAX_BYTES: u64 = 16 << 20;
/// Longest token, in bytes: the limit of hearken's checker of models.
const MAX_TOKEN: usize = 512;
/// Token behind the text tokens.
const END_OF_TEXT: &str = "<|endoftext|>";
/// File names of a folder's vocabulary, in the order in which they are tried; after these OpenAI's
/// own for the weights.
const NAMES: [&str; 4] = ["vocab.json", "tokenizer.json", "vocabulary.json", "vocabulary.txt"];

/// Vocabulary that weights need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Number of all tokens of the weights.
    n_vocab: u64,
}

impl Wanted {
    pub(super) fn new(n_vocab: u64) -> Self {
        Self { n_vocab }
    }

    fn multilingual(self) -> bool {
        self.n_vocab > 51_864
    }

    /// Tokens that are text; the next one is the end of the text.
    fn text(self) -> usize {
        if self.multilingual() { 50_257 } else { 50_256 }
    }

    /// OpenAI's file of it.
    fn tiktoken(self) -> &'static str {
        if self.multilingual() { "multilingual.tiktoken" } else { "gpt2.tiktoken" }
    }
}

/// Reads the vocabulary: the file that is named, else the one in the folder.
pub(super) fn find(folder: &Path, named: Option<&Path>, wanted: Wanted) -> Result<Vec<Vec<u8>>, StoreError> {
    if let Some(path) = named {
        return read(&Input::open(path)?, wanted);
    }
    let names = NAMES.into_iter().chain([wanted.tiktoken()]);
    match names.map(|name| folder.join(name)).find(|path| path.exists()) {
        Some(path) => read(&Input::open(&path)?, wanted),
        None => Err(ImportError::MissingFile {
            folder: folder.to_owned(),
            file: match wanted.multilingual() {
                true => "vocabulary (vocab.json, tokenizer.json, vocabulary.json, vocabulary.txt or multilingual.tiktoken)",
                false => "vocabulary (vocab.json, tokenizer.json, vocabulary.json, vocabulary.txt or gpt2.tiktoken)",
            },
            remedy: "put the model's own there, or name one with --vocabulary",
        }
        .into()),
    }
}

/// The entries that whisper.cpp's files have: multilingual ones the text tokens, English ones the
/// end of the text, too.
pub(super) fn read(input: &Input, wanted: Wanted) -> Result<Vec<Vec<u8>>, StoreError> {
    let bytes = input.whole(MAX_BYTES)?;
    let path = input.path();
    let named = |extension: &str| path.extension().is_some_and(|found| found == extension);
    let mut entries = if named("tiktoken") {
        tiktoken(path, &bytes, wanted)?
    } else {
        let tokens = if named("json") { json(path, &bytes)? } else { lines(path, &bytes, wanted)? };
        text(path, &tokens, wanted)?
    };
    if !wanted.multilingual() {
        entries.push(END_OF_TEXT.as_bytes().to_vec());
    }
    Ok(entries)
}

/// Any object is a map of tokens, unless its member `model` is one: tokens may be called `model`,
/// too.
#[derive(Deserialize)]
struct Tokenizer {
    model: Bpe,
    #[serde(default)]
    added_tokens: Vec<Added>,
}

#[derive(Deserialize)]
struct Bpe {
    vocab: HashMap<String, u64>,
}

#[derive(Deserialize)]
struct Added {
    id: u64,
    content: String,
}

fn json(path: &Path, bytes: &[u8]) -> Result<HashMap<u64, String>, StoreError> {
    let start = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if start == Some(&b'[') {
        let tokens: Vec<String> = serde_json::from_slice(bytes).map_err(malformed(path))?;
        return Ok((0..).zip(tokens).collect());
    }
    let by_name: Vec<(String, u64)> = match serde_json::from_slice::<HashMap<String, u64>>(bytes) {
        Ok(vocab) => vocab.into_iter().collect(),
        Err(_) => {
            let tokenizer: Tokenizer = serde_json::from_slice(bytes).map_err(malformed(path))?;
            let added = tokenizer.added_tokens.into_iter().map(|added| (added.content, added.id));
            tokenizer.model.vocab.into_iter().chain(added).collect()
        }
    };
    let mut tokens: HashMap<u64, String> = HashMap::with_capacity(by_name.len());
    for (name, id) in by_name {
        // Tokenizers may list special tokens twice.
        if let Some(other) = tokens.insert(id, name)
            && tokens.get(&id) != Some(&other)
        {
            return Err(ImportError::vocabulary(path, format!("has two tokens of number {id}")));
        }
    }
    Ok(tokens)
}

fn malformed(path: &Path) -> impl FnOnce(serde_json::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |error| ImportError::vocabulary(&path, format!("cannot be read ({})", quoted(&error.to_string())))
}

fn lines(path: &Path, bytes: &[u8], wanted: Wanted) -> Result<HashMap<u64, String>, StoreError> {
    let text =
        str::from_utf8(bytes).map_err(|_| ImportError::vocabulary(path, "is no list of tokens in UTF-8"))?;
    // Not `lines`: no character of byte-level BPE is a carriage return, and one that appears is
    // damage.
    let count = text.split_terminator('\n').count() as u64;
    if count != wanted.n_vocab {
        return Err(other_size(path, count, wanted));
    }
    Ok((0..).zip(text.split_terminator('\n').map(str::to_owned)).collect())
}

fn other_size(path: &Path, count: u64, wanted: Wanted) -> StoreError {
    ImportError::vocabulary(path, format!("has {count} tokens and the weights have {}", wanted.n_vocab))
}

/// The text tokens of a whole vocabulary, as bytes.
fn text(path: &Path, tokens: &HashMap<u64, String>, wanted: Wanted) -> Result<Vec<Vec<u8>>, StoreError> {
    if let Some(beyond) = tokens.keys().find(|id| **id >= wanted.n_vocab) {
        return Err(other_size(path, beyond + 1, wanted));
    }
    let text = wanted.text();
    if let Some(end) = tokens.get(&(text as u64)).filter(|end| *end != END_OF_TEXT) {
        let problem =
            format!("belongs to other weights: its token {text} is {:?} and not {END_OF_TEXT}", quoted(end));
        return Err(ImportError::vocabulary(path, problem));
    }
    let bytes = bytes_of_characters();
    let entry = |id: u64| {
        let token = tokens
            .get(&id)
            .ok_or_else(|| ImportError::vocabulary(path, format!("lacks token {id} of {text}")))?;
        if token == END_OF_TEXT {
            let problem = format!("belongs to other weights: it ends with token {id} and not {text}");
            return Err(ImportError::vocabulary(path, problem));
        }
        let entry: Option<Vec<u8>> = token.chars().map(|c| bytes.get(&c).copied()).collect();
        entry.filter(|entry| entry.len() <= MAX_TOKEN).ok_or_else(|| {
            let problem = format!("has a token {id} that is no text in byte-level BPE: {:?}", quoted(token));
            ImportError::vocabulary(path, problem)
        })
    };
    (0..text as u64).map(entry).collect()
}

/// Lines of a token in base64, a space and its number. The one empty token is written `=`.
fn tiktoken(path: &Path, bytes: &[u8], wanted: Wanted) -> Result<Vec<Vec<u8>>, StoreError> {
    let text = wanted.text();
    let mut entries: Vec<Option<Vec<u8>>> = vec![None; text];
    let mut count = 0;
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty())
    {
        let problem =
            |problem: &str| ImportError::vocabulary(path, format!("{problem} in line {}", number + 1));
        let parsed =
            str::from_utf8(line).ok().and_then(|line| line.split_once(' ')).and_then(|(token, rank)| {
                let token = if token == "=" { Vec::new() } else { BASE64_STANDARD.decode(token).ok()? };
                Some((token, rank.trim_end().parse::<usize>().ok()?))
            });
        let (token, rank) = parsed.ok_or_else(|| problem("has no token in base64 and its number"))?;
        if token.len() > MAX_TOKEN {
            return Err(problem("has a token that is too long"));
        }
        count += 1;
        match entries.get_mut(rank) {
            Some(entry @ None) => *entry = Some(token),
            Some(Some(_)) => return Err(problem("has a number that was there before")),
            None => {
                return Err(problem(&format!(
                    "has a number above {}, those of another model's text",
                    text - 1
                )));
            }
        }
    }
    let missing =
        || ImportError::vocabulary(path, format!("has {count} text tokens and the weights have {text}"));
    entries.into_iter().collect::<Option<_>>().ok_or_else(missing)
}

/// GPT-2's `bytes_to_unicode`, the other way round: printable bytes of Latin-1 stand for
/// themselves, the others for the characters from U+0100 on.
fn bytes_of_characters() -> HashMap<char, u8> {
    let printable = |byte: &u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..);
    let same = (0..=u8::MAX).filter(printable).map(|byte| (char::from(byte), byte));
    let others = (0..=u8::MAX).filter(|byte| !printable(byte));
    same.chain(('\u{100}'..).zip(others)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: Wanted = Wanted { n_vocab: 51_864 };
    const MULTILINGUAL: Wanted = Wanted { n_vocab: 51_865 };

    /// Characters of byte-level BPE for bytes.
    fn written(bytes: &[u8]) -> String {
        let characters: HashMap<u8, char> = bytes_of_characters().into_iter().map(|(c, b)| (b, c)).collect();
        bytes.iter().map(|byte| characters[byte]).collect()
    }

    /// A different token for each number; all bytes are among them.
    fn token(id: usize) -> Vec<u8> {
        let [low, middle, ..] = id.to_le_bytes();
        if id < 256 { vec![low] } else { vec![b' ', middle, low] }
    }

    /// Tokens as the files of CTranslate2 have them.
    fn all(wanted: Wanted) -> Vec<String> {
        let text = (0..wanted.text()).map(|id| written(&token(id)));
        let special = (wanted.text() as u64..wanted.n_vocab).map(|id| format!("<|{id}|>"));
        let mut all: Vec<String> = text.chain(special).collect();
        all[wanted.text()] = END_OF_TEXT.to_owned();
        all
    }

    fn map(tokens: &[String]) -> serde_json::Map<String, serde_json::Value> {
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect()
    }

    /// Every form of the same vocabulary, under the name that its file has.
    fn forms(wanted: Wanted) -> Vec<(&'static str, String)> {
        let all = all(wanted);
        let text = wanted.text();
        let added: Vec<_> =
            (text..all.len()).map(|id| serde_json::json!({ "id": id, "content": all[id] })).collect();
        let tokenizer =
            serde_json::json!({ "model": { "vocab": map(&all[..=text]) }, "added_tokens": added });
        let tiktoken = |id: usize| format!("{} {id}\n", BASE64_STANDARD.encode(token(id)));
        vec![
            ("vocab.json", serde_json::Value::Object(map(&all[..=text])).to_string()),
            ("tokenizer.json", tokenizer.to_string()),
            ("vocabulary.json", serde_json::json!(all).to_string()),
            ("vocabulary.txt", all.join("\n") + "\n"),
            (wanted.tiktoken(), (0..text).map(tiktoken).collect()),
        ]
    }

    fn read_text(name: &str, text: &str, wanted: Wanted) -> Result<Vec<Vec<u8>>, String> {
        read(&Input::memory(name, text.as_bytes()), wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_gives_the_same_entries() {
        for wanted in [ENGLISH, MULTILINGUAL] {
            let mut expected: Vec<Vec<u8>> = (0..wanted.text()).map(token).collect();
            if wanted == ENGLISH {
                expected.push(END_OF_TEXT.into());
            }
            assert_eq!(expected.len(), 50_257);
            for (name, content) in forms(wanted) {
                assert!(read_text(name, &content, wanted).unwrap() == expected, "{name}");
            }
        }
    }

    #[test]
    fn a_vocabulary_of_other_weights_is_refused() {
        for (wanted, other) in [(ENGLISH, MULTILINGUAL), (MULTILINGUAL, ENGLISH)] {
            for (name, content) in forms(other) {
                let error = read_text(name, &content, wanted).map(|entries| entries.len()).unwrap_err();
                assert!(error.starts_with(name) && error.contains("--vocabulary"), "{error}");
                assert!(error.lines().count() == 1 && error.len() < 400, "{error}");
            }
        }
    }

    #[test]
    fn missing_and_malformed_tokens_are_named() {
        let all = all(ENGLISH);
        let mut without = map(&all);
        without.remove(&all[1000]);
        let mut foreign = map(&all);
        foreign.remove(&all[1000]);
        foreign.insert("\u{4e00}\u{1b}[2J".to_owned(), 1000.into());
        let mut twice = map(&all);
        twice.insert("again".to_owned(), 1000.into());
        for (map, word) in [(without, "lacks token 1000"), (foreign, "token 1000"), (twice, "number 1000")] {
            let error =
                read_text("vocab.json", &serde_json::Value::Object(map).to_string(), ENGLISH).unwrap_err();
            assert!(error.contains(word) && !error.contains('\u{1b}'), "{error}");
        }
        let tiktoken =
            |line: &str| read_text("gpt2.tiktoken", &format!("IQ== 0\n{line}\n"), ENGLISH).unwrap_err();
        for (line, words) in [
            ("IQ== 0", "was there before in line 2"),
            ("IQ== 50256", "above 50255"),
            ("I 1", "no token in base64"),
            ("IQ==", "no token in base64"),
            ("IQ== -1", "no token in base64"),
            ("IQ== 1", "has 2 text tokens and the weights have 50256"),
        ] {
            assert!(tiktoken(line).contains(words), "{line}: {}", tiktoken(line));
        }
        for (name, content) in [
            ("vocab.json", "{"),
            ("vocab.json", ""),
            ("vocabulary.txt", "a\nb"),
            ("tokenizer.json", "{\"model\":1}"),
        ] {
            assert!(read_text(name, content, ENGLISH).is_err(), "{name}");
        }
    }

    #[test]
    fn a_file_that_claims_to_be_vast_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vocab.json");
        std::fs::File::create(&path).unwrap().set_len(200 << 30).unwrap();
        let error = find(folder.path(), None, ENGLISH).unwrap_err().to_string();
        assert!(error.contains("vocab.json") && error.contains("longer"), "{error}");
    }
}
