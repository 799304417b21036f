//! Devices, and what reaches them: DPDK, DOCA, and the files through which a process gets at either.

use std::fs;
use std::path::Path;

use rustix::fs::{Access, access};
use shell_io::dma::doca::{Installed, Limits};

use super::{Finding, Verdict, finding};

/// NVIDIA's number in `/sys/bus/pci/devices/…/vendor`, whose network cards DPDK shares with the kernel.
const NVIDIA: &str = "0x15b3";

/// What there is to say of the machine below `root`.
pub(super) fn findings(root: &Path, doca_directory: Option<&Path>) -> Vec<Finding> {
    let mut findings = vec![dpdk(), network_devices(root)];
    findings.extend(doca(doca_directory));
    findings.push(permissions(root));
    findings
}

fn dpdk() -> Finding {
    if shell_io::port::dpdk::IS_BUILT {
        return finding("DPDK", Verdict::Good, "this build has ports for its devices", "");
    }
    finding(
        "DPDK",
        Verdict::Absent,
        "this build has no DPDK port",
        "packets go through kernel sockets; MICA2's own clients need raw frames: build with --features dpdk",
    )
}

/// A network card.
#[derive(Debug)]
struct Card {
    address: String,
    driver: String,
    is_for_dpdk: bool,
}

/// The network cards that could be DPDK's. It has virtual devices, too, which need none.
fn network_devices(root: &Path) -> Finding {
    const WHAT: &str = "DPDK devices";
    let cards = cards(root);
    let told: Vec<_> = cards.iter().map(|Card { address, driver, .. }| format!("{address} ({driver})")).collect();
    let found = if told.is_empty() { "no network card".to_owned() } else { told.join(", ") };
    match cards.iter().find(|card| card.is_for_dpdk) {
        Some(_) => finding(WHAT, Verdict::Good, found, ""),
        None if cards.is_empty() => finding(
            WHAT,
            Verdict::Absent,
            found,
            "virtual devices work without: port.device = \"net_af_packet0,iface=eth0\"",
        ),
        None => finding(
            WHAT,
            Verdict::Absent,
            found,
            "to give one to DPDK: modprobe vfio-pci && dpdk-devbind.py --bind=vfio-pci ADDRESS; NVIDIA's stay with mlx5_core",
        ),
    }
}

fn cards(root: &Path) -> Vec<Card> {
    let Ok(entries) = fs::read_dir(root.join("sys/bus/pci/devices")) else { return Vec::new() };
    let mut cards: Vec<_> = entries.filter_map(|entry| card(&entry.ok()?.path())).collect();
    cards.sort_by(|one, other| one.address.cmp(&other.address));
    cards
}

/// The device in a directory of `/sys`, if it is a network card.
fn card(directory: &Path) -> Option<Card> {
    let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
    // Class 2 is network; the other digits are kinds of it.
    if !read("class")?.starts_with("0x02") {
        return None;
    }
    let link = fs::read_link(directory.join("driver")).ok();
    let driver = link.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let is_shared = driver.as_deref() == Some("mlx5_core") && read("vendor")?.trim() == NVIDIA;
    let is_for_dpdk = is_shared || matches!(driver.as_deref(), Some("vfio-pci" | "igb_uio" | "uio_pci_generic"));
    let address = directory.file_name()?.to_string_lossy().into_owned();
    Some(Card { address, driver: driver.unwrap_or_else(|| "no driver".to_owned()), is_for_dpdk })
}

/// DOCA itself, and each device that it lists.
fn doca(directory: Option<&Path>) -> Vec<Finding> {
    const HARDWARE: &str = "copies by DOCA have never run on hardware: docs/bluefield.md says how a first run goes";
    match Installed::look(directory) {
        Ok(Installed { generation, origin, version, devices }) => {
            let release = version.map(|version| format!("release {version}, ")).unwrap_or_default();
            let found = format!("{release}generation {generation}, {origin}");
            let mut findings = vec![finding("DOCA", Verdict::Good, found, HARDWARE)];
            findings.extend(devices.iter().map(|(address, limits)| dma_device(address, *limits)));
            if devices.is_empty() {
                findings.push(finding(
                    "DMA devices",
                    Verdict::Limited,
                    "DOCA lists none",
                    "is the card there (lspci -d 15b3:), its driver (lsmod | grep mlx5), and may this user open it?",
                ));
            }
            findings
        }
        Err(error) => vec![finding(
            "DOCA",
            Verdict::Absent,
            error.to_string(),
            format!("copies go through shared memory; dma.kind = \"doca\" needs DOCA's runtime; {HARDWARE}"),
        )],
    }
}

fn dma_device(address: &str, limits: Limits) -> Finding {
    const WHAT: &str = "DMA device";
    let Limits { copy_len_max, can_copy, can_export, can_import } = limits;
    let lacking: Vec<_> =
        [(can_copy, "copies nothing"), (can_export, "exports nothing"), (can_import, "imports nothing")]
            .into_iter()
            .filter_map(|(can, lack)| (!can).then_some(lack))
            .collect();
    if lacking.is_empty() {
        let found = format!("{address} copies {} KiB at once, exports and imports memory", copy_len_max / 1024);
        return finding(WHAT, Verdict::Good, found, "");
    }
    let found = format!("{address} {}", lacking.join(", "));
    let (verdict, advice) = match (can_copy && can_import, can_export) {
        (true, _) => (Verdict::Limited, "does for a DPU with queue_pair.response = \"pull\""),
        (false, true) => (Verdict::Limited, "does for a host with queue_pair.response = \"pull\""),
        (false, false) => {
            (Verdict::Absent, "dma.device needs another one; between host and card, the card in DPU mode")
        }
    };
    finding(WHAT, verdict, found, advice)
}

