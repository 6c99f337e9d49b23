//! Bias of the greedy decoder to phrases.
//!
//! As in shallow fusion with a context graph, each token of a phrase has a boost, the natural
//! logarithm of a factor on its odds, and boosts add up along the phrase. A beam search would take
//! them back by dropping a hypothesis whose phrase breaks off. A greedy decoder has one hypothesis,
//! so it goes back: from the token at which the bias first changed its choice on, the text is
//! decoded again without this choice.
//!
//! A token of a phrase is taken instead of the likeliest one if the logits that all such choices
//! in the phrase cost are together no more than the boosts so far. A phrase counts when it is
//! complete: the next token begins another word, or is no letter.
//!
//! The bias chooses among words. It does not change where the decoder says a timestamp or comes to
//! its end, so it gives no words to silence.

use super::pieces::Pieces;
use super::trie::{Node, Trie};

/// Maximum number of tokens decoded in vain in a window, so that phrases without number cannot make
/// it take more than about twice as long.
const MOST_IN_VAIN: usize = 160;

/// Verdict on the decoder's choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Turn {
    /// It stays.
    Keep,
    /// Another token is taken, which a phrase gives this boost.
    Take { token: i32, boost: f32 },
    /// The text from this index on is dropped, and the token there chosen again.
    Back(usize),
}

/// A phrase that the bias has brought about, and that is not complete.
#[derive(Debug, Clone)]
struct Pending {
    /// Index of the first token that the bias chose.
    at: usize,
    /// That token.
    token: i32,
    /// The places in other phrases before that, and if a word could begin without a space.
    before: (Vec<Node>, bool),
    node: Node,
    /// Cost of its choices.
    spent: f32,
}

/// The phrases that a text is in.
pub(crate) struct Trail<'a> {
    trie: &'a Trie,
    pieces: &'a Pieces,
    /// First token that is no text.
    eot: i32,
    /// True if the language has spaces between words.
    spaced: bool,
    /// Places in phrases whose beginning the text ends with.
    nodes: Vec<Node>,
    /// True if a word may begin without a space.
    is_free: bool,
    pending: Option<Pending>,
    /// Tokens that led nowhere, and where.
    refused: Vec<(usize, i32)>,
    in_vain: usize,
}

impl<'a> Trail<'a> {
    /// Begins behind the tokens `said`, the forced prefix.
    pub(crate) fn new(trie: &'a Trie, pieces: &'a Pieces, eot: i32, spaced: bool, said: &[i32]) -> Self {
        let mut trail = Self {
            trie,
            pieces,
            eot,
            spaced,
            nodes: Vec::new(),
            is_free: true,
            pending: None,
            refused: Vec::new(),
            in_vain: 0,
        };
        said.iter().for_each(|token| trail.follow(*token));
        trail
    }

    /// Decides about `best`, the likeliest token at index `at` by `logits`. Tokens that may not
    /// come are infinitely unlikely in these.
    pub(crate) fn turn(&mut self, at: usize, best: i32, logits: &[f32]) -> Turn {
        if let Some(pending) = self.pending.take() {
            let turn = self.go_on(pending, at, best, logits);
            if let Some(turn) = turn {
                return turn;
            }
        }
        let turn = self.begin(at, best, logits);
        match turn {
            Turn::Take { token, .. } => self.follow(token),
            _ => self.follow(best),
        }
        turn
    }

    /// The next token of a pending phrase. `None` if that was complete.
    fn go_on(&mut self, mut pending: Pending, at: usize, best: i32, logits: &[f32]) -> Option<Turn> {
        let is_text = best < self.eot;
        let next = match self.trie.next(pending.node, best) {
            Some(node) => Some((best, node, 0.0)),
            None if is_text => self.affordable(pending.node, at, best, logits, pending.spent),
            None => None,
        };
        let ends = self.trie.boosts_of_end(pending.node).is_some_and(|boosts| pending.spent <= boosts);
        let Some((token, node, cost)) = next else {
            if ends && !(self.spaced && is_text && self.pieces.joins(best)) {
                return None;
            }
            (self.nodes, self.is_free) = pending.before;
            self.in_vain += at - pending.at;
            self.refused.push((pending.at, pending.token));
            return Some(Turn::Back(pending.at));
        };
        if ends && self.pieces.text(token).starts_with(b" ") {
            // The phrase so far counts, however the longer one goes on.
            pending = Pending { at, token, before: (self.nodes.clone(), self.is_free), node, spent: cost };
        } else {
            (pending.node, pending.spent) = (node, pending.spent + cost);
        }
        // Without a choice of the bias there is nothing to go back to.
        if pending.at != at || cost > 0.0 {
            self.pending = Some(pending);
        }
        self.follow(token);
        Some(if token == best { Turn::Keep } else { Turn::Take { token, boost: self.trie.boosts(node) } })
    }

