//! The compute import: from a guest's call to [`Prepared`], and back.

use std::time::Duration;

use hearken_proto::abi::IMPORTS;
use hearken_proto::compute::{IMPORT_ATTENTION, IMPORT_PRODUCT};
use wasmtime::{Caller, Linker, Result};

use super::imports::{HostState, memory};
use super::{SandboxError, memory};
use crate::compute::{Prepared, Rejection};

/// Adds the functions to `linker`.
pub(super) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(IMPORTS, IMPORT_PRODUCT, |caller: Caller<'_, HostState>, descriptor: u32| {
        operate(caller, descriptor, Prepared::product)
    })?;
    linker.func_wrap(IMPORTS, IMPORT_ATTENTION, |caller: Caller<'_, HostState>, descriptor: u32| {
        operate(caller, descriptor, Prepared::attention)
    })?;
    Ok(())
}

/// An operation whose descriptor has `N` words.
type Operation<const N: usize> = fn(
    &Prepared,
    &mut [u8],
    &[u64; N],
    &dyn Fn(Duration) -> bool,
) -> std::result::Result<Duration, Rejection>;

fn operate<const N: usize>(
    mut caller: Caller<'_, HostState>,
    descriptor: u32,
    operation: Operation<N>,
) -> Result<()> {
    let (memory, state) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let misbehaved = |what: String| Err(SandboxError::Misbehaved(what).into());
    let Some(compute) = &state.compute else {
        return misbehaved("it asked the host to compute, which was not offered".to_owned());
    };
    let mut words = [0; N];
    let bytes = &memory[memory::range(descriptor, 8 * N as u64, memory.len())?];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let budget = &state.budget;
    match operation(compute, memory, &words, &|helped| budget.allows(helped)) {
        Ok(helped) => {
            crate::preempt::helped(helped);
            Ok(state.budget.charge(helped)?)
        }
        Err(Rejection::Violation(violation)) => misbehaved(format!("it asked for an operation {violation}")),
        Err(Rejection::Stopped) => Err(budget.used_up().into()),
    }
}
