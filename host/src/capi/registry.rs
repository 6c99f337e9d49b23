//! Registry of the objects behind the handles.

use std::sync::{Arc, LazyLock};

use parking_lot::RwLock;
use slotmap::{DefaultKey, Key, KeyData, SlotMap};

use super::session_object::SessionObject;
use super::status::{CStatus, Fault};
use crate::{Engine, Model};

/// Object behind a handle.
#[derive(Clone)]
pub(super) enum Object {
    Engine(Engine),
    Model(Model),
    Session(Arc<SessionObject>),
}

/// A kind of object.
pub(super) trait Kind: Sized {
    const NAME: &'static str;
    fn of(object: &Object) -> Option<Self>;
}

impl Kind for Engine {
    const NAME: &'static str = "engine";
    fn of(object: &Object) -> Option<Self> {
        if let Object::Engine(engine) = object { Some(engine.clone()) } else { None }
    }
}

impl Kind for Model {
    const NAME: &'static str = "model";
    fn of(object: &Object) -> Option<Self> {
        if let Object::Model(model) = object { Some(model.clone()) } else { None }
    }
}

impl Kind for Arc<SessionObject> {
    const NAME: &'static str = "session";
    fn of(object: &Object) -> Option<Self> {
        if let Object::Session(session) = object { Some(Arc::clone(session)) } else { None }
    }
}

/// A key is used once: its slot's generation is part of it.
static OBJECTS: LazyLock<RwLock<SlotMap<DefaultKey, Object>>> = LazyLock::new(RwLock::default);

/// Keeps an object; answers its handle, which is never 0.
pub(super) fn insert(object: Object) -> u64 {
    OBJECTS.write().insert(object).data().as_ffi()
}

/// The object of a handle. It lives on while it is used here, also when another thread frees the
/// handle.
pub(super) fn get<T: Kind>(handle: u64) -> Result<T, Fault> {
    let objects = OBJECTS.read();
    find(&objects, handle).and_then(T::of).ok_or_else(|| unknown(T::NAME, handle))
}

/// Takes the object of a handle out: the handle is of no use any more.
pub(super) fn remove<T: Kind>(handle: u64) -> Result<T, Fault> {
    let mut objects = OBJECTS.write();
    let found = find(&objects, handle).and_then(T::of).ok_or_else(|| unknown(T::NAME, handle))?;
    let removed = objects.remove(KeyData::from_ffi(handle).into());
    // An engine's threads are joined when it is dropped: not while everybody waits for this lock.
    drop(objects);
    drop(removed);
    Ok(found)
}

fn find(objects: &SlotMap<DefaultKey, Object>, handle: u64) -> Option<&Object> {
    let key = KeyData::from_ffi(handle);
    // A number that no key has could be read as the key that is nearest to it.
    if key.as_ffi() == handle { objects.get(key.into()) } else { None }
}

fn unknown(kind: &str, handle: u64) -> Fault {
    let message = if handle == 0 {
        format!("this {kind} is null; was it made, and was the error looked at?")
    } else {
        format!("this is no {kind}: it was freed, or is a handle of something else")
    };
    Fault::new(CStatus::HearkenErrorHandle, message)
}
