//! The slots of a queue pair.
