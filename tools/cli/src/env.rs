//! Every environment variable that Barkeeper reads, and nothing else reads one.

use std::env;
use std::path::PathBuf;

/// The store's folder, where `--store` is not given.
pub(crate) const STORE: &str = "BARKEEPER_STORE";
/// No colours, whatever it says, if it says anything (no-color.org).
const NO_COLOR: &str = "NO_COLOR";
/// `dumb` for terminals that show no colours.
const TERM: &str = "TERM";

/// Whether colours are unwanted.
pub(crate) fn no_color() -> bool {
    env::var_os(NO_COLOR).is_some_and(|value| !value.is_empty())
        || env::var_os(TERM).is_some_and(|term| term == "dumb")
}

/// The folders that OneDrive copies, as Windows tells them.
pub(crate) fn cloud_folders() -> Vec<PathBuf> {
    let names = ["OneDrive", "OneDriveConsumer", "OneDriveCommercial"];
    names.into_iter().filter_map(env::var_os).filter(|value| !value.is_empty()).map(PathBuf::from).collect()
}

/// The user's own folder.
pub(crate) fn home() -> Option<PathBuf> {
    let name = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The store's folder where neither `--store` nor `BARKEEPER_STORE` is given: in the place where the
/// system keeps programs' data, never on the desktop or among documents, which are often synchronised.
pub(crate) fn default_store() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if cfg!(windows) {
        return set("LOCALAPPDATA").map(|folder| folder.join("Barkeeper").join("store"));
    }
    if cfg!(target_os = "macos") {
        return set("HOME").map(|home| home.join("Library/Application Support/barkeeper/store"));
    }
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    data.map(|folder| folder.join("barkeeper/store"))
}
