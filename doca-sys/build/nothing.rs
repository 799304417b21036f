//! What is done without a feature: nothing.

/// Has nothing to do, and so nothing that could fail.
pub(super) fn use_it() -> Result<(), String> {
    Ok(())
}
