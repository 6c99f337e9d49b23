//! Memory for scores: what it takes for the tokens of a decode, where whisper.cpp reserves it for
//! all places of a text, twice.
//!
//! A score for each of 51,864 words at each of 448 places is 89 MiB. whisper.cpp reserves them for
//! what a decode computes and for what it hands out; a decode has one token, or those of a prompt.
//! What is computed is planned for [`PLANNED`] tokens, and ggml makes a larger buffer if there are
//! ever more. What is handed out has an address behind the end of memory, which grows when scores
//! come. Both only where the guest computes by itself: in the host's snapshot, memory that nobody
//! touches costs nothing, and growing it would.

use std::arch::wasm32::{memory_grow, memory_size};
use std::cell::Cell;
use std::ffi::c_void;
use std::ops::Range;
use std::ptr;

use super::ffi::{GgmlTensor, Graph, STATUS_FAILED};
use super::workspace::PAGE;

/// Tokens whose scores have their memory from the beginning: more than the prompts of most
/// decodes.
const PLANNED: usize = 64;

/// Memory before the scores that are handed out, for what is allocated after the state: audio,
/// spectrograms, hypotheses, and readers of recordings. Were it too little, all scores would become
/// memory.
const ROOM: usize = 8 << 20;

/// All scores of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scores {
    /// Words of the vocabulary.
    words: usize,
    /// Places of a text.
    places: usize,
}

/// What is done with the allocation of all scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// It gets next to nothing: nothing is written before the first decode.
    Rehearse(Scores),
    /// It gets addresses behind the end of memory.
    Reserve(Scores),
}

/// Addresses of the scores that are handed out.
#[derive(Debug, Clone, Copy)]
struct Reserved {
    words: usize,
    /// What is left of the room before them.
    room: usize,
    start: usize,
    end: usize,
}

thread_local! {
    // The guest has one thread, so these are plain statics, and part of the snapshot.
    /// The state that is being made, until it is.
    static PLANNING: Cell<Option<Scores>> = const { Cell::new(None) };
    /// The allocation that is awaited, until it comes.
    static AWAITED: Cell<Option<Plan>> = const { Cell::new(None) };
    static RESERVED: Cell<Option<Reserved>> = const { Cell::new(None) };
}

impl Scores {
    /// The scores of a model with this vocabulary and number of places.
    pub(crate) fn new(words: i32, places: i32) -> Self {
        Self { words: words.max(0) as usize, places: places.max(0) as usize }
    }

    /// Size of all of them [bytes].
    pub(crate) fn bytes(self) -> usize {
        self.words.saturating_mul(self.places).saturating_mul(size_of::<f32>())
    }

    /// Lets the next state be made without memory for scores.
    pub(crate) fn rehearse(self) {
        PLANNING.set(Some(self));
        AWAITED.set(Some(Plan::Rehearse(self)));
    }

    /// Lets the next state have its scores at the end of memory.
    pub(crate) fn reserve(self) {
        PLANNING.set(Some(self));
        AWAITED.set(Some(Plan::Reserve(self)));
    }

    /// From now on sizes are what they are.
    pub(crate) fn end_planning(self) {
        PLANNING.set(None);
        AWAITED.set(None);
    }
}

/// Size that a tensor has in the plan of a decode of all places, if it holds the scores.
pub(super) fn planned(tensor: &GgmlTensor) -> Option<usize> {
    let scores = PLANNING.get()?;
    let extent = tensor.ne.map(|extent| usize::try_from(extent).unwrap_or(usize::MAX));
    let are_scores = extent == [scores.words, scores.places, 1, 1] && scores.places > PLANNED;
    are_scores.then(|| Scores { places: PLANNED, ..scores }.bytes())
}

/// Makes memory larger by this number of bytes possible: what grows must not come to lie where
/// scores will. Returns false if there is not enough.
pub(super) fn make_way(size: usize) -> bool {
    let Some(Reserved { end, .. }) = RESERVED.get() else { return true };
    let now = memory_size::<0>() * PAGE;
    // Memory ends at the start of the scores or behind it.
    size == 0 || now >= end || grow_to(end)
}

/// Makes the memory of this number of tokens' scores. Returns false if there is not enough.
fn provide(words: usize, tokens: usize) -> bool {
    let Some(reserved) = RESERVED.get().filter(|reserved| reserved.words == words) else { return true };
    let bytes = Scores { words, places: tokens }.bytes();
    // More than all places whisper.cpp puts elsewhere.
    bytes > reserved.end - reserved.start || grow_to(reserved.start + bytes)
}

