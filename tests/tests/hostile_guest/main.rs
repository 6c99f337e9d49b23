//! Hostile guests: any misbehavior costs one utterance, in bounded time, and the host reports it.
//!
//! A model file can take over the guest through a bug in whisper.cpp. So each test puts a guest
//! that was written by hand in place of ours: one that behaves, except for what the test changes.
//! This file tests the guest's resources; `boundary` its events, `compute` its requests to the
//! host, `loading` a guest that never gets so far; `isolation` the effect on others.

mod boundary;
mod compute;
mod isolation;
mod loading;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hearken::audio::{Format, Samples};
use hearken::sandbox::Limits;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{
    Engine, Error, Model, ModelSource, Progress, SAMPLE_RATE, Share, ShareLimits, TranscribeOptions,
    Transcript,
};
use hearken_tests::guest::{Guest, MEMORY_BYTES, TEXT, escape};
use hearken_tests::model::SyntheticModel;
use rustix::time::{ClockId, clock_gettime};

/// CPU time of a call, and of loading.
const CPU: Duration = Duration::from_millis(200);

/// Linear memory.
const MEMORY: u64 = 512 << 20;

/// Position of the loud sample: in the middle of three chunks.
const LOUD: usize = 12 * SAMPLE_RATE as usize;

const LENGTH: usize = 25 * SAMPLE_RATE as usize;

/// A model that the host believes; no guest in here looks into it.
fn model_file() -> ModelSource {
    static FILE: OnceLock<Arc<[u8]>> = OnceLock::new();
    ModelSource::Bytes(Arc::clone(FILE.get_or_init(|| SyntheticModel::smallest().bytes().into())))
}

fn limits() -> Limits {
    Limits::default().cpu_per_call(CPU).cpu_to_load(CPU).memory_bytes(MEMORY)
}

fn load_module(module: Vec<u8>) -> Result<Model, Error> {
    load_within(module, limits())
}

fn load_within(module: Vec<u8>, limits: Limits) -> Result<Model, Error> {
    Engine::builder()
        .guest(module)
        .no_cache()
        .padding(false)
        .threads(1)
        .limits(limits)
        .build()?
        .load(&model_file())
}

fn load(guest: &Guest) -> Result<Model, Error> {
    load_module(guest.module())
}

/// Twenty-five seconds that are quiet, or loud at one place.
fn hear(model: &Model, loud: bool) -> Transcript {
    let mut samples = vec![0.1; LENGTH];
    if loud {
        samples[LOUD] = 0.9;
    }
    let options = TranscribeOptions::new().voice_activity(None);
    let mut source = Samples::new(samples, Format::MODEL).unwrap();
    model.transcribe(&mut source, &options, |_| {}).expect("a guest fails an utterance, not a recording")
}

/// Measures the guest's own time; time for which the machine or other tests slow it down does not
/// count.
fn spent<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let cpu = || clock_gettime(ClockId::ProcessCPUTime);
    let (wall, before) = (Instant::now(), cpu());
    let result = work();
    let after = cpu();
    let used = Duration::from_secs((after.tv_sec - before.tv_sec) as u64)
        .saturating_add(Duration::from_nanos(after.tv_nsec as u64))
        .saturating_sub(Duration::from_nanos(before.tv_nsec as u64));
    (result, used.min(wall.elapsed()))
}

/// The loud chunk is lost for a reason that has `why` in it, the chunks around it are not, and
/// neither is what comes after.
fn costs_one_utterance(name: &str, guest: &Guest, why: &str) {
    let model = load(guest).unwrap_or_else(|error| panic!("{name}: does not load: {error}"));
    let (transcript, spent) = spent(|| hear(&model, true));
    // Each chunk is tried twice, and each try may end in a call of its own for its samples.
    assert!(spent < CPU * 4 * 10, "{name}: took {spent:?}");
    let [lost] = transcript.lost.as_slice() else {
        panic!("{name}: {} chunks were lost: {:?}", transcript.lost.len(), transcript.lost)
    };
    assert!((lost.start..lost.end).contains(&(LOUD as u64)), "{name}: lost the wrong chunk: {lost:?}");
    let reason = lost.reason.to_string();
    assert!(reason.contains(why), "{name}: {reason}");
    assert!(reason.chars().count() < 400, "{name}: {} characters of reason", reason.len());
    assert!(!reason.contains(char::is_control), "{name}: {reason:?}");
    assert!(transcript.segments.len() >= 2, "{name}: its neighbors were lost too");
    assert!(transcript.segments.iter().all(|segment| segment.text == TEXT), "{name}");
    assert_eq!(transcript.duration, LENGTH as u64, "{name}");

    let after = hear(&model, false);
    assert!(after.lost.is_empty(), "{name}: a later recording was lost: {:?}", after.lost);
    assert!(after.segments.len() >= 3, "{name}");
}

