//! A recording pushed through a session as if it were live, on a simulated clock.

use std::time::{Duration, Instant};

use hearken::Error;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Model, SAMPLE_RATE};

/// Length of the blocks in which audio is pushed, as from a microphone or a network packet.
const BLOCK: Duration = Duration::from_millis(20);
/// Silence that follows a recording, besides the hangover: voice activity decides in frames, and
/// may waver.
const REST: Duration = Duration::from_millis(500);

/// Computation time in the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Computation {
    /// Computation-unaware: the clock stands while a decode runs, and the latency is that of the
    /// commit policy. The same on every machine.
    Unaware,
    /// Computation-aware: the clock goes on by the wall time that a decode takes, and audio with
    /// it: the latency on this machine, when it does nothing else.
    Aware,
}

/// An event, and when it came: samples at 16 kHz on the clock of the audio.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamped {
    /// Time of the event.
    pub at: u64,
    /// The event.
    pub event: SessionEvent,
}

/// Events of a session for a recording, with their times.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Simulation {
    /// Events, in order of their time.
    pub events: Vec<Stamped>,
    /// Wall time that was spent on the recording, voice activity included.
    pub computing: Duration,
    /// Encoder passes that were made.
    pub encodes: u64,
}

/// Pushes `audio` (interleaved, in the format of `options`) in blocks of 20 ms through a session
/// that runs on this thread alone, and notes when each event comes. A decode begins when the block
/// that made it due is there; its events come when it is done.
///
/// Silence follows the recording, until voice activity has ended the last utterance: a live stream
/// does not end with the last word. Without voice activity there is none, and the recording's end
/// ends the utterance.
///
/// # Errors
///
/// As [`Session::driven`], and
/// [`SessionError::PartialFrame`](hearken::session::SessionError::PartialFrame) if `audio` is not
/// whole frames.
pub fn simulate(
    model: &Model,
    options: &SessionOptions,
    audio: &[f32],
    computation: Computation,
) -> Result<Simulation, Error> {
    let mut session = Session::driven(model, options.clone())?;
    if !session.is_automatic() {
        session.begin()?;
    }
    let (rate, channels) = (options.format.sample_rate as usize, usize::from(options.format.channels));
    let silence = options
        .voice_activity
        .map_or(Duration::ZERO, |config| Duration::from_millis(config.hangover_ms.min(60_000).into()) + REST);
    let mut stream = audio.to_vec();
    stream.resize(audio.len() + (silence.as_secs_f64() * rate as f64) as usize * channels, 0.0);
    let mut player = Player {
        session,
        stream,
        rate,
        channels,
        block: ((BLOCK.as_secs_f64() * rate as f64) as usize).max(1) * channels,
        pushed: 0,
        finished: false,
        clock: 0,
        simulation: Simulation { events: Vec::new(), computing: Duration::ZERO, encodes: 0 },
    };
    while !player.finished {
        player.clock = player.clock.max(player.next_due());
        player.push_due()?;
        player.decode(computation)?;
    }
    player.simulation.encodes = player.session.encodes();
    Ok(player.simulation)
}

struct Player {
    session: Session,
    stream: Vec<f32>,
    rate: usize,
    channels: usize,
    /// Samples of a block.
    block: usize,
    /// Samples that were pushed.
    pushed: usize,
    finished: bool,
    /// Now.
    clock: u64,
    simulation: Simulation,
}

impl Player {
    /// Time at which the next block is complete; when the stream ends, once all are pushed.
    fn next_due(&self) -> u64 {
        let frames = (self.pushed + self.block).min(self.stream.len()) / self.channels;
        frames as u64 * u64::from(SAMPLE_RATE) / self.rate as u64
    }

    /// Pushes the audio spoken up to now.
    fn push_due(&mut self) -> Result<(), Error> {
        while !self.finished && self.next_due() <= self.clock {
            let (due, started) = (self.next_due(), Instant::now());
            if self.pushed < self.stream.len() {
                let end = (self.pushed + self.block).min(self.stream.len());
                self.session.push(&self.stream[self.pushed..end])?;
                self.pushed = end;
            } else {
                self.session.finish()?;
                self.finished = true;
            }
            self.simulation.computing += started.elapsed();
            self.stamp(due);
        }
        Ok(())
    }

    /// Makes the decodes that are due. Audio goes on while they run, if the clock does.
    fn decode(&mut self, computation: Computation) -> Result<(), Error> {
        loop {
            let started = Instant::now();
            if self.session.decode_pending().is_none() {
                return Ok(());
            }
            let cost = started.elapsed();
            self.simulation.computing += cost;
            let events: Vec<SessionEvent> = self.session.events().try_iter().collect();
            if computation == Computation::Aware {
                self.session.charge(cost);
                self.clock += (cost.as_secs_f64() * f64::from(SAMPLE_RATE)).ceil() as u64;
                self.push_due()?;
            }
            let at = self.clock;
            self.simulation.events.extend(events.into_iter().map(|event| Stamped { at, event }));
        }
    }

    fn stamp(&mut self, at: u64) {
        let events = self.session.events().try_iter().map(|event| Stamped { at, event });
        self.simulation.events.extend(events);
    }
}
