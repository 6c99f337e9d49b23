//! Model files: what they say about themselves, checked before anything trusts them.
