//! Phrases as a trie over the vocabulary's tokens.

use std::collections::BTreeMap;

use hearken_proto::{MAX_BIAS_BYTES, MAX_PHRASE_BYTES, MAX_PHRASES, Phrase};

use super::pieces::Pieces;

/// Maximum boost of a token: odds of 1 to 3,000.
const MAX_BOOST: f32 = 8.0;
/// Maximum sum of the boosts of a phrase's tokens, as a multiple of the boost: long phrases would
/// outweigh any evidence.
const MOST_BOOSTS: f32 = 4.0;

/// A place in the trie. [`ROOT`](Self::ROOT) is the beginning of all phrases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node(u32);

impl Node {
    pub(crate) const ROOT: Self = Self(0);
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Tokens from the root.
    depth: u16,
    /// Largest boost of the phrases that go through or end here.
    through: f32,
    /// Boost of the phrase that ends here; 0 if none does.
    end: f32,
}

impl Place {
    fn total(self, boost: f32) -> f32 {
        boost * f32::from(self.depth).min(MOST_BOOSTS)
    }
}

/// The phrases of a task.
#[derive(Debug)]
pub(crate) struct Trie {
    places: Vec<Place>,
    edges: BTreeMap<(Node, i32), Node>,
    /// The phrases that it was made of.
    phrases: Vec<Phrase>,
}

impl Default for Trie {
    fn default() -> Self {
        Self { places: vec![Place::default()], edges: BTreeMap::new(), phrases: Vec::new() }
    }
}

impl Trie {
    /// Splits phrases into tokens in all forms in which the decoder may say them: behind a space or
    /// not, and with a capital if there is none. There are no more nodes than bytes in these forms.
    pub(crate) fn new(phrases: &[Phrase], pieces: &Pieces) -> Self {
        let mut trie = Self { phrases: phrases.to_vec(), ..Self::default() };
        let mut room = MAX_BIAS_BYTES;
        for phrase in phrases.iter().take(MAX_PHRASES) {
            let text = phrase.text.trim();
            let boost = phrase.boost.min(MAX_BOOST);
            let is_usable =
                !text.is_empty() && text.len() <= MAX_PHRASE_BYTES.min(room) && phrase.boost > 0.0;
            if !is_usable {
                continue;
            }
            room -= text.len();
            for text in std::iter::once(text.to_owned()).chain(capitalized(text)) {
                for form in [format!(" {text}"), text] {
                    if let Some(tokens) = pieces.split(&form) {
                        trie.insert(&tokens, boost);
                    }
                }
            }
        }
        trie
    }

    /// Returns true if this trie was made of these phrases.
    pub(crate) fn is_of(&self, phrases: &[Phrase]) -> bool {
        self.phrases == phrases
    }

