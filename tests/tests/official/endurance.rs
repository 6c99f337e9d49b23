//! Minutes of speech with hardly a pause: a later one costs as much as the first.

use hearken::SAMPLE_RATE;
use hearken::audio::Format;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken_tests::cost;
use hearken_tests::footprint::Footprint;
use hearken_tests::{prompts, speech};

use crate::field::load;

/// Silence between sentences [ms]: too little to end an utterance.
const PAUSE_MS: u32 = 300;

/// Cost of a period.
struct Period {
    cpu: f64,
    encodes: u64,
    written: i64,
}

/// Two periods of half a minute, or as many minutes as `HEARKEN_MONOLOGUE_MINUTES` says, of one
/// period that is repeated.
#[test]
fn later_speech_costs_as_much_as_the_first() {
    let Some(model) = load("tiny.en") else { return };
    let minutes =
        std::env::var("HEARKEN_MONOLOGUE_MINUTES").ok().map(|minutes| minutes.parse().expect("a number"));
    let (periods, seconds) = minutes.map_or((2, 30), |minutes: usize| (minutes, 60));
    let sentences: Vec<_> = prompts::sentences("en", 20).into_iter().map(|prompt| prompt.recording).collect();
    let mut period = speech::join(&sentences, PAUSE_MS).mono();
    assert!(period.len() >= seconds * SAMPLE_RATE as usize, "{} samples", period.len());
    period.truncate(seconds * SAMPLE_RATE as usize);
    let mut session = Session::driven(&model, SessionOptions::new(Format::MODEL)).expect("a session");
    let mut words = 0;
    let mut hear = |session: &mut Session| {
        while session.decode_pending().is_some() {}
        for event in session.events().try_iter() {
            match event {
                SessionEvent::Final { words: more, .. } => words += more.len(),
                SessionEvent::Dropped { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
    };
    let mut costs: Vec<Period> = Vec::new();
    for number in 1..=periods {
        let before = session.encodes();
        // The most at any second: an utterance's sandbox comes and goes.
        let mut written = 0;
        let cpu = cost::spent(|| {
            for second in period.chunks(SAMPLE_RATE as usize) {
                for block in second.chunks(SAMPLE_RATE as usize / 50) {
                    session.push(block).expect("it listens");
                    hear(&mut session);
                }
                written = written.max(Footprint::now().written);
            }
        });
        let encodes = session.encodes() - before;
        let ratio = cpu / costs.first().map_or(cpu, |first: &Period| first.cpu);
        println!(
            "{seconds} s, period {number}: {encodes} encoder passes, {cpu:.1} s of CPU time, {ratio:.3} of the first, {} MiB \
             written at most",
            written >> 20
        );
        costs.push(Period { cpu, encodes, written });
    }
    session.finish().expect("it was not finished");
    hear(&mut session);
    assert!(words > 100 * periods * seconds / 60, "{words} words");
    let [first, .., last] = &costs[..] else { panic!("a period has nothing to be compared with") };
    // An utterance goes over the end of a period, so that a few passes are counted here or there.
    assert!(
        last.encodes.abs_diff(first.encodes) * 20 <= first.encodes,
        "{} and {}",
        first.encodes,
        last.encodes
    );
    // A minute of samples would be 4 MiB.
    let grown = last.written - costs[costs.len() / 2 - 1].written;
    assert!(grown < 4 << 20, "{grown} bytes more");
}
