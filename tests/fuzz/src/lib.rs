//! What all targets do before they begin.

use std::panic;

/// Lets panics pass that Barkeeper catches and turns into errors: those of the general reader of Parquet. All
/// others are findings, and so is one of these that is caught by nobody.
pub fn expect_guarded_panics() {
    let found = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(|place| place.file().replace('\\', "/")).unwrap_or_default();
        if !["/parquet-", "/arrow-", "/bytes-"].iter().any(|guarded| place.contains(guarded)) {
            found(info);
        }
    }));
}
