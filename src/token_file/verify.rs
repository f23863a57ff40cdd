/*!
Checks of a token file: whether it is whole, is undamaged, and has the type and tokenizer that the reader
expects.
*/

use super::dtype::Dtype;
use super::index::{self, IndexInfo};
use super::manifest::{BLOCK_BYTES, Manifest};
use super::npy;
use super::paths::Paths;
use crate::error::Error;
use crate::job::{Job, Stage};
use crate::output::kind_of;
use crc32fast::Hasher as Crc;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The number of bytes between two checks of the cancel flag.
const STEP: usize = 1 << 20;

/// Reads the manifest of a token file and compares it with the file's length, which takes no time. A reader may give the
/// type of ids that it reads, and the hash of its tokenizer.
///
/// # Errors
/// [`Error::TokenFile`] when the file is not whole or not what is wanted, [`Error::Format`], [`Error::Io`].
pub fn open(path: &Path, dtype: Option<Dtype>, tokenizer: Option<&str>) -> Result<Manifest, Error> {
    let paths = Paths::new(path);
    let refused = |reason: String| Err(Error::token_file(path, reason));
    for path in [path, &paths.manifest] {
        // Opening a pipe would wait for its other end.
        if let Ok(kind) = std::fs::metadata(path).map(|found| found.file_type())
            && !kind.is_file()
        {
            return Err(Error::token_file(path, format!("is {}, not a file", kind_of(kind))));
        }
    }
    let len = std::fs::metadata(path).map_err(|error| Error::io("open", path, error))?.len();
    let manifest = match Manifest::read(&paths.manifest) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            let beside = paths.manifest.display();
            return refused(format!(
                "{beside}, which describes its content, does not exist; if it is a token file, encoding did not end (--resume)"
            ));
        }
        manifest => manifest?,
    };
    if manifest.num_bytes() != len {
        return refused(format!(
            "it has {len} bytes, but {} ids of {} make {}; it was cut off or replaced, encode it again",
            manifest.count,
            manifest.dtype.name(),
            manifest.num_bytes()
        ));
    }
    if let Some(wanted) = dtype.filter(|&wanted| wanted != manifest.dtype) {
        return refused(format!("its ids are {}, not {}", manifest.dtype.name(), wanted.name()));
    }
    if let Some(wanted) = tokenizer.filter(|&wanted| wanted != manifest.tokenizer) {
        return refused(format!(
            "it was made by another tokenizer ({:.12}..., not {wanted:.12}...)",
            manifest.tokenizer
        ));
    }
    Ok(manifest)
}

/// The path of a token file's index, after a check of its header and its length against the manifest.
///
/// # Errors
/// [`Error::TokenFile`] if there is no index, or not the one that the manifest describes; [`Error::Io`].
pub fn open_index(path: &Path, manifest: &Manifest) -> Result<(PathBuf, IndexInfo), Error> {
    let Some(info) = manifest.index else {
        let reason = "it was encoded without an index of its documents; encode it again without --no-index (index=True)";
        return Err(Error::token_file(path, reason));
    };
    let index = Paths::new(path).index;
    index::check(&index, info, manifest.count)?;
    Ok((index, info))
}

/// Reads a token file and its index, and compares the checksums.
///
/// # Errors
/// As [`open`]; [`Error::TokenFile`] with the first block that is damaged; [`Error::Cancelled`].
pub fn verify(path: &Path, tokenizer: Option<&str>, job: &Job) -> Result<Manifest, Error> {
    let manifest = open(path, None, tokenizer)?;
    job.stage(Stage::Verify, Some(manifest.num_bytes()), || {
        let failed = |error| Error::io("read", path, error);
        let mut file = File::open(path).map_err(failed)?;
        let mut header = vec![0; if manifest.data_offset > 0 { npy::HEADER_BYTES } else { 0 }];
        file.read_exact(&mut header).map_err(failed)?;
        if !header.is_empty() && header != npy::header(manifest.dtype, manifest.count) {
            return Err(Error::token_file(path, "its numpy header is damaged; encode it again"));
        }
        let mut buffer = vec![0; STEP];
        let mut left = manifest.num_bytes() - manifest.data_offset;
        for (number, &sum) in (0_u64..).zip(&manifest.checksums) {
            let (mut crc, end) = (Crc::new(), left.saturating_sub(BLOCK_BYTES as u64));
            while left > end {
                job.check()?;
                let len = usize::try_from(left - end).map_or(STEP, |len| len.min(STEP));
                file.read_exact(&mut buffer[..len]).map_err(failed)?;
                crc.update(&buffer[..len]);
                job.advance(len as u64);
                left -= len as u64;
            }
            if crc.finalize() != sum {
                let start = manifest.data_offset + number * BLOCK_BYTES as u64;
                let reason = format!(
                    "bytes {start} to {} are not what was written; encode it again",
                    manifest.num_bytes() - left
                );
                return Err(Error::token_file(path, reason));
            }
        }
        let Some(info) = manifest.index else { return Ok(()) };
        index::verify(&Paths::new(path).index, info, manifest.count, job)
    })?;
    Ok(manifest)
}
