//! A session on its way through the server: bytes in, events out, without a thread and without
//! blocking the runtime.

mod intake;
mod kept;
mod lane;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::TryRecvError;
use hearken::audio::Format;
use hearken::service::cpu_time;
use hearken::session::{Checkpoint, SessionEvent, SessionOptions};
use hearken::{Model, SAMPLE_RATE, seconds};
use tokio::sync::Notify;

pub(super) use self::intake::Carrier;
use self::intake::Intake;
use self::lane::Lane;
use super::pace::Pace;
use super::rejection::Rejection;
use super::tenants::Admitted;
use super::ticket::Ticket;

/// Speech queued for recognition before no more audio is read from the client (backpressure): half
/// of the session's backlog. A client that sends a recording as fast as it can is slowed down, and
/// loses nothing.
const FULL: u64 = 60 * SAMPLE_RATE as u64;

/// CPU time that is charged at once: the account has a lock.
const CHARGED: Duration = Duration::from_millis(5);

/// One session, or one for each channel, the client's audio that is not accepted yet, and its place
/// in the server.
pub(super) struct Stream {
    lanes: Vec<Lane>,
    wake: Arc<Notify>,
    ticket: Ticket,
    /// Places of the channels behind the first.
    others: Vec<Ticket>,
    carrier: Carrier,
    format: Format,
    intake: Intake,
    /// Options of each channel's session, where channels are transcribed apart.
    apart: Option<SessionOptions>,
    /// Frames taken in.
    frames: u64,
    /// It has begun to speak, and there was room for that.
    admitted: bool,
    model: Model,
    /// Its progress is recorded, to be kept.
    recorded: bool,
    /// Start of the session's clock: 0, or the end of another session [samples at 16 kHz].
    origin: u64,
    /// The session that takes over when this one has delivered everything.
    next: Option<Next>,
    /// Sessions that took over.
    replaced: u64,
    /// True if no more audio comes.
    finished: bool,
    over: bool,
    pace: Pace,
    /// CPU time of taking in audio that was not charged yet.
    owed: Duration,
}

/// A session that is to follow.
struct Next {
    model: Model,
    carrier: Carrier,
    options: SessionOptions,
}

impl Stream {
    /// Opens a stream whose channels are averaged.
    pub(super) fn open(
        ticket: Ticket,
        model: &Model,
        carrier: impl Into<Carrier>,
        options: SessionOptions,
    ) -> Result<Self, Rejection> {
        let (carrier, format) = (carrier.into(), options.format);
        let intake = Intake::new(carrier, None);
        let mut stream = Self::empty(ticket, model, carrier, format, intake);
        stream.lanes.push(stream.lane(model, options, None)?);
        Ok(stream)
    }

    /// Opens a stream whose channels are transcribed apart: each has a session, and takes a place
    /// as a stream does. Those of a container are opened when it has said how many there are.
    pub(super) fn open_apart(
        ticket: Ticket,
        model: &Model,
        carrier: Carrier,
        mut options: SessionOptions,
    ) -> Result<Self, Rejection> {
        let format = options.format;
        options.format.channels = 1;
        let intake = Intake::new(carrier, Some(0));
        let mut stream = Self::empty(ticket, model, carrier, format, intake);
        stream.apart = Some(options);
        stream.open_lanes(match carrier {
            Carrier::Raw(_) => format.channels,
            Carrier::Container => 1,
        })?;
        Ok(stream)
    }

    fn empty(ticket: Ticket, model: &Model, carrier: Carrier, format: Format, intake: Intake) -> Self {
        Self {
            lanes: Vec::new(),
            wake: Arc::new(Notify::new()),
            ticket,
            others: Vec::new(),
            carrier,
            format,
            intake,
            apart: None,
            frames: 0,
            admitted: false,
            model: model.clone(),
            recorded: false,
            origin: 0,
            next: None,
            replaced: 0,
            finished: false,
            over: false,
            pace: Pace::new(format, Instant::now()),
            owed: Duration::ZERO,
        }
    }

