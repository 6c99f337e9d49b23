//! Minutes of speech with hardly a pause: the tenth costs as much as the first.

use hearken::SAMPLE_RATE;
use hearken::audio::Format;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken_tests::cost;
use hearken_tests::footprint::Footprint;
use hearken_tests::{prompts, speech};

use crate::field::load;

/// Silence between sentences [ms]: too little to end an utterance.
const PAUSE_MS: u32 = 300;

/// Cost of a minute.
struct Minute {
    cpu: f64,
    encodes: u64,
    written: i64,
}

/// Two minutes, or as many as `HEARKEN_MONOLOGUE_MINUTES` says, of one minute that is repeated.
#[test]
fn a_later_minute_costs_as_much_as_the_first() {
    let Some(model) = load("tiny.en") else { return };
    let minutes: usize =
        std::env::var("HEARKEN_MONOLOGUE_MINUTES").map_or(2, |minutes| minutes.parse().expect("a number"));
    let sentences: Vec<_> = prompts::sentences("en", 20).into_iter().map(|prompt| prompt.recording).collect();
    let mut minute = speech::join(&sentences, PAUSE_MS).mono();
    assert!(minute.len() >= 60 * SAMPLE_RATE as usize, "{} samples", minute.len());
    minute.truncate(60 * SAMPLE_RATE as usize);
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
    let mut costs: Vec<Minute> = Vec::new();
    for number in 1..=minutes {
        let before = session.encodes();
        let cpu = cost::spent(|| {
            for block in minute.chunks(SAMPLE_RATE as usize / 50) {
                session.push(block).expect("it listens");
                hear(&mut session);
            }
        });
        let written = Footprint::now().written;
        let encodes = session.encodes() - before;
        let ratio = cpu / costs.first().map_or(cpu, |first: &Minute| first.cpu);
        println!(
            "minute {number}: {encodes} encoder passes, {cpu:.1} s of CPU time, {ratio:.3} of the first, {} MiB \
             written",
            written >> 20
        );
        costs.push(Minute { cpu, encodes, written });
    }
    session.finish().expect("it was not finished");
    hear(&mut session);
    assert!(words > 100 * minutes, "{words} words");
    let [first, .., last] = &costs[..] else { panic!("a minute has nothing to be compared with") };
    // An utterance goes over the end of a minute, so that a few passes are counted here or there.
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
