//! The peers: Python scripts in `benches/compare`, their packages, and the Redis server of one of them.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::results::keep;
use crate::python;
use crate::workspace::{Workspace, program, works};

/// All peers, in the order in which they run.
pub(super) const NAMES: [&str; 7] = ["duckdb", "polars", "sqlite", "chdb", "arcticdb", "redis", "files"];

/// What the peers import, with what that needs.
const PACKAGES: [&str; 18] = [
    "arcticdb==6.28.2",
    "attrs==26.1.0",
    "chdb==4.4.0",
    "chdb-core==26.9.0",
    "duckdb==2.0.0",
    "msgpack==1.2.4",
    "numpy==2.4.6",
    "pandas==2.3.3",
    "packaging==26.3",
    "polars==2.1.0",
    "polars-runtime-32==2.1.0",
    "protobuf==6.33.6",
    "pyarrow==26.0.1",
    "python-dateutil==4.0.0",
    "pytz==2026.6",
    "pyyaml==6.0.3",
    "redis==8.1.0",
    "tzdata==2026.6",
];
const IMPORTS: &str = "import arcticdb, chdb, duckdb, pandas, polars, pyarrow, redis";
/// Threads that a peer may use, where it can be told.
const THREADS: &str = "2";

/// Runs the wanted peers; answers which failed.
pub(super) fn run(
    workspace: &Workspace,
    files: &Path,
    home: &Path,
    kept: &Path,
    wanted: &dyn Fn(&str) -> bool,
    longest: Duration,
) -> Result<Vec<&'static str>> {
    let interpreter = python::prepare_with(&home.join("python"), &PACKAGES, IMPORTS)?;
    let mut failed = Vec::new();
    for peer in NAMES.into_iter().filter(|peer| wanted(peer)) {
        if let Err(error) = one(workspace, &interpreter, peer, files, home, kept, longest) {
            println!("xtask bench: {peer}: {error:#}");
            failed.push(peer);
        }
    }
    Ok(failed)
}

fn one(
    workspace: &Workspace,
    interpreter: &Path,
    peer: &str,
    files: &Path,
    home: &Path,
    kept: &Path,
    longest: Duration,
) -> Result<()> {
    let folder = workspace.root.join("benches/compare");
    let scratch = home.join(format!("scratch-{peer}"));
    let server = if peer == "redis" { Some(Server::start(home)?) } else { None };
    let mut command: Command = program(interpreter, &folder);
    command.arg(format!("peer_{peer}.py")).arg(files).arg(&scratch);
    if let Some(server) = &server {
        command.args(["--port", &server.port.to_string()]);
    }
    for name in ["POLARS_MAX_THREADS", "OMP_NUM_THREADS"] {
        command.env(name, THREADS);
    }
    // Nothing is left beside the scripts.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    keep(kept, peer, &mut command, longest)
}

/// A Redis server on a free port of loopback, gone with this value.
struct Server {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Server {
    fn start(home: &Path) -> Result<Self> {
        const NAME: &str = "redis-server";
        if !works(program(NAME, Path::new(".")).arg("--version")) {
            bail!("{NAME} is not on PATH");
        }
        let folder = home.join("scratch-redis-server");
        std::fs::create_dir_all(&folder)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = program(NAME, &folder);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always"]).arg("--dir").arg(&folder);
        let child = command.stdout(Stdio::null()).spawn().context("cannot start redis-server")?;
        let server = Self { child, port, folder };
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                bail!("{NAME} does not answer on port {port}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