    /// Opens a session for each channel that has none.
    fn open_lanes(&mut self, channels: u16) -> Result<(), Rejection> {
        let Some(options) = self.apart.clone() else { return Ok(()) };
        while self.lanes.len() < usize::from(channels) {
            // The first channel has the stream's place.
            if !self.lanes.is_empty() {
                self.others.push(self.ticket.another(&self.model)?);
            }
            self.lanes.push(self.lane(&self.model, options.clone(), None)?);
        }
        Ok(())
    }

    fn lane(
        &self,
        model: &Model,
        mut options: SessionOptions,
        kept: Option<Checkpoint>,
    ) -> Result<Lane, Rejection> {
        options.share = Some(self.ticket.tenant.share.clone());
        options.bias.extend(&self.ticket.tenant.limits.bias);
        let mut lane = Lane::open(model, options, &self.wake, kept)?;
        if self.recorded {
            lane.session.record();
        }
        Ok(lane)
    }

    /// Number of channels that are transcribed apart: 1 where they are averaged, and before a
    /// container has said how many it has.
    pub(super) fn channels(&self) -> usize {
        self.lanes.len()
    }

    /// Ends the session, and goes on with another one when it has delivered everything: other
    /// settings, the same place in the server and the same clock. Audio that was not accepted, and
    /// audio that is fed meanwhile, waits for it, and is of its format. Its channels are averaged.
    pub(super) fn replace(&mut self, model: &Model, carrier: impl Into<Carrier>, options: SessionOptions) {
        if self.finished {
            return;
        }
        self.finish_sessions();
        self.next = Some(Next { model: model.clone(), carrier: carrier.into(), options });
    }

    /// Returns the number of sessions that took over: its events come after this has changed.
    pub(super) fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Has the next session take over, if there is one.
    fn succeed(&mut self) -> Result<bool, Rejection> {
        let Some(Next { model, carrier, options }) = self.next.take() else { return Ok(false) };
        let format = options.format;
        let lane = self.lane(&model, options, None)?;
        (self.origin, self.frames) = (self.position(), 0);
        self.lanes = vec![lane];
        (self.apart, self.others) = (None, Vec::new());
        self.replaced += 1;
        if (self.carrier, self.format) != (carrier, format) {
            self.intake.replace(carrier);
        }
        (self.model, self.carrier, self.format) = (model, carrier, format);
        if self.finished {
            // The client ended it while the one before was not done.
            self.drain();
        }
        Ok(true)
    }

    /// Ends the sessions. They have ended already where yet another one is to follow.
    fn finish_sessions(&mut self) {
        for lane in &mut self.lanes {
            let _ = lane.session.finish();
        }
    }

    /// Waits until its client's key is not valid any more.
    pub(super) fn revoked(&self) -> impl Future<Output = ()> + Send + use<> {
        self.ticket.revoked()
    }

    /// Returns true if its client's key is not valid any more.
    pub(super) fn is_revoked(&self) -> bool {
        self.ticket.is_revoked()
    }

    /// Takes the key of a client that came back, perhaps with another key of the same tenant.
    pub(super) fn readmit(&mut self, who: &Admitted) {
        for ticket in std::iter::once(&mut self.ticket).chain(&mut self.others) {
            ticket.key = who.key;
        }
    }

    /// Gives its place back before its client learns of the end.
    pub(super) fn give_place_back(&mut self) {
        for ticket in std::iter::once(&mut self.ticket).chain(&mut self.others) {
            ticket.give_back();
        }
    }

    /// Returns the next event, if there is one, and its channel: 0 where channels are averaged. A
    /// stream that begins to speak is rejected when there is no room for one more active stream.
    /// All channels end with one [`SessionEvent::Finished`].
    pub(super) fn next(&mut self) -> Result<Option<(usize, SessionEvent)>, Rejection> {
        loop {
            let mut found = None;
            for (channel, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.over) {
                match lane.session.events().try_recv() {
                    Ok(event) => {
                        found = Some((channel, event));
                        break;
                    }
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => lane.over = true,
                }
            }
            match found {
                Some((channel, event)) => {
                    let event = event.later(self.origin);
                    self.count(channel, &event)?;
                    let ended = matches!(event, SessionEvent::Finished { .. });
                    // Else the stream goes on: with another session, or on other channels.
                    if !ended || self.next.is_none() && self.lanes.iter().all(|lane| lane.finished) {
                        return Ok(Some((channel, event)));
                    }
                }
                None if self.lanes.iter().any(|lane| !lane.over) => return Ok(None),
                None if self.succeed()? => {}
                None => {
                    self.over = true;
                    return Ok(None);
                }
            }
        }
    }

