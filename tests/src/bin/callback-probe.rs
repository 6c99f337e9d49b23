//! Runs what an audio callback runs on a thread that the kernel ends, and the process with it, at
//! its first system call.
//!
//! `callback-probe write` (the ring) and `callback-probe push` (the C interface's input) survive
//! and say how many frames were taken; `allocate`, `lock` and `print` show that the trap is set.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hearken::audio::{Format, RingRead, ring};
use hearken_tests::capi::Voice;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

const FORMAT: Format = Format { sample_rate: 48_000, channels: 2 };

/// Frames of one call, and calls: half an hour of audio.
const BLOCK: usize = 480;
const CALLS: u64 = 180_000;

/// Audio that a ring holds: the reader keeps up at times, and at times does not.
const HELD: Duration = Duration::from_millis(50);

/// Number of times other threads use the interface while audio is pushed into the input.
const DISTURBANCES: u64 = 300;

static READY: AtomicBool = AtomicBool::new(false);
static DISTURBED: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicBool = AtomicBool::new(false);
static LOCK: Mutex<()> = Mutex::new(());

fn main() {
    let what = std::env::args().nth(1).unwrap_or_default();
    let filter = SeccompFilter::new(
        BTreeMap::new(),
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into().expect("an architecture that seccomp filters know"),
    );
    let filter: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
    let (mut writer, mut reader) = ring(FORMAT, HELD).expect("a ring");
    let voice = (what == "push").then(|| Voice::start(FORMAT));
    let input = voice.as_ref().map(|voice| voice.open_input(HELD));
    let block: Vec<i16> = (0..BLOCK * 2).map(|n| n as i16).collect();
    let held = LOCK.lock();
    std::thread::spawn(move || {
        apply_filter(&filter).expect("the kernel takes the filter");
        READY.store(true, Ordering::Release);
        match what.as_str() {
            // A ring with room, without, and gaps.
            "write" => (0..CALLS).for_each(|_| {
                writer.write(block.iter().map(|sample| f32::from(*sample) / 32_768.0));
            }),
            "push" => {
                let mut calls = 0;
                while calls < CALLS || DISTURBED.load(Ordering::Relaxed) < DISTURBANCES {
                    input.iter().for_each(|input| input.push(&block));
                    calls += 1;
                }
            }
            "allocate" => drop(black_box(vec![1u8; 64 << 20])),
            "lock" => drop(LOCK.lock()),
            "print" => println!("this is a system call"),
            other => panic!("unknown task {other:?}"),
        }
        DONE.store(true, Ordering::Release);
        // Ending a thread takes system calls, too.
        loop {
            std::hint::spin_loop();
        }
    });
    while !READY.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    let (mut block, mut taken, mut lost) = (Vec::new(), 0, 0);
    loop {
        let done = DONE.load(Ordering::Acquire);
        // Everything that takes the interface's locks, all the while: if a push took one of them,
        // it would have to wait.
        if let Some(voice) = voice {
            voice.disturb();
            DISTURBED.fetch_add(1, Ordering::Relaxed);
        }
        match reader.read(&mut block) {
            RingRead::Frames(frames) => taken += frames,
            RingRead::Lost(frames) => lost += frames,
            _ if done => break,
            _ => std::thread::yield_now(),
        }
    }
    drop(held);
    if let Some(voice) = voice {
        (taken, lost) = voice.finish();
    }
    println!("{taken} frames taken, {lost} lost");
    std::process::exit(0);
}
