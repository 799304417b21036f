//! The batch body that the native protocol and the queue pair share.
