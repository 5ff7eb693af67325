//! Child processes that die with us.
//!
//! Each has a process group, which is killed when its handle is dropped: on success, on failure,
//! and on Ctrl-C, which our programs turn into an ordinary return. Where no destructor runs, there
//! is `setpriv --pdeathsig` (Linux). An error quotes the end of the process's log.

mod conversation;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use crate::poll::{self, Look};
use crate::progress::{Progress, Quiet};
use crate::workspace::Run;

pub use conversation::Conversation;

/// How many lines of a log an error quotes.
const QUOTED_LINES: usize = 15;

/// How often a wait for the end of a process is reported.
const TICK: Duration = Duration::from_secs(1);

/// Where ports are chosen: below those of outgoing connections (Linux: from 32768).
const PORTS: std::ops::Range<u16> = 20000..32000;

/// The locks of the ports that this process has chosen.
static KEPT_PORTS: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// The user that programs run as which refuse to run as root: `nobody`.
const NOBODY: u32 = 65534;

/// A program that is about to be started.
pub struct Program {
    name: String,
    command: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    unprivileged: bool,
    input: Stdio,
}

/// A program that runs. Dropping it kills its process group.
pub struct Process {
    name: String,
    child: Child,
    group: Option<Pid>,
    log: PathBuf,
}

impl Program {
    /// A program, and the name of its log.
    pub fn new(name: impl Into<String>, program: impl Into<OsString>) -> Self {
        Self {
            name: name.into(),
            command: vec![program.into()],
            environment: Vec::new(),
            directory: None,
            unprivileged: false,
            input: Stdio::null(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.command.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.command.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Sets variables in its environment.
    #[must_use]
    pub fn envs(
        self,
        variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    ) -> Self {
        variables.into_iter().fold(self, |program, (name, value)| program.env(name, value))
    }

    /// Starts it in this directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Runs it as an unprivileged user if we are root.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    /// Starts it, with its output appended to a log of the run.
    pub fn start(self, run: &Run) -> Result<Process> {
        let log = run.logs().join(format!("{}.log", self.name));
        let output = append(&log)?;
        self.spawn(log, output)
    }

    /// Runs it to its end.
    pub async fn run(self, run: &Run, progress: &dyn Progress) -> Result<()> {
        self.start(run)?.finish(progress).await
    }

    /// Runs it to its end and returns what it wrote to its standard output; the log has the rest.
    pub async fn output(self, run: &Run) -> Result<String> {
        let log = run.logs().join(format!("{}.log", self.name));
        let path = run.logs().join(format!("{}.out", self.name));
        let output = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        self.spawn(log, output)?.finish(&Quiet).await?;
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }

    fn spawn(self, log: PathBuf, output: impl Into<Stdio>) -> Result<Process> {
        let errors = append(&log)?;
        let words = guarded(self.command, self.unprivileged && is_root())?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).process_group(0).kill_on_drop(true);
        command.stdin(self.input).stdout(output).stderr(errors);
        forget_aws(&mut command);
        command.envs(self.environment);
        if let Some(directory) = self.directory {
            command.current_dir(directory);
        }
        let child = command
            .spawn()
            .with_context(|| format!("start {} ({})", self.name, words[0].display()))?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Process { name: self.name, child, group, log })
    }
}

impl Process {
    /// The file that holds what it printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id while it runs.
    pub fn id(&self) -> Option<Pid> {
        self.group
    }

    /// Waits until it ends by itself.
    pub async fn finish(mut self, progress: &dyn Progress) -> Result<()> {
        let started = Instant::now();
        loop {
            match timeout(TICK, self.child.wait()).await {
                Err(_) => progress.waiting(&self.name, started.elapsed(), &tail(&self.log, 1)),
                Ok(status) => {
                    let status = status.with_context(|| format!("wait for {}", self.name))?;
                    return if status.success() { Ok(()) } else { Err(self.ended(status)) };
                }
            }
        }
    }

    /// Whether it has ended; in failure is an error.
    pub fn has_ended(&mut self) -> Result<bool> {
        match self.child.try_wait().with_context(|| format!("ask whether {} runs", self.name))? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => Err(self.ended(status)),
        }
    }

    /// Waits until `ready` succeeds.
    pub async fn ready(
        &mut self,
        deadline: Duration,
        mut ready: impl AsyncFnMut() -> Result<()>,
    ) -> Result<()> {
        let what = format!("readiness of {}", self.name);
        let log = self.log.clone();
        let outcome = poll::until(&what, deadline, async || {
            if self.has_ended()? {
                bail!("{} ended before it was ready; its log is {}", self.name, self.log.display());
            }
            Ok(Look::from(ready().await))
        });
        outcome.await.with_context(|| format!("its log is {}", log.display()))
    }

    /// Kills it and everything it started, at once and without a chance to tidy up: a crash.
    pub async fn crash(&mut self) -> Result<()> {
        if let Some(group) = self.group.take() {
            kill_process_group(group, Signal::KILL)
                .with_context(|| format!("kill {}", self.name))?;
        }
        self.child.wait().await.with_context(|| format!("wait for the end of {}", self.name))?;
        Ok(())
    }

