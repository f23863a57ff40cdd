/*!
The journal of a token file that is being written: how far the file can be trusted.

A line is JSON, a blank and the CRC-32 of that JSON, so a line that was half written when the power failed is
recognised. The first line describes the file that is to be written, and each other line how much of it is
written. Lines are only added, and each is synced after the ids that it describes.
*/

use super::index::Progress;
use super::manifest::{Manifest, index_from_json, index_to_json};
use super::paths::Paths;
use crate::corpus::Place;
use crate::encode_corpus::Start;
use crate::error::Error;
use crate::json::{self, Object};
use crate::output::open_own_file;
use serde_json::json;
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// How much of a file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where the next chunk begins.
    pub next: Start,
    pub count: u64,
    pub text_bytes: u64,
    pub skipped_lines: u64,
    /// The checksums of whole blocks since the last entry, and of the ids after them.
    pub blocks: Vec<u32>,
    pub tail: u32,
    /// How much of the index is written, if there is one.
    pub index: Option<Progress>,
    /// Whether there is nothing more to encode.
    pub is_done: bool,
}

impl Entry {
    fn to_json(&self) -> String {
        json!({
            "source": self.next.place.source,
            "offset": self.next.place.offset,
            "is_separated": self.next.is_separated,
            "count": self.count,
            "text_bytes": self.text_bytes,
            "skipped_lines": self.skipped_lines,
            "blocks": self.blocks,
            "tail": self.tail,
            "index": self.index.map(|index| index_to_json(index.info)),
            "begins": self.index.map(|index| index.begins),
            "is_done": self.is_done,
        })
        .to_string()
    }

    fn from_json(text: &str) -> Result<Self, String> {
        let value = json::parse(text)?;
        let object = Object::new(&value).map_err(|reason| format!("an entry is {reason}"))?;
        let checksum = |n: u64| u32::try_from(n).map_err(|_| "a checksum has more than 32 bits".to_owned());
        let source = object.size("source")?;
        let index = object.lenient("index").map(|index| -> Result<Progress, String> {
            Ok(Progress { info: index_from_json(index)?, begins: object.bool("begins")? })
        });
        let blocks = object.numbers("blocks")?.into_iter().map(checksum);
        Ok(Entry {
            next: Start {
                place: Place { source, offset: object.number("offset")? },
                is_separated: object.bool("is_separated")?,
            },
            count: object.number("count")?,
            text_bytes: object.number("text_bytes")?,
            skipped_lines: object.number("skipped_lines")?,
            blocks: blocks.collect::<Result<_, _>>()?,
            tail: checksum(object.number("tail")?)?,
            index: index.transpose()?,
            is_done: object.bool("is_done")?,
        })
    }
}

/// What a journal says of a file that was begun.
pub(super) struct Begun {
    pub manifest: Manifest,
    /// Whether it may replace files of its names.
    pub may_replace: bool,
    /// The last entry, with the checksums of all entries.
    pub last: Option<Entry>,
}

/// A journal that is open for more lines.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
}

/// The journal's lock protects the token file, because only the journal's name exists from the first byte
/// until `OUT.json` exists.
impl Journal {
    /// Opens or creates the file, and locks it for this process alone.
    pub fn lock(paths: &Paths) -> Result<Self, Error> {
        let path = &paths.journal;
        let failed = |error| Error::io("open", path, error);
        let file = open_own_file(path, |options| options.read(true).append(true))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: path.clone() }),
            Err(TryLockError::Error(error)) if error.kind() != std::io::ErrorKind::Unsupported => {
                return Err(failed(error));
            }
            _ => {}
        }
        // Between opening and locking, the file's writer may have ended and removed the file.
        let name = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let ours = file.metadata().map(name).map_err(failed)?;
        match std::fs::metadata(path).map(name) {
            Ok(there) if there == ours => Ok(Journal { file, path: path.clone() }),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => Err(Error::Busy { path: path.clone() }),
        }
    }

    /// Whether it is known to be empty.
    pub fn is_empty(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.len() == 0)
    }

    /// Removes all lines.
    pub fn clear(&self) -> Result<(), Error> {
        self.file.set_len(0).map_err(|error| Error::io("write", &self.path, error))
    }

    /// Writes the first line, which describes the file that is to be written, and says whether it may replace others.
    pub fn begin(mut self, manifest: &Manifest, may_replace: bool) -> Result<Self, Error> {
        let mut line = manifest.to_object();
        line["may_replace"] = may_replace.into();
        self.push_line(&line.to_string())?;
        Ok(self)
    }

    /// Reads what it says. Removes a last line that is half written. Returns `None` if not even the first line was
    /// written to its end.
    pub fn read(&self) -> Result<Option<Begun>, Error> {
        let path = &self.path;
        let failed = |error| Error::io("open", path, error);
        let mut bytes = Vec::new();
        (&self.file).read_to_end(&mut bytes).map_err(failed)?;
        if !bytes.contains(&b'\n') {
            return Ok(None);
        }
        let mut len = 0;
        let mut lines = Vec::new();
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let Some(json) = checked(line) else { break };
            lines.push(json);
            len += line.len() as u64;
        }
        let damaged =
            |reason: String| Error::Resume { path: path.clone(), reason: format!("damaged: {reason}") };
        let mut lines = lines.into_iter();
        let first =
            lines.next().ok_or_else(|| damaged("the first line is not what was written".to_owned()))?;
        let manifest = Manifest::from_json(first).map_err(damaged)?;
        let may_replace = may_replace(first).map_err(damaged)?;
        let (mut last, mut blocks) = (None, Vec::new());
        for line in lines {
            let mut entry = Entry::from_json(line).map_err(damaged)?;
            blocks.append(&mut entry.blocks);
            last = Some(entry);
        }
        let last = last.map(|last| Entry { blocks, ..last });
        self.file.set_len(len).map_err(failed)?;
        Ok(Some(Begun { manifest, may_replace, last }))
    }

    /// Adds an entry, and syncs it.
    pub fn push(&mut self, entry: &Entry) -> Result<(), Error> {
        self.push_line(&entry.to_json())
    }

    fn push_line(&mut self, json: &str) -> Result<(), Error> {
        let line = format!("{json} {:08x}\n", crc32fast::hash(json.as_bytes()));
        let pushed = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        pushed.map_err(|error| Error::io("write", &self.path, error))
    }

    /// Removes the file.
    pub fn remove(self) -> Result<(), Error> {
        std::fs::remove_file(&self.path).map_err(|error| Error::io("remove", &self.path, error))
    }
}

/// What the first line says of files that are there. Older journals do not say it; each of their runs replaces them.
fn may_replace(line: &str) -> Result<bool, String> {
    let value = json::parse(line)?;
    let object = Object::new(&value)?;
    object.lenient("may_replace").map_or(Ok(true), |_| object.bool("may_replace"))
}

/// The JSON of a line, if the line is whole.
fn checked(line: &[u8]) -> Option<&str> {
    let line = str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (json, sum) = line.rsplit_once(' ')?;
    (u32::from_str_radix(sum, 16) == Ok(crc32fast::hash(json.as_bytes()))).then_some(json)
}
