//! This process as a place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Class, Event, Job, Place, Recognizer, Request, Ticket, Waiting};
use crate::error::Error;
use crate::meter::{Meter, Metered};
use crate::sandbox::{Instance, Template};
use crate::{Engine, Share};

/// The engine's executor, and sandboxes of a template.
pub(crate) struct Here {
    pub(crate) engine: Engine,
    pub(crate) template: Arc<Template>,
    pub(crate) meter: Arc<Meter>,
}

impl Here {
    /// A fresh sandbox.
    pub(crate) async fn instantiate(&self, share: &Share) -> Result<Instance, Error> {
        let metered = Metered::new([Arc::clone(&self.meter), Arc::clone(share.meter())]);
        let holding = share.holding(self.engine.threads());
        Ok(self.template.instantiate(metered, holding).await?)
    }
}

impl Place for Here {
    fn submit(&self, share: &Share, class: Class, deadline: Instant, job: Job) -> Ticket {
        self.engine.executor().submit(share, class, deadline, job)
    }

    fn open<'a>(&'a self, share: &'a Share) -> Waiting<'a, Result<Box<dyn Recognizer>, Error>> {
        Box::pin(async { Ok(Box::new(self.instantiate(share).await?) as Box<dyn Recognizer>) })
    }

    fn width(&self) -> usize {
        self.engine.threads()
    }
}

impl Recognizer for Instance {
    fn write<'a>(&'a mut self, samples: &'a [f32]) -> Waiting<'a, Result<(), Error>> {
        Box::pin(async { Ok(self.write(samples).await?) })
    }

    fn call<'a>(&'a mut self, request: &'a Request) -> Waiting<'a, Result<Vec<Event>, Error>> {
        Box::pin(async { Ok(self.call(request).await?) })
    }

    fn spent(&self) -> Duration {
        self.spent()
    }

    fn is_too_much(&self) -> bool {
        self.is_too_much()
    }

    fn for_final(&mut self) {
        self.for_final();
    }
}