#[test]
fn a_well_behaved_guest_works() {
    let model = load(&Guest::default()).unwrap();
    assert_eq!(model.whisper_cpp(), "by hand");
    for loud in [false, true] {
        let transcript = hear(&model, loud);
        assert!(transcript.lost.is_empty(), "{:?}", transcript.lost);
        assert!(transcript.segments.len() >= 3);
        assert!(transcript.segments.iter().all(|segment| segment.text == TEXT && segment.words.len() == 2));
    }
}

#[test]
fn a_small_ring_is_filled_again_and_again() {
    for slots in [1, 64, 4096] {
        // A ring of one slot takes a call for each sample, all in the time of one call: what an
        // attack is given is too little for that on a slow machine.
        let mut guest = Guest::default();
        guest.header[0] = slots;
        let limits = limits().cpu_per_call(20 * CPU);
        let model = load_within(guest.module(), limits).unwrap();
        let transcript = hear(&model, true);
        assert!(transcript.lost.is_empty(), "{slots} slots: {:?}", transcript.lost);
    }
}

#[test]
fn a_guest_that_does_not_end_is_ended() {
    for (name, attack) in [
        ("an endless loop", "(loop $for_ever (br $for_ever))"),
        ("a loop of host calls", "(loop $more (drop (call $random_get (i32.const 65536) (i32.const 65536))) (br $more))"),
        ("a loop of host calls that are refused", "(loop $more (drop (call $random_get (i32.const 0) (i32.const -1))) (br $more))"),
        (
            "a log without end",
            // 64 pieces, each all of memory from address 0 on, as often as there is time.
            "(loop $piece
               (i32.store (i32.add (i32.const 65536) (i32.shl (local.get $i) (i32.const 3))) (i32.const 0))
               (i32.store (i32.add (i32.const 65540) (i32.shl (local.get $i) (i32.const 3))) (i32.shl (memory.size) (i32.const 16)))
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $piece (i32.lt_u (local.get $i) (i32.const 64))))
             (loop $more
               (drop (call $fd_write (i32.const 2) (i32.const 65536) (i32.const 64) (i32.const 8)))
               (br $more))",
        ),
        (
            "lists of pieces that are too long",
            "(loop $more (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 8))) (br $more))",
        ),
    ] {
        costs_one_utterance(name, &Guest::attacking(attack), "of CPU time in one call");
    }
    let guest = Guest {
        drain: "(if (global.get $loud) (then (loop $l (br $l)))) (call $read_all)".to_owned(),
        ..Guest::default()
    };
    costs_one_utterance(
        "an endless loop while it takes samples in",
        &Guest { header: [1024, 0x2_0000, 0, 0], ..guest },
        "of CPU time in one call",
    );
}

/// It is preempted by a share that has used less, and resumed: it has neither the only thread to
/// itself nor a smaller budget.
#[test]
fn a_guest_that_does_not_end_lets_others_go_first() {
    let guest = Guest::attacking("(loop $for_ever (br $for_ever))");
    let limits = limits().cpu_per_call(Duration::from_secs(4));
    let model = load_within(guest.module(), limits).unwrap();
    let recording = |level| {
        let mut samples = vec![0.1; LENGTH];
        samples[LOUD] = level;
        Samples::new(samples, Format::MODEL).unwrap()
    };
    let options = || TranscribeOptions::new().voice_activity(None).share(Share::new(1));
    let (hears, heard) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let hostile = scope.spawn(|| {
            model.transcribe(&mut recording(0.9), &options(), |progress| {
                // The chunk before the loud one: that one is next.
                if matches!(progress, Progress::Segment(_)) {
                    let _ = hears.send(());
                }
            })
        });
        heard.recv().unwrap();
        for _ in 0..3 {
            let honest = model.transcribe(&mut recording(0.1), &options(), |_| {}).unwrap();
            assert!(honest.lost.is_empty(), "{:?}", honest.lost);
        }
        assert!(!hostile.is_finished(), "it was waited for");
        let lost = hostile.join().unwrap().unwrap().lost;
        assert_eq!(lost.len(), 1, "{lost:?}");
        assert!(lost[0].reason.to_string().contains("4s of CPU time in one call"), "{}", lost[0].reason);
    });
}

