//! The world in memory and in virtual time.
//!
//! The engines of `kv-core` run here over ports, windows and copy engines that keep the contracts and no promise
//! beyond them. One thread runs everything; one `u64` seed decides everything; a run that fails is replayed by its
//! seed, bit for bit.
//!
//! * [`seed`], [`clock`], [`trace`]: random streams, virtual time, and the fingerprint of a run.
//! * [`fault`]: what may go wrong, drawn per seed, and counted when it does.
//! * [`physics`]: the above in one value, which every part of a world shares.
//! * [`link`], [`port`], [`raw_port`], [`medium`]: the network, and its two kinds of ports and packets.
//! * [`window`], [`dma`]: memory that the peer writes, and the copy engine that does so.
//! * [`world`]: actors, and whose turn it is.
//! * [`node`], [`server`], [`scenario`], [`report`]: all roles of a design at work, a run of them, and its verdict.
//! * [`balance`], [`dialogue`]: what must add up when nothing goes wrong, and one frame at a time.
//! * [`workload`], [`directory`], [`wire`], [`client`]: what is asked, where, how, and by whom.
//! * [`load`]: how fast queue pairs are, with costs of known hardware.
//! * [`value`], [`history`]: values that tell who wrote them, and whether what clients saw is possible.

#![forbid(unsafe_code)]

pub mod balance;
mod bus;
pub mod client;
pub mod clock;
pub mod dialogue;
pub mod directory;
pub mod dma;
pub mod fault;
pub mod history;
pub mod link;
pub mod load;
pub mod medium;
pub mod node;
pub mod physics;
pub mod pool;
pub mod port;
pub mod raw_port;
pub mod report;
pub mod scenario;
pub mod seed;
pub mod server;
mod stage;
pub mod trace;
pub mod value;
pub mod window;
pub mod wire;
pub mod workload;
pub mod world;
