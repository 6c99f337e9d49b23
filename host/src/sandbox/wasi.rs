//! `wasi_snapshot_preview1`, as far as the guest's C and Rust libraries name it, granting nothing:
//! no files, no environment, no arguments, no sockets. There is a clock of 10 ms, a seeded random
//! stream, and a log with an end.

use wasmtime::{Caller, Linker, Result};

use super::imports::HostState;
use super::memory;

const MODULE: &str = "wasi_snapshot_preview1";

// Error numbers of WASI preview 1.
const SUCCESS: i32 = 0;
const BAD_DESCRIPTOR: i32 = 8;
const INVALID: i32 = 28;

/// Vectors that one write may have.
const MAX_VECTORS: u32 = 64;

/// Random bytes that one call may ask for: the guest's clock does not run while the host works for
/// it.
const MAX_RANDOM: u32 = 64 << 10;

/// Resolution of the guest's clock, in nanoseconds: coarse, against timing attacks on whatever
/// shares the machine.
const CLOCK_RESOLUTION: u64 = 10_000_000;

/// Adds the functions to `linker`.
pub(super) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    for (count, buffer) in [("environ_sizes_get", "environ_get"), ("args_sizes_get", "args_get")] {
        linker.func_wrap(
            MODULE,
            count,
            |mut caller: Caller<'_, HostState>, n: u32, size: u32| -> Result<i32> {
                store(&mut caller, n, &0u32.to_le_bytes())?;
                store(&mut caller, size, &0u32.to_le_bytes())?;
                Ok(SUCCESS)
            },
        )?;
        linker.func_wrap(MODULE, buffer, |_: u32, _: u32| SUCCESS)?;
    }
    linker.func_wrap(
        MODULE,
        "clock_res_get",
        |mut caller: Caller<'_, HostState>, _: u32, out: u32| -> Result<i32> {
            store(&mut caller, out, &CLOCK_RESOLUTION.to_le_bytes())?;
            Ok(SUCCESS)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |mut caller: Caller<'_, HostState>, _: u32, _: u64, out: u32| -> Result<i32> {
            let elapsed = caller.data().started.elapsed().as_nanos() as u64;
            let coarse = elapsed - elapsed % CLOCK_RESOLUTION;
            store(&mut caller, out, &coarse.to_le_bytes())?;
            Ok(SUCCESS)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "random_get",
        |mut caller: Caller<'_, HostState>, out: u32, len: u32| -> Result<i32> {
            if len > MAX_RANDOM {
                return Ok(INVALID);
            }
            let (memory, state) = state(&mut caller)?;
            let range = memory::range(out, len.into(), memory.len())?;
            state.random.fill(&mut memory[range]);
            Ok(SUCCESS)
        },
    )?;
    linker.func_wrap(MODULE, "fd_write", write)?;
    linker.func_wrap(MODULE, "fd_close", |_: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_fdstat_get", |_: u32, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_prestat_get", |_: u32, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_prestat_dir_name", |_: u32, _: u32, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_read", |_: u32, _: u32, _: u32, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_seek", |_: u32, _: u64, _: u32, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "sched_yield", || SUCCESS)?;
    linker.func_wrap(MODULE, "proc_exit", |code: u32| -> Result<()> {
        Err(wasmtime::format_err!("the guest exited with code {code}"))
    })?;
    Ok(())
}

/// Standard output and standard error go to the instance's log.
fn write(mut caller: Caller<'_, HostState>, fd: u32, vectors: u32, count: u32, written: u32) -> Result<i32> {
    if !matches!(fd, 1 | 2) {
        return Ok(BAD_DESCRIPTOR);
    }
    if count > MAX_VECTORS {
        return Ok(INVALID);
    }
    let (memory, state) = state(&mut caller)?;
    let mut total = 0u32;
    for index in 0..count {
        // At most 64 vectors of 8 bytes: the sum is checked as one range, so the additions cannot
        // wrap unseen.
        let offset = u64::from(index) * 8;
        let address = memory::read_u32(memory, vectors, offset)?;
        let len = memory::read_u32(memory, vectors, offset + 4)?;
        let range = memory::range(address, len.into(), memory.len())?;
        state.log.append(&memory[range]);
        total = total.saturating_add(len);
    }
    store(&mut caller, written, &total.to_le_bytes())?;
    Ok(SUCCESS)
}

fn state<'a>(caller: &'a mut Caller<'_, HostState>) -> Result<(&'a mut [u8], &'a mut HostState)> {
    let memory = super::imports::memory(caller)?;
    Ok(memory.data_and_store_mut(caller))
}

fn store(caller: &mut Caller<'_, HostState>, address: u32, bytes: &[u8]) -> Result<()> {
    let (memory, _) = state(caller)?;
    let range = memory::range(address, bytes.len() as u64, memory.len())?;
    memory[range].copy_from_slice(bytes);
    Ok(())
}
