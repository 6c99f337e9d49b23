//! A terminal that nobody looks at: a pseudo-terminal, and the screen that a person would see.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroU16;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Longest wait for something to appear: far beyond what any of this takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A screen, and the pseudo-terminal that draws on it.
pub struct Terminal {
    controller: File,
    shared: Arc<Shared>,
}

struct Shared {
    parser: Mutex<vt100::Parser>,
    drawn: Condvar,
}

impl Terminal {
    /// Opens one.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn open(rows: u16, columns: u16) -> io::Result<Self> {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&controller)?;
        unlockpt(&controller)?;
        let controller = File::from(controller);
        let parser = Mutex::new(vt100::Parser::new(size(rows), size(columns), 0));
        let terminal = Self { controller, shared: Arc::new(Shared { parser, drawn: Condvar::new() }) };
        terminal.resize(rows, columns)?;
        // The descriptor of the controlled side is opened before anybody reads: without one,
        // reading ends.
        let held = terminal.device()?;
        let mut from = terminal.controller.try_clone()?;
        let shared = Arc::clone(&terminal.shared);
        std::thread::spawn(move || {
            let _held = held;
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                shared.parser.lock().process(&bytes[..count]);
                shared.drawn.notify_all();
            }
        });
        Ok(terminal)
    }

    /// The side that a program writes to.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn stdio(&self) -> io::Result<Stdio> {
        Ok(self.device()?.into())
    }

    fn device(&self) -> io::Result<File> {
        let name = ptsname(&self.controller, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::open(name.as_c_str(), flags, Mode::empty())?))
    }

    /// Gives the screen another size, as a person who pulls at a window's corner.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        self.shared.parser.lock().screen_mut().set_size(size(rows), size(columns));
        let winsize = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(&self.controller, winsize)?)
    }

    /// Waits until the screen is as `wanted`, and answers what stands on it.
    ///
    /// # Panics
    ///
    /// When it never is.
    pub fn wait(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut parser = self.shared.parser.lock();
        loop {
            if wanted(parser.screen()) {
                return parser.screen().contents();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} never came; the screen:\n{}", parser.screen().contents());
            self.shared.drawn.wait_for(&mut parser, left);
        }
    }

    /// Waits until `text` stands on the screen.
    ///
    /// # Panics
    ///
    /// When it never does.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contents().contains(text))
    }

    /// Text on the screen.
    pub fn contents(&self) -> String {
        self.shared.parser.lock().screen().contents()
    }
}

/// Returns true if `text` stands on the screen in dim type, on one line.
pub fn shows_dim(screen: &vt100::Screen, text: &str) -> bool {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    (0..rows).any(|row| {
        let dim = |column: &u16| screen.cell(row, *column).is_some_and(vt100::Cell::dim);
        let line: String = (0..columns)
            .filter(dim)
            .filter_map(|column| screen.cell(row, column))
            .map(vt100::Cell::contents)
            .collect();
        line.contains(text)
    })
}

fn size(length: u16) -> NonZeroU16 {
    NonZeroU16::new(length).unwrap_or(NonZeroU16::MIN)
}