/// Writes to `pages` pages of 4 KiB behind its own memory.
fn writing(pages: u32) -> String {
    format!(
        "(drop (memory.grow (i32.const {})))
         (local.set $i (i32.const 0))
         (loop $next
           (i32.store (i32.add (i32.const {MEMORY_BYTES}) (i32.shl (local.get $i) (i32.const 12))) (i32.const 1))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $next (i32.lt_u (local.get $i) (i32.const {pages}))))",
        pages / 16
    )
}

/// A share of threads whose guests may hold 64 MiB.
fn narrow() -> Share {
    Share::limited(1, &ShareLimits::default().memory_bytes(64 << 20))
}

/// The limit of growth is one thing, that of written memory another, and the latter is checked
/// while it runs.
#[test]
fn a_guest_writes_no_more_than_its_share_may_hold() {
    let write = writing(80 << 8);
    for (name, attack) in [("once", write.clone()), ("for ever", format!("(loop $more {write} (br $more))"))]
    {
        let model = load(&Guest::attacking(&attack)).unwrap();
        let options = TranscribeOptions::new().voice_activity(None).share(narrow());
        let mut samples = vec![0.1; LENGTH];
        samples[LOUD] = 0.9;
        let mut source = Samples::new(samples, Format::MODEL).unwrap();
        let transcript = model.transcribe(&mut source, &options, |_| {}).unwrap();
        let [lost] = transcript.lost.as_slice() else { panic!("{name}: {:?}", transcript.lost) };
        assert!(
            lost.reason.to_string().contains("more than 64 MiB of memory besides"),
            "{name}: {}",
            lost.reason
        );
        assert!(transcript.segments.len() >= 2, "{name}");
        // Nobody who has no such limit notices.
        assert!(hear(&model, false).lost.is_empty(), "{name}");
    }
}

/// One instruction writes as much as there is, and nothing can stop it: what the guest may not
/// write it does not get.
#[test]
fn a_single_instruction_writes_no_more_than_its_share_may_hold() {
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
    };
    let fill = "(drop (memory.grow (i32.const 6000)))
        (memory.fill (i32.const 0x200000) (i32.const 1)
          (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 0x200000)))";
    let model = load(&Guest::attacking(fill)).unwrap();
    assert!(hear(&model, false).lost.is_empty());
    let options = TranscribeOptions::new().voice_activity(None).share(narrow());
    let mut samples = vec![0.1; LENGTH];
    samples[LOUD] = 0.9;
    let before = peak();
    let transcript =
        model.transcribe(&mut Samples::new(samples, Format::MODEL).unwrap(), &options, |_| {}).unwrap();
    assert_eq!(transcript.lost.len(), 1, "{:?}", transcript.lost);
    // 375 MiB are asked for, 64 are what it may have; its own memory has one.
    let more = peak() - before;
    assert!(more < 120, "{more} MiB were written");
}