    /// Counts an event in the metrics, and what it says of the stream's activity.
    fn count(&mut self, channel: usize, event: &SessionEvent) -> Result<(), Rejection> {
        let Some(lane) = self.lanes.get_mut(channel) else { return Err(Rejection::Internal) };
        let metrics = &self.ticket.app.metrics;
        match event {
            SessionEvent::SpeechStarted { .. } => {
                lane.speaking = Some(match self.admitted {
                    false => self.ticket.first_speech(&self.model)?,
                    true => self.ticket.more_speech(&self.model),
                });
                self.admitted = true;
                lane.started += 1;
            }
            SessionEvent::SpeechEnded { .. } => {
                lane.ended.push_back(Instant::now());
                lane.speaking = None;
            }
            SessionEvent::Final { .. } => {
                lane.completed += 1;
                if let Some(ended) = lane.ended.pop_front() {
                    let latency = metrics.final_latency.get_or_create(&self.ticket.by_tenant());
                    latency.observe(ended.elapsed().as_secs_f64());
                }
            }
            SessionEvent::Dropped { len, .. } => {
                metrics.dropped.get_or_create(&self.ticket.by_tenant()).inc_by(seconds(*len));
            }
            SessionEvent::Unrecognized { len, .. } => {
                metrics.unrecognized.get_or_create(&self.ticket.by_tenant()).inc_by(seconds(*len));
            }
            SessionEvent::Finished { .. } => lane.finished = true,
            _ => {}
        }
        Ok(())
    }

