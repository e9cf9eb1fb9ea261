//! Where a store must not lie: network folders, whose locks and flushes are promises that nobody keeps, and
//! folders that a cloud service copies while they are written to.

use std::fmt;
use std::path::{Component, Path, PathBuf, Prefix};

/// Why a folder is none for a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SharedFolder {
    /// It lies on another machine.
    Network {
        /// The file system: `nfs4`, `cifs`, `fuse.sshfs`, `UNC`.
        kind: String,
    },
    /// A cloud service keeps copies of it.
    Cloud {
        /// The folder that it copies.
        root: PathBuf,
    },
}

impl fmt::Display for SharedFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { kind } => {
                write!(f, "it is a network folder ({kind}): its locks and flushes cannot be relied on")
            }
            Self::Cloud { root } => {
                write!(f, "a cloud service copies {} while it is written to", root.display())
            }
        }
    }
}

/// File systems that lie on another machine.
const NETWORK: [&str; 17] = [
    "afs",
    "cifs",
    "davfs",
    "fuse.davfs",
    "fuse.davfs2",
    "fuse.glusterfs",
    "fuse.gvfsd-fuse",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
    "vboxsf",
    "webdav",
];

/// Names that cloud services give to their folders; OneDrive's may go on with the name of a firm.
const CLOUD: [&str; 7] =
    ["OneDrive", "Dropbox", "Google Drive", "GoogleDrive", "iCloudDrive", "iCloud Drive", "Nutstore"];

/// Whether a folder, which need not exist yet, is none for a store. `cloud` are folders that cloud services
/// copy, as the system's settings tell them.
pub fn shared_folder(dir: &Path, cloud: &[PathBuf]) -> Option<SharedFolder> {
    let real = real_path(dir);
    let given = |root: &&PathBuf| !root.as_os_str().is_empty() && real.starts_with(real_path(root));
    if let Some(root) = cloud.iter().find(given) {
        return Some(SharedFolder::Cloud { root: root.clone() });
    }
    named_cloud(&real).map(|root| SharedFolder::Cloud { root }).or_else(|| {
        let kind = if cfg!(windows) { share_of(&real) } else { file_system_of(&real) };
        kind.map(|kind| SharedFolder::Network { kind })
    })
}

/// The path with links and mapped drives followed, as far as it exists.
fn real_path(dir: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut at = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    loop {
        if let Ok(real) = at.canonicalize() {
            return missing.iter().rev().fold(real, |path, part| path.join(part));
        }
        let Some(name) = at.file_name().map(ToOwned::to_owned) else { return dir.to_owned() };
        missing.push(name);
        at.pop();
    }
}

fn named_cloud(path: &Path) -> Option<PathBuf> {
    let mut root = PathBuf::new();
    for part in path.components() {
        root.push(part);
        let name = part.as_os_str().to_string_lossy();
        let of_a_firm = name.starts_with("OneDrive - ");
        if matches!(part, Component::Normal(_)) && (of_a_firm || CLOUD.iter().any(|known| name == *known)) {
            return Some(root);
        }
    }
    None
}

/// On Windows a real path says that it is a share, mapped to a letter or not.
fn share_of(path: &Path) -> Option<String> {
    match path.components().next() {
        Some(Component::Prefix(prefix)) => match prefix.kind() {
            Prefix::UNC(..) | Prefix::VerbatimUNC(..) => Some("UNC".to_owned()),
            _ => None,
        },
        _ => None,
    }
}

/// On Linux the table of mounts names the file system.
fn file_system_of(path: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let kind = mounted(&mounts, path)?;
    NETWORK.contains(&kind.as_str()).then_some(kind)
}

/// The file system of the mount below which a path lies: of the longest, and among equals of the last.
fn mounted(mounts: &str, path: &Path) -> Option<String> {
    let mut found: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(place), Some(kind)) = (fields.next(), fields.next()) else { continue };
        let place = PathBuf::from(unescaped(place));
        let depth = place.components().count();
        if path.starts_with(&place) && found.is_none_or(|(deepest, _)| depth >= deepest) {
            found = Some((depth, kind));
        }
    }
    found.map(|(_, kind)| kind.to_owned())
}

/// Blanks and the like stand as octal numbers in the table of mounts.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        /dev/sda1 / ext4 rw,relatime 0 0\n\
        proc /proc proc rw 0 0\n\
        nas:/far /far nfs4 rw,vers=4.2 0 0\n\
        /dev/sdb1 /far/local xfs rw 0 0\n\
        //nas/my\\040share /mnt/my\\040share cifs rw 0 0\n\
        sftp /mnt/far fuse.sshfs rw 0 0\n\
        tmpfs /mnt/far tmpfs rw 0 0\n";

    #[test]
    fn the_deepest_and_last_mount_decides() {
        for (path, expected) in [
            ("/srv/store", "ext4"),
            ("/far/desk/store", "nfs4"),
            ("/far/local/store", "xfs"),
            ("/farther/store", "ext4"),
            ("/mnt/my share/store", "cifs"),
            ("/mnt/far/store", "tmpfs"),
        ] {
            assert_eq!(mounted(MOUNTS, Path::new(path)).as_deref(), Some(expected), "{path}");
        }
        assert_eq!(mounted("", Path::new("/srv")), None);
        assert_eq!(mounted("garbage\n\n", Path::new("/srv")), None);
    }

    #[test]
    fn folders_of_cloud_services_are_known_by_name_and_by_setting() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(shared_folder(dir.path(), &[]), None);
        assert_eq!(shared_folder(&dir.path().join("not/yet/there"), &[]), None);
        assert_eq!(shared_folder(&dir.path().join("OneDrives"), &[PathBuf::new()]), None);
        for name in ["OneDrive", "OneDrive - 国金证券", "Dropbox"] {
            let store = dir.path().join(name).join("desk/store");
            let found = shared_folder(&store, &[]);
            assert!(
                matches!(&found, Some(SharedFolder::Cloud { root }) if root.ends_with(name)),
                "{found:?}"
            );
        }
        let synced = dir.path().join("Documents");
        let found = shared_folder(&synced.join("store"), std::slice::from_ref(&synced));
        assert_eq!(found, Some(SharedFolder::Cloud { root: synced }));
    }
}
