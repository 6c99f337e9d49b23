//! Properties of the formats, for any text and times.

use proptest::prelude::*;

use super::cues::{Cue, Cutter};
use super::*;
use crate::Word;

/// A word of a text at seconds.
fn word(text: &str, start: f64, end: f64) -> Word {
    Word { start: samples(start), end: samples(end), text: text.to_owned(), probability: 0.5 }
}

fn samples(seconds: f64) -> u64 {
    (seconds * 16_000.0) as u64
}

/// A segment whose words are spoken evenly, without pauses.
fn even(text: &str, start: f64, end: f64) -> Segment {
    Segment { start: samples(start), end: samples(end), text: text.to_owned(), ..Segment::default() }
}

fn timed(words: Vec<Word>) -> Segment {
    Segment {
        start: words[0].start,
        end: words[words.len() - 1].end,
        text: words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" "),
        words,
        ..Segment::default()
    }
}

fn written(format: Format, segments: Vec<Segment>) -> String {
    let language = Some(Language { code: "en".to_owned(), probability: Some(0.5) });
    let transcript = Transcript { language, duration: samples(10.0), segments, ..Transcript::default() };
    let mut out = Vec::new();
    format.write(&transcript, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn cues(segments: &[Segment]) -> Vec<Cue> {
    laid_out(segments, CueLayout::default())
}

fn laid_out(segments: &[Segment], layout: CueLayout) -> Vec<Cue> {
    let mut cutter = Cutter::new(layout);
    let mut cues = Vec::new();
    for segment in segments {
        cutter
            .segment(segment, |cue| {
                cues.push(cue);
                Ok::<_, std::convert::Infallible>(())
            })
            .unwrap();
    }
    cues.extend(cutter.end());
    cues
}

#[test]
fn names_are_extensions_and_parse_back() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
    }
    assert_eq!("SRT".parse::<Format>().unwrap(), Format::Srt);
    let error = "do\x1bcx".parse::<Format>().unwrap_err().to_string();
    assert_eq!(error, "unknown format `docx`; use txt, srt, vtt, json or jsonl");
}

#[test]
fn text_is_a_line_for_each_segment() {
    let segments = vec![even(" One\ntwo. ", 0.0, 1.0), even("", 1.0, 2.0), even("Three.", 2.0, 3.0)];
    assert_eq!(written(Format::Text, segments), "One two.\nThree.\n");
}

#[test]
fn golden_srt() {
    let segments = vec![
        timed(vec![word("Good", 0.5, 0.8), word("morning.", 0.8, 1.2)]),
        timed(vec![
            word("Is", 3_600.0, 3_600.2),
            word("5", 3_600.2, 3_600.5),
            word("<", 3_600.5, 3_600.8),
            word("6?", 3_600.8, 3_602.0),
        ]),
    ];
    let golden = "1\n00:00:00,500 --> 00:00:01,500\nGood morning.\n\n\
                  2\n01:00:00,000 --> 01:00:02,000\nIs 5 < 6?\n\n";
    assert_eq!(written(Format::Srt, segments), golden);
}

#[test]
fn golden_vtt() {
    let text = "So here is <b>a sentence</b> & it needs more than one line, does it not?";
    let golden = "WEBVTT\n\n\
                  00:00:01.000 --> 00:00:06.000\n\
                  So here is &lt;b&gt;a sentence&lt;/b&gt; &amp; it\nneeds more than one line, does it not?\n\n";
    assert_eq!(written(Format::Vtt, vec![even(text, 1.0, 6.0)]), golden);
}

#[test]
fn golden_json() {
    let mut segment = timed(vec![word("\"Hi\"", 0.5, 0.8), word("\x1byou", 0.8, 1.23456)]);
    segment.tokens = vec![1, 50_256];
    segment.no_speech = Some(0.25);
    let golden = "{\"segments\":[\n\
        {\"id\":0,\"start\":0.5,\"end\":1.234,\"text\":\"\\\"Hi\\\" you\",\"words\":[\
        {\"word\":\"\\\"Hi\\\"\",\"start\":0.5,\"end\":0.8,\"probability\":0.5},\
        {\"word\":\"you\",\"start\":0.8,\"end\":1.234,\"probability\":0.5}],\
        \"tokens\":[1,50256],\"avg_logprob\":null,\"no_speech_prob\":0.25}\n\
        ],\"text\":\"\\\"Hi\\\" you\",\"language\":\"en\",\"language_probability\":0.5,\"duration\":10.0,\"unrecognized\":[]}\n";
    assert_eq!(written(Format::Json, vec![segment]), golden);
}