/// Whether this user may open what DPDK's and DOCA's drivers open.
fn permissions(root: &Path) -> Finding {
    const WHAT: &str = "permissions";
    let in_directory = |path: &str, prefix: &str| {
        let entries = fs::read_dir(root.join(path)).into_iter().flatten();
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut named: Vec<_> = paths
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
            .collect();
        named.sort();
        named
    };
    let mut files = in_directory("dev/infiniband", "uverbs");
    files.extend(in_directory("dev/vfio", "vfio"));
    if files.is_empty() {
        return finding(
            WHAT,
            Verdict::Absent,
            "no /dev/infiniband/uverbs*, no /dev/vfio/vfio",
            "only DOCA (modprobe mlx5_ib) and DPDK's ports of cards (modprobe vfio-pci) need them",
        );
    }
    let may_open = |path: &Path| access(path, Access::READ_OK | Access::WRITE_OK).is_ok();
    let names = |files: &[&Path]| {
        let names = files.iter().map(|path| Path::new("/").join(path.strip_prefix(root).unwrap_or(path)));
        names.map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    let closed: Vec<_> = files.iter().map(AsRef::as_ref).filter(|path| !may_open(path)).collect();
    if closed.is_empty() {
        let all: Vec<_> = files.iter().map(AsRef::as_ref).collect();
        return finding(WHAT, Verdict::Good, format!("this user opens {}", names(&all)), "");
    }
    finding(
        WHAT,
        Verdict::Limited,
        format!("this user does not open {}", names(&closed)),
        "run as root, or give its group the files; a unit needs PrivateDevices=no as well",
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn machine(class: &str, vendor: &str, driver: Option<&str>) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        let device = root.path().join("sys/bus/pci/devices/0000:03:00.0");
        fs::create_dir_all(&device).expect("a device");
        fs::write(device.join("class"), class).expect("its class");
        fs::write(device.join("vendor"), vendor).expect("its vendor");
        if let Some(driver) = driver {
            symlink(Path::new("/sys/bus/pci/drivers").join(driver), device.join("driver")).expect("its driver");
        }
        root
    }

    #[test]
    fn a_card_is_for_dpdk_when_its_driver_leaves_it_to_programs() {
        for (vendor, driver, verdict, found) in [
            (NVIDIA, Some("mlx5_core"), Verdict::Good, "0000:03:00.0 (mlx5_core)"),
            ("0x8086", Some("vfio-pci"), Verdict::Good, "0000:03:00.0 (vfio-pci)"),
            ("0x8086", Some("ixgbe"), Verdict::Absent, "0000:03:00.0 (ixgbe)"),
            ("0x8086", None, Verdict::Absent, "0000:03:00.0 (no driver)"),
        ] {
            let root = machine("0x020000\n", &format!("{vendor}\n"), driver);
            let told = network_devices(root.path());
            assert_eq!(
                (told.verdict, told.found.as_str(), told.advice.is_empty()),
                (verdict, found, verdict == Verdict::Good)
            );
        }
        let root = machine("0x010802\n", "0x8086\n", Some("nvme"));
        assert_eq!(network_devices(root.path()).found, "no network card");
    }

    #[test]
    fn files_that_drivers_open_are_named_without_where_they_were_looked_for() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(permissions(root.path()).verdict, Verdict::Absent);
        let directory = root.path().join("dev/infiniband");
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("uverbs0"), "").expect("a file");
        fs::write(directory.join("rdma_cm"), "").expect("another file");
        let told = permissions(root.path());
        assert_eq!((told.verdict, told.found.as_str()), (Verdict::Good, "this user opens /dev/infiniband/uverbs0"));
    }

    #[test]
    fn a_device_says_what_it_can_or_what_it_lacks() {
        let able = Limits { copy_len_max: 2 << 20, can_copy: true, can_export: true, can_import: true };
        let told = dma_device("0000:03:00.0", able);
        assert_eq!(told.found, "0000:03:00.0 copies 2048 KiB at once, exports and imports memory");
        assert_eq!(told.verdict, Verdict::Good);
        let host = dma_device("0000:03:00.1", Limits { can_copy: false, can_import: false, ..able });
        assert_eq!(host.found, "0000:03:00.1 copies nothing, imports nothing");
        assert!(host.verdict == Verdict::Limited && host.advice.contains("a host with"), "{}", host.advice);
        let dpu = dma_device("0000:03:00.1", Limits { can_export: false, ..able });
        assert!(dpu.verdict == Verdict::Limited && dpu.advice.contains("a DPU with"), "{}", dpu.advice);
        let none = dma_device("0000:03:00.1", Limits { can_copy: false, can_export: false, ..able });
        assert_eq!(none.verdict, Verdict::Absent);
    }

    #[test]
    fn a_machine_without_doca_is_told_what_to_do() {
        let told = doca(Some(Path::new("/nowhere")));
        assert_eq!((told.len(), told[0].verdict), (1, Verdict::Absent));
        assert!(told[0].found.contains("/nowhere") && told[0].advice.contains("dma.kind"));
    }
}
