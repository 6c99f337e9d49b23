//! The spectrogram that whisper.cpp sees, made by the backend's kernels: its own takes as long as
//! half of the encoder.

use std::cell::RefCell;
use std::ffi::c_int;

use hearken_proto::HOP_LENGTH;
use whisper_rs::whisper_rs_sys as sys;

use crate::backend::spectrogram::{Spectrogram, frames, frames_heard};
use crate::loader;

thread_local! {
    // The guest has one thread, so this is a plain static, and part of the snapshot.
    static SPECTROGRAM: RefCell<Option<Spectrogram>> = const { RefCell::new(None) };
}

/// Registers this spectrogram, with the filters of the latest model.
pub(crate) fn register() {
    SPECTROGRAM.set(Spectrogram::of_model(&loader::take_beginning()));
}

/// Part of a window that whisper.cpp is to decode [ms]. It would take the silence after the samples
/// for part of them, since it knows only how long the spectrogram is with it.
pub(crate) fn duration_ms(samples: usize) -> c_int {
    let milliseconds =
        frames_heard(samples) * HOP_LENGTH as usize * 1000 / hearken_proto::SAMPLE_RATE as usize;
    c_int::try_from(milliseconds).unwrap_or(c_int::MAX)
}

unsafe extern "C" {
    fn __real_whisper_pcm_to_mel_with_state(
        context: *mut sys::whisper_context,
        state: *mut sys::whisper_state,
        samples: *const f32,
        count: c_int,
        threads: c_int,
    ) -> c_int;
}

/// Takes the place of whisper.cpp's function (the linker's `--wrap`), which everything in it calls,
/// too.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_whisper_pcm_to_mel_with_state(
    context: *mut sys::whisper_context,
    state: *mut sys::whisper_state,
    samples: *const f32,
    count: c_int,
    threads: c_int,
) -> c_int {
    SPECTROGRAM.with_borrow_mut(|spectrogram| {
        let Some(spectrogram) = spectrogram else {
            // SAFETY: the arguments are the caller's own, passed on as they came.
            return unsafe { __real_whisper_pcm_to_mel_with_state(context, state, samples, count, threads) };
        };
        let len = usize::try_from(count).unwrap_or_default();
        // SAFETY: the caller passes this number of samples.
        let samples = unsafe { std::slice::from_raw_parts(samples, len) };
        let mel = spectrogram.compute(samples);
        let (frames, bands) = (frames(len) as c_int, spectrogram.bands() as c_int);
        // SAFETY: context and state are the caller's; whisper.cpp copies `frames` numbers for each
        // of `bands` bands.
        unsafe { sys::whisper_set_mel_with_state(context, state, mel.as_ptr(), frames, bands) }
    })
}
