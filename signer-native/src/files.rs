//! Files that are whole or not there: each is written beside its name, and takes it when it has reached the disk.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// Who may read what is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its owner alone. The owner of a file that is replaced stays; where that cannot be, nothing is replaced.
    Owner,
    /// Who could read the file of before, and nobody else: where it cannot be given to its owner, it is ours alone.
    AsBefore,
}

/// A file that is written, until it takes its name; what fails on the way leaves the one of before, and nothing beside it.
pub(crate) struct Unfinished {
    file: fs::File,
    path: PathBuf,
    name: PathBuf,
}

impl Unfinished {
    /// Begins the file that will replace this one, if there is one. Where a link points to, the file is replaced, and the link stays.
    pub(crate) fn begin(name: &Path, readers: Readers) -> io::Result<Self> {
        let name = fs::canonicalize(name).unwrap_or_else(|_| name.to_owned());
        // Two processes may write at once: each has a file of its own.
        let mut path = name.as_os_str().to_owned();
        path.push(format!(".{}.new", std::process::id()));
        let path = PathBuf::from(path);
        let mode = if readers == Readers::Owner { 0o600 } else { 0o666 };
        let file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(mode).open(&path)?;
        let begun = Self { file, path, name };
        if let Ok(before) = fs::metadata(&begun.name) {
            begun.inherit(&before, readers)?;
        }
        Ok(begun)
    }

    fn inherit(&self, before: &fs::Metadata, readers: Readers) -> io::Result<()> {
        let ours = self.file.metadata()?;
        let given = if (ours.uid(), ours.gid()) == (before.uid(), before.gid()) {
            Ok(())
        } else {
            fchown(&self.file, Some(before.uid()), Some(before.gid()))
        };
        match readers {
            Readers::Owner => given,
            Readers::AsBefore => {
                let mode = before.mode() & if given.is_ok() { 0o777 } else { 0o700 };
                self.file.set_permissions(fs::Permissions::from_mode(mode))
            }
        }
    }

    /// What is written into.
    pub(crate) fn file(&self) -> &fs::File {
        &self.file
    }

    /// All is written: it takes its name, from a file of before if there is one.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, &self.name)
    }

    /// All is written: it takes its name if nothing has that name.
    fn finish_new(self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::hard_link(&self.path, &self.name)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After the renaming there is none of this name.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes a file, or writes it anew, for its owner alone.
pub(crate) fn write_private(name: &Path, content: &[u8]) -> io::Result<()> {
    let begun = Unfinished::begin(name, Readers::Owner)?;
    begun.file().write_all(content)?;
    begun.finish()
}

/// Writes a file that is not there yet, for its owner alone, where there are hard links.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when there is something of that name, also a link that points nowhere.
pub(crate) fn create_private(name: &Path, content: &[u8]) -> io::Result<()> {
    if fs::symlink_metadata(name).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let begun = Unfinished::begin(name, Readers::Owner)?;
    begun.file().write_all(content)?;
    begun.finish_new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_the_one_of_before() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("key.pem");
        write_private(&name, b"first").unwrap();
        assert_eq!(fs::metadata(&name).unwrap().mode() & 0o777, 0o600);
        let begun = Unfinished::begin(&name, Readers::Owner).unwrap();
        begun.file().write_all(b"sec").unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"first");
        drop(begun);
        assert_eq!(fs::read(&name).unwrap(), b"first");
        write_private(&name, b"second").unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn who_could_read_it_goes_on_to() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("export.jsonl");
        fs::write(&name, "first").unwrap();
        fs::set_permissions(&name, fs::Permissions::from_mode(0o640)).unwrap();
        Unfinished::begin(&name, Readers::AsBefore).unwrap().finish().unwrap();
        assert_eq!(fs::metadata(&name).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_link_stays_and_what_it_points_to_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (name, link) = (folder.path().join("kept"), folder.path().join("link"));
        fs::write(&name, "first").unwrap();
        std::os::unix::fs::symlink(&name, &link).unwrap();
        write_private(&link, b"second").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&name).unwrap(), b"second");
    }

    #[test]
    fn what_is_there_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("blinding.key");
        create_private(&name, b"first").unwrap();
        assert_eq!(create_private(&name, b"second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&name).unwrap(), b"first");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), folder.path().join("dangling")).unwrap();
        assert_eq!(create_private(&folder.path().join("dangling"), b"x").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
