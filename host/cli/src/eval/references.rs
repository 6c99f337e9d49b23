//! List of recordings and their reference texts.

use std::path::{Path, PathBuf};

use hearken::language_code;

use super::super::Failure;

/// A recording whose text is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reference {
    /// As the list has it.
    pub(crate) path: String,
    /// ISO 639-1 code.
    pub(crate) language: String,
    pub(crate) text: String,
    /// End of the last word [s], if the list states it.
    pub(crate) speech_end: Option<f64>,
}

/// Reads a list.
pub(crate) fn read(list: &Path) -> Result<Vec<Reference>, Failure> {
    let text = std::fs::read_to_string(list)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", list.display())))?;
    let lines =
        text.trim_start_matches('\u{feff}').lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines
        .map(|(line, number)| {
            parse(line).map_err(|what| {
                Failure::new(format!(
                    "{}, line {number}: {what}; a line is a path, a language and a text, with tabs between",
                    list.display()
                ))
            })
        })
        .collect()
}

/// The folder that the list's paths start from.
pub(crate) fn root(list: &Path) -> PathBuf {
    list.parent().unwrap_or(Path::new("")).to_owned()
}

fn parse(line: &str) -> Result<Reference, String> {
    let columns: Vec<&str> = line.split('\t').map(str::trim).collect();
    let (path, language, text, end) = match columns[..] {
        [path, language, text] => (path, language, text, None),
        [path, language, text, end] => (path, language, text, Some(end)),
        _ => return Err(format!("{} columns", columns.len())),
    };
    if path.is_empty() || language.is_empty() {
        return Err(format!("no {}", if path.is_empty() { "path" } else { "language" }));
    }
    let Some(language) = language_code(language) else {
        return Err(format!("{language:?} is no language"));
    };
    let seconds = |end: &str| match end.parse() {
        Ok(seconds) if (0.0..1e9).contains(&seconds) => Ok(seconds),
        _ => Err(format!("{end:?} is no end of speech in seconds")),
    };
    Ok(Reference {
        path: path.to_owned(),
        language,
        text: text.to_owned(),
        speech_end: end.map(seconds).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_path_a_language_and_a_text() {
        let reference = parse("a b/c.wav\ten\tGo  left.").unwrap();
        assert_eq!((reference.path.as_str(), reference.language.as_str()), ("a b/c.wav", "en"));
        assert_eq!((reference.text.as_str(), reference.speech_end), ("Go  left.", None));
        assert_eq!(parse("a\ten\t\t1.25").unwrap().speech_end, Some(1.25));
        assert_eq!(parse("a\ten-US\t").unwrap().language, "en");
        for wrong in [
            "a",
            "a\ten",
            "\ten\tx",
            "a\t\tx",
            "a\tauto\tx",
            "a\ten\tx\tsoon",
            "a\ten\tx\t-1",
            "a\ten\tx\tNaN",
            "a\tb\tc\t1\te",
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
