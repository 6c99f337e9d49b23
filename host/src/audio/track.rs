//! The sound tracks of a recording.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use hearken_proto::media;

/// A choice among the sound tracks of a recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Track {
    /// The track that the container marks as the default one, or else the first.
    #[default]
    Default,
    /// The track with this number, from 1, among the sound tracks.
    Number(u32),
    /// The first track in this language, written as the container writes it or as ISO 639 does:
    /// `de`, `deu`.
    Language(String),
}

impl FromStr for Track {
    type Err = Infallible;

    /// Reads a number or a language.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Language(text.to_owned()), Self::Number))
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("by default"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Language(language) => write!(f, "in {language:?}"),
        }
    }
}

impl From<&Track> for media::Track {
    fn from(track: &Track) -> Self {
        match track {
            Track::Default => Self::Default,
            Track::Number(number) => Self::Number(*number),
            Track::Language(language) => Self::Language(language.clone()),
        }
    }
}

/// The sound tracks of a recording that has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracks {
    /// Number of the track that is read, from 1.
    pub chosen: u32,
    /// Language of each track as the container names it, or `None`.
    pub languages: Vec<Option<String>>,
}

/// Most tracks that are believed, and the longest name of a language.
const MAX_TRACKS: usize = 64;
const MAX_LANGUAGE: usize = 35;

impl Tracks {
    /// Tracks as the guest reports them; `None` if there is but one.
    pub(super) fn of(facts: &media::Facts) -> Option<Self> {
        let clean = |name: &String| crate::text::sanitize(name).chars().take(MAX_LANGUAGE).collect();
        let languages: Vec<Option<String>> =
            facts.tracks.iter().take(MAX_TRACKS).map(|track| track.language.as_ref().map(clean)).collect();
        let chosen = facts.chosen.saturating_add(1);
        (languages.len() > 1).then_some(Self { chosen, languages })
    }
}

impl fmt::Display for Tracks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            self.languages.iter().map(|language| language.as_deref().unwrap_or("?")).collect();
        write!(
            f,
            "{} sound tracks ({}), of which number {} is read",
            names.len(),
            names.join(", "),
            self.chosen
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_languages_are_told_apart() {
        let read = |text: &str| text.parse::<Track>().expect("infallible");
        assert_eq!(read("2"), Track::Number(2));
        assert_eq!(read("de"), Track::Language("de".to_owned()));
        assert_eq!(read("-1"), Track::Language("-1".to_owned()), "there is no such track");
    }

    #[test]
    fn a_hostile_list_of_tracks_is_cut() {
        let track = media::TrackFacts { language: Some("\x1b[31m".repeat(100)) };
        let facts = media::Facts { tracks: vec![track; 1_000], chosen: u32::MAX, ..Default::default() };
        let text = Tracks::of(&facts).expect("several").to_string();
        assert!(!text.contains('\x1b') && text.len() < 4_000, "{text}");
        let one = media::Facts { tracks: vec![Default::default()], ..Default::default() };
        assert_eq!(Tracks::of(&one), None);
    }
}
