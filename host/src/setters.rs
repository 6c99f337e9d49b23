//! Options in one style: a `#[non_exhaustive]` struct with public fields, made with its defaults
//! and changed by methods, so that a new field breaks no caller.

/// Adds a method for each field that sets it and has its name. Those of optional fields take a
/// value or an `Option`.
macro_rules! setters {
    ($options:ident: $($field:ident: $type:ty),* ; $($optional:ident: $inner:ty),* $(,)?) => {
        impl $options {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](#structfield.", stringify!($field), ").")]
                #[must_use]
                pub fn $field(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
            $(
                #[doc = concat!("Sets [`", stringify!($optional), "`](#structfield.", stringify!($optional), ").")]
                #[must_use]
                pub fn $optional(mut self, $optional: impl Into<Option<$inner>>) -> Self {
                    self.$optional = $optional.into();
                    self
                }
            )*
        }
    };
}