    /// The first token of a phrase, or the next of one whose beginning the decoder said by itself.
    fn begin(&mut self, at: usize, best: i32, logits: &[f32]) -> Turn {
        let begins = !self.spaced || self.pieces.text(best).starts_with(b" ") || self.is_free;
        let root = Some(Node::ROOT).filter(|_| begins);
        let from: Vec<Node> = self.nodes.iter().copied().chain(root).collect();
        let is_in_phrase = self.nodes.iter().any(|node| self.trie.next(*node, best).is_some());
        if best >= self.eot || is_in_phrase || self.in_vain > MOST_IN_VAIN {
            return Turn::Keep;
        }
        let found = from.into_iter().filter_map(|node| self.affordable(node, at, best, logits, 0.0));
        let Some((token, node, spent)) = found.min_by(|one, other| one.2.total_cmp(&other.2)) else {
            return Turn::Keep;
        };
        // The decoder may be at the beginning of a phrase by itself: the others wait.
        let begun = root.and_then(|root| self.trie.next(root, best));
        let begun = begun.filter(|_| !self.refused.contains(&(at, best)));
        let (token, node, spent) = begun.map_or((token, node, spent), |node| (best, node, 0.0));
        self.pending = Some(Pending { at, token, before: (self.nodes.clone(), self.is_free), node, spent });
        if token == best { Turn::Keep } else { Turn::Take { token, boost: self.trie.boosts(node) } }
    }

    /// The likeliest token that goes on from a node, the node it leads to, and its cost, if the
    /// boosts pay for it.
    fn affordable(
        &self,
        node: Node,
        at: usize,
        best: i32,
        logits: &[f32],
        spent: f32,
    ) -> Option<(i32, Node, f32)> {
        let logit = |token: i32| usize::try_from(token).ok().and_then(|token| logits.get(token).copied());
        let top = logit(best)?;
        let is_word = |token: i32| self.pieces.text(token).starts_with(b" ");
        // A phrase begins in the place of a word.
        let fits = |token: i32| {
            let fits = if is_word(token) { is_word(best) } else { self.is_free && self.pieces.joins(best) };
            node != Node::ROOT || !self.spaced || fits
        };
        let others = self.trie.from(node).filter(|(token, _)| *token != best);
        let priced = others.filter_map(|(token, next)| {
            let cost = top - logit(token)?;
            let is_paid = spent + cost <= self.trie.boosts(next);
            let is_refused = || self.refused.contains(&(at, token));
            (is_paid && fits(token) && !is_refused()).then_some((token, next, cost.max(0.0)))
        });
        priced.min_by(|one, other| one.2.total_cmp(&other.2))
    }

    /// Returns true if the text may have to go back to this index.
    pub(crate) fn is_pending_from(&self, at: usize) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.at == at)
    }

    /// Follows the text by a token.
    fn follow(&mut self, token: i32) {
        if token >= self.eot {
            self.nodes.clear();
            self.is_free = true;
            return;
        }
        let begins = !self.spaced || self.is_free || self.pieces.text(token).starts_with(b" ");
        let root = Some(Node::ROOT).filter(|_| begins);
        let from = std::mem::take(&mut self.nodes).into_iter().chain(root);
        self.nodes = from.filter_map(|node| self.trie.next(node, token)).collect();
        self.is_free = !self.pieces.is_open(token);
    }
}

