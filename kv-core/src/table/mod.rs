//! One partition's items, in memory that it is given.
