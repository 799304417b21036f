//! The memory of the partitions, divided among the cores of one side.

use std::sync::atomic::AtomicU64;

use kv_core::design::{Access, CoreId, Plan, Side};
use kv_core::hash::Secret;
use kv_core::partition::{Partition, Store};
use kv_core::table::{Mode, Table, TableConfig, TableError, TableReader};

use crate::config::{TableMode, TableSection};
use crate::memory::{AllocateError, HugePages, TableMemory};

/// A partition's memory begins at a multiple of this many words, a cache line.
const LINE_WORDS: usize = 8;

/// Takes the memory for all partitions of a side; none if it has none.
pub(super) fn allocate(plan: &Plan, side: Side, section: &TableSection) -> Result<TableMemory, AllocateError> {
    // More than the address space is refused as too much memory.
    let configured = usize::try_from(section.memory.bytes()).unwrap_or(usize::MAX);
    let bytes = if plan.has_tables(side) { configured } else { 0 };
    TableMemory::allocate(bytes, if section.huge_pages { HugePages::Try } else { HugePages::Off })
}

/// Makes the tables in that memory, and for each core of the side the store as the core sees it.
pub(super) fn stores<'m>(
    plan: &Plan,
    side: Side,
    memory: &'m [AtomicU64],
    section: &TableSection,
    secret: Secret,
) -> Result<Vec<Store<'m>>, TableError> {
    let config = TableConfig {
        mode: match section.mode {
            TableMode::Store => Mode::Store,
            TableMode::Cache => Mode::Cache,
        },
        concurrent_read: plan.table_has_readers(),
        secret,
        item_len_hint: section.item_len_hint.get() as usize,
    };
    let mut stores: Vec<_> = (0..plan.core_count(side)).map(|_| Store::new(secret)).collect();
    let partitions = 0..plan.topology().partitions;
    let own_count = partitions.clone().filter(|partition| plan.owner(*partition).0 == side).count();
    let share = memory.len() / own_count.max(1) / LINE_WORDS * LINE_WORDS;
    let mut shares = memory.chunks_exact(share.max(1));
    for partition in partitions {
        let mut table = match plan.owner(partition).0 == side {
            true => Some(Table::format(shares.next().unwrap_or_default(), &config)?),
            false => None,
        };
        let reader = table.as_ref().map(Table::reader);
        for (store, core) in stores.iter_mut().zip((0..).map(CoreId)) {
            let seen = seen_by(plan.access(side, core, partition), &mut table, reader);
            // The plan has no more partitions than a store takes.
            let _ = store.push(seen);
        }
    }
    Ok(stores)
}

/// The partition as a core sees it. The table itself goes to its owner, of which there is one.
fn seen_by<'m>(access: Access, table: &mut Option<Table<'m>>, reader: Option<TableReader<'m>>) -> Partition<'m> {
    match access {
        Access::Owner => table.take().map_or(Partition::Elsewhere, Partition::Owned),
        Access::Reader => reader.map_or(Partition::Elsewhere, Partition::Read),
        Access::None => Partition::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use kv_core::design::{Design, Topology};
    use kv_core::hash::PartitionId;

    use super::*;
    use crate::config::ByteSize;

    const SECRET: Secret = Secret { k0: 1, k1: 2 };

    fn plan(design: Design) -> Plan {
        let topology = Topology { host_cores: 3, dpu_cores: 2, spare_cores: 2, partitions: 7, concurrent_read: true };
        Plan::new(design, topology).expect("a plan")
    }

    /// What each core sees of each partition: 'o'wned, 'r'ead or '-'.
    fn seen(plan: &Plan, side: Side) -> Vec<String> {
        let section = TableSection { memory: ByteSize::from_mib(4), ..TableSection::default() };
        let memory = allocate(plan, side, &section).expect("memory");
        let mut stores = stores(plan, side, memory.words(), &section, SECRET).expect("tables");
        let letter = |partition: Option<&mut Partition<'_>>| match partition.expect("a partition") {
            Partition::Owned(_) => 'o',
            Partition::Read(_) => 'r',
            Partition::Elsewhere => '-',
        };
        stores.iter_mut().map(|store| (0..7).map(|id| letter(store.partition_mut(PartitionId(id)))).collect()).collect()
    }

    #[test]
    fn each_design_divides_its_partitions_as_planned() {
        for (design, host, dpu) in [
            (Design::CpuOnly, &["orrorro", "rorrorr", "rrorror"][..], &[][..]),
            (Design::DpuOnly, &[], &["orororo", "rororor"]),
            (Design::Lat, &["o-o-o-o", "-o-o-o-"], &["-------", "-------"]),
            (Design::Sav, &["ooooooo"], &["-------", "-------"]),
            (Design::Dual, &["ooooooo", "rrrrrrr", "rrrrrrr"], &["-------", "-------"]),
            (Design::Shrd, &["o----o-", "-o----o", "--o----"], &["---o---", "----o--"]),
        ] {
            let plan = plan(design);
            assert_eq!(seen(&plan, Side::Host), host, "{design:?}");
            assert_eq!(seen(&plan, Side::Dpu), dpu, "{design:?}");
        }
    }

    #[test]
    fn a_side_without_tables_takes_no_memory() {
        let section = TableSection::default();
        for design in Design::ALL {
            let plan = plan(design);
            for side in [Side::Host, Side::Dpu] {
                let words = allocate(&plan, side, &section).expect("memory").words().len() as u64;
                assert_eq!(words * 8, if plan.has_tables(side) { section.memory.bytes() } else { 0 }, "{design:?}");
            }
        }
    }

    #[test]
    fn all_of_the_memory_is_used() {
        let plan = plan(Design::Sav);
        let section = TableSection { memory: ByteSize::from_mib(7), ..TableSection::default() };
        let memory = allocate(&plan, Side::Host, &section).expect("memory");
        let stores = stores(&plan, Side::Host, memory.words(), &section, SECRET).expect("tables");
        let bytes: Vec<_> = stores[0].stats().map(|stats| stats.log_bytes).collect();
        assert_eq!(bytes.len(), 7);
        // The rest is the index, which takes less than half for items of the default length.
        assert!(bytes.iter().all(|bytes| (512 << 10..1 << 20).contains(bytes)), "{bytes:?}");
    }
}
