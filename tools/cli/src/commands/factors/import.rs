//! `barkeeper factors import`: takes in corporate actions from a CSV, all of them or none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use barkeeper::{CommitError, Snapshot};
use barkeeper_records::{Batch, Calendar, FactorError, FactorEvent, InstrumentId, Operation};
use barkeeper_sources::{PerShares, SourceFile, corporate_actions};
use clap::{Args, ValueEnum};

use super::check;
use crate::cli::Out;
use crate::context::{Context, counted, shown};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Cell};
use crate::values::Conflict;

/// Names of instruments that a note shows.
const NAMED: usize = 5;

/// Take in corporate actions from a CSV
///
/// With a header: `code`, `ex_date`, `cash`, `bonus`, `rights`, `rights_price`, `factor`; only the first two
/// are needed, and an empty cell is nothing. Cash, bonus and rights are for as many shares as --per says,
/// `rights_price` for one. All lines are taken, in one commit, or none; taking a file in again changes nothing,
/// and one that would change what is stored of an ex-day stops and says so. Refused are days on which the store's
/// calendar is closed, more than 100 new shares for one, factors beyond 0.001 to 1000, and rights that cost more
/// than ten times the last close before the ex-day.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file
    file: PathBuf,
    /// For how many shares cash, bonus and rights are stated
    #[arg(long, value_enum, value_name = "SHARES")]
    per: Per,
    /// What to do with ex-days of which something else is stored
    #[arg(long, value_enum, default_value_t)]
    on_conflict: Conflict,
}

/// For how many shares a file states its terms.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Per {
    /// For one share
    #[value(name = "1")]
    One,
    /// For ten shares, as announcements in China do
    #[value(name = "10")]
    Ten,
}

/// The corporate actions of a file beside what is stored.
#[derive(Default)]
struct Compared {
    new: Vec<FactorEvent>,
    unchanged: u64,
    /// Of which something else is stored: that, and what the file says.
    other: Vec<(FactorEvent, FactorEvent)>,
}

impl Compared {
    fn of(events: &[FactorEvent], snapshot: &Snapshot) -> anyhow::Result<Self> {
        let stored = snapshot.all_factor_events()?.into_iter();
        let stored: BTreeMap<_, _> = stored.map(|event| ((event.instrument, event.ex_day), event)).collect();
        let mut compared = Self::default();
        for event in events {
            match stored.get(&(event.instrument, event.ex_day)) {
                None => compared.new.push(*event),
                Some(old) if old.same_content(event) => compared.unchanged += 1,
                Some(old) => compared.other.push((*old, *event)),
            }
        }
        Ok(compared)
    }

    fn conflict(&self, name: &str) -> Option<Failure> {
        let (old, new) = self.other.first()?;
        let said = format!(
            "other terms are stored for {} in {name}, the first of {} on {}: {} is stored, and the file says {}; \
             nothing was taken",
            counted(self.other.len(), "corporate action"),
            old.instrument,
            old.ex_day,
            terms(old),
            terms(new)
        );
        let hint = "give --on-conflict replace to take what the file says, or --on-conflict keep";
        Some(Failure::new(Exit::Findings, said).hint(hint))
    }
}

/// The terms of an event but those that are 0: `cash 0.35 bonus 0.3`.
fn terms(event: &FactorEvent) -> String {
    let terms = FactorEvent::TERMS.into_iter().zip(event.terms()).filter(|(_, value)| *value != 0.0);
    let terms = terms.chain(event.factor.map(|factor| ("factor", factor)));
    terms.map(|(term, value)| format!("{term} {value}")).collect::<Vec<_>>().join(" ")
}

impl Import {
    pub(crate) fn run(&self, context: &Context, out: Out<'_>) -> anyhow::Result<Exit> {
        let opened = context.open()?;
        let name = shown(&self.file);
        let read = self.read(&name, &opened.config.calendar)?;
        let snapshot = opened.store.snapshot()?;
        for (line, event) in &read {
            if let Some(reason) = check::rights_price(event, &snapshot)? {
                let wrong = format!("line {line}: rights_price '{}': {reason}", event.rights_price);
                bail!(Failure::new(Exit::Findings, format!("{name}: nothing was taken: {wrong}")));
            }
        }
        let events: Vec<FactorEvent> = read.iter().map(|(_, event)| *event).collect();
        let compared = Compared::of(&events, &snapshot)?;
        let mut taken: Vec<FactorEvent> = compared.new.clone();
        let others = compared.other.len() as u64;
        let (replaced, kept) = match self.on_conflict {
            Conflict::Stop => match compared.conflict(&name) {
                Some(failure) => bail!(failure),
                None => (0, 0),
            },
            Conflict::Replace => {
                taken.extend(compared.other.iter().map(|(_, new)| *new));
                (others, 0)
            }
            Conflict::Keep => (0, others),
        };
        let batch = taken.into_iter().map(Operation::SetFactor).fold(Batch::new(), Batch::with);
        let receipt = opened.store.commit(batch).map_err(|error| named(error, &name, &read))?;
        let record = vec![
            ("read", Cell::Count(events.len() as u64)),
            ("new", Cell::Count(compared.new.len() as u64)),
            ("unchanged", Cell::Count(compared.unchanged)),
            ("replaced", Cell::Count(replaced)),
            ("kept", Cell::Count(kept)),
            ("lsn", Cell::Count(receipt.lsn.0)),
        ];
        output::record(out, context.format, &record)?;
        context.say(format_args!("{} in {name}.", counted(events.len(), "corporate action")));
        if let Some(note) = without_bars(&events, &snapshot)? {
            context.say(note);
        }
        Ok(Exit::Done)
    }

    fn read(&self, name: &str, calendar: &Calendar) -> anyhow::Result<Vec<(u64, FactorEvent)>> {
        let bytes = fs::read(&self.file).with_context(|| format!("{name} cannot be read"))?;
        let per = match self.per {
            Per::One => PerShares::One,
            Per::Ten => PerShares::Ten,
        };
        let file = SourceFile { name, folder: None, bytes: &bytes };
        let events = corporate_actions(&file, per, calendar);
        Ok(events.map_err(|error| Failure::new(Exit::Findings, error.to_string()))?)
    }
}

/// An error that says which line of the file it is about, where it is about one.
fn named(error: CommitError, name: &str, read: &[(u64, FactorEvent)]) -> anyhow::Error {
    let line = match &error {
        CommitError::Factor(FactorError::Worth { instrument, ex_day, .. }) => {
            read.iter().find(|(_, event)| event.instrument == *instrument && event.ex_day == *ex_day)
        }
        _ => None,
    };
    match line.map(|(line, _)| format!("{name}: nothing was taken: line {line}")) {
        Some(place) => anyhow::Error::new(error).context(place),
        None => error.into(),
    }
}

/// Names instruments that have no bars: a code of another spelling, or bars that are still to come.
fn without_bars(events: &[FactorEvent], snapshot: &Snapshot) -> anyhow::Result<Option<String>> {
    let found = snapshot.all_series(None, None)?;
    let found: BTreeSet<InstrumentId> = found.iter().map(|one| one.series.instrument).collect();
    let missing: BTreeSet<InstrumentId> =
        events.iter().map(|event| event.instrument).filter(|one| !found.contains(one)).collect();
    if missing.is_empty() {
        return Ok(None);
    }
    let names: Vec<String> = missing.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if missing.len() > NAMED { ", ..." } else { "" };
    let has = if missing.len() == 1 { "has" } else { "have" };
    let what = counted(missing.len(), "instrument");
    Ok(Some(format!("note: {what} {has} no bars in the store: {}{more}", names.join(", "))))
}