/// Guests that wait for their next call hold no more together than their share may; nothing is lost
/// by that.
#[test]
fn guests_that_hold_too_much_together_do_not_wait() {
    let model = load(&Guest::attacking(&writing(40 << 8))).unwrap();
    let options = SessionOptions::new(Format::MODEL).voice_activity(None).share(narrow());
    let mut sessions = [(); 2].map(|()| {
        let mut session = Session::driven(&model, options.clone()).unwrap();
        session.begin().unwrap();
        session.push(&[0.1; 16_000]).unwrap();
        assert!(!session.decode_pending().unwrap().given_up);
        session
    });
    let mut loud = [0.1; 16_000];
    loud[8_000] = 0.9;
    let given_up = sessions.each_mut().map(|session| {
        session.push(&loud).unwrap();
        session.decode_pending().unwrap().given_up
    });
    assert_eq!(given_up, [false, true]);
    for mut session in sessions {
        session.finish().unwrap();
        assert!(session.decode_pending().unwrap().last);
        let events: Vec<_> = session.events().iter().collect();
        let count = |wanted: fn(&SessionEvent) -> bool| events.iter().filter(|event| wanted(event)).count();
        assert_eq!(count(|event| matches!(event, SessionEvent::Final { .. })), 1, "{events:?}");
        assert_eq!(count(|event| matches!(event, SessionEvent::Dropped { .. })), 0, "{events:?}");
    }
}

/// It may be asked thousands of times for one window: they share one budget.
#[test]
fn a_guest_that_is_slow_at_each_of_many_calls_is_ended() {
    let dawdle = "(if (global.get $loud) (then
        (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 20000000))))))
        (call $read_all)";
    let guest = Guest { drain: dawdle.to_owned(), header: [16, 0x2_0000, 0, 0], ..Guest::default() };
    costs_one_utterance("dawdling", &guest, "of CPU time in one call");
}

#[test]
fn a_guest_that_wants_everything_gets_its_limit() {
    costs_one_utterance(
        "a memory bomb",
        &Guest::attacking(
            "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) unreachable",
        ),
        "needs more than 512 MiB",
    );
    costs_one_utterance(
        "all memory at once",
        &Guest::attacking("(if (i32.eq (memory.grow (i32.const 65000)) (i32.const -1)) (then unreachable))"),
        "needs more than 512 MiB",
    );
    let deep = Guest {
        fields: "(func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))"
            .to_owned(),
        ..Guest::attacking("(drop (call $deep (i32.const 0)))")
    };
    costs_one_utterance("deep recursion", &deep, "stack overflowed");
}

#[test]
fn a_guest_that_stops_is_explained() {
    costs_one_utterance("unreachable", &Guest::attacking("unreachable"), "it aborted");
    costs_one_utterance("exit", &Guest::attacking("(call $proc_exit (i32.const 0))"), "it aborted");
    costs_one_utterance(
        "a wild pointer",
        &Guest::attacking("(drop (i32.load (i32.const -4)))"),
        "reached outside its memory",
    );
    costs_one_utterance(
        "a wild call",
        &Guest {
            fields: "(table 4 funcref) (type $t (func))".to_owned(),
            ..Guest::attacking("(call_indirect (type $t) (i32.const 3))")
        },
        "indirect call to a function of the wrong type",
    );
    costs_one_utterance(
        "division by zero",
        &Guest::attacking("(drop (i32.div_u (i32.const 1) (i32.const 0)))"),
        "broke a rule",
    );
    let last_words = |text: &str| {
        let attack = format!(
            "(i32.store (i32.const 8) (i32.const 0x8400)) (i32.store (i32.const 12) (i32.const {}))
             (drop (call $fd_write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 8))) unreachable",
            text.len()
        );
        let bytes = escape(text.as_bytes());
        Guest { fields: format!("(data (i32.const 0x8400) \"{bytes}\")"), ..Guest::attacking(&attack) }
    };
    costs_one_utterance("last words", &last_words("so long\n\n"), "it aborted (so long)");
    costs_one_utterance("an escape as last words", &last_words("\x1b[2Jgone\x07\u{202e}"), "([2Jgone)");
    costs_one_utterance("a book of last words", &last_words(&"word ".repeat(1000)), "(word word");
}

#[test]
fn an_answer_that_is_no_success_is_a_failure() {
    for (status, why) in [
        (1, "could not read the request"),
        (2, "holds no model"),
        (3, "refused the model"),
        (4, "failed to decode"),
        (5, "does not know this language"),
        (6, "cannot translate"),
        (7, "longer than the model's context"),
        (8, "status 8"),
        (-1, "status -1"),
        (i32::MIN, "status -2147483648"),
    ] {
        let attack = format!("(return (i32.const {status}))");
        costs_one_utterance(&format!("status {status}"), &Guest::attacking(&attack), why);
    }
}
