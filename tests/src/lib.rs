//! Shared by the tests.

pub mod attack;
pub mod capi;
pub mod cluster;
pub mod command;
pub mod cost;
pub mod footprint;
pub mod foreign;
pub mod guest;
pub mod media_guest;
pub mod model;
pub mod official;
pub mod picture;
pub mod prompts;
pub mod random;
pub mod recorded;
pub mod reference;
pub mod rounding;
pub mod scene;
pub mod serve;
pub mod sound;
pub mod speech;
pub mod tenants;
pub mod terminal;
pub mod trend;
pub mod wav;
