//! Dense operations on the host's own vector instructions: what a guest asks for by the import
//! `compute`.
//!
//! | file | what it has |
//! |---|---|
//! | `rows` | matrices in memory that somebody vouches for |
//! | `packed`, `blocks` | weights, packed once |
//! | `product`, `attention` | the operations: how they are cut into units, and what is staged when |
//! | `kernels` | the inner loops, for each instruction set |
//! | `crew`, `pace` | the threads of one operation, and whether it may go on |
//! | `check`, `import` | what a guest may ask for, and how it is done on its memory |
//!
//! What is computed depends on shapes alone: no value changes which instructions run or which bytes
//! are touched.

mod aligned;
mod attention;
mod blocks;
mod check;
mod choice;
mod crew;
mod import;
mod kernels;
mod pace;
mod packed;
mod product;
mod rows;
mod scratch;
#[cfg(test)]
mod tests;

pub use choice::{Compute, UnknownCompute};
pub(crate) use import::{Computing, Prepared, Refusal};
pub(crate) use kernels::Precision;
