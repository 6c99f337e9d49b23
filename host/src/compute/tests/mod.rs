//! Every level of kernels that this machine has against plain sums in f64.

mod attention;
mod bounds;
mod crew;
mod product;
mod reference;
