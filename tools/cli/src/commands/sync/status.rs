//! `barkeeper sync status`: what is known of the targets, without disturbing whoever has the store.

use barkeeper::Store;
use barkeeper_host::{Config, StatusNote, TargetName, mode_name};
use barkeeper_records::Timestamp;
use clap::Args;

use crate::cli::Out;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Cell, Format, Rows};

/// Print what is last known of the targets
///
/// Reads notes beside the store, so that it works while another process has it.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only this one
    target: Option<TargetName>,
}

impl Status {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let folder = context.folder()?;
        Store::locate(&folder)?;
        let config = Config::load(&folder)?;
        let names: Vec<&TargetName> = match &self.target {
            Some(name) => {
                config.target(name, &folder)?;
                vec![name]
            }
            None => config.targets.keys().collect(),
        };
        let mut notes = Vec::new();
        for name in names {
            notes.push((name, StatusNote::load(&folder, name)?));
        }
        if context.format == Format::Json {
            let all: Vec<serde_json::Value> = notes
                .iter()
                .map(|(name, note)| match note {
                    Some(note) => serde_json::to_value(note),
                    None => Ok(serde_json::json!({ "target": name.as_str(), "state": "never run" })),
                })
                .collect::<Result<_, _>>()?;
            output::json(out, &all)?;
            return Ok(Exit::Done);
        }
        let zone = config.calendar.zone();
        // To the second: notes are for people.
        let time = |at: Timestamp| {
            let whole = Timestamp::from_nanos(at.nanos() - at.nanos().rem_euclid(1_000_000_000));
            Cell::Instant(whole, zone)
        };
        let mut rows = Rows::new([
            "target",
            "kind",
            "mode",
            "state",
            "lsn",
            "lag",
            "last_agreement",
            "noted_at",
            "last_error",
        ]);
        for (name, note) in notes {
            let target = config.target(name, &folder)?;
            let known = note.as_ref();
            rows.push([
                Cell::text(name),
                Cell::text(target.kind.as_str()),
                Cell::text(mode_name(target.mode)),
                Cell::text(known.map_or("never run", |note| note.state.as_str())),
                Cell::maybe(known, |note| Cell::Count(note.acknowledged)),
                Cell::maybe(known, |note| Cell::Count(note.lag)),
                Cell::maybe(known.and_then(|note| note.last_agreement), time),
                Cell::maybe(known.map(|note| note.noted_at), time),
                Cell::maybe(known.and_then(|note| note.last_error.as_ref()), |error| Cell::text(&error.text)),
            ]);
        }
        output::rows(out, context.format, &rows)?;
        if rows.len() == 0 {
            context.say("No target is configured; `barkeeper sync add` adds one.");
        }
        Ok(Exit::Done)
    }
}
