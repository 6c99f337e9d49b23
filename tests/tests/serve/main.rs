//! Contract of `hearken serve`: its interfaces, and isolation of clients.

mod abuse;
mod apart;
mod appends;
mod bias;
mod bounds;
mod broadcast;
mod browser;
mod capacity;
mod clients;
mod containers;
mod fairness;
mod hardened;
mod idle;
mod leaving;
mod load;
mod names;
mod operations;
mod packages;
mod people;
mod protocols;
mod restart;
mod revoked;
mod shares;
mod sinks;
mod stream;
mod telephony;
mod turns;
mod vosk;
mod webhook;
mod wyoming;

use hearken_tests::tenants::{KEY_A, KEY_B, PCM, PHRASES, SPEECH, latencies, percentiles, two_tenants};
