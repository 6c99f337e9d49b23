//! A place elsewhere, whose use is counted here: metrics, limits of shares and the cost of speech
//! are the same wherever a model runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Class, Event, Job, Place, Recognizer, Request, Ticket, Waiting};
use crate::Share;
use crate::error::Error;
use crate::meter::{Meter, Metered};

/// A place and the counters of its model.
pub(crate) struct Counted {
    pub(crate) place: Arc<dyn Place>,
    pub(crate) meter: Arc<Meter>,
}

impl Place for Counted {
    fn submit(&self, share: &Share, class: Class, deadline: Instant, job: Job) -> Ticket {
        self.place.submit(share, class, deadline, job)
    }

    fn open<'a>(&'a self, share: &'a Share) -> Waiting<'a, Result<Box<dyn Recognizer>, Error>> {
        Box::pin(async {
            // It counts from here on: limits of sandboxes hold while one is opened, too.
            let metered = Metered::new([Arc::clone(&self.meter), Arc::clone(share.meter())]);
            let recognizer = self.place.open(share).await?;
            Ok(Box::new(CountedRecognizer { recognizer, metered }) as Box<dyn Recognizer>)
        })
    }

    fn width(&self) -> usize {
        self.place.width().max(1)
    }
}

struct CountedRecognizer {
    recognizer: Box<dyn Recognizer>,
    metered: Metered,
}

impl Recognizer for CountedRecognizer {
    fn write<'a>(&'a mut self, samples: &'a [f32]) -> Waiting<'a, Result<(), Error>> {
        self.recognizer.write(samples)
    }

    fn call<'a>(&'a mut self, request: &'a Request) -> Waiting<'a, Result<Vec<Event>, Error>> {
        Box::pin(async {
            let events = self.recognizer.call(request).await?;
            self.metered.answered(request, self.recognizer.spent(), &events);
            Ok(events)
        })
    }

    fn spent(&self) -> Duration {
        self.recognizer.spent()
    }

    fn is_too_much(&self) -> bool {
        self.recognizer.is_too_much()
    }

    fn for_final(&mut self) {
        self.metered.for_final = true;
    }
}
