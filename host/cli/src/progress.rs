//! Progress on a terminal; nothing in a pipe.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use hearken::SAMPLE_RATE;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

/// Period of one turn of a spinner.
const TURN: Duration = Duration::from_millis(100);

/// Spinner for work of unknown length.
#[derive(Default)]
pub(crate) struct Spinner(Mutex<Option<ProgressBar>>);

impl Spinner {
    pub(crate) fn start(&self, message: String) {
        let bar = ProgressBar::new_spinner().with_message(message);
        bar.enable_steady_tick(TURN);
        self.replace(Some(bar));
    }

    pub(crate) fn stop(&self) {
        self.replace(None);
    }

    fn replace(&self, bar: Option<ProgressBar>) {
        let mut current = self.0.lock();
        if let Some(bar) = std::mem::replace(&mut *current, bar) {
            bar.finish_and_clear();
        }
    }
}

/// A bar over one recording: how far, how fast, how long still.
pub(crate) struct Bar {
    bar: ProgressBar,
    started: Instant,
}

impl Bar {
    pub(crate) fn new(name: &str) -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = "{prefix:.bold} [{bar:30}] {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(TURN);
        Self { bar, started: Instant::now() }
    }

    /// Makes no bar: progress is shown elsewhere.
    pub(crate) fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), started: Instant::now() }
    }

    /// Positions are samples at 16 kHz.
    pub(crate) fn update(&self, read: u64, decoded: u64, total: Option<u64>) {
        let rate = u64::from(SAMPLE_RATE);
        let length = total.unwrap_or(read).max(decoded).max(1);
        self.bar.set_length(length);
        self.bar.set_position(decoded);
        let elapsed = self.started.elapsed().as_secs_f64();
        let speed = decoded as f64 / rate as f64 / elapsed.max(0.001);
        let mut message = format!("{} of {}", clock(decoded / rate), clock(length / rate));
        if decoded > 0 {
            message += &format!(", {speed:.1} × real time");
            if total.is_some() && speed > 0.0 {
                let left = (length - decoded) as f64 / rate as f64 / speed;
                message += &format!(", {} left", clock(left.ceil() as u64));
            }
        }
        self.bar.set_message(message);
    }

    /// Prints around the bar.
    pub(crate) fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A bar over several recordings.
pub(crate) struct Count(ProgressBar);

impl Count {
    pub(crate) fn new(total: usize) -> Self {
        let visible = std::io::stderr().is_terminal();
        let bar = if visible { ProgressBar::new(total as u64) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("[{bar:30}] {pos} of {len}, {eta} left  {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(TURN);
        Self(bar)
    }

    pub(crate) fn begin(&self, name: String) {
        self.0.set_message(name);
    }

    pub(crate) fn done(&self) {
        self.0.inc(1);
    }

    /// Prints around the bar.
    pub(crate) fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.0.suspend(print)
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A bar over bytes that come from elsewhere.
pub(crate) struct Download(ProgressBar);

impl Download {
    pub(crate) fn new(name: &str) -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = "{prefix:.bold} [{bar:30}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left{msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(TURN);
        Self(bar)
    }

    pub(crate) fn update(&self, bytes: u64, total: u64) {
        if self.0.length() != Some(total) {
            self.0.set_length(total);
            // Bytes that were kept from before do not count for the speed.
            self.0.set_position(bytes);
            self.0.reset_eta();
        }
        self.0.set_message("");
        self.0.set_position(bytes);
    }

    pub(crate) fn say(&self, what: &str) {
        self.0.set_message(format!(" ({what})"));
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A bar over a stretch of time.
pub(crate) struct Timed {
    bar: ProgressBar,
    started: Instant,
}

impl Timed {
    pub(crate) fn new(length: Duration) -> Self {
        let visible = std::io::stderr().is_terminal();
        let bar = if visible { ProgressBar::new(length.as_secs().max(1)) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("[{bar:30}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, started: Instant::now() }
    }

    pub(crate) fn update(&self, message: &str) {
        let (passed, length) = (self.started.elapsed().as_secs(), self.bar.length().unwrap_or_default());
        self.bar.set_position(passed.min(length));
        self.bar.set_message(format!("{} of {}, {message}", clock(passed), clock(length)));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Seconds as a person writes them.
pub(crate) fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}
