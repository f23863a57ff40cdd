/*!
From `OUT.partial` to `OUT` and `OUT.json`.

Two files cannot appear by one rename. So the old `OUT.json` is moved away first, and without it no reader
accepts `OUT`. Then `OUT` is replaced, and last the new `OUT.json` appears. If a step fails, the steps before
it are undone, and the old pair is as it was. If the power fails, the journal still exists, and a run that
resumes does the same steps again.
*/

use super::manifest::Manifest;
use super::paths::Paths;
use crate::error::Error;
use crate::output::{NO_LINK, remove};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Gives a finished file its name, and writes its manifest beside it.
pub(super) fn replace_pair(paths: &Paths, manifest: &Manifest) -> Result<(), Error> {
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

/// Renames all files, or none.
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

/// Whether a file may be missing, because an old pair may not exist.
fn is_optional(paths: &Paths, from: &Path) -> bool {
    from == paths.manifest || from == paths.out
}
