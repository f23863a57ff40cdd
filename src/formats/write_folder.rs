/*!
Files in a folder that appear whole or not at all.

All files are written and synced in a temporary folder on the same disk first. A new folder then appears by one rename, so a
kill at any moment leaves no half of a tokenizer. In a folder that exists already, each file is replaced by a rename. Optional
files of an earlier tokenizer are removed before that, because they would seem to belong to the new tokenizer. If one of these
calls fails, the old files come back: until the end they have a second name in the temporary folder.
*/

use super::file_names::TRAINING_JSON;
use crate::error::Error;
use crate::output::{check_file, check_folder, folder_of, is_taken, remove, sync_folder};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Writes `files` into `folder`. `names` are the names of all files that a tokenizer can have.
pub(super) fn write_folder(
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
    let parent = folder_of(folder);
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
        sync_folder(temporary.path())?;
        std::fs::rename(temporary.path(), folder).map_err(|error| Error::io("create", folder, error))?;
        let _ = temporary.keep(); // The folder has its final name, so there is nothing to remove.
        sync_folder(parent)
    } else {
        let old = temporary.path().join("old");
        keep(folder, names, &old)?;
        exchange(folder, temporary.path(), files, names).inspect_err(|_| bring_back(folder, names, &old))
    }
}

/// Gives files that exist a second name in the new folder `old`, or copies them where a file can have only one name.
fn keep(folder: &Path, names: &[&str], old: &Path) -> Result<(), Error> {
    std::fs::create_dir(old).map_err(|error| Error::io("create", old, error))?;
    for path in names.iter().map(|name| folder.join(name)).filter(|path| is_taken(path)) {
        let kept = old.join(path.file_name().unwrap_or_default());
        std::fs::hard_link(&path, &kept)
            .or_else(|_| std::fs::copy(&path, &kept).map(drop))
            .map_err(|error| Error::io("keep", path, error))?;
    }
    Ok(())
}

/// Replaces the files of an earlier tokenizer by new ones.
fn exchange(folder: &Path, new: &Path, files: &[(&str, String)], names: &[&str]) -> Result<(), Error> {
    for name in names.iter().filter(|name| is_stale(name, files)) {
        remove(&folder.join(name))?;
    }
    for (name, _) in files {
        let path = folder.join(name);
        std::fs::rename(new.join(name), &path).map_err(|error| Error::io("replace", path, error))?;
    }
    sync_folder(folder)
}

/// Undoes an exchange, as far as the disk allows; its error is the one that counts.
fn bring_back(folder: &Path, names: &[&str], old: &Path) {
    for name in names {
        let (kept, path) = (old.join(name), folder.join(name));
        let _ = if is_taken(&kept) { std::fs::rename(kept, path) } else { std::fs::remove_file(path) };
    }
}

/// Whether an old file must be removed before the first rename: no new file replaces it, or it describes the old tokenizer.
fn is_stale(name: &str, files: &[(&str, String)]) -> bool {
    name == TRAINING_JSON || files.iter().all(|(file, _)| *file != name)
}
