/*!
The names of the files around a token file `OUT`.
*/

use super::npy;
use crate::error::Error;
use crate::output::{check_file, check_own_file, folder_of, sync_folder};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The names of a token file and of the files that belong to it.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub out: PathBuf,
    pub manifest: PathBuf,
    pub index: PathBuf,
    pub partial: PathBuf,
    pub partial_index: PathBuf,
    pub journal: PathBuf,
    pub new_manifest: PathBuf,
    pub old_out: PathBuf,
    pub old_manifest: PathBuf,
    pub old_index: PathBuf,
}

impl Paths {
    /// The names for the file `out`.
    pub fn new(out: &Path) -> Self {
        let beside = |ending: &str| {
            let mut name: OsString = out.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        Paths {
            out: out.to_owned(),
            manifest: beside(".json"),
            index: beside(".idx"),
            partial: beside(".partial"),
            partial_index: beside(".partial.idx"),
            journal: beside(".partial.journal"),
            new_manifest: beside(".partial.json"),
            old_out: beside(".partial.old"),
            old_manifest: beside(".partial.old.json"),
            old_index: beside(".partial.old.idx"),
        }
    }

    /// All of the names.
    pub fn all(&self) -> [&Path; 10] {
        let Paths { out, manifest, index, partial, partial_index, journal, .. } = self;
        let Paths { new_manifest, old_out, old_manifest, old_index, .. } = self;
        [
            out,
            manifest,
            index,
            partial,
            partial_index,
            journal,
            new_manifest,
            old_out,
            old_manifest,
            old_index,
        ]
    }

    /// Refuses names of things that are not regular files, and links under this program's own names.
    pub fn check(&self) -> Result<(), Error> {
        let [out, manifest, index, own @ ..] = self.all();
        [out, manifest, index].into_iter().try_for_each(check_file)?;
        own.into_iter().try_for_each(check_own_file)
    }

    /// The number of bytes before the ids: numpy's header if the name ends in .npy.
    pub fn data_offset(&self) -> u64 {
        let is_npy = self.out.extension().is_some_and(|extension| extension == "npy");
        if is_npy { npy::HEADER_BYTES as u64 } else { 0 }
    }

    /// The folder of all of these files.
    pub fn folder(&self) -> &Path {
        folder_of(&self.out)
    }

    /// Waits until the names in the folder are on the disk.
    pub fn sync_folder(&self) -> Result<(), Error> {
        sync_folder(self.folder())
    }
}
