//! What may be done about a store that is damaged or lost: the commands that can work here.

use std::path::Path;

use barkeeper::{VerifyReport, former_states};

use crate::config::Config;

/// What may be done about what a verification has found.
pub fn way_on(found: &VerifyReport, folder: &Path, with_store: &str) -> String {
    if found.spare_pages == 0 {
        let back = way_back(folder, with_store);
        let damaged = || found.findings.iter().filter(|f| f.damage).map(|finding| finding.place.as_str());
        // Bars that cannot be read are findings beside the file that holds them; these are of the database.
        let is_hot =
            |place: &str| place.contains("store") || matches!(place, "change log" | "trades and positions");
        if !damaged().any(|place| place.ends_with(".parquet")) || damaged().any(is_hot) {
            return back;
        }
        return format!(
            "where earlier backups have the damaged files, `barkeeper backup create{with_store}` takes them from there, \
             and a restore of that backup loses no commit; else {back}"
        );
    }
    format!(
        "all that is stored was read all the same, and fits. `barkeeper compact{with_store}` leaves damaged pages \
         behind that nothing stands on; where `barkeeper verify{with_store}` still finds some, `barkeeper backup \
         create{with_store}` and a restore of that backup write the database anew"
    )
}

/// One sentence for people about how what is damaged or lost comes back: by a backup where one can be read, else by
/// a state that a restore has kept aside, else what is left to do. `with_store` is how commands name the store:
/// nothing, or ` --store DIR`.
pub fn way_back(folder: &Path, with_store: &str) -> String {
    let restore = |what: &str| format!("`barkeeper backup restore {what}{with_store}`");
    let repository = Config::load(folder).unwrap_or_default().backup.repository(folder, None);
    let backups = repository.list().unwrap_or_default();
    let readable = || backups.iter().filter(|backup| backup.damaged.is_none());
    // One that a test found bad is still better than none.
    if let Some(good) = readable().rfind(|backup| !backup.is_bad()).or_else(|| readable().next_back()) {
        let newest = backups.last().is_some_and(|last| last.name == good.name);
        let name = if newest { "latest" } else { good.name.as_str() };
        return format!("{} shows what a backup would bring back", restore(&format!("{name} --dry-run")));
    }
    let none = format!("there is no backup in {}", repository.folder().display());
    let states = former_states(folder).unwrap_or_default();
    match states.iter().rfind(|state| state.undoable) {
        Some(state) => {
            let undo = restore(&format!("--undo {} --dry-run", state.name));
            format!("{none}; {undo} shows what a state that a restore has kept would bring back")
        }
        None => format!(
            "{none}: if there are some elsewhere, {} shows what they would bring back; else take what is here aside \
             and import the files again into a new store",
            restore("latest --dry-run --from DIR")
        ),
    }
}
