//! Turns that the client commits: which words belong to which of them.
//!
//! Speech is recognized as it comes, in utterances that end where nobody speaks. A commit ends a
//! turn, perhaps in the middle of a word; it takes the words whose middle lies before it, and cuts
//! none.

use std::collections::VecDeque;

use hearken::Word;

/// A turn: an item of the conversation, in OpenAI's words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Turn {
    pub(super) item: String,
    /// Positions in samples; the end once it is committed.
    pub(super) start: u64,
    pub(super) end: Option<u64>,
    /// Committed words so far.
    pub(super) words: Vec<Word>,
    /// Not reported.
    discarded: bool,
}

/// Something to tell the client.
#[derive(Debug, PartialEq)]
pub(super) enum News {
    /// More words of a turn; some came before if `behind`.
    Words { item: String, words: Vec<Word>, behind: bool },
    /// A turn with all its words.
    Complete(Turn),
}

/// The turns that are not complete, and the utterances whose final text has not come.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Oldest first. The last may have no end yet.
    turns: VecDeque<Turn>,
    /// Start of each utterance.
    utterances: VecDeque<u64>,
    /// Words of the oldest utterance that were taken.
    taken: usize,
}

impl Turns {
    /// Returns true if there is a turn that was not committed.
    pub(super) fn has_current(&self) -> bool {
        self.turns.back().is_some_and(|turn| turn.end.is_none())
    }

    /// Returns true if a turn was committed and is not complete.
    pub(super) fn has_committed(&self) -> bool {
        self.turns.front().is_some_and(|turn| turn.end.is_some())
    }

    /// The item of the oldest turn.
    pub(super) fn oldest(&self) -> Option<&str> {
        self.turns.front().map(|turn| turn.item.as_str())
    }

    /// Begins a turn.
    pub(super) fn begin(&mut self, item: String, start: u64) {
        self.turns.push_back(Turn { item, start, end: None, words: Vec::new(), discarded: false });
    }

    /// Ends the turn that was begun last; its item.
    pub(super) fn commit(&mut self, end: u64) -> Option<String> {
        let turn = self.turns.back_mut().filter(|turn| turn.end.is_none())?;
        turn.end = Some(end);
        Some(turn.item.clone())
    }

    /// Ends the latest turn, and discards its text.
    pub(super) fn discard(&mut self, end: u64) {
        if let Some(turn) = self.turns.back_mut().filter(|turn| turn.end.is_none()) {
            (turn.end, turn.discarded) = (Some(end), true);
        }
    }

    /// An utterance starts.
    pub(super) fn speech(&mut self, start: u64) {
        self.utterances.push_back(start);
    }

    /// Takes words that became certain.
    pub(super) fn certain(&mut self, words: &[Word], news: &mut Vec<News>) {
        self.taken += words.len();
        for word in words {
            let middle = word.start.midpoint(word.end);
            // Words come in order: none of an earlier turn comes behind this one.
            while self.turns.front().is_some_and(|turn| turn.end.is_some_and(|end| end <= middle)) {
                self.complete(news);
            }
            let Some(turn) = self.turns.front_mut() else { continue };
            let behind = !turn.words.is_empty();
            turn.words.push(word.clone());
            if turn.discarded {
                continue;
            }
            match news.last_mut() {
                Some(News::Words { item, words, .. }) if *item == turn.item => words.push(word.clone()),
                _ => news.push(News::Words { item: turn.item.clone(), words: vec![word.clone()], behind }),
            }
        }
    }

    /// Takes the final text of the oldest utterance.
    pub(super) fn last(&mut self, words: &[Word], news: &mut Vec<News>) {
        self.certain(words.get(self.taken..).unwrap_or_default(), news);
        self.utterances.pop_front();
        self.taken = 0;
    }

    /// Completes the turns that end before the current silence.
    pub(super) fn settle(&mut self, news: &mut Vec<News>) {
        let speech = self.utterances.front().copied().unwrap_or(u64::MAX);
        while self.turns.front().is_some_and(|turn| turn.end.is_some_and(|end| end <= speech)) {
            self.complete(news);
        }
    }

    fn complete(&mut self, news: &mut Vec<News>) {
        let turn = self.turns.pop_front().filter(|turn| !turn.discarded);
        news.extend(turn.map(News::Complete));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, start: u64, end: u64) -> Word {
        Word { start, end, text: text.to_owned(), probability: 1.0 }
    }

    /// Formats the news: deltas as `item:words`, complete turns as `item=words`.
    fn sent(news: &[News]) -> Vec<String> {
        let joined =
            |words: &[Word]| words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        let tell = |news: &News| match news {
            News::Words { item, words, .. } => format!("{item}:{}", joined(words)),
            News::Complete(turn) => format!("{}={}", turn.item, joined(&turn.words)),
        };
        news.iter().map(tell).collect()
    }

    #[test]
    fn a_word_across_a_commit_belongs_to_one_turn_whole() {
        let (mut turns, mut news) = (Turns::default(), Vec::new());
        turns.begin("a".into(), 0);
        turns.speech(100);
        turns.certain(&[word("one", 100, 200)], &mut news);
        assert_eq!(sent(&news), ["a:one"], "before the commit");
        assert_eq!(turns.commit(250).as_deref(), Some("a"));
        turns.settle(&mut news);
        assert_eq!(news.len(), 1, "somebody still speaks");
        turns.begin("b".into(), 250);
        let two = word("two", 200, 310);
        let three = word("three", 310, 400);
        news.clear();
        turns.certain(std::slice::from_ref(&two), &mut news);
        assert_eq!(sent(&news), ["a=one", "b:two"], "its middle lies behind the commit");
        news.clear();
        turns.last(&[word("one", 100, 200), two, three], &mut news);
        turns.settle(&mut news);
        assert_eq!(sent(&news), ["b:three"]);
        turns.commit(500);
        turns.settle(&mut news);
        assert_eq!(sent(&news), ["b:three", "b=two three"]);
    }

    #[test]
    fn silent_turns_are_complete_at_once_and_in_order() {
        let (mut turns, mut news) = (Turns::default(), Vec::new());
        assert_eq!(turns.commit(7), None);
        turns.begin("a".into(), 0);
        turns.commit(10);
        turns.settle(&mut news);
        assert_eq!(sent(&news), ["a="]);
        // A commit behind speech that is not recognized yet waits for it.
        turns.begin("b".into(), 10);
        turns.speech(20);
        turns.commit(100);
        turns.begin("c".into(), 100);
        turns.commit(200);
        news.clear();
        turns.settle(&mut news);
        assert!(news.is_empty() && turns.has_committed());
        turns.last(&[word("hello", 30, 60)], &mut news);
        turns.settle(&mut news);
        assert_eq!(sent(&news), ["b:hello", "b=hello", "c="]);
    }

    #[test]
    fn discarded_audio_is_not_reported() {
        let (mut turns, mut news) = (Turns::default(), Vec::new());
        turns.begin("a".into(), 0);
        turns.speech(10);
        turns.discard(100);
        turns.begin("b".into(), 100);
        turns.last(&[word("never", 20, 50), word("mind", 50, 90)], &mut news);
        turns.speech(110);
        turns.last(&[word("yes", 120, 150)], &mut news);
        turns.commit(200);
        turns.settle(&mut news);
        assert_eq!(sent(&news), ["b:yes", "b=yes"]);
    }
}
