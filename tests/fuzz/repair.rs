//! Files with checksums: a mutation leaves a checksum wrong, and then nothing behind it is read. Here checksums are put
//! right again, so that the parsers behind them are reached.

use sha2::{Digest, Sha256};

/// The lines of a journal, each with the checksum of its JSON.
pub fn journal(bytes: &[u8]) -> Vec<u8> {
    let mut repaired = Vec::new();
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let json = match line.iter().rposition(|&byte| byte == b' ') {
            Some(at) if line.len() - at == 9 => &line[..at],
            _ => line,
        };
        repaired.extend_from_slice(json);
        repaired.extend_from_slice(format!(" {:08x}\n", crc32fast::hash(json)).as_bytes());
    }
    repaired
}

/// A count file with the hash of its rules, the checksum of its header, and those of its blocks.
pub fn count_file(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let u32_at = |bytes: &[u8], at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    if bytes.len() < 84 || bytes.len() - 84 < u32_at(&bytes, 12) {
        return bytes;
    }
    let rules_end = 80 + u32_at(&bytes, 12);
    let hash = Sha256::digest(&bytes[80..rules_end]);
    bytes[48..80].copy_from_slice(&hash);
    let crc = crc32fast::hash(&bytes[..rules_end]);
    bytes[rules_end..rules_end + 4].copy_from_slice(&crc.to_le_bytes());
    let mut rest = &mut bytes[rules_end + 4..];
    while let Some((header, after)) = rest.split_first_chunk_mut::<16>() {
        let len = u64::from_le_bytes(*header.first_chunk().unwrap()).min(after.len() as u64);
        header[..8].copy_from_slice(&len.to_le_bytes());
        let (content, next) = after.split_at_mut(len as usize);
        let mut crc = crc32fast::Hasher::new();
        crc.update(&header[..12]);
        crc.update(content);
        header[12..].copy_from_slice(&crc.finalize().to_le_bytes());
        rest = next;
    }
    bytes
}
