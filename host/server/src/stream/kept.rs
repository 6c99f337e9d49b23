//! Streams that survive their process: their progress for the state on disk, and streams made of
//! it.

use std::sync::Arc;

use hearken::Model;
use hearken::session::{Checkpoint, SessionOptions};

use super::{Carrier, Intake, Stream};
use crate::rejection::Rejection;
use crate::tenants::Tenant;
use crate::ticket::Ticket;

impl Stream {
    /// Records the stream's progress from now on.
    pub(crate) fn record(&mut self) {
        self.recorded = true;
        for lane in &mut self.lanes {
            lane.session.record();
        }
    }

    /// Returns the progress of each channel since this was last called.
    pub(crate) fn progress(&mut self) -> Vec<Checkpoint> {
        self.lanes.iter_mut().map(|lane| lane.session.progress()).collect()
    }

    /// The tenant whose stream it is.
    pub(crate) fn tenant(&self) -> &Arc<Tenant> {
        &self.ticket.tenant
    }

    /// Frames of a second.
    pub(crate) fn second(&self) -> u64 {
        self.format.sample_rate.into()
    }

    /// Number of channels of the client's audio.
    pub(crate) fn format_channels(&self) -> u16 {
        self.format.channels
    }

    /// Opens a stream that goes on where these checkpoints end, one for each channel where channels
    /// are transcribed `apart`. `channels` is the number of those of the client's audio.
    pub(crate) fn restore(
        ticket: Ticket,
        model: &Model,
        carrier: Carrier,
        mut options: SessionOptions,
        apart: bool,
        channels: u16,
        kept: Vec<Checkpoint>,
    ) -> Result<Self, Rejection> {
        let mut format = options.format;
        if carrier == Carrier::Container {
            format.channels = channels;
        }
        let lanes = if apart { usize::from(format.channels) } else { 1 };
        if format.channels != channels || kept.len() != lanes {
            return Err(Rejection::malformed("this stream was not kept whole; start another one"));
        }
        let intake = Intake::new(carrier, None);
        let mut stream = Self::empty(ticket, model, carrier, format, intake);
        stream.recorded = true;
        if apart {
            options.format.channels = 1;
            stream.apart = Some(options.clone());
        }
        // A stream that has spoken was admitted.
        stream.admitted = kept.iter().any(|kept| kept.accounting().speech > 0);
        stream.finished = kept.iter().all(Checkpoint::is_finished);
        stream.frames = kept.iter().map(Checkpoint::frames).min().unwrap_or_default();
        for kept in kept {
            if !stream.lanes.is_empty() {
                stream.others.push(stream.ticket.another(model)?);
            }
            let speaks = kept.is_speaking();
            let mut lane = stream.lane(model, options.clone(), Some(kept))?;
            lane.speaking = speaks.then(|| stream.ticket.more_speech(model));
            stream.lanes.push(lane);
        }
        Ok(stream)
    }
}
