/*!
From `OUT.partial` to `OUT`, `OUT.idx` and `OUT.json`.

Three files cannot appear by one rename. So the old `OUT.json` is moved away first, and without it no reader accepts `OUT`.
Then `OUT` and its index are replaced, and last the new `OUT.json` appears. If a step fails, the steps before it are undone;
what cannot be undone is left to the journal. If the power fails, the journal still exists, and a run that resumes does the
same steps again.

A run that may replace nothing found its names free when it began, hours ago. So it moves nothing away, and each rename fails if
somebody else has made a file of that name meanwhile. Then the journal stays, and a run that resumes has nothing to encode.
*/

use super::manifest::Manifest;
use super::paths::Paths;
use crate::error::Error;
use crate::output::{is_taken, open_own_file, remove};
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
use rustix::fs::{CWD, RenameFlags, renameat_with};
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
use rustix::io::Errno;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Gives a finished file its name, gives its index one too, and writes its manifest beside them.
///
/// # Errors
/// [`Error::Exists`] for a name that is taken, unless `may_replace`; [`Error::Io`].
pub(super) fn replace(paths: &Paths, manifest: &Manifest, may_replace: bool) -> Result<(), Error> {
    let text = manifest.to_json() + "\n";
    let mut file = open_own_file(&paths.new_manifest, |options| options.write(true).truncate(true))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let written = written.map_err(|error| Error::io("write", &paths.new_manifest, error));
    let moved = written.and_then(|()| {
        let moves = moves(paths, manifest.index.is_some(), may_replace)?;
        // Of a run that died after its last step, the name is its own.
        let is_named =
            !may_replace && std::fs::read(&paths.manifest).is_ok_and(|there| there == text.as_bytes());
        let last = (!is_named).then_some((&paths.new_manifest, &paths.manifest));
        move_all(paths, moves.into_iter().chain(last), may_replace)
    });
    if let Err(error) = moved {
        let _ = remove(&paths.new_manifest); // The first error is the one to report.
        return Err(error);
    }
    paths.sync_folder()?;
    remove(&paths.new_manifest)?;
    remove(&paths.old_manifest)?;
    remove(&paths.old_index)?;
    remove(&paths.old_out)
}

/// A name, and the name that its file gets.
type Move<'a> = (&'a PathBuf, &'a PathBuf);

/// The renames before the manifest's own. `keeps_index` says that an index which has its name already is the new one.
fn moves(paths: &Paths, keeps_index: bool, may_replace: bool) -> Result<Vec<Move<'_>>, Error> {
    let away = |from, to| may_replace.then_some((from, to));
    let mut moves: Vec<Move<'_>> = away(&paths.manifest, &paths.old_manifest).into_iter().collect();
    let has_index = exists(&paths.partial_index)?;
    if has_index || !keeps_index {
        moves.extend(away(&paths.index, &paths.old_index));
    }
    if has_index {
        moves.push((&paths.partial_index, &paths.index));
    }
    if exists(&paths.partial)? {
        moves.extend(away(&paths.out, &paths.old_out));
        moves.push((&paths.partial, &paths.out));
    }
    Ok(moves)
}

/// Renames all files, or none.
fn move_all<'a>(
    paths: &Paths,
    moves: impl Iterator<Item = Move<'a>>,
    may_replace: bool,
) -> Result<(), Error> {
    let mut done: Vec<Move<'a>> = Vec::new();
    for (from, to) in moves {
        let renamed = if may_replace { std::fs::rename(from, to) } else { rename_to_new(from, to) };
        match renamed {
            Ok(()) => done.push((from, to)),
            Err(error) if error.kind() == ErrorKind::NotFound && is_optional(paths, from) => {}
            Err(error) => {
                for (from, to) in done.into_iter().rev() {
                    let _ = std::fs::rename(to, from); // As far as the disk allows it.
                }
                return Err(match error.kind() {
                    ErrorKind::AlreadyExists => Error::Exists { path: to.clone() },
                    _ => Error::io("rename", from, error),
                });
            }
        }
    }
    Ok(())
}

/// Renames a file, unless the new name is taken.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::NOSYS | Errno::INVAL | Errno::NOTSUP) => {} // Some file systems, such as those of networks.
        renamed => return renamed.map_err(io::Error::from),
    }
    link_to_new(from, to)
}

/// The same by a second name for the file, and then without the first. Where a run died between the two, both exist.
fn link_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(from, to) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && !are_one(from, to)? => Err(error),
        Err(error) if error.kind() != ErrorKind::AlreadyExists => match is_taken(to) {
            true => Err(ErrorKind::AlreadyExists.into()),
            false => std::fs::rename(from, to), // There are no links.
        },
        _ => std::fs::remove_file(from),
    }
}

/// Whether both are names of one file.
fn are_one(a: &Path, b: &Path) -> io::Result<bool> {
    let [a, b] = [a, b].map(std::fs::symlink_metadata);
    let (a, b) = (a?, b?);
    Ok((a.dev(), a.ino()) == (b.dev(), b.ino()))
}

/// Whether a file may be missing, because an old pair may not exist.
fn is_optional(paths: &Paths, from: &PathBuf) -> bool {
    [&paths.manifest, &paths.index, &paths.out].contains(&from)
}

fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(|error| Error::io("open", path, error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_a_new_name_only() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, missing] = ["a", "b", "missing"].map(|name| folder.path().join(name));
        for rename in [rename_to_new, link_to_new] {
            std::fs::write(&a, "ours").unwrap();
            std::fs::write(&b, "of others").unwrap();
            assert_eq!(rename(&a, &b).unwrap_err().kind(), ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read(&b).unwrap(), b"of others");
            std::fs::remove_file(&b).unwrap();
            rename(&a, &b).unwrap();
            assert!(!a.exists());
            assert_eq!(std::fs::read(&b).unwrap(), b"ours");
            assert_eq!(rename(&missing, &a).unwrap_err().kind(), ErrorKind::NotFound);
        }
        std::fs::hard_link(&b, &a).unwrap();
        link_to_new(&a, &b).unwrap();
        assert!(!a.exists() && b.exists());
    }
}
