//! `guarded`: a panic as a value, with the place where it began and without noise.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// While a call is guarded: what the hook heard of a panic.
    static HEARD: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Calls `f`; a panic in it is told as text.
///
/// # Errors
/// Where the panic began and what it said.
pub fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let guarded = HEARD.with_borrow_mut(|heard| {
                heard
                    .as_mut()
                    .map(|heard| *heard = format!("panic at {}: {}", short(&place), text(info.payload())))
            });
            if guarded.is_none() {
                loud(info);
            }
        }));
    });
    let outer = HEARD.replace(Some(String::new()));
    let done = catch_unwind(AssertUnwindSafe(f));
    let heard = HEARD.replace(outer);
    done.map_err(|_| heard.unwrap_or_default())
}

fn text(payload: &(dyn std::any::Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without words")
}

/// The last parts of a path: where a registry or a checkout lies is of no interest.
fn short(place: &str) -> String {
    let parts: Vec<&str> = place.rsplitn(6, ['/', '\\']).collect();
    parts.into_iter().take(5).rev().collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_and_what_comes_back_is_handed_on() {
        assert_eq!(guarded(|| 7), Ok(7));
        let told = guarded(|| panic!("the {}", "words")).unwrap_err();
        assert!(told.contains("guard.rs") && told.ends_with("the words"), "{told}");
        let nested = guarded(|| guarded(|| panic!("inner")).unwrap_err());
        assert!(nested.unwrap().ends_with("inner"));
    }
}
