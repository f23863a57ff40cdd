/*!
From `OUT.partial` to `OUT` and `OUT.json`.

Two files cannot appear by one rename. So first the old `OUT.json` steps aside, and without it nobody takes `OUT` for whole;
then `OUT` changes, then the new `OUT.json` comes. Where a step fails, those before it are undone, and the old pair is there
as it was. Where the power goes, the journal is still there, and a run that resumes does the same again.
*/

use super::manifest::Manifest;
use super::npy;
use crate::error::Error;
use crate::output::{NO_LINK, check_file, check_own_file};
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The names around a token file.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub out: PathBuf,
    pub manifest: PathBuf,
    pub partial: PathBuf,
    pub journal: PathBuf,
    new_manifest: PathBuf,
    old_out: PathBuf,
    old_manifest: PathBuf,
}

impl Paths {
    pub fn new(out: &Path) -> Self {
        let beside = |ending: &str| {
            let mut name: OsString = out.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        Paths {
            out: out.to_owned(),
            manifest: beside(".json"),
            partial: beside(".partial"),
            journal: beside(".partial.journal"),
            new_manifest: beside(".partial.json"),
            old_out: beside(".partial.old"),
            old_manifest: beside(".partial.old.json"),
        }
    }

    /// All of them.
    pub fn all(&self) -> [&Path; 7] {
        let Paths { out, manifest, partial, journal, new_manifest, old_out, old_manifest } = self;
        [out, manifest, partial, journal, new_manifest, old_out, old_manifest]
    }

    /// Refuses to write over what is no regular file, and where a link of this program's own names would lead.
    pub fn check(&self) -> Result<(), Error> {
        let [out, manifest, own @ ..] = self.all();
        check_file(out)?;
        check_file(manifest)?;
        own.into_iter().try_for_each(check_own_file)
    }

    /// The length of what stands before the ids: numpy's header if the name wants one.
    pub fn data_offset(&self) -> u64 {
        let is_npy = self.out.extension().is_some_and(|extension| extension == "npy");
        if is_npy { npy::HEADER_BYTES as u64 } else { 0 }
    }

    pub fn folder(&self) -> &Path {
        match self.out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// Makes names in the folder last.
    pub fn sync_folder(&self) -> Result<(), Error> {
        let folder = self.folder();
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| Error::io("sync", folder, error))
    }
}

/// Gives a finished file its name, and writes what it is beside it.
pub(super) fn publish(paths: &Paths, manifest: &Manifest) -> Result<(), Error> {
    let text = manifest.to_json() + "\n";
    let write = || {
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(true).custom_flags(NO_LINK);
        let mut file = options.open(&paths.new_manifest)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    let written = write().map_err(|error| Error::io("write", &paths.new_manifest, error));
    if let Err(error) = written.and_then(|()| move_all(paths)) {
        remove(&paths.new_manifest)?;
        return Err(error);
    }
    paths.sync_folder()?;
    remove(&paths.old_manifest)?;
    remove(&paths.old_out)
}

fn move_all(paths: &Paths) -> Result<(), Error> {
    let has_partial = match std::fs::metadata(&paths.partial) {
        Ok(_) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(Error::io("open", &paths.partial, error)),
    };
    let mut moves = vec![(&paths.manifest, &paths.old_manifest)];
    if has_partial {
        moves.extend([(&paths.out, &paths.old_out), (&paths.partial, &paths.out)]);
    }
    moves.push((&paths.new_manifest, &paths.manifest));
    let mut done: Vec<(&PathBuf, &PathBuf)> = Vec::new();
    for (from, to) in moves {
        match std::fs::rename(from, to) {
            Ok(()) => done.push((from, to)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_optional(paths, from) => {}
            Err(error) => {
                for (from, to) in done.into_iter().rev() {
                    std::fs::rename(to, from).map_err(|error| Error::io("rename", to, error))?;
                }
                return Err(Error::io("rename", from, error));
            }
        }
    }
    Ok(())
}

/// There need not be an old pair.
fn is_optional(paths: &Paths, from: &Path) -> bool {
    from == paths.manifest || from == paths.out
}

pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}
