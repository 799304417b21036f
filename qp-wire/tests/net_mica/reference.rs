//! The rules again, as naively as they can be written, to be compared with.

use qp_wire::{DropReason, ResultCode};

use crate::frames::SERVER;

/// An entry: operation, result, key hash, opaque, key, value.
pub(crate) type Entry = (u8, u8, u64, u32, Vec<u8>, Vec<u8>);

fn be16(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) * 256 + usize::from(bytes[at + 1])
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value * 256 + u64::from(byte))
}

/// Whether a one's complement sum says that nothing was damaged: it is zero, but not for want of bits.
fn sums_up(bytes: &[u8]) -> bool {
    let even = [bytes, &[0][..bytes.len() % 2]].concat();
    let sum: usize = (0..even.len()).step_by(2).map(|at| be16(&even, at)).sum();
    sum > 0 && sum.is_multiple_of(65535)
}

/// The payload of a frame (W-C-1 to W-C-12).
pub(crate) fn payload(f: &[u8]) -> Result<&[u8], DropReason> {
    let end = if f.len() < 42 { return Err(DropReason::Short) } else { 14 + be16(f, 16) };
    let covered = || [&f[26..34], &[0, 17], &f[38..40], &f[34..end]].concat();
    let verdict = [
        (f.len() > 9014, DropReason::Long),
        (f[12..15] != [8, 0, 0x45] || f[23] != 17, DropReason::NotUdp),
        (be16(f, 20) & 0x3fff != 0, DropReason::Fragment),
        (end > f.len(), DropReason::Short),
        (end < f.len() && f.len() > 60, DropReason::Long),
        (be16(f, 38) < 8 || be16(f, 38) + 34 != end, DropReason::Malformed),
        (be16(f, 24) != 0 && !sums_up(&f[14..34]), DropReason::Checksum),
    ];
    if let Some((_, reason)) = verdict.into_iter().find(|(broken, _)| *broken) {
        return Err(reason);
    }
    if be16(f, 40) != 0 && !sums_up(&covered()) {
        return Err(DropReason::Checksum);
    }
    if f[6] % 2 == 1
        || f[6..12] == [0; 6]
        || f[26] & 0xf0 == 224
        || [[0; 4], [255; 4]].contains(&[f[26], f[27], f[28], f[29]])
    {
        return Err(DropReason::Source);
    }
    Ok(&f[42..end])
}

/// Whether a valid frame is for the server (W-C-13 and W-C-14).
pub(crate) fn accepts(f: &[u8]) -> Result<(), DropReason> {
    if f[0..6] != SERVER.mac.0 || f[30..34] != SERVER.ipv4.octets() || be16(f, 36) != usize::from(SERVER.port) {
        return Err(DropReason::Destination);
    }
    if f[6..12] == SERVER.mac.0 || f[26..30] == SERVER.ipv4.octets() || f[26] == 127 {
        return Err(DropReason::Source);
    }
    Ok(())
}

/// The entries of a payload with this magic (W-C-20 to W-C-25).
pub(crate) fn entries(p: &[u8], magic: u8) -> Result<Vec<Entry>, DropReason> {
    match p.len() {
        0..30 => return Err(DropReason::Short),
        30..=8972 if p[0] == magic => {}
        30..=8972 if p[0] == 0x79 => return Err(DropReason::Response),
        30..=8972 => return Err(DropReason::Magic),
        _ => return Err(DropReason::Long),
    }
    let (mut at, mut entries) = (6, Vec::new());
    while at < p.len() {
        if at + 24 > p.len() {
            return Err(DropReason::Malformed);
        }
        let (value_len, key_len) = (little_endian(&p[at + 4..at + 7]) as usize, usize::from(p[at + 7]));
        let value_at = at + 24 + key_len.div_ceil(8) * 8;
        let end = value_at + value_len.div_ceil(8) * 8;
        if end > p.len() {
            return Err(DropReason::Malformed);
        }
        let (key, value) = (p[at + 24..at + 24 + key_len].to_vec(), p[value_at..value_at + value_len].to_vec());
        let (key_hash, opaque) = (little_endian(&p[at + 8..at + 16]), little_endian(&p[at + 16..at + 20]) as u32);
        entries.push((p[at], p[at + 1], key_hash, opaque, key, value));
        at = end;
    }
    if entries.len() == usize::from(p[1]) { Ok(entries) } else { Err(DropReason::Malformed) }
}

/// What a request is refused with, if it is not executed (W-C-27 to W-C-30).
pub(crate) fn refusal((operation, _, _, _, key, value): &Entry) -> Option<ResultCode> {
    match operation {
        9.. => Some(ResultCode::NotSupported),
        3.. if key.is_empty() => Some(ResultCode::Error),
        3 | 4 if value.len() > 8685 => Some(ResultCode::TooLarge),
        8 if value.len() != 8 => Some(ResultCode::Error),
        _ => None,
    }
}

/// Whether a server can have written this (W-C-37 and W-C-38).
pub(crate) fn is_response((_, result, _, _, key, _): &Entry) -> bool {
    key.is_empty() && [0, 1, 2, 3, 4, 5, 6, 7, 9].contains(result)
}