#[test]
fn golden_json_lines() {
    let golden = "{\"type\":\"segment\",\"start\":0.0,\"end\":1.0,\"text\":\"Hi\",\"words\":[],\"tokens\":[],\
        \"avg_logprob\":null,\"no_speech_prob\":null}\n\
        {\"type\":\"end\",\"language\":\"en\",\"language_probability\":0.5,\"duration\":10.0,\"unrecognized\":[]}\n";
    assert_eq!(written(Format::JsonLines, vec![even("Hi", 0.0, 1.0)]), golden);
}

#[test]
fn cues_end_at_sentences_and_pauses() {
    let mut words = Vec::new();
    for (index, text) in "we went down to the old harbour in the morning and then when nobody looked we took \
                          the smallest boat"
        .split(' ')
        .enumerate()
    {
        // A pause of 0.9 s after "morning".
        let start = index as f64 * 0.3 + if index > 9 { 0.9 } else { 0.0 };
        words.push(word(text, start, start + 0.3));
    }
    let cues = cues(&[timed(words)]);
    assert_eq!(cues.len(), 2);
    assert!(cues[0].lines.join(" ").ends_with("in the morning"), "{cues:?}");
}

#[test]
fn wide_characters_count_twice_and_break_anywhere() {
    let text = "これは長い文章です。".repeat(6);
    let cues = cues(&[even(&text, 0.0, 12.0)]);
    assert!(cues.len() >= 2);
    let mut all = String::new();
    for line in cues.iter().flat_map(|cue| &cue.lines) {
        assert!(tokens::width(line) <= 42, "{line}");
        assert!(!line.starts_with('。'), "{line}");
        all.push_str(line);
    }
    assert_eq!(all, text);
}

#[test]
fn flashes_join_what_follows() {
    let cues = cues(&[even("Yes.", 0.0, 0.2), even("Of course I do.", 0.2, 2.0)]);
    assert_eq!(cues.len(), 1, "{cues:?}");
    assert_eq!(cues[0].lines, ["Yes. Of course I do."]);
}

#[test]
fn a_cue_yields_to_the_next_and_comes_on_time() {
    // Too much text for its time: extended for reading, the first would run into the second.
    let first = "Extraordinarily quick announcements happen.";
    let cues = cues(&[even(first, 0.0, 1.5), even("Then this.", 1.5, 4.0)]);
    let times: Vec<_> = cues.iter().map(|cue| (cue.start, cue.end)).collect();
    assert_eq!(times, [(0, 1500), (1500, 4000)], "{cues:?}");
}

#[test]
fn slow_speech_stays_on_the_screen_until_it_is_said() {
    let words = (0..20).map(|at| word("slow", f64::from(at), f64::from(at) + 1.0)).collect();
    let cues = cues(&[timed(words)]);
    assert!(cues.len() >= 3);
    assert_eq!((cues[0].start, cues[cues.len() - 1].end), (0, 20_000));
    assert!(cues.windows(2).all(|pair| pair[0].end == pair[1].start), "{cues:?}");
}

#[test]
fn an_overlong_word_is_cut() {
    let cues = cues(&[even(&"a".repeat(100), 0.0, 2.0)]);
    assert!(cues.iter().flat_map(|cue| &cue.lines).all(|line| line.len() <= 42));
    let all: String = cues.iter().flat_map(|cue| cue.lines.iter().map(String::as_str)).collect();
    assert_eq!(all.len(), 100);
}

#[test]
fn srt_text_cannot_fake_a_cue_or_markup() {
    let text = "x\n\n2\n00:00:00,000 --> 00:00:09,000\n<font size=9>{\\an8}big</font>\r\n\r\n3 -- > 4 --> 5";
    let srt = written(Format::Srt, vec![even(text, 0.0, 4.0)]);
    assert_eq!(srt.matches("-->").count(), srt.matches("\n\n").count());
    assert!(!srt.contains("<f") && !srt.contains("</") && !srt.contains("{\\"), "{srt}");
}

/// Any text, and texts of the characters that matter to the formats.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[-<>&{\\\\/ \n\r\u{2028}a1日。,.\u{301}\u{202e}]{0,300}",
        "([a-z]{1,9}[,.]? ){0,80}"
    ]
}

