//! Dense operations on the host's own vector instructions: the compute imports.
//!
//! | file | content |
//! |---|---|
//! | `rows` | matrices in memory, under the caller's promise |
//! | `packed`, `blocks` | packing of weights, once |
//! | `product`, `attention` | the operations, cut into units, and the staging of rows |
//! | `kernels` | the inner loops, for each instruction set |
//! | `helpers`, `cancel` | the threads of one operation, and its cancellation |
//! | `check`, `import` | the contract, and operations on a guest's memory |
//!
//! What is computed depends on shapes alone: no value changes which instructions run or which bytes
//! are touched.

mod aligned;
mod attention;
mod blocks;
mod cancel;
mod check;
mod helpers;
mod import;
mod kernels;
mod mode;
mod packed;
mod product;
mod rows;
mod scratch;
#[cfg(test)]
mod tests;

pub(crate) use import::{Computing, Prepared, Rejection};
#[cfg(fuzzing)]
pub(crate) use kernels::Level;
pub(crate) use kernels::Precision;
pub use mode::{Compute, UnknownCompute};
