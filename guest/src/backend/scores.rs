//! Memory for scores: what the tokens of a decode take, where whisper.cpp reserves it for all
//! places of a text, twice.
//!
//! A score for each of 51,864 words at each of 448 places is 89 MiB. whisper.cpp reserves as many
//! for what a decode computes and for what it hands out; a decode has one token, or those of a
//! prompt. Here what is computed is planned for [`PLANNED`] tokens, and ggml makes a larger buffer
//! if there are ever more. What is handed out is a vector that grows: its reservation is taken back
//! when the state is made.
//!
//! Both only where the guest computes by itself, as in a browser. In the host's snapshot, memory
//! that nobody touches costs nothing, and growing it would.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

use whisper_rs::whisper_rs_sys as sys;

use super::ffi::GgmlTensor;

/// Tokens whose scores have their memory from the beginning: more than the prompts of most
/// decodes.
const PLANNED: usize = 64;

/// Minimum size of a vocabulary whose scores are saved on. With less words there is little to gain,
/// and the reservation could have the size of another allocation.
const MANY_WORDS: usize = 1024;

/// All scores of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scores {
    /// Words of the vocabulary.
    words: usize,
    /// Places of a text.
    places: usize,
}

impl Scores {
    /// Size of all of them, if they are enough to be saved on, in bytes.
    fn bytes(self) -> Option<usize> {
        let Self { words, places } = self;
        let bytes = words.checked_mul(places)?.checked_mul(size_of::<f32>())?;
        (words >= MANY_WORDS && places > PLANNED).then_some(bytes)
    }
}

/// A reservation of scores that got a place of one byte.
#[derive(Debug, Clone, Copy)]
struct Reservation {
    place: *mut c_void,
    /// Bytes that were asked for.
    len: usize,
}

/// The allocations of a state that is being made.
#[derive(Debug, Clone, Copy)]
struct Making {
    scores: Scores,
    /// The first allocation: the state itself.
    state: Option<Reservation>,
    /// The scores that a decode hands out.
    reserved: Option<Reservation>,
}

thread_local! {
    // The guest has one thread, so these are plain statics, and part of the snapshot.
    static IS_SPARING: Cell<bool> = const { Cell::new(false) };
    /// The state that is being made, until it is.
    static MAKING: Cell<Option<Making>> = const { Cell::new(None) };
}

/// Lets the states that are made from now on have memory for scores as decodes need it.
pub(crate) fn spare() {
    IS_SPARING.set(true);
}

/// Size that a tensor has in the plan of a decode of all places, if it holds all scores.
pub(super) fn planned(tensor: &GgmlTensor) -> Option<usize> {
    let Scores { words, places } = MAKING.get().filter(|making| making.scores.bytes().is_some())?.scores;
    let extent = tensor.ne.map(|extent| usize::try_from(extent).unwrap_or(usize::MAX));
    (extent == [words, places, 1, 1]).then_some(words * PLANNED * size_of::<f32>())
}

unsafe extern "C" {
    /// `operator new`.
    fn __real__Znwm(size: usize) -> *mut c_void;
    /// `operator delete`.
    fn _ZdlPv(memory: *mut c_void);
    fn __real_whisper_init_state(context: *mut sys::whisper_context) -> *mut sys::whisper_state;
}

/// Takes the place of `operator new` (the linker's `--wrap`).
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap__Znwm(size: usize) -> *mut c_void {
    let Some(mut making) = MAKING.get() else {
        // SAFETY: the argument is the caller's own.
        return unsafe { __real__Znwm(size) };
    };
    let is_scores = making.reserved.is_none() && making.scores.bytes() == Some(size);
    // SAFETY: whisper.cpp reserves scores in a vector, and writes none before the first decode;
    // until then the reservation is taken back.
    let place = unsafe { __real__Znwm(if is_scores { 1 } else { size }) };
    let made = Reservation { place, len: size };
    if is_scores {
        making.reserved = Some(made);
    }
    making.state.get_or_insert(made);
    MAKING.set(Some(making));
    place
}

/// Takes the place of whisper.cpp's function (the linker's `--wrap`).
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_whisper_init_state(
    context: *mut sys::whisper_context,
) -> *mut sys::whisper_state {
    // SAFETY: the argument is the caller's own: a valid context, here and below.
    unsafe {
        if !IS_SPARING.get() {
            return __real_whisper_init_state(context);
        }
        let count = |count: i32| usize::try_from(count).unwrap_or_default();
        let (words, places) = (sys::whisper_n_vocab(context), sys::whisper_n_text_ctx(context));
        let scores = Scores { words: count(words), places: count(places) };
        MAKING.set(Some(Making { scores, state: None, reserved: None }));
        let state = __real_whisper_init_state(context);
        let made = MAKING.take();
        let Some(Making { state: Some(first), reserved: Some(reserved), .. }) = made else { return state };
        if state.is_null() || (ptr::eq(first.place.cast(), state) && take_back(first, reserved)) {
            return state;
        }
        // A decode would write where there is no memory.
        sys::whisper_free_state(state);
        ptr::null_mut()
    }
}

/// Makes the vector in `state` that has the reservation an empty one without memory. Returns false
/// if there is none.
///
/// # Safety
///
/// `state` is a structure of this size that is alive, and that nobody else uses meanwhile. The
/// reservation's address is stored in it, and nowhere else.
unsafe fn take_back(state: Reservation, reserved: Reservation) -> bool {
    // libc++'s vector: the beginning, the end of what it holds, and of what it could.
    let vector = [reserved.place, reserved.place, reserved.place.wrapping_byte_add(reserved.len)];
    let words = state.place.cast::<[*mut c_void; 3]>();
    let offsets = (state.len + 1).saturating_sub(size_of_val(&vector));
    for offset in (0..offsets).step_by(align_of_val(&vector)) {
        // SAFETY: the caller's: three words inside the structure, each aligned. Words that hold no
        // pointers are only compared.
        unsafe {
            let place = words.byte_add(offset);
            if place.read() == vector {
                // An empty vector has no memory, and is what a fresh one is.
                place.write([ptr::null_mut(); 3]);
                _ZdlPv(reserved.place);
                return true;
            }
        }
    }
    false
}