    pub(super) fn insert(&mut self, tokens: &[i32], boost: f32) {
        let mut node = Node::ROOT;
        for (token, depth) in tokens.iter().zip(1..) {
            let next = Node(self.places.len() as u32);
            node = *self.edges.entry((node, *token)).or_insert(next);
            if node == next {
                self.places.push(Place { depth, ..Place::default() });
            }
            let place = &mut self.places[node.0 as usize];
            place.through = place.through.max(boost);
        }
        if node != Node::ROOT {
            let place = &mut self.places[node.0 as usize];
            place.end = place.end.max(boost);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// The node that a token leads to.
    pub(crate) fn next(&self, node: Node, token: i32) -> Option<Node> {
        self.edges.get(&(node, token)).copied()
    }

    /// Tokens that go on from a node, with the nodes they lead to.
    pub(crate) fn from(&self, node: Node) -> impl Iterator<Item = (i32, Node)> + '_ {
        self.edges.range((node, i32::MIN)..=(node, i32::MAX)).map(|((_, token), next)| (*token, *next))
    }

    /// Sum of the boosts of the tokens up to a node.
    pub(crate) fn boosts(&self, node: Node) -> f32 {
        let place = self.places[node.0 as usize];
        place.total(place.through)
    }

    /// Sum of the boosts of a phrase that ends at a node; `None` if none does.
    pub(crate) fn boosts_of_end(&self, node: Node) -> Option<f32> {
        let place = self.places[node.0 as usize];
        (place.end > 0.0).then(|| place.total(place.end))
    }
}

/// The phrase with a capital, unless it has one anywhere or cannot have one.
fn capitalized(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let first = chars.next().filter(|c| c.is_lowercase())?;
    let has_capitals = text.chars().any(char::is_uppercase);
    (!has_capitals).then(|| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(text: &str, boost: f32) -> Phrase {
        Phrase { text: text.to_owned(), boost }
    }

    /// Each byte is a token.
    fn letters() -> Pieces {
        let bytes: Vec<[u8; 1]> = (0..=255).map(|byte| [byte]).collect();
        Pieces::new(256, |token| bytes.get(token as usize).map(|byte| &byte[..]))
    }

    fn walk(trie: &Trie, text: &str) -> Option<Node> {
        text.bytes().try_fold(Node::ROOT, |node, byte| trie.next(node, byte.into()))
    }

    #[test]
    fn phrases_are_there_behind_a_space_without_one_and_with_a_capital() {
        let trie = Trie::new(&[phrase("ab", 1.0), phrase("Cd", 1.0), phrase("e", 2.0)], &letters());
        for text in ["ab", " ab", "Ab", " Ab", "Cd", " Cd", "e", " e", "E"] {
            let end = walk(&trie, text).and_then(|node| trie.boosts_of_end(node));
            assert!(end.is_some(), "{text:?}");
        }
        for text in ["cd", "CD", "aB", "b", "abc"] {
            assert_eq!(walk(&trie, text), None, "{text:?}");
        }
        let a = walk(&trie, "a").unwrap();
        assert_eq!((trie.boosts_of_end(a), trie.boosts(a)), (None, 1.0));
        let e = walk(&trie, " e").unwrap();
        assert_eq!((trie.boosts_of_end(e), trie.boosts(e)), (Some(4.0), 4.0));
        assert_eq!(trie.boosts(walk(&trie, " ").unwrap()), 2.0, "the largest of those behind it");
    }

    #[test]
    fn long_phrases_do_not_outweigh_all_evidence() {
        let trie = Trie::new(&[phrase("abcdefghij", 2.0), phrase("x", 1e9)], &letters());
        let end = walk(&trie, "abcdefghij").unwrap();
        assert_eq!(trie.boosts_of_end(end), Some(2.0 * MOST_BOOSTS));
        assert_eq!(trie.boosts_of_end(walk(&trie, "x").unwrap()), Some(MAX_BOOST));
    }

    #[test]
    fn too_many_and_senseless_phrases_are_left_out() {
        let pieces = letters();
        let long = "x".repeat(MAX_PHRASE_BYTES + 1);
        let odd = [
            phrase(&long, 1.0),
            phrase(" ", 1.0),
            phrase("a", f32::NAN),
            phrase("b", -1.0),
            phrase("c", 0.0),
        ];
        assert!(Trie::new(&odd, &pieces).is_empty());
        let many: Vec<Phrase> =
            (0..MAX_PHRASES + 5).map(|number| phrase(&format!("{number:05}"), 1.0)).collect();
        let trie = Trie::new(&many, &pieces);
        assert!(walk(&trie, "00999").is_some() && walk(&trie, "01000").is_none());
        assert!(trie.is_of(&many) && !trie.is_of(&many[1..]));
        let heavy = vec![phrase(&"y".repeat(MAX_PHRASE_BYTES), 1.0); MAX_PHRASES / 2];
        let others: Vec<Phrase> =
            heavy.into_iter().chain([phrase(&"z".repeat(MAX_PHRASE_BYTES), 1.0)]).collect();
        let trie = Trie::new(&others, &pieces);
        assert!(trie.places.len() <= 4 * MAX_BIAS_BYTES && walk(&trie, "z").is_none());
    }
}
