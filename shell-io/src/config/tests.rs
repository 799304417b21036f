use super::*;

type Host = Config<ConnectSection>;
type Dpu = Config<ListenSection>;

/// A mistake, the key that the message names, and what it says is expected.
type Mistake = (&'static str, &'static str, &'static str);

/// Mistakes that either side's file can have.
const MISTAKES: &[Mistake] = &[
    ("[plan]\ndesign = 'fast'", "plan.design", "one of `cpu-only`, `dpu-only`, `lat`, `sav`, `dual`, `shrd`"),
    ("[plan]\ndesign = 3", "plan.design", "a string"),
    ("[plan]\nhost_cores = 0", "plan.host_cores", "an integer from 1 to 16"),
    ("[plan]\nhost_cores = 17", "plan.host_cores", "an integer from 1 to 16"),
    ("[plan]\nhost_cores = -1", "plan.host_cores", "an integer from 1 to 16"),
    ("[plan]\nhost_cores = '2'", "plan.host_cores", "an integer from 1 to 16"),
    ("[plan]\nhost_cores = 2.5", "plan.host_cores", "an integer from 1 to 16"),
    ("[plan]\ndpu_cores = 257", "plan.dpu_cores", "an integer from 1 to 16"),
    ("[plan]\nhost_cores = 1", "plan.host_cores", "at least plan.dpu_cores = 2"),
    ("[plan]\ndpu_cores = 3", "plan.host_cores", "at least plan.dpu_cores = 3"),
    ("[plan]\ndesign = 'dual'\nspare_cores = 0", "plan.spare_cores", "1 to plan.host_cores - 1 = 1"),
    ("[plan]\ndesign = 'dual'\nspare_cores = 2", "plan.spare_cores", "1 to plan.host_cores - 1 = 1"),
    ("[plan]\ndesign = 'dual'\nhost_cores = 1", "plan.host_cores", "at least 2"),
    ("[plan]\npartitions = 0", "plan.partitions", "an integer from 1 to 256"),
    ("[plan]\npartitions = 257", "plan.partitions", "an integer from 1 to 256"),
    ("[plan]\ndesign = 'shrd'\npartitions = 3", "plan.partitions", "4 to 256"),
    ("[plan]\nconcurrent_read = 1", "plan.concurrent_read", "a boolean"),
    ("[queue_pair]\ndepth = 3", "queue_pair.depth", "a power of two from 1 to 64"),
    ("[queue_pair]\ndepth = 128", "queue_pair.depth", "an integer from 1 to 64"),
    ("[queue_pair]\nrequest_slot_len = 1000", "queue_pair.request_slot_len", "an integer from 1024 to 65536"),
    ("[queue_pair]\nrequest_slot_len = 16400", "queue_pair.request_slot_len", "a multiple of 64"),
    ("[queue_pair]\nresponse_slot_len = 1000", "queue_pair.response_slot_len", "an integer from 1024 to 65536"),
    ("[queue_pair]\nresponse_slot_len = 20000", "queue_pair.response_slot_len", "a multiple of 64"),
    ("[queue_pair]\nresponse_slot_len = 65537", "queue_pair.response_slot_len", "an integer from 1024 to 65536"),
    ("[queue_pair]\nrequest_slot_len = 1472", "queue_pair.request_slot_len", "at least 1536, for a frame of"),
    ("[queue_pair]\nresponse_slot_len = 1664", "queue_pair.response_slot_len", "at least 1728, for a frame of"),
    (
        "[network]\nframe_len_max = 8972\n[queue_pair]\nrequest_slot_len = 9024",
        "queue_pair.request_slot_len",
        "at least 9088",
    ),
    ("[queue_pair]\ncopy = 'half'", "queue_pair.copy", "`used` or `whole`"),
    ("[queue_pair]\nresponse = 'poll'", "queue_pair.response", "`push` or `pull`"),
    ("[queue_pair]\nflush = 5", "queue_pair.flush", "string only"),
    ("[queue_pair]\nflush = 'never'", "queue_pair.flush", "`adaptive` or `fixed`"),
    ("[queue_pair]\nflush_len = 16385", "queue_pair.flush_len", "at most queue_pair.request_slot_len = 16384"),
    ("[queue_pair]\nflush_len = 0", "queue_pair.flush_len", "an integer from 1 to 65536"),
    ("[queue_pair]\nflush_us = 10001", "queue_pair.flush_us", "an integer from 0 to 10000"),
    ("[plan]\ndesign = 'dual'\n[network]\naddress = '0.0.0.0'", "network.address", "in `dual` both sides have some"),
    ("[network]\naddress = '224.0.0.1'", "network.address", "the one IPv4 address that clients send to"),
    ("[network]\naddress = 'localhost'", "network.address", "IPv4"),
    ("[network]\nbase_port = 65536", "network.base_port", "an integer from 0 to 65504"),
    ("[network]\nbase_port = 65520", "network.base_port", "an integer from 0 to 65504"),
    ("[network]\nbuffers = 63", "network.buffers", "an integer from 64 to 65536"),
    ("[network]\nframe_len_max = 8973", "network.frame_len_max", "an integer from 512 to 8972"),
    ("[network]\nallow = []", "network.allow", "at least one prefix, or network.open = true"),
    ("[network]\nallow = ['10.0.0.1/8']", "network.allow", "an address prefix such as \"10.0.0.0/8\""),
    ("[network]\nallow = ['10.0.0.0/8', 'all']", "network.allow", "an address prefix"),
    ("[network]\nallow = '10.0.0.0/8'", "network.allow", "a sequence"),
    ("[network]\nopen = true", "network.open", "false, since network.allow is not empty"),
    ("[network]\nadministrators = ['::1/64']", "network.administrators", "an address prefix"),
    ("[port]\nkind = 'tcp'", "port.kind", "one of `udp`, `dpdk`, `replay`"),
    ("[port]\nkind = 'dpdk'", "port.device", "a PCI address such as"),
    ("[port]\nkind = 'dpdk'\ndevice = 'net_tap0'", "network.address", "the one IPv4 address of the device"),
    ("[port]\nkind = 'replay'", "port.frames", "a capture of Ethernet frames"),
    ("[port]\nkind = 'replay'\ndevice = 'net_tap0'", "port.device", "none, since port.kind is \"replay\""),
    ("[port]\nframes = 'f.pcap'", "port.frames", "none, since port.kind is not \"replay\""),
    ("[port]\nonce = -1", "port.once", "an integer"),
    ("[port]\nbusy_poll_us = 10001", "port.busy_poll_us", "an integer from 0 to 10000"),
    ("[port]\nkind = 'dpdk'\ndevice = 'net_tap0'\nbusy_poll_us = 1", "port.busy_poll_us", "0, since port.kind is not"),
    ("[port]\ndevice = 'net_tap0'", "port.device", "none, since port.kind is \"udp\""),
    ("[port]\nudp_port = 65536", "port.udp_port", "an integer from 0 to 65504"),
    ("[port]\neal = '--no-huge'", "port.eal", "a sequence"),
    ("[dma]\nkind = 'rdma'", "dma.kind", "`shared-memory` or `doca`"),
    ("[dma]\ndevice = '0000:03:00.0'", "dma.device", "none, since dma.kind is \"shared-memory\""),
    ("[dma]\nlibrary = '/opt'", "dma.library", "none, since dma.kind is \"shared-memory\""),
    ("[dma]\ncompletion = 'event'", "dma.completion", "\"poll\", since dma.kind is \"shared-memory\""),
    ("[dma]\ncompletion = 'interrupt'", "dma.completion", "one of `poll`, `block`, `event`"),
    ("[dma]\nkind = 'doca'", "dma.device", "a PCI address such as \"0000:03:00.0\""),
    ("[dma]\nkind = 'doca'\ndevice = 'mlx5_0'", "dma.device", "a PCI address such as"),
    ("[dma]\nadded_latency_us = 1001", "dma.added_latency_us", "an integer from 0 to 1000"),
    ("[dma]\nkind = 'doca'\nadded_latency_us = 2", "dma.added_latency_us", "0, since dma.kind is \"doca\""),
    ("[table]\nmemory = 268435456", "table.memory", "a size such as \"256MiB\""),
    ("[table]\nmemory = '256MB'", "table.memory", "a size such as \"256MiB\""),
    ("[table]\nmemory = '1023KiB'", "table.memory", "1MiB (64KiB for each of 16 partitions)"),
    ("[table]\nmemory = '17TiB'", "table.memory", "to 16TiB"),
    ("[table]\nmode = 'lossy'", "table.mode", "`store` or `cache`"),
    ("[table]\nitem_len_hint = 1", "table.item_len_hint", "an integer from 2 to 8972"),
    ("[table]\nhuge_pages = 'yes'", "table.huge_pages", "a boolean"),
    ("[hot_keys]\nmemory_per_core = 1", "hot_keys.memory_per_core", "a size such as \"256MiB\""),
    ("[hot_keys]\nmemory_per_core = '319B'", "hot_keys.memory_per_core", "0B (off), or 320B (four values) to 1GiB"),
    ("[hot_keys]\nmemory_per_core = '2GiB'", "hot_keys.memory_per_core", "0B (off), or 320B (four values) to 1GiB"),
    (
        "[plan]\ndesign = 'sav'\n[hot_keys]\nmemory_per_core = '1MiB'",
        "hot_keys.memory_per_core",
        "0B, since plan.design is \"sav\"",
    ),
    (
        "[plan]\ndesign = 'dual'\n[hot_keys]\nmemory_per_core = '1MiB'",
        "hot_keys.memory_per_core",
        "0B, since plan.design is \"dual\"",
    ),
    (
        "[plan]\ndesign = 'shrd'\n[hot_keys]\nmemory_per_core = '1MiB'",
        "hot_keys.memory_per_core",
        "0B, since plan.design is \"shrd\"",
    ),
    (
        "[plan]\ndesign = 'cpu-only'\n[hot_keys]\nmemory_per_core = '1MiB'",
        "hot_keys.memory_per_core",
        "in \"lat\" only",
    ),
    (
        "[plan]\ndesign = 'dpu-only'\n[hot_keys]\nmemory_per_core = '1MiB'",
        "hot_keys.memory_per_core",
        "in \"lat\" only",
    ),
    ("[directory]\nkind = 'zookeeper'", "directory.kind", "one of `none`, `embedded`, `etcd`, `static`"),
    (
        "[directory]\nkind = 'etcd'\n[network]\naddress = '0.0.0.0'\n[plan]\ndesign = 'lat'",
        "network.address",
        "the one IPv4",
    ),
    ("[directory]\nlisten = 'localhost:1'", "directory.listen", "socket address"),
    ("[directory]\nkind = 'etcd'\nurl = 'https://h:1'", "directory.url", "http://HOST:PORT"),
    ("[directory]\nkind = 'etcd'\nurl = 'http://h'", "directory.url", "http://HOST:PORT"),
    ("[directory]\nkind = 'etcd'\nurl = 'http://h:1/a'", "directory.url", "http://HOST:PORT"),
    ("[directory]\nkind = 'etcd'\nprefix = 'mica'", "directory.prefix", "a path of letters"),
    ("[directory]\nkind = 'embedded'\nprefix = '/a b'", "directory.prefix", "a path of letters"),
    ("[directory]\nversion = 4", "directory.version", "an integer from 2 to 3"),
    ("[directory]\nkind = 'static'", "directory.file", "the file with the entries"),
    ("[directory]\nkind = 'embedded'\nname = 'a.b'", "directory.name", "letters, digits"),
    ("[directory]\nttl_s = 0", "directory.ttl_s", "an integer from 1 to 3600"),
    ("[directory]\nkind = 'embedded'\nttl_s = 1", "directory.ttl_s", "at least two times directory.refresh_ms, 2 s"),
    ("[directory]\nrefresh_ms = 9", "directory.refresh_ms", "an integer from 10 to 1000000"),
    ("[control]\nheartbeat_ms = 0", "control.heartbeat_ms", "an integer from 1 to 10000"),
    ("[control]\nheartbeat_ms = 200", "control.dead_after_ms", "at least 3 heartbeats, 600 ms"),
    ("[cores]\npin = 'all'", "cores.pin", "true, false, or a list of different CPU numbers"),
    ("[cores]\npin = [0, 0]", "cores.pin", "true, false, or a list of different CPU numbers"),
    ("[cores]\npin = [0, -1]", "cores.pin", "true, false, or a list of different CPU numbers"),
    ("[cores]\npin = [0]", "cores.pin", "at least 2 CPUs"),
    ("[idle]\npower = 'fast'", "idle.power", "one of `latency`, `balanced`, `saving`"),
    ("[idle]\nsleep_ms = 0", "idle.sleep_ms", "an integer from 1 to 100"),
    ("[idle]\nsleep_ms = 101", "idle.sleep_ms", "an integer from 1 to 100"),
    ("[counters]\nfile = 7", "counters.file", "path string"),
    ("[log]\nlevel = 'loud'", "log.level", "one of `off`, `error`, `warn`, `info`, `debug`, `trace`"),
    ("plan = 'lat'", "plan", "a section, [plan]"),
];

/// Mistakes in `[control]`, where the sides differ.
const HOST_MISTAKES: &[Mistake] = &[
    ("[control]\nconnect = '127.0.0.1'", "control.connect", "socket address"),
    ("[control]\nconnect = '127.0.0.1:0'", "control.connect", "the address and port at which the DPU listens"),
    ("[control]\nconnect = '0.0.0.0:7599'", "control.connect", "the address and port at which the DPU listens"),
    ("[control]\nretry_ms = 0", "control.retry_ms", "an integer from 1 to 10000"),
];

/// Unknown keys, their full name, and the key that is suggested.
const UNKNOWN: &[(&str, &str, Option<&str>)] = &[
    ("[plan]\ndesing = 'lat'", "plan.desing", Some("plan.design")),
    ("[plan]\nhost_core = 2", "plan.host_core", Some("plan.host_cores")),
    ("[queue_pair]\nslots = 4", "queue_pair.slots", None),
    ("[network]\nport = 7600", "network.port", None),
    ("[network]\nmemory = '1GiB'", "network.memory", Some("table.memory")),
    ("[quue_pair]\ndepth = 4", "quue_pair", Some("[queue_pair]")),
    ("design = 'lat'", "design", Some("plan.design")),
    ("[table]\nhuge-pages = true", "table.huge-pages", Some("table.huge_pages")),
    ("[xyzzy]", "xyzzy", None),
];

fn refused<C: ControlSection>(text: &str) -> ConfigError {
    match Config::<C>::parse("kv.toml", text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error,
    }
}

fn check_mistake<C: ControlSection>((text, key, expected): &Mistake) {
    let error = refused::<C>(text);
    let shown = error.to_string();
    assert_eq!(error.key(), Some(*key), "{shown}");
    assert!(shown.contains(expected), "{shown}\nlacks {expected}");
    assert!(shown.starts_with(&format!("kv.toml: {key} = ")), "{shown}");
    assert!(!shown.contains('\n') && !shown.contains("(none)"), "{shown}");
}

#[test]
fn each_mistake_is_refused_by_the_name_of_its_key() {
    assert!(MISTAKES.len() + HOST_MISTAKES.len() >= 40);
    for mistake in MISTAKES {
        check_mistake::<ConnectSection>(mistake);
        check_mistake::<ListenSection>(mistake);
    }
    for mistake in HOST_MISTAKES {
        check_mistake::<ConnectSection>(mistake);
    }
}

#[test]
fn the_value_that_was_given_is_shown() {
    let shown = refused::<ConnectSection>("[plan]\nhost_cores = 17").to_string();
    assert_eq!(shown, "kv.toml: plan.host_cores = 17: expected an integer from 1 to 16");
    let shown = refused::<ConnectSection>("[plan]\ndpu_cores = 3").to_string();
    assert!(shown.starts_with("kv.toml: plan.host_cores = 2: expected at least"), "the default is shown: {shown}");
}

#[test]
fn an_unknown_key_comes_with_a_similar_one() {
    for (text, key, suggestion) in UNKNOWN {
        let error = refused::<ListenSection>(text);
        assert_eq!(error.key(), Some(*key));
        let shown = error.to_string();
        match suggestion {
            Some(suggestion) => {
                assert!(shown.ends_with(&format!(": unknown key, did you mean {suggestion}?")), "{shown}");
            }
            None => assert!(shown.ends_with(": unknown key"), "{shown}"),
        }
    }
}

#[test]
fn a_file_of_the_other_side_is_refused() {
    let host = refused::<ConnectSection>("[control]\nlisten = '127.0.0.1:7599'");
    assert_eq!(host.key(), Some("control.listen"));
    let dpu = refused::<ListenSection>("[control]\nconnect = '127.0.0.1:7599'");
    assert_eq!(dpu.key(), Some("control.connect"));
}

#[test]
fn a_syntax_error_names_its_line() {
    for (text, line) in [("[plan]\ndesign = ", 2), ("[plan\n", 1), ("[log]\n\nlevel = 'warn'\nlevel = 'info'", 4)] {
        let shown = refused::<ListenSection>(text).to_string();
        assert!(shown.starts_with(&format!("kv.toml:{line}: ")), "{shown}");
        assert!(!shown.contains('\n'), "{shown}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let path = Path::new("/nonexistent/kv.toml");
    let shown = Host::load(path).map_err(|error| error.to_string());
    assert!(shown.is_err_and(|shown| shown.starts_with("/nonexistent/kv.toml: cannot be read: ")));
}

#[test]
fn defaults_are_valid_and_survive_being_written_and_read() {
    assert!(Host::default().check().is_ok() && Dpu::default().check().is_ok());
    let text = toml::to_string(&Host::default()).unwrap();
    assert_eq!(Host::parse("kv.toml", &text).unwrap(), Host::default());
    let text = toml::to_string(&Dpu::default()).unwrap();
    assert_eq!(Dpu::parse("kv.toml", &text).unwrap(), Dpu::default());
    assert_eq!(Dpu::parse("kv.toml", "").unwrap(), Dpu::default());
}

#[test]
fn every_design_has_a_valid_configuration() {
    for design in kv_core::design::Design::ALL {
        let text = format!("[plan]\ndesign = '{}'", design.name());
        let config = Dpu::parse("kv.toml", &text).unwrap();
        assert_eq!(config.check().unwrap().design(), design);
    }
}

#[test]
fn hot_keys_take_the_sets_that_fit_their_memory() {
    let sets = |text| Dpu::parse("kv.toml", text).unwrap().hot_keys.set_count();
    assert_eq!(sets(""), 0);
    assert_eq!(sets("[hot_keys]\nmemory_per_core = '320B'"), 1);
    assert_eq!(sets("[plan]\ndesign = 'lat'\n[hot_keys]\nmemory_per_core = '1MiB'"), 3276);
}

#[test]
fn a_list_of_cpus_is_kept_in_its_order() {
    let config = Host::parse("kv.toml", "[cores]\npin = [3, 1, 7]").unwrap();
    assert_eq!(config.cores.pin, Pin::Listed(vec![3, 1, 7]));
    assert_eq!(Host::parse("kv.toml", "[cores]\npin = true").unwrap().cores.pin, Pin::InOrder);
}
