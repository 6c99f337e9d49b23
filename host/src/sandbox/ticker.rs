//! The epoch clock: makes running guests look up from their work now and then.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Period of epoch interruption: a running guest checks this often whether it may go on.
const PERIOD: Duration = Duration::from_millis(10);

/// Advances the engine's epoch while at least one guest runs; otherwise its thread sleeps until one
/// does.
pub(super) struct Ticker {
    running: Mutex<usize>,
    wake: Condvar,
}

impl Ticker {
    /// Starts the clock. Its thread ends after the last handle is dropped.
    pub(super) fn start(engine: wasmtime::Engine) -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Self { running: Mutex::new(0), wake: Condvar::new() });
        let weak = Arc::downgrade(&ticker);
        thread::Builder::new().name("hearken-epoch".to_owned()).spawn(move || Self::run(&weak, &engine))?;
        Ok(ticker)
    }

    fn run(weak: &Weak<Self>, engine: &wasmtime::Engine) {
        while let Some(ticker) = weak.upgrade() {
            let mut running = ticker.running.lock();
            while *running == 0 {
                // The timeout only serves to notice that the last handle is gone.
                ticker.wake.wait_for(&mut running, PERIOD * 100);
                if *running == 0 && Arc::strong_count(&ticker) == 1 {
                    return;
                }
            }
            drop(running);
            drop(ticker);
            thread::sleep(PERIOD);
            engine.increment_epoch();
        }
    }

    /// Keeps the clock going until the guard is dropped.
    pub(super) fn running(self: &Arc<Self>) -> Running {
        *self.running.lock() += 1;
        self.wake.notify_one();
        Running(Arc::clone(self))
    }
}

/// A guest runs.
pub(super) struct Running(Arc<Ticker>);

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.running.lock() -= 1;
    }
}
