//! The compute import, attacked, and compared with itself. It is built from the module `compute`
//! alone, and its tests run here, too, under the sanitizer.

#[allow(dead_code, unused_imports, reason = "the rest of hearken uses more of this module")]
#[path = "../../../host/src/compute/mod.rs"]
mod compute;
#[cfg(test)]
#[allow(dead_code, reason = "as above")]
#[path = "../../../host/src/noise.rs"]
mod noise;
#[allow(dead_code, reason = "as above")]
#[path = "../../../host/src/os_memory.rs"]
mod os_memory;
#[allow(dead_code, reason = "as above")]
#[path = "../../../host/src/preempt.rs"]
mod preempt;
#[cfg(any(fuzzing, test))]
#[path = "../../../host/src/random.rs"]
mod random;
#[allow(dead_code, reason = "as above")]
#[path = "../../../host/src/sync.rs"]
mod sync;

#[cfg(fuzzing)]
mod attack;
#[cfg(fuzzing)]
mod descriptors;
#[cfg(fuzzing)]
mod difference;
mod seeds;

#[cfg(fuzzing)]
pub use attack::attack;
#[cfg(fuzzing)]
pub use descriptors::Numbers;
#[cfg(fuzzing)]
pub use difference::compare;
pub use seeds::write_seeds;
