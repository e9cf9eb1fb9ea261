//! `Context`: what every command is run with: the store's folder, the format, where words go.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use barkeeper_host::{Config, Opened};
use barkeeper_records::AccountId;

use crate::env;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;
use crate::progress::Progress;

/// How other processes are told who has the store.
pub(crate) const PROGRAM: &str = "barkeeper";

/// What every command is run with.
#[derive(Debug)]
pub(crate) struct Context {
    store: Option<PathBuf>,
    pub(crate) format: Format,
    pub(crate) quiet: bool,
    colour: bool,
}

impl Context {
    pub(crate) fn new(store: Option<PathBuf>, format: Format, quiet: bool) -> Self {
        let colour = io::stderr().is_terminal() && !env::no_color();
        Self { store, format, quiet, colour }
    }

    /// The store's folder.
    pub(crate) fn folder(&self) -> anyhow::Result<PathBuf> {
        let folder = self.store.clone().or_else(env::default_store);
        Ok(folder.ok_or_else(|| {
            Failure::usage("no store is named").hint(format!("give --store DIR, or set {}", env::STORE))
        })?)
    }

    /// Opens the store.
    pub(crate) fn open(&self) -> anyhow::Result<Opened> {
        let folder = self.folder()?;
        let allowed = Config::load(&folder).is_ok_and(|config| config.allow_shared_folder);
        if !allowed && folder.is_dir() {
            self.refuse_cloud(&folder)?;
        }
        // A database that was not closed is checked whole; most are closed, and nothing is shown then.
        let (bar, quiet) = (Arc::new(OnceLock::new()), self.quiet);
        let shown = bar.clone();
        let on_check = move |done, all| {
            shown.get_or_init(|| Progress::unless(quiet, "bytes of store.redb checked")).set(done, all);
        };
        let opened = barkeeper_host::open_watched(&folder, PROGRAM, Some(Arc::new(on_check)));
        if let Some(bar) = bar.get() {
            bar.end();
        }
        Ok(opened?)
    }

    /// Refuses a folder that the system's settings name as one that a cloud service copies.
    #[expect(clippy::unused_self, reason = "a part of opening a store")]
    pub(crate) fn refuse_cloud(&self, folder: &Path) -> anyhow::Result<()> {
        match barkeeper::shared_folder(folder, &env::cloud_folders()) {
            Some(why) => Err(barkeeper::OpenError::Shared { path: folder.to_owned(), why }.into()),
            None => Ok(()),
        }
    }

    /// How commands name the store: nothing, or ` --store DIR` where one is named.
    pub(crate) fn with_store(&self) -> String {
        self.store.as_ref().map_or_else(String::new, |folder| format!(" --store {}", shown(folder)))
    }

    /// Says something to people.
    pub(crate) fn say(&self, words: impl Display) {
        if !self.quiet {
            to_stderr(format_args!("{words}\n"));
        }
    }

    /// Warns people, quiet or not: what is printed is not all there is to know.
    pub(crate) fn warn(&self, words: impl Display) {
        to_stderr(format_args!("{} {words}\n", self.marked("33", "warning:")));
    }

    /// Says why it failed and what may help.
    pub(crate) fn fail(&self, error: &anyhow::Error) {
        let mut said = error.to_string();
        to_stderr(format_args!("{} {said}\n", self.marked("31", "error:")));
        for cause in error.chain().skip(1) {
            let cause = cause.to_string();
            // Many messages end with their cause already.
            if !said.contains(&cause) {
                to_stderr(format_args!("  because {cause}\n"));
                said.push_str(&cause);
            }
        }
        if let Some(hint) = crate::failure::hint(error, self.store.as_deref(), self.folder().ok().as_deref())
        {
            to_stderr(format_args!("{} {hint}\n", self.marked("36", "hint:")));
        }
    }

    fn marked(&self, colour: &str, word: &str) -> String {
        if self.colour { format!("\u{1b}[1;{colour}m{word}\u{1b}[0m") } else { word.to_owned() }
    }
}

/// The account that is meant: the one that was named, else the configured one.
pub(crate) fn account_of(named: Option<&AccountId>, config: &Config) -> anyhow::Result<AccountId> {
    let found = named.or(config.account.as_ref()).cloned();
    Ok(found.ok_or_else(|| {
        Failure::usage("no account is named")
            .hint("give --account NAME, or set `account` below [defaults] in barkeeper.toml")
    })?)
}

/// Asks a person to agree; where nobody can answer, `--yes` is needed.
pub(crate) fn agree(question: &str, yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{question} There is no terminal to answer on"))
            .hint("give --yes to go on, or --dry-run to see what would happen")
            .into());
    }
    to_stderr(format_args!("{question} [y/N] "));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Writes words; a closed stderr is nobody's failure.
fn to_stderr(words: fmt::Arguments<'_>) {
    io::stderr().write_fmt(words).unwrap_or_default();
}

/// A count of things: `1 file`, `2 files`.
pub(crate) fn counted(count: impl TryInto<u64>, thing: &str) -> String {
    let count: u64 = count.try_into().unwrap_or(u64::MAX);
    let plural = if count == 1 || thing.ends_with("ies") { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// Says that something is not there.
pub(crate) fn not_found(what: impl Display) -> anyhow::Error {
    Failure::new(Exit::NotFound, what.to_string()).into()
}

/// A path as a person would type it: relative to where they are, if it lies below.
pub(crate) fn shown(path: &Path) -> String {
    let below =
        std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    let text = below.as_deref().unwrap_or(path).display().to_string();
    if text.contains(' ') { format!("\"{text}\"") } else { text }
}
