//! Contract of the C interface with programs in C and C++, which are compiled and run against the
//! library as `scripts/install-c` installs it.

mod header;
mod library;
mod misuse;
mod programs;
