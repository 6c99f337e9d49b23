//! A second sandbox costs what it writes, not what its model weighs.

use std::time::{Duration, Instant};

use hearken::{Engine, Model, ModelSource};
use hearken_tests::footprint::Footprint;
use hearken_tests::model::SyntheticModel;
use parking_lot::{Mutex, MutexGuard};
use wasmparser::{Parser, Payload, TypeRef};

/// Tolerance for a few pages of the allocator's and the kernel's own: 1 MiB.
const SLACK: i64 = 1 << 20;

/// One at a time: what is measured is the process's.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock()
}

/// A model whose weights outweigh what a short decode writes: most of it is the table of 51,864
/// tokens.
fn heavy() -> (Model, i64) {
    let model = SyntheticModel { n_audio_ctx: 100, n_state: 512, n_head: 8, ..SyntheticModel::smallest() };
    let bytes = model.bytes();
    let len = bytes.len() as i64;
    let engine = Engine::builder().no_cache().threads(1).build().expect("an engine");
    (engine.load(&ModelSource::Bytes(bytes.into())).expect("hearken loads it"), len)
}

#[test]
fn a_second_sandbox_takes_under_a_millisecond() {
    let _alone = alone();
    let (model, _) = heavy();
    let first = model.sandbox().expect("a sandbox");
    let mut times: Vec<Duration> = (0..201)
        .map(|_| {
            let start = Instant::now();
            let sandbox = model.sandbox().expect("a sandbox");
            let time = start.elapsed();
            drop(sandbox);
            time
        })
        .collect();
    times.sort();
    let median = times[times.len() / 2];
    println!(
        "{first:?}: another one takes {median:?} (median; {:?} to {:?})",
        times[0],
        times[times.len() - 1]
    );
    assert!(median < Duration::from_millis(1), "{median:?}");
}

#[test]
fn a_second_sandbox_shares_its_models_memory() {
    let _alone = alone();
    let (model, weight) = heavy();
    let samples: Vec<f32> = (0..24_000).map(|n| (n as f32 * 0.1).sin() * 0.3).collect();
    let mut first = model.sandbox().expect("a sandbox");
    let heard = first.score(&samples, None, &[100, 200, 300]).expect("scores");

    let before = Footprint::now();
    let mut second = model.sandbox().expect("a sandbox");
    let idle = Footprint::now().since(before);
    let heard_again = second.score(&samples, None, &[100, 200, 300]).expect("scores");
    let busy = Footprint::now().since(before);

    println!("a model of {weight} bytes; a second sandbox adds {idle:?}, and after a decode {busy:?}");
    assert_eq!(heard, heard_again);
    assert!(idle.proportional < SLACK, "a sandbox that does nothing takes {idle:?}");
    assert!(busy.proportional < busy.written + SLACK, "it takes more than it wrote: {busy:?}");
    assert!(busy.proportional < weight / 2, "{busy:?} is as much as a copy of {weight} bytes");
    drop((first, second));
}

#[test]
fn a_dropped_sandbox_gives_everything_back() {
    let _alone = alone();
    let (model, _) = heavy();
    let samples = vec![0.1; 24_000];
    let decode = || drop(model.score(&samples, None, &[100]).expect("scores"));
    // The first leaves behind what is made once: mapped pages of the image, the allocator's arenas.
    decode();
    let before = Footprint::now();
    for _ in 0..5 {
        decode();
    }
    let after = Footprint::now().since(before);
    assert!(after.proportional < SLACK, "five sandboxes left {after:?}");
}

/// The workspace lies behind the snapshot, where no page is a copy of another, and on large pages,
/// where the kernel has some.
#[test]
fn computed_results_are_no_part_of_the_snapshot() {
    let _alone = alone();
    let (model, _) = heavy();
    let before = on_large_pages();
    let sandbox = model.sandbox().expect("a sandbox");
    let after = on_large_pages();
    println!("{after:?} bytes, {before:?} without the sandbox");
    assert!(after[0] >= before[0] + (2 << 20), "nothing of it is to be on large pages");
    assert_eq!(after[1], 0, "a part of the snapshot is to be on large pages");
    drop(sandbox);
}

/// Bytes for which this process has asked for large pages: of memory, and of files that are mapped.
fn on_large_pages() -> [u64; 2] {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("the kernel's account of this process");
    let (mut bytes, mut len, mut is_file) = ([0; 2], 0, 0);
    for line in maps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["Size:", size, _] => len = size.parse::<u64>().expect("a number of kB") << 10,
            ["VmFlags:", ref flags @ ..] if flags.contains(&"hg") => bytes[is_file] += len,
            // Addresses, rights, offset, device, and the file's number.
            [_, _, _, _, file, ..] if words[0].contains('-') => is_file = usize::from(file != "0"),
            _ => {}
        }
    }
    bytes
}

/// An imported memory would be the host's to fill: each sandbox would get a copy of the model.
#[test]
fn the_guest_brings_its_own_unshared_memory() {
    let mut memories = 0;
    for payload in Parser::new(0).parse_all(hearken::testing::guest()) {
        match payload.expect("a valid module") {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import.expect("a valid import");
                    let what = format!("the guest imports {}.{}", import.module, import.name);
                    assert!(matches!(import.ty, TypeRef::Func(_)), "{what}, which is no function");
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory.expect("a valid memory");
                    assert!(!memory.shared && !memory.memory64, "{memory:?}");
                    memories += 1;
                }
            }
            _ => {}
        }
    }
    assert_eq!(memories, 1);
}
