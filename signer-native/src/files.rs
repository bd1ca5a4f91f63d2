//! Files that are whole or not there: each is written beside its name, and takes it when it has reached the disk.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

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
    ///
    /// # Errors
    /// Also [`io::ErrorKind::PermissionDenied`] for a link that somebody else may have laid: root renews in folders of others.
    pub(crate) fn begin(name: &Path, readers: Readers) -> io::Result<Self> {
        let name = place(name)?;
        // Two processes may write at once: each has a file of its own.
        let mut path = name.as_os_str().to_owned();
        path.push(format!(".{}.new", std::process::id()));
        let path = PathBuf::from(path);
        let mode = if readers == Readers::Owner { 0o600 } else { 0o666 };
        // One that was left by a process of this number, or laid by somebody else: what it points to is no affair of ours.
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let file = fs::OpenOptions::new().create_new(true).write(true).mode(mode).open(&path)?;
        let begun = Self { file, path, name };
        if let Ok(before) = fs::symlink_metadata(&begun.name) {
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

/// Where the file is that this name stands for.
fn place(name: &Path) -> io::Result<PathBuf> {
    let folder = match name.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match fs::symlink_metadata(name) {
        Ok(link) if link.is_symlink() => {
            let us = geteuid().as_raw();
            let folder = fs::metadata(folder)?;
            if !is_of((link.uid(), 0), us) || !is_of((folder.uid(), folder.mode()), us) {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "a link that another user may have laid"));
            }
            Ok(fs::canonicalize(name).unwrap_or_else(|_| name.to_owned()))
        }
        _ => Ok(match (fs::canonicalize(folder), name.file_name()) {
            (Ok(folder), Some(file)) => folder.join(file),
            _ => name.to_owned(),
        }),
    }
}

/// Whether what this owner has, under this mode, is changed by nobody but root and us.
fn is_of((owner, mode): (u32, u32), us: u32) -> bool {
    // In a folder of mode 1777 each file is its owner's.
    let is_open = mode & 0o022 != 0 && mode & 0o1000 == 0;
    (owner == us || owner == 0) && !is_open
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
    fn what_was_laid_in_the_way_is_not_written_into() {
        let folder = tempfile::tempdir().unwrap();
        let (name, other) = (folder.path().join("agent.pem"), folder.path().join("other"));
        fs::write(&other, "kept").unwrap();
        let laid = folder.path().join(format!("agent.pem.{}.new", std::process::id()));
        std::os::unix::fs::symlink(&other, &laid).unwrap();
        write_private(&name, b"first").unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"kept");
        assert_eq!(fs::read(&name).unwrap(), b"first");
        assert!(fs::symlink_metadata(&laid).is_err());
    }

    #[test]
    fn a_link_is_followed_where_nobody_else_may_lay_one() {
        assert!(is_of((7, 0o755), 7) && is_of((0, 0o755), 7) && is_of((0, 0o1777), 7));
        assert!(!is_of((8, 0o700), 7) && !is_of((8, 0o755), 0) && !is_of((7, 0o775), 7) && !is_of((0, 0o777), 0));
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let (name, link) = (folder.path().join("kept"), folder.path().join("link"));
        fs::write(&name, "first").unwrap();
        std::os::unix::fs::symlink(&name, &link).unwrap();
        assert_eq!(write_private(&link, b"second").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(fs::read(&name).unwrap(), b"first");
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
