//! An audio callback may neither wait, allocate nor call the system: what hearken does in one is
//! held to that.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::time::Duration;

use hearken::audio::{Format, RingRead, ring};
use hearken_tests::capi::Voice;
use hearken_tests::command::settle;
use rustix::process::Signal;

fn probe(task: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callback-probe"));
    settle(&mut command);
    command.arg(task).output().expect("the probe runs")
}

/// A lock that another thread holds is a system call, so this counts those too: a thread reads the
/// ring all the while.
#[test]
fn it_makes_no_system_call_and_waits_for_no_lock() {
    survives("write");
}

/// The same of the C interface, while other threads make, use and free sessions and inputs.
#[test]
fn the_c_interfaces_input_makes_no_system_call_and_waits_for_no_lock() {
    survives("push");
}

fn survives(task: &str) {
    let output = probe(task);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{:?} {}", output.status, String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(!said.starts_with("0 frames"), "nothing was taken: {said}");
}

#[test]
fn the_trap_is_set() {
    for task in ["allocate", "lock", "print"] {
        let output = probe(task);
        assert_eq!(output.status.signal(), Some(Signal::SYS.as_raw()), "{task}: {output:?}");
    }
}

#[test]
fn it_asks_for_no_memory() {
    let (mut writer, mut reader) =
        ring(Format { sample_rate: 48_000, channels: 2 }, Duration::from_millis(50)).unwrap();
    let samples = vec![0.25f32; 960];
    let mut block = Vec::with_capacity(1 << 16);
    let (mut taken, mut lost) = (0, 0);
    for round in 0..2_000 {
        let asked = allocation_counter::measure(|| writer.write(samples.iter().copied()));
        assert_eq!((asked.count_total, asked.bytes_total), (0, 0), "in round {round}");
        // The reader is late, most of the time.
        if round % 21 > 13 {
            loop {
                match reader.read(&mut block) {
                    RingRead::Frames(frames) => taken += frames,
                    RingRead::Lost(frames) => lost += frames,
                    _ => break,
                }
            }
        }
    }
    assert!(taken > 0 && lost > 0, "a ring with room and one without: {taken}, {lost}");
    // The counter counts.
    assert!(allocation_counter::measure(|| drop(std::hint::black_box(vec![0u8; 100]))).count_total > 0);
}

#[test]
fn the_c_interfaces_input_asks_for_no_memory() {
    let voice = Voice::start(Format { sample_rate: 48_000, channels: 2 });
    let input = voice.open_input(Duration::from_millis(50));
    let samples = vec![100i16; 960];
    for round in 0..2_000 {
        let asked = allocation_counter::measure(|| input.push(&samples));
        assert_eq!((asked.count_total, asked.bytes_total), (0, 0), "in round {round}");
    }
    let (taken, lost) = voice.finish();
    assert!(taken > 0 && lost > 0, "a ring with room and one without: {taken}, {lost}");
    // The ordinary push does, and says so.
    let ordinary = Voice::start(Format { sample_rate: 48_000, channels: 2 });
    assert!(allocation_counter::measure(|| ordinary.push(&samples)).count_total > 0);
}
