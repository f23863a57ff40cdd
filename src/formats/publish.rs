/*!
Files that appear whole or not at all.

Everything is written and synced in a temporary folder on the same disk first. A new folder then appears by one rename,
so no kill at any moment leaves half a tokenizer; in a folder that exists already each file is replaced by a rename.
There, optional files of an earlier tokenizer are removed first: they would seem to be of this one.
*/

use crate::error::Error;
use crate::output::{check_file, check_folder, is_taken};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Writes `files` into `folder`. `names` are all those that a tokenizer can have.
pub(super) fn publish(
    folder: &Path,
    files: &[(&str, String)],
    names: &[&str],
    replace: bool,
) -> Result<(), Error> {
    check_folder(folder)?;
    for path in names.iter().map(|name| folder.join(name)) {
        check_file(&path)?;
        if !replace && is_taken(&path) {
            return Err(Error::Exists { path });
        }
    }
    let parent = match folder.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => folder,
    };
    std::fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
    let is_new = !folder.exists();
    let place = if is_new { parent } else { folder };
    let temporary = tempfile::Builder::new()
        .prefix(".bpe_lm-")
        .tempdir_in(place)
        .map_err(|error| Error::io("write to", place, error))?;
    for (name, text) in files {
        let path = temporary.path().join(name);
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|error| Error::io("write", folder.join(name), error))?;
    }
    if is_new {
        sync(temporary.path())?;
        std::fs::rename(temporary.path(), folder).map_err(|error| Error::io("create", folder, error))?;
        let _ = temporary.keep(); // It has the folder's name now; there is nothing left to remove.
        sync(parent)
    } else {
        for name in names.iter().filter(|name| is_stale(name, files)) {
            remove(&folder.join(name))?;
        }
        for (name, _) in files {
            let path = folder.join(name);
            std::fs::rename(temporary.path().join(name), &path)
                .map_err(|error| Error::io("replace", path, error))?;
        }
        sync(folder)
    }
}

/// Whether an old file must not survive the first rename: nothing replaces it, or it speaks of the old tokenizer.
fn is_stale(name: &str, files: &[(&str, String)]) -> bool {
    name == super::TRAINING_JSON || files.iter().all(|(file, _)| *file != name)
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| Error::io("sync", folder, error))
}
