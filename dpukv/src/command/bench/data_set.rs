//! What is stored while something is measured.

use crate::exit::Failure;
use crate::workload::{KeySpace, ValueShape};

/// How many keys there are, and how long they and their values are.
#[derive(Debug, clap::Args)]
pub(crate) struct DataSet {
    /// Keys of the data set
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    keys: u64,

    /// Bytes of each key
    #[arg(long, value_name = "BYTES", default_value_t = 8)]
    key_size: usize,

    /// Bytes of each value
    #[arg(long, value_name = "BYTES", default_value_t = 8)]
    value_size: usize,
}

impl DataSet {
    /// The keys and their values.
    ///
    /// # Errors
    /// [`Failure::Usage`] when there can be none such.
    pub(crate) fn shapes(&self) -> Result<(KeySpace, ValueShape), Failure> {
        let keys = KeySpace::new(self.keys, self.key_size).map_err(Failure::Usage)?;
        let values = ValueShape::new(self.value_size).map_err(Failure::Usage)?;
        Ok((keys, values))
    }
}
