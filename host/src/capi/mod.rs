//! The C interface (feature `capi`): engine, model, session, input. `host/include/hearken.h` is
//! made from these files by a test, and documents each function; `make install-c` builds and
//! installs library and header.
//!
//! Handles are numbers, not addresses: the objects lie in a `registry`, under keys that are used
//! once. So a handle that is null, freed, or of another kind is answered with an error. The
//! functions for audio threads find their object in a `table` of atomics, since the registry has a
//! lock. No decision about audio or text is made here: every function is a few lines around one of
//! the library's.

mod engine;
mod event;
mod input;
mod memory;
mod model;
mod pcm;
mod registry;
mod session;
mod session_object;
mod status;
mod table;
mod version;

pub use engine::{ComputeChoice, EngineHandle, EngineOptions, hearken_engine_free, hearken_engine_new};
pub use event::{CEvent, CEventType, CWord, EventCallback};
pub use input::{InputHandle, hearken_input_push, hearken_session_open_input};
pub use model::{
    ModelHandle, hearken_model_free, hearken_model_is_multilingual, hearken_model_load,
    hearken_model_load_bytes,
};
pub use pcm::Encoding;
pub use session::{
    CAccounting, CSessionOptions, SessionHandle, hearken_session_accounting, hearken_session_begin,
    hearken_session_cancel, hearken_session_end, hearken_session_finish, hearken_session_free,
    hearken_session_new, hearken_session_poll, hearken_session_push, hearken_session_set_callback,
    hearken_session_skip,
};
pub use status::{CStatus, hearken_last_error, hearken_status_text};
pub use version::{HEARKEN_ABI_VERSION, HEARKEN_SAMPLE_RATE, hearken_abi_version, hearken_version};
