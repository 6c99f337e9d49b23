//! Text that comes from a guest is hostile.
pub(crate) fn sanitise(text: &str) -> String { text.to_owned() }
