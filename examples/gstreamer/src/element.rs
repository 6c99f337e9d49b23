//! The element.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_audio::AudioInfo;
use hearken::formats::Format;
use hearken::{Model, SAMPLE_RATE};

use crate::clock::Arrival;
use crate::description::{METADATA, TEMPLATES};
use crate::models;
use crate::output::Kind;
use crate::settings::{PROPERTIES, Settings};
use crate::stream::{Setting, Stream};

glib::wrapper! {
    /// Turns speech into timed text.
    pub(crate) struct Hearken(ObjectSubclass<Element>) @extends gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    // No rank: nothing puts it into a pipeline by itself.
    gst::Element::register(Some(plugin), "hearken", gst::Rank::NONE, Hearken::static_type())
}

static CATEGORY: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("hearken", gst::DebugColorFlags::empty(), Some("speech to timed text"))
});

#[derive(Default)]
struct State {
    model: Option<Model>,
    info: Option<AudioInfo>,
    kind: Option<Caps>,
    segment: gst::FormattedSegment<gst::ClockTime>,
    stream: Option<Stream>,
}

/// Output format that downstream accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caps {
    Text,
    File(Format),
}

pub(crate) struct Element {
    sink: gst::Pad,
    src: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
    /// The running stream's `given_up`, to be reached while the stream is busy.
    given_up: Mutex<Option<Arc<AtomicBool>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for Element {
    const NAME: &'static str = "GstHearken";
    type Type = Hearken;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("a template of this class");
        let sink = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |element| element.chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |element| element.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |element| element.sink_query(pad, query))
            })
            .build();
        let src = gst::Pad::builder_from_template(&template("src"))
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |element| element.src_query(pad, query))
            })
            .build();
        Self { sink, src, settings: Mutex::default(), state: Mutex::default(), given_up: Mutex::default() }
    }
}

impl ObjectImpl for Element {
    fn properties() -> &'static [glib::ParamSpec] {
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        lock(&self.settings).set(spec.name(), value);
        if spec.name() == "latency" {
            let message = gst::message::Latency::builder().src(&*self.obj()).build();
            let _ = self.obj().post_message(message);
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        lock(&self.settings).get(spec.name())
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        for pad in [&self.sink, &self.src] {
            element.add_pad(pad).expect("a new element has no pads");
        }
    }
}

impl GstObjectImpl for Element {}

impl ElementImpl for Element {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady {
            self.load().map_err(|error| {
                gst::element_imp_error!(self, gst::ResourceError::OpenRead, ("{error}"));
                gst::StateChangeError
            })?;
        }
        if transition == gst::StateChange::PausedToReady {
            self.give_up();
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::PausedToReady => {
                let mut state = lock(&self.state);
                *state = State { model: state.model.take(), ..State::default() };
            }
            gst::StateChange::ReadyToNull => lock(&self.state).model = None,
            _ => {}
        }
        Ok(success)
    }
}

impl Element {
    fn load(&self) -> Result<(), hearken::Error> {
        let path = lock(&self.settings).model.clone();
        gst::info!(CATEGORY, imp = self, "loading {path:?}");
        lock(&self.state).model = Some(models::load(path.as_deref())?);
        Ok(())
    }

    fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut state = lock(&self.state);
        let info = state.info.as_ref().ok_or(gst::FlowError::NotNegotiated)?;
        // Decoders deliver from before where a seek went to.
        let clipped =
            gst_audio::audio_buffer_clip(buffer, state.segment.upcast_ref(), info.rate(), info.bpf());
        let Some(buffer) = clipped else { return Ok(gst::FlowSuccess::Ok) };
        match state.stream.as_ref().map(|stream| stream.clock.arrival(buffer.pts())) {
            Some(Arrival::Next) => {}
            Some(Arrival::After(frames)) => {
                gst::warning!(CATEGORY, imp = self, "{frames} frames are missing before {:?}", buffer.pts());
                if let Some(stream) = &mut state.stream {
                    stream.skip(frames);
                }
            }
            Some(Arrival::Elsewhere) => {
                self.drain(&mut state)?;
                self.start(&mut state, buffer.pts())?;
            }
            None => self.start(&mut state, buffer.pts())?,
        }
        let bytes = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        state.stream.as_mut().map_or(Err(gst::FlowError::Flushing), |stream| stream.push(&bytes))
    }

    /// Starts a stream with a buffer of this timestamp.
    fn start(&self, state: &mut State, pts: Option<gst::ClockTime>) -> Result<(), gst::FlowError> {
        let info = state.info.as_ref().ok_or(gst::FlowError::NotNegotiated)?;
        let settings = lock(&self.settings).clone();
        let base = pts.or(state.segment.start()).unwrap_or(gst::ClockTime::ZERO);
        let begin = state.segment.to_stream_time(base).unwrap_or(base);
        let mut latency = gst::query::Latency::new();
        let live = self.sink.peer_query(&mut latency) && latency.result().0;
        let budget = u64::from(settings.latency) * u64::from(SAMPLE_RATE) / 1000;
        let kind = match state.kind.ok_or(gst::FlowError::NotNegotiated)? {
            Caps::File(format) => Kind::File(format),
            Caps::Text if live => Kind::Words { budget },
            Caps::Text => Kind::Cues,
        };
        let setting = Setting {
            element: self.obj().clone().upcast(),
            pad: self.src.clone(),
            model: state.model.clone().ok_or(gst::FlowError::Flushing)?,
            language: settings.language,
            step: Duration::from_millis(settings.step.into()),
            kind,
            live,
        };
        let stream = Stream::start(setting, info, base, begin).map_err(|error| {
            gst::element_imp_error!(self, gst::LibraryError::Settings, ("{error}"));
            gst::FlowError::Error
        })?;
        gst::info!(CATEGORY, imp = self, "from {base}, live: {live}, {kind:?}");
        *lock(&self.given_up) = Some(Arc::clone(&stream.given_up));
        state.stream = Some(stream);
        Ok(())
    }

    /// Recognizes all audio so far and delivers its text.
    fn drain(&self, state: &mut State) -> Result<gst::FlowSuccess, gst::FlowError> {
        state.stream.take().map_or(Ok(gst::FlowSuccess::Ok), Stream::finish)
    }

    /// Asks the running operation to end soon.
    fn give_up(&self) {
        if let Some(given_up) = &*lock(&self.given_up) {
            given_up.store(true, Ordering::Release);
        }
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        let forward = |event| gst::Pad::event_default(pad, Some(&*self.obj()), event);
        match event.view() {
            gst::EventView::FlushStart(_) => {
                self.give_up();
                // Downstream first, so that calls that wait there return.
                let forwarded = forward(event);
                lock(&self.state).stream = None;
                forwarded
            }
            gst::EventView::Caps(caps) => {
                let Ok(info) = AudioInfo::from_caps(caps.caps()) else { return false };
                let mut state = lock(&self.state);
                if state.info.as_ref() != Some(&info) {
                    let _ = self.drain(&mut state);
                }
                state.info = Some(info);
                drop(state);
                self.negotiate()
            }
            gst::EventView::Segment(segment) => {
                let mut state = lock(&self.state);
                let _ = self.drain(&mut state);
                match segment.segment().downcast_ref::<gst::ClockTime>() {
                    Some(segment) => state.segment = segment.clone(),
                    None => return false,
                }
                drop(state);
                forward(event)
            }
            gst::EventView::Gap(gap) => {
                let (start, duration) = gap.get();
                let mut state = lock(&self.state);
                let Some(stream) = &mut state.stream else {
                    drop(state);
                    return forward(event);
                };
                let end = start + duration.unwrap_or(gst::ClockTime::ZERO);
                // The next buffer says the same if this is too far away.
                if let Arrival::After(frames) = stream.clock.arrival(Some(end)) {
                    stream.skip(frames);
                }
                true
            }
            gst::EventView::Eos(_) | gst::EventView::SegmentDone(_) | gst::EventView::StreamGroupDone(_) => {
                let _ = self.drain(&mut lock(&self.state));
                forward(event)
            }
            _ => forward(event),
        }
    }

    /// Chooses the output format: the first that downstream accepts.
    fn negotiate(&self) -> bool {
        let mut caps = self.src.allowed_caps().unwrap_or_else(|| self.src.pad_template_caps());
        if caps.is_empty() {
            gst::element_imp_error!(self, gst::CoreError::Negotiation, ("downstream takes no text"));
            return false;
        }
        caps.truncate();
        caps.fixate();
        let kind = match caps.structure(0).map(|structure| structure.name().as_str()) {
            Some("application/x-subtitle") => Caps::File(Format::Srt),
            Some("application/x-subtitle-vtt") => Caps::File(Format::Vtt),
            _ => Caps::Text,
        };
        lock(&self.state).kind = Some(kind);
        self.src.push_event(gst::event::Caps::new(&caps))
    }

    fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Drain(_) = query.view_mut() {
            let _ = self.drain(&mut lock(&self.state));
        }
        gst::Pad::query_default(pad, Some(&*self.obj()), query)
    }

    fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        let gst::QueryViewMut::Latency(query) = query.view_mut() else {
            return gst::Pad::query_default(pad, Some(&*self.obj()), query);
        };
        let mut upstream = gst::query::Latency::new();
        if !self.sink.peer_query(&mut upstream) {
            return false;
        }
        let (live, min, max) = upstream.result();
        let ours = match live {
            true => gst::ClockTime::from_mseconds(lock(&self.settings).latency.into()),
            // Nothing waits for audio that is not live.
            false => gst::ClockTime::ZERO,
        };
        query.set(live, min + ours, max.map(|max| max + ours));
        true
    }
}
