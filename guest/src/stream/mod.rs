//! An utterance that goes on: a sliding window, and words that become certain.
//!
//! Every hypothesis decodes the whole window. Words that two hypotheses in a row agree on are committed
//! (LocalAgreement-2: Liu, Spanakis and Niehues, 2020; Macháček, Dabre and Bojar, 2023). Committed words never change.
//! When the window is full it slides past what is committed.

mod agreement;
mod window;

use hearken_proto::Word;
use hearken_proto::abi::Status;

use agreement::{agreed, continuation};
pub(crate) use window::Window;

/// How one window is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Greedy, without fallback: another hypothesis follows.
    Partial,
    /// With one fallback: nothing follows.
    Final,
}

/// What a recogniser makes of a window. Times count from the window's start.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Recognised {
    pub(crate) words: Vec<Word>,
    pub(crate) no_speech: f32,
    pub(crate) avg_logprob: f32,
}

/// Something that turns a window into words: whisper.cpp, or in tests a simulation.
pub(crate) trait Recognise {
    /// Recognises `pcm` (16 kHz mono).
    fn recognise(&mut self, pcm: &[f32], effort: Effort) -> Result<Recognised, Status>;
}

/// What is thought of the utterance so far. Times count from its start.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Hypothesis {
    pub(crate) committed: Vec<Word>,
    pub(crate) tentative: Vec<Word>,
    pub(crate) no_speech: f32,
    pub(crate) avg_logprob: f32,
}

/// The policy's memory of one utterance.
#[derive(Default)]
pub(crate) struct Stream {
    /// Committed words whose audio is still in the window.
    anchored: Vec<Word>,
    /// The words behind them in the latest hypothesis.
    tentative: Vec<Word>,
    /// End of the last committed word: what comes later starts no earlier.
    settled: u32,
}

impl Stream {
    /// Decodes the window once, and slides it if it must.
    pub(crate) fn step(
        &mut self,
        window: &mut Window,
        recogniser: &mut impl Recognise,
        effort: Effort,
    ) -> Result<Hypothesis, Status> {
        let heard = recogniser.recognise(window.samples(), effort)?;
        let words: Vec<Word> = heard
            .words
            .into_iter()
            .map(|word| Word {
                start: word.start.saturating_add(window.start()),
                end: word.end.saturating_add(window.start()),
                ..word
            })
            .collect();
        let tail = words[continuation(&self.anchored, &words)..].to_vec();
        let certain = match effort {
            Effort::Final => tail.len(),
            Effort::Partial => agreed(&self.tentative, &tail),
        };
        let mut committed = self.commit(&tail[..certain]);
        self.tentative = tail[certain..].to_vec();
        if effort == Effort::Partial && window.is_full() {
            committed.extend(self.slide(window));
        }
        Ok(Hypothesis {
            committed,
            tentative: self.tentative.clone(),
            no_speech: heard.no_speech,
            avg_logprob: heard.avg_logprob,
        })
    }

    /// Commits words, none of which starts before the last one ended.
    fn commit(&mut self, words: &[Word]) -> Vec<Word> {
        let mut committed = Vec::with_capacity(words.len());
        for word in words {
            let start = word.start.max(self.settled);
            let end = word.end.max(start);
            self.settled = end;
            committed.push(Word { start, end, ..word.clone() });
        }
        self.anchored.extend(committed.iter().cloned());
        committed
    }

    /// Makes room: the window moves to the last committed word. That one stays: where it ends is an estimate, and what was
    /// left of it would be heard as a word of its own. If too little is committed, the window is cut at its quietest place
    /// and what is thought of the part before is committed as it stands, because its audio goes.
    fn slide(&mut self, window: &mut Window) -> Vec<Word> {
        let mut forced = Vec::new();
        let mut cut = self.anchored.last().map_or(0, |word| word.start);
        if cut < window.least_cut() {
            cut = window.quietest_cut();
            let before = self.tentative.iter().take_while(|word| word.end <= cut).count();
            let words: Vec<Word> = self.tentative.drain(..before).collect();
            forced = self.commit(&words);
        }
        window.cut(cut);
        self.anchored.retain(|word| word.start >= cut);
        forced
    }
}

#[cfg(test)]
mod tests;