    /// Waits until there may be something new. Cancellation is safe: nothing is missed if it is
    /// dropped and called again.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let wake = Arc::clone(&self.wake);
        async move { wake.notified().await }
    }

    /// Returns true after the last event was given out.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Returns true while utterances of this channel are being spoken or recognized.
    pub(super) fn is_busy(&self, channel: usize) -> bool {
        self.lanes.get(channel).is_some_and(|lane| lane.started > lane.completed)
    }

    /// Returns true if [`take`](Self::take) would do something.
    pub(super) fn has_work(&self) -> bool {
        self.has_room() && self.pace.pause(Instant::now()).is_none()
    }

    fn has_room(&self) -> bool {
        !self.is_hungry() && self.next.is_none() && self.waiting() < FULL
    }

    /// Speech that waits for recognition, on the channel that has most of it [samples at 16 kHz].
    fn waiting(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.session.waiting()).max().unwrap_or(0)
    }

    /// Returns how long audio that came too fast has to wait; `None` where it waits for nothing, or
    /// for something else.
    pub(super) fn delay(&self) -> Option<Duration> {
        self.has_room().then(|| self.pace.pause(Instant::now())).flatten()
    }

    /// Returns true if more may be read from the client. Also after the end: its pings want answers
    /// while it waits.
    pub(super) fn is_hungry(&self) -> bool {
        self.intake.is_hungry()
    }

    /// Returns true if more audio is expected.
    pub(super) fn is_listening(&self) -> bool {
        !self.finished
    }

    /// Frames that need not be sent again, to the session that listens now: those that the session
    /// holds back as long as nothing is decided on them are not among them.
    pub(super) fn frames(&self) -> u64 {
        let settled = self.lanes.iter().map(|lane| lane.session.settled());
        settled.min().unwrap_or_default().min(self.frames)
    }

    /// Length of the audio taken in, in samples at 16 kHz.
    pub(super) fn position(&self) -> u64 {
        self.origin + hearken::audio::resampled(self.frames, self.format.sample_rate)
    }

    /// The language, where its model knows no other.
    pub(super) fn only_language(&self) -> Option<&'static str> {
        self.model.only_language()
    }

    /// Notifies [`changed`](Self::changed) after `time`.
    pub(super) fn wake_in(&self, time: Duration) {
        let wake = Arc::clone(&self.wake);
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            wake.notify_one();
        });
    }

    /// Queues audio, to be pushed when there is room. Only called when it [is
    /// hungry](Self::is_hungry); audio after the end is discarded.
    pub(super) fn feed(&mut self, audio: Bytes) {
        if !self.finished {
            self.intake.feed(audio);
        }
    }

    /// Marks it as silent: its client has gone and may come back.
    pub(super) fn pause(&mut self) {
        for lane in &mut self.lanes {
            lane.speaking = None;
        }
    }

    /// Discards audio that was fed and not accepted, or is not settled: the next audio is that
    /// after [`frames`](Self::frames), and a container begins anew.
    pub(super) fn rewind(&mut self) {
        self.frames = self.frames();
        for lane in &mut self.lanes {
            lane.rewind(self.frames);
        }
        // A container with other channels is given those that the first one had.
        let known = if self.frames > 0 { self.format.channels } else { 0 };
        self.intake = Intake::new(self.carrier, self.apart.is_some().then_some(known));
    }

    /// Takes in some of the audio that was fed.
    pub(super) fn take(&mut self) -> Result<(), Rejection> {
        let before = cpu_time();
        let taken = self.take_slice();
        self.owed += cpu_time().saturating_sub(before);
        if self.owed >= CHARGED {
            self.charge();
        }
        taken
    }

    fn charge(&mut self) {
        self.ticket.tenant.share.charge_intake(std::mem::take(&mut self.owed));
    }

    fn take_slice(&mut self) -> Result<(), Rejection> {
        let mut samples = Vec::new();
        self.intake.take(self.format, self.finished, &mut samples)?;
        if let Some(channels) = self.intake.channels()
            && channels != self.format.channels
        {
            self.open_lanes(channels)?;
            self.format.channels = channels;
            self.pace = Pace::new(self.format, Instant::now());
        }
        self.pace.take(samples.len(), Instant::now());
        let frames = (samples.len() / usize::from(self.format.channels)) as u64;
        let lanes = self.lanes.len();
        self.ticket.charge(lanes as f64 * frames as f64 / f64::from(self.format.sample_rate))?;
        self.frames += frames;
        for (channel, lane) in self.lanes.iter_mut().enumerate() {
            if lanes == 1 {
                lane.push(&samples)?;
            } else {
                let own: Vec<f32> = samples.iter().skip(channel).step_by(lanes).copied().collect();
                lane.push(&own)?;
            }
        }
        Ok(())
    }

    /// Ends the running utterance, of each channel: its final text comes, and the stream goes on.
    pub(super) fn flush(&mut self) {
        for lane in &mut self.lanes {
            // It has ended already when it was finished, and with it the utterance.
            let _ = lane.session.flush();
        }
    }

    /// Ends the audio; the rest is recognized.
    pub(super) fn finish(&mut self) {
        if !std::mem::replace(&mut self.finished, true) && self.next.is_none() {
            self.drain();
        }
    }

    /// Ends the session behind the audio that was fed to it.
    fn drain(&mut self) {
        // At most one message: what the session has no room for it reports.
        if self.intake.holds_back() {
            // It comes out, though no bytes follow.
            let _ = self.take();
        }
        while !self.is_hungry() && self.take().is_ok() {}
        self.intake.clear();
        self.finish_sessions();
    }
}

/// Waits until the key is not valid any more with which a client came that has a ticket, and later
/// a stream with it.
pub(super) fn revoked(
    ticket: Option<&Ticket>,
    stream: Option<&Stream>,
) -> impl Future<Output = ()> + Send + use<> {
    let revoked = ticket.or(stream.map(|stream| &stream.ticket)).map(Ticket::revoked);
    async move {
        match revoked {
            Some(revoked) => revoked.await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.charge();
    }
}