    /// Gives it this long to end by itself, without a runtime: for destructors.
    pub fn wait_briefly(&mut self, deadline: Duration) {
        let end = std::time::Instant::now() + deadline;
        while std::time::Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn ended(&self, status: ExitStatus) -> anyhow::Error {
        let quoted = tail(&self.log, QUOTED_LINES);
        anyhow!(
            "{} failed ({status}); its log is {}, which ends:\n{quoted}",
            self.name,
            self.log.display()
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // The group is gone if the process has ended and left nothing behind.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Kills and counts the processes started with both variables in the environment (Linux).
pub fn crash_those_with(variables: [(&str, &str); 2]) -> Result<usize> {
    let wanted = variables.map(|(name, value)| format!("{name}={value}").into_bytes());
    let mut killed = 0;
    for entry in std::fs::read_dir("/proc").context("list the processes")? {
        let path = entry.context("list the processes")?.path();
        let id = path
            .file_name()
            .and_then(OsStr::to_str)
            .and_then(|id| id.parse().ok())
            .and_then(Pid::from_raw);
        // A process may be gone by now, or not be ours to look at.
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        let has = |wanted: &Vec<u8>| {
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
        };
        if let Some(id) = id.filter(|_| wanted.iter().all(has)) {
            kill_process(id, Signal::KILL)
                .with_context(|| format!("kill process {}", id.as_raw_nonzero()))?;
            killed += 1;
        }
    }
    Ok(killed)
}

/// Whether we may, and for some programs must, drop privileges.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives a tree of files to the user of [`Program::unprivileged`], if we are root.
pub fn give_to_unprivileged(path: &Path) -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let change = || -> std::io::Result<()> {
        std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY))?;
        Ok(())
    };
    change().with_context(|| format!("give {} to user {NOBODY}", path.display()))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in path.read_dir().with_context(|| format!("read {}", path.display()))? {
            give_to_unprivileged(
                &entry.with_context(|| format!("read {}", path.display()))?.path(),
            )?;
        }
    }
    Ok(())
}

/// A TCP port that is free on each of these addresses, and kept for this process until it ends:
/// other test programs choose ports before our server starts.
pub fn free_port(addresses: &[IpAddr]) -> Result<u16> {
    let kept = std::env::temp_dir().join("failover-sync-ports");
    std::fs::create_dir_all(&kept).with_context(|| format!("create {}", kept.display()))?;
    for _ in 0..256 {
        let port = fastrand::u16(PORTS);
        let path = kept.join(port.to_string());
        let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let is_free = |address: &IpAddr| TcpListener::bind(SocketAddr::new(*address, port)).is_ok();
        if lock.try_lock().is_ok() && addresses.iter().all(is_free) {
            KEPT_PORTS.lock().map_err(|error| anyhow!("{error}"))?.push(lock);
            return Ok(port);
        }
    }
    bail!(
        "no port is free on all of {addresses:?}; the lab needs the whole of 127.0.0.0/8 on the \
         loopback interface"
    )
}

/// The last `lines` lines of a log that are not blank.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    // A progress bar redraws its line with carriage returns; only what it drew last counts.
    let drawn = text.lines().map(|line| line.trim_end().rsplit('\r').next().unwrap_or_default());
    let mut last: Vec<_> = drawn.rev().filter(|line| !line.trim().is_empty()).take(lines).collect();
    last.reverse();
    last.join("\n")
}

fn append(log: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(log);
    file.with_context(|| format!("open {}", log.display()))
}

/// The command behind `setpriv`: tied to our life and, for `drop_privileges`, another user's.
fn guarded(command: Vec<OsString>, drop_privileges: bool) -> Result<Vec<OsString>> {
    let mut words: Vec<OsString> = Vec::new();
    if has_setpriv() {
        words.extend(["setpriv", "--pdeathsig", "KILL"].map(Into::into));
        if drop_privileges {
            words
                .extend([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")].map(Into::into));
            words.push("--clear-groups".into());
        }
    } else if drop_privileges {
        bail!(
            "setpriv (util-linux) is missing, and some of the lab's programs refuse to run as \
             root; install it or use another user"
        );
    }
    words.extend(command);
    Ok(words)
}

fn has_setpriv() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    cfg!(target_os = "linux")
        && std::env::split_paths(&path).any(|directory| directory.join("setpriv").exists())
}

/// Nothing in the lab may reach a real account, nor a proxy, whatever the shell is set up for.
fn forget_aws(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"AWS_") {
            command.env_remove(name);
        }
    }
    for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        command.env(name, OsStr::new("/dev/null"));
    }
    for name in ["NO_PROXY", "no_proxy"] {
        let mut direct = std::env::var_os(name).unwrap_or_default();
        direct.push(if direct.is_empty() { "" } else { "," });
        direct.push("127.0.0.1,localhost");
        command.env(name, direct);
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Error;

    use super::*;

    #[tokio::test]
    async fn a_failure_quotes_the_end_of_the_log() {
        let run = Run::new().expect("directories");
        let program =
            Program::new("unlucky", "sh").args(["-c", "echo working; echo it broke >&2; exit 3"]);
        let error = program.run(&run, &Quiet).await.expect_err("it fails").to_string();
        assert!(
            error.contains("unlucky failed (exit status: 3)")
                && error.ends_with("working\nit broke"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_dropped_process_takes_what_it_started_with_it() {
        let run = Run::new().expect("directories");
        let program = Program::new("parent", "sh").args(["-c", "sleep 600 & echo $!; wait"]);
        let process = program.start(&run).expect("a process");
        let child: i32 = poll::until("the child's number", Duration::from_secs(10), async || {
            Ok(tail(process.log(), 1)
                .parse()
                .map_or_else(|error| Look::NotYet(Error::new(error)), Look::Ready))
        })
        .await
        .expect("a number");
        drop(process);
        let status = PathBuf::from(format!("/proc/{child}/stat"));
        poll::until("the end of the child", Duration::from_secs(10), async || {
            // A dead process stays as a zombie until whoever inherited it looks.
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let dead = text.is_empty() || text.contains(") Z ");
            Ok(if dead { Look::Ready(()) } else { Look::NotYet(anyhow!("{text}")) })
        })
        .await
        .expect("it is dead");
    }
}
