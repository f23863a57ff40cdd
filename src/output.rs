/*!
Where files may be written: never over a device, a pipe, a socket or a folder, even if the caller allows overwriting.

A rename would replace a device by a file, even /dev/null if root does it. So every writer checks its paths first, before any
work is done. A link counts as the file that it points to. Where only this program writes, a link is refused, because the
file that it points to would be overwritten.
*/

use crate::error::{Error, is_address};
use std::collections::HashSet;
use std::fs::{File, FileType, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// Refuses a path of something that is not a regular file, and a path that cannot name a file.
pub(crate) fn check_file(path: &Path) -> Result<(), Error> {
    if is_address(path) {
        return refused(path, "an address, and only local files are written");
    }
    let there = check(path, std::fs::metadata(path), FileType::is_file);
    let name = path.as_os_str().as_encoded_bytes();
    if path.file_name().is_none() || name.ends_with(b"/") || name.ends_with(b"/.") {
        return there.and(refused(path, "the name of a directory, not of a file"));
    }
    there
}

/// Refuses a path of something that is not a regular file, links included. For files that only this program writes.
pub(crate) fn check_own_file(path: &Path) -> Result<(), Error> {
    check(path, std::fs::symlink_metadata(path), FileType::is_file)
}

/// Opens a file that only this program writes, in the way that `set` sets, and creates it if it does not exist. A link
/// is refused.
pub(crate) fn open_own_file(
    path: &Path,
    set: impl FnOnce(&mut OpenOptions) -> &mut OpenOptions,
) -> Result<File, Error> {
    let mut options = File::options();
    let opened = set(options.create(true).custom_flags(NO_LINK)).open(path);
    opened.map_err(|error| Error::io("open", path, error))
}

/// Refuses a path of something that is not a folder.
pub(crate) fn check_folder(path: &Path) -> Result<(), Error> {
    if is_address(path) {
        return refused(path, "an address, and only local files are written");
    }
    check(path, std::fs::metadata(path), FileType::is_dir)
}

/// Whether the path is taken, even by a link to nothing.
pub(crate) fn is_taken(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// The kind of a file, in words.
pub(crate) fn kind_of(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_symlink() => "a link",
        kind if kind.is_file() => "a file",
        _ => "a device",
    }
}

/// The folder of a path.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Removes a file if it exists.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// Waits until the names in a folder are on the disk.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| Error::io("sync", folder, error))
}

/// The first of `paths` that is one of `inputs`, under this or another name.
pub(crate) fn first_among<'a>(
    paths: impl IntoIterator<Item = &'a Path>,
    inputs: impl IntoIterator<Item = impl AsRef<Path>>,
) -> Option<&'a Path> {
    let name = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let inputs: HashSet<_> = inputs.into_iter().filter_map(|path| name(path.as_ref())).collect();
    paths.into_iter().find(|path| name(path).is_some_and(|name| inputs.contains(&name)))
}

/// A file that appears only when it is whole. Until then it has another name, and goes away if it is dropped.
pub(crate) struct NewFile {
    path: PathBuf,
    file: NamedTempFile,
    replace: bool,
}

impl NewFile {
    /// Creates the file under another name, in the folder of `path`, which is created if it does not exist.
    ///
    /// # Errors
    /// [`Error::NotAnOutput`]; [`Error::Exists`] unless `replace`; [`Error::Io`].
    pub fn create(path: &Path, replace: bool) -> Result<Self, Error> {
        check_file(path)?;
        if !replace && is_taken(path) {
            return Err(Error::Exists { path: path.to_owned() });
        }
        let failed = |error| Error::io("write", path, error);
        let folder = folder_of(path);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let readable = Permissions::from_mode(0o666);
        let file = tempfile::Builder::new().permissions(readable).tempfile_in(folder).map_err(failed)?;
        Ok(NewFile { path: path.to_owned(), file, replace })
    }

    /// Its final name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file, for writing.
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Waits until the content is on the disk, and gives the file its name.
    pub fn finish(self) -> Result<(), Error> {
        let NewFile { path, file, replace } = self;
        file.as_file().sync_all().map_err(|error| Error::io("write", &path, error))?;
        let named = if replace { file.persist(&path) } else { file.persist_noclobber(&path) };
        named.map_err(|error| match error.error.kind() {
            ErrorKind::AlreadyExists => Error::Exists { path: path.clone() },
            _ => Error::io("write", &path, error.error),
        })?;
        sync_folder(folder_of(&path))
    }
}

fn check(path: &Path, found: io::Result<Metadata>, is_right: fn(&FileType) -> bool) -> Result<(), Error> {
    match found {
        Ok(found) if is_right(&found.file_type()) => Ok(()),
        Ok(found) => refused(path, kind_of(found.file_type())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("open", path, error)),
    }
}

fn refused(path: &Path, kind: &'static str) -> Result<(), Error> {
    Err(Error::NotAnOutput { path: path.to_owned(), kind })
}
