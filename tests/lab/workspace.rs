//! Where things are: the checkout, its Python environment, and one run's logs and scratch files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// How many runs this process has begun.
static RUNS: AtomicUsize = AtomicUsize::new(0);

/// One run of the lab. Its logs stay; its scratch files go when it is dropped.
pub struct Run {
    logs: PathBuf,
    scratch: TempDir,
}

/// The top of the checkout.
pub fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// A program of the project's Python environment.
pub fn venv_program(name: &str) -> Result<PathBuf> {
    let program = venv_bin().join(name);
    ensure!(
        program.exists(),
        "{} is missing; `make demo` and `make test` install it, as does `pip install -r \
         tests/requirements.txt` in .venv",
        program.display()
    );
    Ok(program)
}

/// The directory of the Python environment's programs, or what the variable `VENV_BIN` names in its
/// place.
pub fn venv_bin() -> PathBuf {
    std::env::var_os("VENV_BIN").map_or_else(|| root().join(".venv/bin"), PathBuf::from)
}

/// `make` at the top of the checkout as from a shell, without what a `make` around the tests left.
pub fn make() -> Command {
    let mut make = Command::new("make");
    make.current_dir(root()).env_remove("MAKEFLAGS").env_remove("MFLAGS").env_remove("MAKELEVEL");
    make
}

impl Run {
    /// Makes the directories of a run: `target/lab/<seconds since 1970>-<process id>-<number>` for
    /// logs, and one for scratch files in the system's temporary directory, which an unprivileged
    /// user can reach. The number is for tests that run beside each other.
    pub fn new() -> Result<Self> {
        let started =
            SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", started.as_secs(), std::process::id());
        let logs = root().join("target/lab").join(name);
        std::fs::create_dir_all(&logs).with_context(|| format!("create {}", logs.display()))?;
        let scratch =
            TempDir::with_prefix("lab-").context("create a directory for scratch files")?;
        Ok(Self { logs, scratch })
    }

    /// Where the logs of this run are.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// What the run came to; an error also says where its logs are.
    pub fn ended<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.with_context(|| format!("the logs are in {}", self.logs.display()))
    }

    /// A new directory for scratch files.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let directory = self.scratch.path().join(name);
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("create {}", directory.display()))?;
        Ok(directory)
    }
}

/// Copies a path to another, or with a dot at its end what is in it.
pub(crate) fn copy_tree(from: &Path, into: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-R").arg(from).arg(into).status().context("run cp")?;
    ensure!(copied.success(), "cp did not copy {} into {}", from.display(), into.display());
    Ok(())
}
