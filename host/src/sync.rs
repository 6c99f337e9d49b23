//! Atomics, cells and threads of what must hold in every order of its threads' steps.
//!
//! `tests/loom` compiles these modules with loom's in their place, and tries the orders.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::thread;

/// [`std::cell::UnsafeCell`], through a closure, as loom has it.
#[cfg(feature = "capi")]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(feature = "capi")]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Calls `work` with a pointer to the value. Whether it may be written is for the caller to
    /// know.
    pub(crate) fn with_mut<R>(&self, work: impl FnOnce(*mut T) -> R) -> R {
        work(self.0.get())
    }
}