fn hostile_segment() -> impl Strategy<Value = Segment> {
    let time = prop_oneof![9 => 0..1_000_000u64, 1 => any::<u64>()];
    (
        hostile(),
        time.clone(),
        time.clone(),
        prop::collection::vec((hostile(), time.clone(), time), 0..8),
        any::<bool>(),
    )
        .prop_map(|(text, start, end, words, agree)| {
            let words: Vec<Word> = words
                .into_iter()
                .map(|(text, start, end)| Word { start, end, text, probability: f32::NAN })
                .collect();
            let text = if agree { words.iter().map(|w| w.text.as_str()).collect() } else { text };
            Segment { start, end, text, words, ..Segment::default() }
        })
}

/// Segments as they really come: one after the other, words in order.
fn sane_segments() -> impl Strategy<Value = Vec<Segment>> {
    let words = prop::collection::vec(("[a-zA-Z日本]{1,20}[,.?]?", 800..20_000u64, 0..16_000u64), 1..60);
    prop::collection::vec(words, 0..4).prop_map(|segments| {
        let mut at = 0;
        let make = |(text, length, gap): (String, u64, u64)| {
            at += gap;
            let start = at;
            at += length;
            Word { start, end: at, text, probability: 1.0 }
        };
        let mut make = make;
        segments.into_iter().map(|words| timed(words.into_iter().map(&mut make).collect())).collect()
    })
}

proptest! {
    #[test]
    fn cues_keep_their_limits(segments in prop_oneof![
        prop::collection::vec(hostile_segment(), 0..5),
        sane_segments(),
    ], columns in 2..90usize, lines in 1..5usize, words in prop_oneof![1..9usize, Just(usize::MAX)]) {
        let layout = CueLayout::default().columns(columns).lines(lines).words(words);
        // A word of several pieces counts once, also where a line breaks between two of them.
        let whole = segments.iter().all(|segment| {
            tokens::tokens(segment, columns).iter().skip(1).all(|token| token.space || token.width <= 2)
        });
        let mut last = 0;
        for cue in laid_out(&segments, layout) {
            prop_assert!(cue.start >= last, "overlap: {cue:?}");
            last = cue.end;
            prop_assert!(cue.end > cue.start || cue.start == u64::MAX, "empty: {cue:?}");
            prop_assert!(cue.end - cue.start <= 7_000, "long: {cue:?}");
            prop_assert!((1..=lines).contains(&cue.lines.len()));
            for line in &cue.lines {
                prop_assert!(tokens::width(line) <= columns, "wide: {line:?}");
                prop_assert!(!line.is_empty());
            }
            let spoken: Vec<&str> = cue.lines.iter().flat_map(|line| line.split_whitespace()).collect();
            let inside_words = if whole { 0 } else { cue.lines.len() - 1 };
            prop_assert!(spoken.len() - inside_words <= words, "{words} words: {cue:?}");
            let mut time = cue.start;
            for (line, times) in cue.lines.iter().zip(&cue.times) {
                for &(at, begins) in times {
                    prop_assert!(begins > time && begins < cue.end, "{begins}: {cue:?}");
                    time = begins;
                    prop_assert!(line.is_char_boundary(at) && at < line.len(), "{at}: {cue:?}");
                }
            }
        }
    }

    #[test]
    fn no_word_is_lost_or_out_of_time(
        segments in sane_segments(),
        columns in 2..90usize,
        words in prop_oneof![1..9usize, Just(usize::MAX)],
    ) {
        let cues = laid_out(&segments, CueLayout::default().columns(columns).words(words));
        let strip = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        let said: String = segments.iter().map(|segment| strip(&segment.text)).collect();
        let shown: String = cues.iter().flat_map(|cue| cue.lines.iter().map(|line| strip(line))).collect();
        prop_assert_eq!(said, shown);
        let last = segments.last().map_or(0, |segment| milliseconds(segment.end));
        prop_assert!(cues.last().is_none_or(|cue| cue.end <= last + 4_200));
    }

    #[test]
    fn no_text_breaks_a_format(segments in prop::collection::vec(hostile_segment(), 0..5)) {
        let count = cues(&segments).len();
        for format in [Format::Srt, Format::Vtt] {
            let file = written(format, segments.clone());
            prop_assert_eq!(file.matches("-->").count(), count);
            prop_assert!(!file.contains("\n\n\n"));
            let blocks = file.split("\n\n").filter(|block| !block.is_empty()).count();
            prop_assert_eq!(blocks, count + usize::from(format == Format::Vtt));
            prop_assert!(!file.chars().any(|c| c.is_control() && c != '\n'));
        }
        prop_assert!(!written(Format::Vtt, segments.clone()).contains('<'));
        let json: serde_json::Value = serde_json::from_str(&written(Format::Json, segments.clone())).unwrap();
        prop_assert_eq!(json["segments"].as_array().map(Vec::len), Some(segments.len()));
        let lines = written(Format::JsonLines, segments.clone());
        prop_assert_eq!(lines.lines().count(), segments.len() + 1);
        for line in lines.lines() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(line).is_ok());
        }
        for line in written(Format::Text, segments).lines() {
            prop_assert!(!line.is_empty());
        }
    }
}

