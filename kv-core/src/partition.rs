//! The partitions as one core sees them: owned, readable, or elsewhere.

use core::fmt;

use heapless::Vec;

use crate::design::PARTITION_COUNT_MAX;
use crate::hash::{PartitionId, Secret};
use crate::table::{Index, Table, TableReader, TableStats};

/// One partition, as far as this core may use it.
#[derive(Debug)]
pub enum Partition<'m> {
    /// This core owns it and alone writes.
    Owned(Table<'m>),
    /// Another core of this side owns it; this one reads, checking versions (CREW).
    Read(TableReader<'m>),
    /// Requests for it are rejected.
    Elsewhere,
}

/// All partitions of the store, as one core sees them.
pub struct Store<'m> {
    secret: Secret,
    partitions: Vec<Partition<'m>, PARTITION_COUNT_MAX>,
    /// The indexes of the partitions, for prefetches: they have up to three stages, none of which asks who owns what it looks
    /// into.
    indexes: Vec<Option<Index<'m>>, PARTITION_COUNT_MAX>,
}

impl fmt::Debug for Store<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Store").field("partitions", &self.partitions.len()).finish_non_exhaustive()
    }
}

impl<'m> Store<'m> {
    /// A store without partitions. All tables that join it were formatted with this secret.
    pub fn new(secret: Secret) -> Self {
        Self { secret, partitions: Vec::new(), indexes: Vec::new() }
    }

    /// Adds the next partition.
    ///
    /// # Errors
    /// The partition, when there are [`PARTITION_COUNT_MAX`] already.
    #[expect(clippy::result_large_err, reason = "what does not fit is handed back, at set-up only")]
    pub fn push(&mut self, partition: Partition<'m>) -> Result<(), Partition<'m>> {
        let index = match &partition {
            Partition::Owned(table) => Some(*table.look()),
            Partition::Read(reader) => Some(*reader.look()),
            Partition::Elsewhere => None,
        };
        self.partitions.push(partition)?;
        // It has as much room.
        let _ = self.indexes.push(index);
        Ok(())
    }

    /// How many partitions there are, wherever they live.
    pub fn partition_count(&self) -> u16 {
        // PARTITION_COUNT_MAX fits.
        self.partitions.len() as u16
    }

    /// The secret that places keys.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The partition of that number.
    pub fn partition_mut(&mut self, id: PartitionId) -> Option<&mut Partition<'m>> {
        self.partitions.get_mut(usize::from(id.0))
    }

    /// The index of a partition that this core may use.
    #[inline]
    pub(crate) fn index(&self, id: PartitionId) -> Option<&Index<'m>> {
        self.indexes.get(usize::from(id.0))?.as_ref()
    }

    /// The index of the only partition, if there is but one.
    #[inline]
    pub(crate) fn only_index(&self) -> Option<&Index<'m>> {
        match &self.indexes[..] {
            [only] => only.as_ref(),
            _ => None,
        }
    }

    /// Whether items may lie outside their buckets, as far as it is known without asking many partitions.
    pub(crate) fn may_use_logs(&self) -> bool {
        match &self.partitions[..] {
            [Partition::Owned(table)] => table.uses_log(),
            _ => true,
        }
    }

    /// Empties every partition that this core owns.
    pub fn reset(&mut self) {
        for partition in &mut self.partitions {
            if let Partition::Owned(table) = partition {
                table.reset();
            }
        }
    }

    /// The statistics of every partition that this core owns.
    pub fn stats(&self) -> impl Iterator<Item = TableStats> + '_ {
        self.partitions.iter().filter_map(|partition| match partition {
            Partition::Owned(table) => Some(table.stats()),
            _ => None,
        })
    }
}
