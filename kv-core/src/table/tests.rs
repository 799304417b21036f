//! Each outcome of each operation, and the edges of log and index.
