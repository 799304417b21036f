use super::*;

const TOPOLOGY: Topology =
    Topology { host_cores: 3, dpu_cores: 2, spare_cores: 2, partitions: 12, concurrent_read: false };

fn plan(design: Design) -> Plan {
    Plan::new(design, TOPOLOGY).expect("the topology suits every design")
}

fn plans() -> impl Iterator<Item = Plan> {
    Design::ALL.into_iter().map(plan)
}

#[test]
fn names_and_designs_map_to_each_other() {
    for design in Design::ALL {
        assert_eq!(Design::from_name(design.name()), Some(design));
    }
    assert_eq!(Design::from_name("LAT"), None);
}

#[test]
fn rows_stand_in_the_order_of_the_designs() {
    let names: [_; 6] = core::array::from_fn(|index| Design::ALL[index].name());
    assert_eq!(names, ["cpu-only", "dpu-only", "lat", "sav", "dual", "shrd"]);
}

#[test]
fn each_partition_has_one_owner_that_is_awake_and_one_endpoint_that_leads_to_it() {
    for plan in plans() {
        for partition in 0..plan.topology().partitions {
            let (side, core) = plan.owner(partition);
            assert!(matches!(plan.role(side, core), Role::Serve | Role::Process { .. }), "{plan:?}");
            assert_eq!(plan.access(side, core, partition), Access::Owner);
            let endpoint = plan
                .endpoints()
                .find(|endpoint| endpoint.label == plan.label(partition))
                .expect("a labelled partition is reachable");
            let leads_to = match plan.role(endpoint.side, endpoint.core) {
                Role::Serve => (endpoint.side, endpoint.core),
                Role::Communicate(queue_pair) => processor(&plan, queue_pair),
                role => panic!("{role:?} has no endpoint"),
            };
            assert_eq!(leads_to, (side, core), "{:?} partition {partition}", plan.design());
        }
    }
}

fn processor(plan: &Plan, queue_pair: QueuePairId) -> (Side, CoreId) {
    (0..plan.core_count(Side::Host))
        .map(|core| (Side::Host, CoreId(core)))
        .find(|(side, core)| match plan.role(*side, *core) {
            Role::Process { first, count } => (first.0..first.0 + count).contains(&queue_pair.0),
            _ => false,
        })
        .expect("each queue pair is processed")
}

#[test]
fn each_queue_pair_has_one_end_on_each_side() {
    for plan in plans() {
        for index in 0..plan.queue_pair_count() {
            assert_eq!(plan.role(Side::Dpu, CoreId(index)), Role::Communicate(QueuePairId(index)));
            processor(&plan, QueuePairId(index));
        }
    }
}

#[test]
fn offloaded_designs_open_no_port_on_the_host_and_hold_no_table_on_the_dpu() {
    for design in [Design::Lat, Design::Sav] {
        assert!(!plan(design).has_ports(Side::Host));
        assert!(!plan(design).has_tables(Side::Dpu));
        assert!(plan(design).has_ports(Side::Dpu));
        assert!(plan(design).has_tables(Side::Host));
    }
}

#[test]
fn where_reads_are_spread_every_endpoint_answers_them() {
    let crew = Topology { concurrent_read: true, ..TOPOLOGY };
    for design in Design::ALL {
        let plan = Plan::new(design, crew).expect("the topology suits every design");
        if !plan.concurrent_read() {
            continue;
        }
        for endpoint in plan.endpoints() {
            let (side, core) = match plan.role(endpoint.side, endpoint.core) {
                Role::Communicate(queue_pair) => processor(&plan, queue_pair),
                _ => (endpoint.side, endpoint.core),
            };
            for partition in 0..crew.partitions {
                assert_ne!(plan.access(side, core, partition), Access::None, "{design:?} {endpoint:?}");
            }
        }
    }
}

#[test]
fn where_there_is_one_way_in_one_endpoint_leads_to_each_partition_through_the_dpu() {
    for plan in plans() {
        let has_one = (0..plan.topology().partitions).all(|partition| {
            let executes = |endpoint: &Endpoint| match plan.role(endpoint.side, endpoint.core) {
                Role::Communicate(queue_pair) => {
                    let (side, core) = processor(&plan, queue_pair);
                    plan.access(side, core, partition) != Access::None
                }
                _ => plan.access(endpoint.side, endpoint.core, partition) != Access::None,
            };
            let communicates =
                |endpoint: &Endpoint| matches!(plan.role(endpoint.side, endpoint.core), Role::Communicate(_));
            let mut ways = plan.endpoints().filter(executes);
            ways.next().is_some_and(|way| communicates(&way)) && ways.next().is_none()
        });
        assert_eq!(plan.has_one_way_in(), has_one, "{:?}", plan.design());
    }
}

#[test]
fn dual_gives_spare_cores_read_access_to_the_whole_store() {
    let plan = plan(Design::Dual);
    assert_eq!(plan.role(Side::Host, CoreId(0)), Role::Process { first: QueuePairId(0), count: 2 });
    assert_eq!(plan.role(Side::Host, CoreId(2)), Role::Serve);
    assert_eq!(plan.role(Side::Host, CoreId(3)), Role::Idle);
    assert_eq!(plan.access(Side::Host, CoreId(1), 5), Access::Reader);
    assert_eq!(plan.access(Side::Host, CoreId(0), 5), Access::Owner);
    assert_eq!(plan.endpoints().count(), 4);
}

#[test]
fn numbers_that_do_not_fit_are_named() {
    let refuse = |design, topology| Plan::new(design, topology).expect_err("the topology does not suit");
    assert_eq!(
        refuse(Design::Lat, Topology { host_cores: 1, ..TOPOLOGY }),
        PlanError::TooFewHostCores { needed: 2, got: 1 }
    );
    assert_eq!(refuse(Design::Dual, Topology { spare_cores: 3, ..TOPOLOGY }), PlanError::SpareCores { max: 2, got: 3 });
    assert_eq!(refuse(Design::Dual, Topology { spare_cores: 0, ..TOPOLOGY }), PlanError::SpareCores { max: 2, got: 0 });
    assert_eq!(
        refuse(Design::Shrd, Topology { partitions: 4, ..TOPOLOGY }),
        PlanError::PartitionCount { min: 5, got: 4 }
    );
    assert_eq!(
        refuse(Design::Sav, Topology { partitions: 257, ..TOPOLOGY }),
        PlanError::PartitionCount { min: 2, got: 257 }
    );
    assert_eq!(
        refuse(Design::CpuOnly, Topology { dpu_cores: 0, ..TOPOLOGY }),
        PlanError::CoreCount { side: Side::Dpu, got: 0 }
    );
    assert_eq!(
        refuse(Design::CpuOnly, Topology { host_cores: 17, ..TOPOLOGY }),
        PlanError::CoreCount { side: Side::Host, got: 17 }
    );
}