#[test]
fn golden_long_srt() {
    let text = "And so, my fellow Americans, ask not what your country can do for you; ask what you can do for \
                your country.";
    let golden = "1\n00:00:00,000 --> 00:00:02,148\nAnd so, my fellow Americans,\n\n\
                  2\n00:00:02,148 --> 00:00:08,000\nask not what your country can do for you;\n\
                  ask what you can do for your country.\n\n";
    assert_eq!(written(Format::Srt, vec![even(text, 0.0, 8.0)]), golden);
}

#[test]
fn cues_of_a_few_words_with_their_times() {
    let words = ["We", "went", "down,", "<all>", "of", "us."];
    let words: Vec<Word> = (0..)
        .zip(words)
        .map(|(at, text)| word(text, f64::from(at) * 0.5, f64::from(at) * 0.5 + 0.5))
        .collect();
    let layout = CueLayout::default().words(3).word_times(true);
    let mut writer = Writer::with_layout(Format::Vtt, layout, Vec::new()).unwrap();
    writer.segment(&timed(words)).unwrap();
    let vtt = String::from_utf8(writer.end(None, samples(3.0)).unwrap()).unwrap();
    let golden = "WEBVTT\n\n\
                  00:00:00.000 --> 00:00:01.500\n\
                  We<00:00:00.500> went<00:00:01.000> down,\n\n\
                  00:00:01.500 --> 00:00:03.000\n\
                  &lt;all&gt;<00:00:02.000> of<00:00:02.500> us.\n\n";
    assert_eq!(vtt, golden);
}

#[test]
fn lines_are_as_many_and_as_long_as_the_layout_says() {
    let text = "one two three four five six seven eight nine ten eleven twelve";
    let lines = |columns, lines| {
        let layout = CueLayout::default().columns(columns).lines(lines);
        laid_out(&[even(text, 0.0, 6.0)], layout).into_iter().map(|cue| cue.lines).collect::<Vec<_>>()
    };
    assert_eq!(lines(62, 1), [[text]]);
    assert_eq!(lines(24, 3), [["one two three four", "five six seven eight", "nine ten eleven twelve"]]);
    assert!(lines(10, 1).iter().all(|cue| cue.len() == 1 && cue[0].len() <= 10));
}

#[test]
fn channels_are_told_apart_in_every_format() {
    let of =
        |segments: Vec<Segment>| Transcript { duration: samples(10.0), segments, ..Transcript::default() };
    let channels = [
        of(vec![even("Good morning.", 0.0, 1.0), even("Yes, <please>.", 3.0, 4.0)]),
        of(vec![even("Can I help you?", 0.8, 2.0)]),
    ];
    let written = |format: Format| {
        let mut out = Vec::new();
        format.write_channels(&channels, CueLayout::default(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        written(Format::Text),
        "Channel 1: Good morning.\nChannel 2: Can I help you?\nChannel 1: Yes, <please>.\n"
    );
    let srt = written(Format::Srt);
    assert!(srt.starts_with("1\n00:00:00,000 --> "), "{srt}");
    assert!(srt.contains("\nChannel 1: Good morning.\n\n2\n00:00:00,800 --> "), "they overlap: {srt}");
    assert!(srt.contains("\nChannel 2: Can I help you?\n"), "{srt}");
    let vtt = written(Format::Vtt);
    assert!(vtt.starts_with("WEBVTT\n\n00:00:00.000 --> "), "{vtt}");
    assert!(vtt.contains("\n<v Channel 1>Yes, &lt;please&gt;.\n"), "{vtt}");
    let json: serde_json::Value = serde_json::from_str(&written(Format::Json)).unwrap();
    assert_eq!(json["channels"][1]["channel"], 1);
    assert_eq!(json["channels"][1]["transcript"]["text"], "Can I help you?");
    let lines: Vec<serde_json::Value> =
        written(Format::JsonLines).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| (line["type"].as_str().unwrap(), line["channel"].as_u64().unwrap()))
        .collect();
    assert_eq!(kinds, [("segment", 0), ("segment", 1), ("segment", 0), ("end", 0), ("end", 1)]);
}
