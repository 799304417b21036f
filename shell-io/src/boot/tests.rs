use std::net::UdpSocket;

use kv_core::design::Design;
use kv_core::ring::QueuePairGeometry;

use super::*;
use crate::config::{Bounded, ByteSize, PlanSection, ResponseSetting};

type Host = Config<ConnectSection>;
type Dpu = Config<ListenSection>;

fn config<C: ControlSection>(design: Design) -> Config<C> {
    let mut config = Config { plan: PlanSection { design, ..PlanSection::default() }, ..Config::default() };
    config.network.base_port = Bounded::new(0).expect("a port");
    config.table.memory = ByteSize::from_mib(2);
    config
}

fn stopped() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(true))
}

fn geometry(way: ResponseSetting) -> QueuePairGeometry {
    let section = config::QueuePairSection { response: way, ..Default::default() };
    section.geometry().expect("a geometry")
}

#[test]
fn each_queue_pair_has_its_place_on_the_core_that_turns_it() {
    let host_len = 4 * 16384;
    let push = geometry(ResponseSetting::Push);
    let cores = |design, side, geometry| {
        let plan = config::<ConnectSection>(design).check().expect("a plan");
        ends::places(&plan, side, &geometry)
            .iter()
            .map(|place| (place.id.0, place.core, place.offset))
            .collect::<Vec<_>>()
    };
    assert_eq!(cores(Design::Lat, Side::Host, push), [(0, 0, 0), (1, 1, 0)]);
    assert_eq!(cores(Design::Sav, Side::Host, push), [(0, 0, 0), (1, 0, host_len)]);
    assert_eq!(cores(Design::Dual, Side::Host, push), [(0, 0, 0), (1, 0, host_len)]);
    assert_eq!(cores(Design::Dual, Side::Dpu, push), [(0, 0, 0), (1, 1, 0)]);
    for design in [Design::CpuOnly, Design::DpuOnly, Design::Shrd] {
        assert_eq!(cores(design, Side::Host, push), []);
        assert_eq!(cores(design, Side::Dpu, push), []);
    }
}

#[test]
fn a_core_that_pulls_still_has_a_region_to_sleep_on() {
    let plan = config::<ListenSection>(Design::Lat).check().expect("a plan");
    let places = ends::places(&plan, Side::Dpu, &geometry(ResponseSetting::Pull));
    let regions = ends::regions(2, &places).expect("regions");
    assert!(regions.iter().all(|region| region.as_ref().is_some_and(|region| region.data_len() == 64)));
}

#[test]
fn a_side_says_what_it_has_opened() {
    for design in Design::ALL {
        let (mut host, mut dpu): (Host, Dpu) = (config(design), config(design));
        host.control.retry_ms = Bounded::new(1).expect("a time");
        dpu.control.listen = ([127, 0, 0, 1], 0).into();
        let plan = host.check().expect("a plan");
        let check = |ready: &Ready, side| {
            let port_count = (0..plan.core_count(side)).filter(|core| plan.has_port(side, CoreId(*core))).count();
            assert_eq!((ready.side, ready.endpoints.len()), (side, port_count), "{design:?}");
            assert!(ready.endpoints.iter().all(|endpoint| endpoint.port() != 0), "{design:?}");
            assert_eq!(ready.control.is_some(), side == Side::Dpu, "{design:?}");
        };
        let mut count = 0;
        run(&host, &stopped(), |ready| {
            check(ready, Side::Host);
            count += 1;
        })
        .expect("a clean end");
        run(&dpu, &stopped(), |ready| {
            check(ready, Side::Dpu);
            count += 1;
        })
        .expect("a clean end");
        assert_eq!(count, 2);
    }
}

#[test]
fn what_is_in_use_is_named_and_stops_the_start() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    // Endpoint 1 of two; too high a port for that is too rare to matter.
    let mut config: Host = config(Design::CpuOnly);
    config.network.base_port = Bounded::new(port.saturating_sub(1)).expect("a port");
    let error = run(&config, &stopped(), |_| panic!("it is not ready")).expect_err("the port is taken");
    assert_eq!(error.exit(), Exit::Resource);
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut config: Dpu = config_for_dpu();
    config.control.listen = taken.local_addr().expect("an address");
    let error = run(&config, &stopped(), |_| panic!("it is not ready")).expect_err("the port is taken");
    assert!(matches!(error, RunError::Listen { .. }) && error.exit() == Exit::Resource, "{error}");
}

fn config_for_dpu() -> Dpu {
    config(Design::DpuOnly)
}

#[test]
fn a_wrong_configuration_opens_nothing() {
    let mut config: Host = config(Design::Lat);
    config.plan.host_cores = Bounded::new(1).expect("a number");
    let error = run(&config, &stopped(), |_| panic!("it is not ready")).expect_err("too few cores");
    assert_eq!((error.exit(), error.to_string().starts_with("plan.host_cores: expected")), (Exit::Config, true));
}

#[test]
fn more_memory_than_there_is_stops_the_start() {
    let mut config: Host = config(Design::CpuOnly);
    config.table.memory = ByteSize::from_mib(1 << 24);
    config.table.huge_pages = false;
    match run(&config, &stopped(), |_| panic!("it is not ready")) {
        Err(error @ RunError::Memory(_)) => assert_eq!(error.exit(), Exit::Resource),
        other => panic!("{other:?}"),
    }
}
