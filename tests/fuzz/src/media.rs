//! A recording that somebody made to do harm, given to what decodes recordings inside the sandbox:
//! built for the host, where the sanitizer sees what it does. Nothing that it could do there would
//! leave the sandbox.

#![no_main]

use std::io;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use hearken_media::{Bytes, Container, Source};
use hearken_proto::media::{Report, Track};
use libfuzzer_sys::fuzz_target;

/// Samples that are decoded of one input, and reports.
const SAMPLES: usize = 1 << 20;
const REPORTS: usize = 10_000;

static HOOKED: Once = Once::new();

struct Input(Vec<u8>);

impl Bytes for Input {
    fn read_at(&mut self, position: u64, out: &mut [u8]) -> io::Result<usize> {
        let bytes = usize::try_from(position).ok().and_then(|position| self.0.get(position..));
        io::Read::read(&mut bytes.unwrap_or_default(), out)
    }
}

fuzz_target!(|bytes: &[u8]| {
    HOOKED.call_once(|| {
        let abort = take_hook();
        set_hook(Box::new(move |panic| {
            if !is_expected(panic) {
                abort(panic);
            }
        }));
    });
    for seekable in [true, false] {
        let source = Source::new(Input(bytes.to_vec()), seekable.then_some(bytes.len() as u64), seekable);
        // A panic of symphonia's ends a guest, and is a damaged file.
        let _ = catch_unwind(AssertUnwindSafe(|| decode(source)));
    }
});

fn decode(source: Source) {
    let Ok(mut container) = Container::open(source, None, &Track::Default) else { return };
    container.facts();
    let (mut block, mut samples) = (Vec::new(), 0);
    for _ in 0..REPORTS {
        match container.next(&mut block) {
            Report::Audio { samples: reported, channels, .. } => {
                assert_eq!(reported as usize, block.len());
                assert_eq!(block.len() % channels.max(1) as usize, 0);
                samples += block.len();
            }
            Report::Skipped { .. } | Report::Restarted(_) => {}
            Report::Opened(_) => panic!("it was open"),
            Report::End | Report::Failed(_) => return,
        }
        if samples > SAMPLES {
            return;
        }
    }
}

/// Returns true for panics of a library, which are contained; one of ours is a defect.
fn is_expected(panic: &PanicHookInfo<'_>) -> bool {
    panic.location().is_some_and(|location| location.file().contains("/symphonia"))
}
