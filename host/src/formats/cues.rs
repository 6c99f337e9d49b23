//! Cuts segments into subtitle cues that can be read in their time.

use super::layout::CueLayout;
use super::lines;
use super::tokens::{Token, tokens};
use crate::Segment;

/// Longest cue.
const MAX_MS: u64 = 7_000;
/// Minimum duration of a cue if nothing follows at once: less is a flash.
const MIN_MS: u64 = 1_000;
/// A shorter gap between cues only flickers, so it is closed.
const FLICKER_MS: u64 = 250;
/// Reading speed that cues are extended to, in columns a second (adults' programmes use 17 to 20).
const COLUMNS_PER_SECOND: u64 = 20;

/// Text on the screen for a time, in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Cue {
    /// Start \[ms\].
    pub start: u64,
    /// End \[ms\].
    pub end: u64,
    /// Text, at most as many lines as the layout allows.
    pub lines: Vec<String>,
    /// For each line, where in it \[bytes\] a word begins that is spoken within the cue, and when
    /// \[ms\].
    pub(super) times: Vec<Vec<(usize, u64)>>,
}

/// The cues of one segment alone, in the default layout. The last one lasts as long as it takes to
/// read, whatever comes after.
pub fn cues(segment: &Segment) -> Vec<Cue> {
    of_segments(std::slice::from_ref(segment), CueLayout::default())
}

/// The cues of segments that follow each other.
pub(super) fn of_segments(segments: &[Segment], layout: CueLayout) -> Vec<Cue> {
    let (mut cutter, mut cues) = (Cutter::new(layout), Vec::new());
    for segment in segments {
        let given = cutter.segment(segment, |cue| -> Result<(), std::convert::Infallible> {
            cues.push(cue);
            Ok(())
        });
        let Ok(()) = given;
    }
    cues.extend(cutter.end());
    cues
}

/// Takes segments and gives cues, one late: where a cue may end depends on the next.
#[derive(Debug)]
pub(super) struct Cutter {
    layout: CueLayout,
    /// The last cue's tokens, not empty.
    pending: Option<Vec<Token>>,
    /// End of the last finished cue: nothing starts before it.
    free: u64,
}

impl Cutter {
    pub(super) fn new(layout: CueLayout) -> Self {
        Self { layout, pending: None, free: 0 }
    }

    /// Adds a segment; `give` gets the cues that are finished by it.
    pub(super) fn segment<E>(
        &mut self,
        segment: &Segment,
        mut give: impl FnMut(Cue) -> Result<(), E>,
    ) -> Result<(), E> {
        for cue in cut(tokens(segment, self.layout.columns), self.layout) {
            if let Some(cue) = self.push(cue) {
                give(cue)?;
            }
        }
        Ok(())
    }

    /// The last cue.
    pub(super) fn end(mut self) -> Option<Cue> {
        let last = self.pending.take()?;
        Some(self.finish(&last, u64::MAX))
    }

    /// Takes a cue's tokens; answers the cue before it, now that its end is known.
    fn push(&mut self, mut tokens: Vec<Token>) -> Option<Cue> {
        tokens.first_mut()?.space = true;
        let Some(mut pending) = self.pending.take() else {
            self.pending = Some(tokens);
            return None;
        };
        // A word that would only flash joins the following text.
        let (start, next) = (start(&pending), start(&tokens));
        let flash = next.saturating_sub(start) < MIN_MS;
        if flash && end(&tokens).saturating_sub(start) <= MAX_MS {
            let length = pending.len();
            pending.append(&mut tokens);
            if lines::fits(&pending, self.layout) {
                self.pending = Some(pending);
                return None;
            }
            tokens = pending.split_off(length);
        }
        let cue = self.finish(&pending, next);
        self.pending = Some(tokens);
        Some(cue)
    }

