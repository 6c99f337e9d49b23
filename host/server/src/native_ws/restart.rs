//! Streams over a restart of the server: what is kept of them, and streams that are made of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::Client;
use super::message::Start;
use super::resume::gone;
use super::state::{Begin, Header, Kept, StateFolder};
use crate::App;
use crate::broadcast::Publisher;
use crate::keys::KeyHash;
use crate::rejection::Rejection;
use crate::stream::Stream;
use crate::tenants::Admitted;

/// Patience with the models of a server that has just been started.
const LOADING: Duration = Duration::from_secs(60);

impl Client {
    /// Keeps a stream from now on, if the server does so.
    pub(super) fn begin_keeping(&mut self, app: &Arc<App>, header: Header) {
        if let Some(state) = &app.state {
            self.stream.record();
            self.keeper = Some(state.keep(app, self.stream.tenant(), &self.id, Begin::new(header.clone())));
            self.header = Some(Box::new(header));
        }
    }

    /// Writes what has happened, if the client is about to learn of it or it is much. A stream that
    /// cannot be written goes on.
    pub(super) async fn keep(&mut self) {
        let Some(keeper) = self.keeper.as_mut().filter(|keeper| keeper.is_due(&self.stream)) else { return };
        let kept = keeper.keep(&mut self.stream, self.history.forgotten()).await;
        if let Err(failure) = kept {
            if let Some(state) = &self.app.state {
                state.failed(&self.app.metrics, &failure);
            }
            self.discard();
        }
    }

    /// Leaves the stream to the next process. Returns false if that is not possible, or not needed:
    /// the client waits for its last texts.
    pub(super) async fn leave(&mut self) -> bool {
        if !self.stream.is_listening() {
            return false;
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.ask();
        }
        self.keep().await;
        self.keeper.is_some()
    }

    /// Removes what is kept of it: it is over.
    pub(super) fn discard(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.discard();
        }
    }

    /// Takes the key of a client that came back, perhaps with another key of the same tenant.
    pub(super) fn readmit(&mut self, tenant: &Admitted) {
        self.stream.readmit(tenant);
        if let (Some(keeper), Some(header)) = (&mut self.keeper, &mut self.header) {
            let key = tenant.key.map(|key| key.to_string());
            if header.key != key {
                header.key = key;
                keeper.readmit((**header).clone());
            }
        }
    }

    /// Makes a client of what the process before has kept of it. `given_up` is notified when a
    /// newer connection asks for the stream.
    pub(super) async fn restore(
        app: &Arc<App>,
        tenant: &Admitted,
        id: &str,
        given_up: &Arc<Notify>,
    ) -> Result<Self, Rejection> {
        let Some(state) = app.state.as_ref().filter(|_| app.parked.reserve(id, tenant, given_up)) else {
            return Err(gone());
        };
        let restored = Self::from_state(app, state, tenant, id).await;
        if restored.is_err() {
            state.let_go(id);
            app.parked.forget(id);
        }
        restored
    }

    async fn from_state(
        app: &Arc<App>,
        state: &StateFolder,
        tenant: &Admitted,
        id: &str,
    ) -> Result<Self, Rejection> {
        timeout(LOADING, app.models.ready()).await.map_err(|_| Rejection::NotReady)?;
        let taken = {
            let (app, id) = (Arc::clone(app), id.to_owned());
            tokio::task::spawn_blocking(move || {
                let (header, kept) = app.state.as_ref()?.take(&id)?;
                let (begin, kept) = Begin::again(header.clone(), kept);
                Some((header, begin, kept))
            })
        };
        let (header, begin, kept) = taken.await.ok().flatten().ok_or_else(gone)?;
        // Another tenant's stream does not exist; nor does one whose key was revoked meanwhile.
        if *header.tenant != *tenant.name || !app.admits(&header.tenant, header.key.as_deref()) {
            return Err(gone());
        }
        let start: Start = serde_json::from_str(&header.start).map_err(|_| gone())?;
        let (_, model) = app.models.find(tenant, Some(&header.model))?;
        let (separate, broadcast) = (start.separate_channels, start.name.clone());
        let (carrier, options) = start.options()?;
        let place = app.open(tenant, "hearken", Some(&model))?;
        let Kept { channels, sessions, history } = kept;
        let stream = Stream::restore(place, &model, carrier, options, separate, channels, sessions)?;
        let publisher = broadcast.map(|name| Publisher::new(app, tenant, &name)).transpose()?;
        let keeper = state.keep(app, stream.tenant(), id, begin);
        Ok(Self {
            app: Arc::clone(app),
            id: id.to_owned(),
            stream,
            separate,
            publisher,
            history,
            greeting: None,
            keeper: Some(keeper),
            header: Some(Box::new(header)),
        })
    }
}

impl Start {
    /// The state to keep of it, with the name of the model that was meant.
    pub(super) fn header(&self, tenant: &Admitted, model: &str) -> Header {
        Header {
            tenant: tenant.name.to_string(),
            key: tenant.key.map(|key| key.to_string()),
            model: model.to_owned(),
            // Our own types serialize.
            start: serde_json::to_string(self).unwrap_or_default(),
        }
    }
}

impl App {
    /// Returns true if a stream of this tenant that was opened with this key, as a hash, may go on.
    pub(crate) fn admits(&self, tenant: &str, key: Option<&str>) -> bool {
        let key = key.map(str::parse::<KeyHash>).transpose();
        key.is_ok_and(|key| self.tenants.still_admits(tenant, key.as_ref()))
    }
}