/// Lets memory end there or later.
fn grow_to(end: usize) -> bool {
    let pages = end.div_ceil(PAGE).saturating_sub(memory_size::<0>());
    pages == 0 || memory_grow::<0>(pages) != usize::MAX
}

/// Addresses for this number of bytes behind the end of memory, and some [`ROOM`] before them. They
/// begin where memory ends: even a copy of no bytes must not go to an address further on.
fn beyond(size: usize) -> Option<Range<usize>> {
    let start = (memory_size::<0>() * PAGE).checked_add(ROOM)?;
    let end = start.checked_add(size)?.checked_next_multiple_of(PAGE)?;
    grow_to(start).then_some(start..end)
}

/// Takes memory from the room before the scores, which is whole pages.
fn from_room(size: usize) -> Option<usize> {
    let reserved = RESERVED.get().filter(|reserved| size <= reserved.room)?;
    RESERVED.set(Some(Reserved { room: reserved.room - size, ..reserved }));
    Some(reserved.start - reserved.room)
}

unsafe extern "C" {
    fn __real__Znwm(size: usize) -> *mut c_void;
    fn __real__ZdlPv(memory: *mut c_void);
    fn __real__ZdlPvm(memory: *mut c_void, size: usize);
    fn __real_sbrk(increment: isize) -> *mut c_void;
    fn __real_ggml_backend_sched_graph_compute(scheduler: *mut c_void, graph: *mut Graph) -> i32;
}

/// Takes the place of `operator new` (the linker's `--wrap`).
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap__Znwm(size: usize) -> *mut c_void {
    let awaited = AWAITED.get().filter(|plan| {
        let (Plan::Rehearse(scores) | Plan::Reserve(scores)) = plan;
        // Few scores are no trouble, and may have the size of something else.
        scores.bytes() == size && scores.places > PLANNED
    });
    if awaited.is_some() {
        AWAITED.set(None);
    }
    match awaited {
        Some(Plan::Reserve(scores)) if let Some(range) = beyond(size) => {
            let (words, room) = (scores.words, ROOM);
            RESERVED.set(Some(Reserved { words, room, start: range.start, end: range.end }));
            ptr::with_exposed_provenance_mut(range.start)
        }
        // SAFETY: whisper.cpp reserves scores, and writes none before a decode.
        Some(Plan::Rehearse(_)) => unsafe { __real__Znwm(1) },
        // SAFETY: the argument is the caller's own.
        _ => unsafe { __real__Znwm(size) },
    }
}

fn is_reserved(memory: *mut c_void) -> bool {
    RESERVED.get().is_some_and(|reserved| reserved.start == memory.addr())
}

/// Takes the place of `operator delete`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap__ZdlPv(memory: *mut c_void) {
    if !is_reserved(memory) {
        // SAFETY: the argument is the caller's own, and none of `__wrap__Znwm`'s addresses.
        unsafe { __real__ZdlPv(memory) }
    }
}

/// Takes the place of `operator delete` with a size.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap__ZdlPvm(memory: *mut c_void, size: usize) {
    if !is_reserved(memory) {
        // SAFETY: the arguments are the caller's own, and none of `__wrap__Znwm`'s addresses.
        unsafe { __real__ZdlPvm(memory, size) }
    }
}

/// Takes the place of the function with which the allocator grows memory.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_sbrk(increment: isize) -> *mut c_void {
    if let Ok(size @ 1..) = usize::try_from(increment) {
        if let Some(start) = from_room(size) {
            return ptr::with_exposed_provenance_mut(start);
        }
        if !make_way(size) {
            // What the function answers where there is no memory.
            return ptr::without_provenance_mut(usize::MAX);
        }
    }
    // SAFETY: the argument is the caller's own.
    unsafe { __real_sbrk(increment) }
}

/// Takes the place of ggml's function: whisper.cpp copies the scores of the last node right after
/// it.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_ggml_backend_sched_graph_compute(
    scheduler: *mut c_void,
    graph: *mut Graph,
) -> i32 {
    // SAFETY: the caller passes a valid graph, whose nodes are valid.
    let last = unsafe {
        let Graph { n_nodes, nodes, .. } = *graph;
        usize::try_from(n_nodes).ok().and_then(|count| count.checked_sub(1)).map(|last| &**nodes.add(last))
    };
    let provided = last.is_none_or(|last| {
        let [words, tokens, ..] = last.ne.map(|extent| usize::try_from(extent).unwrap_or_default());
        provide(words, tokens)
    });
    if !provided {
        return STATUS_FAILED;
    }
    // SAFETY: the arguments are the caller's own.
    unsafe { __real_ggml_backend_sched_graph_compute(scheduler, graph) }
}