/// The logarithm of a probability after its odds are multiplied by a factor, of which `boost` is
/// the logarithm.
pub(crate) fn boosted(logprob: f32, boost: f32) -> f32 {
    let (odds, rest) = (logprob + boost, (-logprob.exp()).ln_1p());
    let top = odds.max(rest);
    let sum = top + ((odds - top).exp() + (rest - top).exp()).ln();
    if sum.is_finite() { (odds - sum).min(0.0) } else { logprob }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 14] =
        [" a", " b", " haw", "kes", "ks", "bury", " the", "s", "'s", " york", " new", " city", "b", "."];
    const EOT: i32 = 14;

    fn token(text: &str) -> i32 {
        TEXTS.iter().position(|other| *other == text).expect("a token") as i32
    }

    fn pieces() -> Pieces {
        Pieces::new(EOT, |token| TEXTS.get(token as usize).map(|text| text.as_bytes()))
    }

    /// A trie of phrases whose tokens are known.
    fn trie(phrases: &[&[&str]], boost: f32) -> Trie {
        let mut trie = Trie::default();
        for phrase in phrases {
            trie.insert(&phrase.iter().map(|text| token(text)).collect::<Vec<_>>(), boost);
        }
        trie
    }

    /// A decoder whose likeliest tokens follow from what it said last: texts with their logits,
    /// others have -20. Says up to six tokens.
    fn decode(
        trie: &Trie,
        spaced: bool,
        forced: &[&str],
        model: impl Fn(&[&str]) -> Vec<(&'static str, f32)>,
    ) -> (String, usize) {
        let pieces = pieces();
        let mut said: Vec<&str> = forced.to_vec();
        let forced: Vec<i32> = forced.iter().map(|text| token(text)).collect();
        let mut trail = Trail::new(trie, &pieces, EOT, spaced, &forced);
        let (mut steps, mut crossing) = (0, None);
        while said.len() < 6 {
            steps += 1;
            let mut logits = vec![-20.0; EOT as usize + 1];
            logits[EOT as usize] = -1.0;
            model(&said).into_iter().for_each(|(text, logit)| logits[token(text) as usize] = logit);
            let best = (0..=EOT)
                .max_by(|one, other| logits[*one as usize].total_cmp(&logits[*other as usize]))
                .unwrap();
            let at = said.len();
            let turn = trail.turn(at, best, &logits);
            if trail.is_pending_from(at) {
                crossing = Some(at);
            }
            let picked = match turn {
                Turn::Keep => best,
                Turn::Take { token, .. } => token,
                Turn::Back(at) => {
                    assert!(at >= forced.len(), "what is committed stays");
                    assert_eq!(crossing, Some(at), "the decoder knows the logits there");
                    said.truncate(at);
                    continue;
                }
            };
            if picked == EOT {
                break;
            }
            said.push(TEXTS[picked as usize]);
        }
        (said.concat(), steps)
    }

    /// Hears " the", and then something between " haw" + "ks" and " haw" + "kes" + "bury".
    fn hawks(said: &[&str]) -> Vec<(&'static str, f32)> {
        match said.last() {
            None => vec![(" the", 5.0)],
            Some(&" the") => vec![(" a", 5.0), (" haw", 3.5)],
            Some(&" haw") => vec![("ks", 5.0), ("kes", 3.5)],
            Some(&"kes" | &"ks") => vec![("bury", 5.0), ("s", 1.0)],
            _ => vec![],
        }
    }

    #[test]
    fn a_phrase_is_said_where_its_boosts_pay_for_it() {
        let phrase: &[&str] = &[" haw", "kes", "bury"];
        let said = |boost| decode(&trie(&[phrase], boost), true, &[], hawks).0;
        assert_eq!(said(1.6), " the hawkesbury");
        assert_eq!(said(1.4), " the a", "the first token costs 1.5");
        assert_eq!(decode(&Trie::default(), true, &[], hawks).0, " the a");
    }

    #[test]
    fn a_phrase_that_breaks_off_is_taken_back() {
        let broken = |said: &[&str]| match said.last() {
            Some(&"kes") => vec![("s", 9.0), ("bury", 0.0)],
            _ => hawks(said),
        };
        let trie = trie(&[&[" haw", "kes", "bury"]], 1.6);
        let (text, steps) = decode(&trie, true, &[], broken);
        assert_eq!(text, " the a");
        assert!(steps <= 8, "{steps}");
        // In the middle of a phrase that was said anyway only the choice is taken back.
        let anyway = |said: &[&str]| match said.last() {
            Some(&" the") => vec![(" haw", 5.0)],
            _ => broken(said),
        };
        assert_eq!(decode(&trie, true, &[], anyway).0, " the hawksbury");
    }

    #[test]
    fn a_phrase_is_a_whole_word() {
        let longer = |said: &[&str]| match said.last() {
            None => vec![(" a", 5.0), (" haw", 4.0)],
            Some(&" haw") => vec![("ks", 5.0)],
            _ => vec![],
        };
        let possessive = |said: &[&str]| match said.last() {
            Some(&" haw") => vec![("'s", 5.0)],
            _ => longer(said),
        };
        let trie = trie(&[&[" haw"]], 2.0);
        assert_eq!(decode(&trie, true, &[], longer).0, " a");
        assert_eq!(decode(&trie, true, &[], possessive).0, " haw's");
        assert_eq!(decode(&trie, false, &[], longer).0, " hawks", "words have no ends without spaces");
    }

    #[test]
    fn a_longer_phrase_that_breaks_off_leaves_the_shorter_one() {
        let model = |said: &[&str]| match said.last() {
            None => vec![(" a", 5.0), (" new", 4.0)],
            Some(&" new") => vec![(" b", 5.0), (" york", 4.5)],
            Some(&" york") => vec![(" the", 5.0), (" city", 4.0)],
            Some(&" city") => vec![("s", 9.0)],
            _ => vec![],
        };
        let phrases = trie(&[&[" new", " york"], &[" new", " york", " city"]], 1.2);
        assert_eq!(decode(&phrases, true, &[], model).0, " new york the");
    }

    #[test]
    fn where_one_phrase_breaks_off_another_is_tried() {
        let model = |said: &[&str]| match said.last() {
            None => vec![(" haw", 5.0), (" york", 4.5)],
            Some(&" haw") => vec![("s", 9.0)],
            Some(&" york") => vec![(" city", 5.0)],
            _ => vec![],
        };
        let two: [&[&str]; 2] = [&[" haw", "kes", "bury"], &[" york", " city"]];
        assert_eq!(decode(&trie(&two, 1.0), true, &[], model).0, " york city");
        assert_eq!(decode(&trie(&two, 0.4), true, &[], model).0, " haws");
        // It is what the decoder says if none of them works out.
        let neither = |said: &[&str]| match said.last() {
            Some(&" york") => vec![(" the", 9.0)],
            _ => model(said),
        };
        assert_eq!(decode(&trie(&two, 1.0), true, &[], neither).0, " haws");
        // What the decoder says by itself goes before what costs something.
        let both = |said: &[&str]| match said.last() {
            Some(&" haw") => vec![("kes", 5.0)],
            Some(&"kes") => vec![("bury", 5.0)],
            _ => model(said),
        };
        assert_eq!(decode(&trie(&two, 1.0), true, &[], both).0, " hawkesbury");
    }

    #[test]
    fn a_phrase_goes_on_behind_a_forced_prefix() {
        let trie = trie(&[&[" new", " york", " city"]], 1.0);
        let model = |said: &[&str]| match said.last() {
            Some(&" york") => vec![(" the", 5.0), (" city", 2.5)],
            _ => vec![],
        };
        // Three tokens' boosts pay for 2.5.
        assert_eq!(decode(&trie, true, &[" new", " york"], model).0, " new york city");
        assert_eq!(decode(&trie, true, &[" york"], model).0, " york the");
    }

    #[test]
    fn the_bias_says_nothing_where_the_decoder_ends() {
        let trie = trie(&[&[" haw"]], 8.0);
        let model = |said: &[&str]| match said.last() {
            None => vec![(" a", 5.0), (" haw", -4.0)],
            _ => vec![(" haw", -1.5)],
        };
        assert_eq!(decode(&trie, true, &[" the"], model).0, " the");
        let longer = self::trie(&[&[" haw", "kes"]], 8.0);
        assert_eq!(decode(&longer, true, &[" haw"], |_| vec![("kes", -1.5)]).0, " haw", "in a phrase");
        // Nor in the middle of a word, or in the place of punctuation.
        let inside = |said: &[&str]| match said.last() {
            None => vec![(" b", 5.0)],
            Some(&" b") => vec![("s", 5.0), (" haw", 4.0)],
            Some(&"s") => vec![(".", 5.0), (" haw", 4.0)],
            _ => vec![],
        };
        assert_eq!(decode(&trie, true, &[], inside).0, " bs.");
    }

    #[test]
    fn vain_attempts_are_limited() {
        let phrases: Vec<&[&str]> = vec![&[" haw", "bury"], &[" york", "bury"], &[" new", "bury"]];
        let trie = trie(&phrases, 8.0);
        let pieces = pieces();
        let mut trail = Trail::new(&trie, &pieces, EOT, true, &[]);
        let even = vec![0.0; EOT as usize];
        let mut refused = vec![-20.0; EOT as usize];
        refused[token(" the") as usize] = 0.0;
        let (mut backs, mut at) = (0, 0);
        for _ in 0..2000 {
            let is_inside = trail.pending.is_some();
            match trail.turn(at, token(" the"), if is_inside { &refused } else { &even }) {
                Turn::Back(to) => (at, backs) = (to, backs + 1),
                _ => at += 1,
            }
        }
        assert_eq!(backs, MOST_IN_VAIN + 1);
    }

    #[test]
    fn odds_are_multiplied() {
        let half = boosted(0.25f32.ln(), 3f32.ln()).exp();
        assert!((half - 0.5).abs() < 1e-5, "{half}");
        assert_eq!(boosted(0.0, 2.0), 0.0);
        assert_eq!(boosted(f32::NEG_INFINITY, 2.0), f32::NEG_INFINITY);
        assert_eq!(boosted(-1.0, 0.0), -1.0);
        assert!(boosted(-1e-9, 5.0) <= 0.0 && boosted(-80.0, 8.0) < -70.0);
    }
}
