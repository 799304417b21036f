//! What is built without the feature `bindings`: nothing.

/// Has nothing to do, and so nothing that could fail.
pub(super) fn generate() -> Result<(), String> {
    Ok(())
}
