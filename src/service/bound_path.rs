//! The place of a Unix socket in the file system, and whether the socket is still there.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A socket's place. As long as the socket is open, no other file has its inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// What is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The socket.
    Socket,
    /// Nothing: somebody removed or moved it.
    Nothing,
    /// Something else.
    Other,
}

impl Place {
    /// The place of the socket that is at `path` now.
    ///
    /// # Errors
    /// There is none, or it cannot be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        if metadata.file_type().is_socket() {
            Ok(Self::with(path, &metadata))
        } else {
            Err(ErrorKind::NotFound.into())
        }
    }

    pub(super) fn with(path: &Path, metadata: &Metadata) -> Self {
        Self {
            path: path.into(),
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is there now. What cannot be looked at is taken to be there.
    pub fn look(&self) -> Found {
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if (metadata.dev(), metadata.ino()) == (self.device, self.inode) => Found::Socket,
            Ok(_) => Found::Other,
            // A folder above it that is gone, or is a file by now.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Found::Nothing
            }
            Err(_) => Found::Socket,
        }
    }
}

/// The path of a Unix socket that we listen on. Removed in the end, if the
/// socket there is still ours.
#[derive(Debug)]
pub struct BoundPath(pub(super) Place);

impl BoundPath {
    /// Its place.
    pub const fn place(&self) -> &Place {
        &self.0
    }
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        if self.0.look() == Found::Socket
            && let Err(error) = fs::remove_file(&self.0.path)
        {
            let path = self.0.path.display();
            tracing::warn!("{path}: cannot remove the socket: {error}; the next start replaces it");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_that_is_gone_or_replaced_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/socket");
        fs::create_dir(path.parent().unwrap()).unwrap();
        let _socket = UnixListener::bind(&path).unwrap();
        let place = Place::of(&path).unwrap();
        assert_eq!(place.look(), Found::Socket);
        let moved = folder.path().join("moved");
        fs::rename(&path, &moved).unwrap();
        assert_eq!(place.look(), Found::Nothing);
        for _ in 0..100 {
            // Whatever inode it is given, it is not ours.
            let _other = UnixListener::bind(&path).unwrap();
            assert_eq!(place.look(), Found::Other);
            fs::remove_file(&path).unwrap();
        }
        fs::write(&path, "").unwrap();
        assert_eq!(place.look(), Found::Other);
        assert!(Place::of(&path).is_err());
        fs::remove_file(&path).unwrap();
        fs::rename(&moved, &path).unwrap();
        assert_eq!(place.look(), Found::Socket);
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        assert_eq!(place.look(), Found::Nothing);
        fs::write(path.parent().unwrap(), "").unwrap();
        assert_eq!(place.look(), Found::Nothing);
    }
}
