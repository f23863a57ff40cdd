/*!
Where files may be written: never over a device, a pipe, a socket or a folder, whoever allows it.

A rename would replace a device by a file, as root even /dev/null. So whoever writes looks first, before any work is done. A
link counts as what it points to; but for files that only this program knows there must be no link, or else what it
points to would be written.
*/

use crate::error::{Error, is_address};
use std::fs::{FileType, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// For opening a file that must not be a link.
pub(crate) const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// Refuses a path that is there and no regular file, or that can be none.
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

/// Refuses a path that is there and no regular file, where only this program writes.
pub(crate) fn check_own_file(path: &Path) -> Result<(), Error> {
    check(path, std::fs::symlink_metadata(path), FileType::is_file)
}

/// Refuses a path that is there and no folder.
pub(crate) fn check_folder(path: &Path) -> Result<(), Error> {
    if is_address(path) {
        return refused(path, "an address, and only local files are written");
    }
    check(path, std::fs::metadata(path), FileType::is_dir)
}

/// Whether anything has the name, if only a link to nothing.
pub(crate) fn is_taken(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// What a file is, in words.
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
