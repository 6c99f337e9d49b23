//! Names of languages, by which tracks are chosen.

/// Returns true if two names stand for one language, of which one is written longer: `en`, `eng`
/// and `en-US`.
pub(crate) fn same_language(one: &str, other: &str) -> bool {
    let short = |text: &str| text.get(..2).map(str::to_ascii_lowercase);
    short(one).is_some_and(|one| Some(one) == short(other))
}
