/*!
From `OUT.partial` to `OUT`, `OUT.idx` and `OUT.json`.

Three files cannot appear by one rename. So the old `OUT.json` is moved away first, and without it no reader
accepts `OUT`. Then `OUT` and its index are replaced, and last the new `OUT.json` appears. If a step fails, the steps before
it are undone, as far as the disk allows it, and the old files are as they were. If the power fails, the journal still exists, and a run that
resumes does the same steps again.
*/

use super::manifest::Manifest;
use super::paths::Paths;
use crate::error::Error;
use crate::output::{open_own_file, remove};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Gives a finished file its name, gives its index one too, and writes its manifest beside them.
pub(super) fn replace(paths: &Paths, manifest: &Manifest) -> Result<(), Error> {
    let text = manifest.to_json() + "\n";
    let mut file = open_own_file(&paths.new_manifest, |options| options.write(true).truncate(true))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let written = written.map_err(|error| Error::io("write", &paths.new_manifest, error));
    if let Err(error) = written.and_then(|()| move_all(paths, manifest.index.is_some())) {
        let _ = remove(&paths.new_manifest); // The first error is the one to report.
        return Err(error);
    }
    paths.sync_folder()?;
    remove(&paths.old_manifest)?;
    remove(&paths.old_index)?;
    remove(&paths.old_out)
}

/// Renames all files, or none. `keeps_index` says that an index which has its name already is the new one.
fn move_all(paths: &Paths, keeps_index: bool) -> Result<(), Error> {
    let mut moves = vec![(&paths.manifest, &paths.old_manifest)];
    let has_index = exists(&paths.partial_index)?;
    if has_index || !keeps_index {
        moves.push((&paths.index, &paths.old_index));
    }
    if has_index {
        moves.push((&paths.partial_index, &paths.index));
    }
    if exists(&paths.partial)? {
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
                    let _ = std::fs::rename(to, from); // As far as the disk allows it.
                }
                return Err(Error::io("rename", from, error));
            }
        }
    }
    Ok(())
}

/// Whether a file may be missing, because an old pair may not exist.
fn is_optional(paths: &Paths, from: &PathBuf) -> bool {
    [&paths.manifest, &paths.index, &paths.out].contains(&from)
}

fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(|error| Error::io("open", path, error))
}
