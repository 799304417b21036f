//! Network headers and MICA2's protocol, against bytes of every kind.
//!
//! `frames` builds frames by hand, `reference` decodes them in the most naive way, `checks` has the properties,
//! and the other modules find bytes for them.

mod checks;
mod frames;
mod malformed;
mod properties;
mod questions;
mod reference;
mod rules;