    /// Gives a cue its time: from its first word, through its last, and on into silence as far as
    /// reading needs and `next` allows.
    fn finish(&mut self, tokens: &[Token], next: u64) -> Cue {
        let start = start(tokens).max(self.free);
        let reading = lines::columns(tokens) as u64 * 1000 / COLUMNS_PER_SECOND;
        let wanted = end(tokens).max(start.saturating_add(reading.max(MIN_MS)));
        let wanted = if next.saturating_sub(wanted) < FLICKER_MS { next } else { wanted };
        // An empty cue would not be shown, so each has a millisecond even where times are nonsense.
        let end = wanted.min(next).min(start.saturating_add(MAX_MS)).max(start.saturating_add(1));
        self.free = end;
        let (mut lines, mut times) = (Vec::new(), Vec::new());
        let mut last = start;
        for tokens in lines::lay_out(tokens, self.layout) {
            let (line, mut begins) = lines::join(tokens, last);
            begins.retain(|(_, time)| *time < end);
            last = begins.last().map_or(last, |(_, time)| *time);
            lines.push(line);
            times.push(begins);
        }
        Cue { start, end, lines, times }
    }
}

fn start(tokens: &[Token]) -> u64 {
    tokens.first().map_or(0, |token| token.start)
}

fn end(tokens: &[Token]) -> u64 {
    tokens.last().map_or(0, |token| token.end)
}

/// Cuts a segment's tokens where the sum of costs is least: cues cost, and so do breaks away from
/// punctuation and pauses, cues too short or too fast to read, and silences inside one. Every cue
/// fits the layout and [`MAX_MS`], a lone token apart. A cue has at most 800 columns, so that the
/// time is linear in the text.
fn cut(mut tokens: Vec<Token>, layout: CueLayout) -> Vec<Vec<Token>> {
    let count = tokens.len();
    // best[i]: least cost of cutting the first i tokens, and where the last cue of those starts.
    let mut best: Vec<(u64, usize)> = vec![(u64::MAX, 0); count + 1];
    best[0] = (0, 0);
    for from in 0..count {
        let (cost, _) = best[from];
        for to in from + 1..=count {
            let cue = &tokens[from..to];
            let long = end(cue).saturating_sub(start(cue)) > MAX_MS;
            if cue.len() > 1 && (long || !lines::fits(cue, layout)) {
                break;
            }
            let total = cost.saturating_add(cue_cost(cue, tokens.get(to)));
            if total < best[to].0 {
                best[to] = (total, from);
            }
        }
    }
    let mut cues = Vec::new();
    let mut to = count;
    while to > 0 {
        let from = best[to].1.min(to - 1);
        cues.push(tokens.split_off(from));
        to = from;
    }
    cues.reverse();
    cues
}

/// Cost of a cue before the token `next`. The unit is about a column of imbalance.
fn cue_cost(cue: &[Token], next: Option<&Token>) -> u64 {
    let mut cost = 30;
    if let Some(next) = next {
        let gap = next.start.saturating_sub(end(cue));
        let punctuation = cue.last().map_or(0, |token| lines::pause(&token.text));
        cost += match punctuation {
            2 => 0,
            1 => 10,
            // The wider the pause, the better the break; 600 ms are as good as a comma.
            _ => 30 - (gap / 30).min(20),
        };
        if !next.space && next.width > 2 {
            cost += 100;
        }
        // The beginning of the next sentence belongs to the next cue.
        let dangling = punctuation == 0 && cue.iter().any(|token| lines::pause(&token.text) == 2);
        cost += if dangling { 40 } else { 0 };
    }
    // Time it can stay on the screen: until the next word.
    let shown = next.map_or(u64::MAX, |next| next.start).saturating_sub(start(cue)).max(1);
    if shown < MIN_MS {
        cost += (MIN_MS - shown) / 20;
    }
    let speed = lines::columns(cue) as u64 * 1000 / shown;
    cost += speed.saturating_sub(COLUMNS_PER_SECOND).min(20);
    // Text must not stand through a silence before the rest of it is spoken.
    let silence = cue.windows(2).map(|pair| pair[1].start.saturating_sub(pair[0].end)).max().unwrap_or(0);
    cost + silence.saturating_sub(500).min(MAX_MS) / 20
}
