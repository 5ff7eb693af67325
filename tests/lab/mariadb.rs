//! A MariaDB server, and a MySQL one where somebody has provided it.
//!
//! From the distribution (`make mariadb`), without its service: on a free port of loopback, with
//! its files in the run's scratch directory and an authority of its own.

mod chroot;
mod install;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Signal, kill_process};
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::{Process, free_port, give_to_unprivileged, is_root};
use crate::tls::{Authority, Files, Flaw};
use crate::workspace::Run;

pub use chroot::CHROOT_VARIABLE;
pub use install::PAM_SERVICE;

/// The name that the servers' certificates are for, and that resolves to where they listen.
pub const NAME: &str = "localhost";

/// Another name of a proper certificate, which only a test's own DNS resolves.
pub const ENDPOINT: &str = "mariadb.example";

/// Where the servers listen that are not to listen elsewhere.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A server answers within this; it takes a fifth of a second on an idle machine.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// A server that is told to stop gets this long before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// How a server is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether what it knows about clients can be read. Off is MariaDB's default, on is MySQL's.
    pub performance_schema: bool,
    /// How it proves who it is.
    pub tls: Tls,
    /// How many connection errors in a row block an address.
    pub max_connect_errors: u32,
    /// Whether it can ask a client for its password in clear text, as RDS does for IAM tokens.
    pub clear_text_login: bool,
    /// Where it listens, if not on a free port of 127.0.0.1.
    pub addr: Option<SocketAddr>,
}

/// How a server proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// With a certificate for [`NAME`].
    Proper,
    /// With a certificate for another name.
    OtherName,
    /// With a certificate that has expired.
    Expired,
    /// Not at all: it speaks no TLS.
    Off,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            performance_schema: false,
            tls: Tls::Proper,
            max_connect_errors: 5,
            clear_text_login: false,
            addr: None,
        }
    }
}

impl Options {
    fn addr(&self) -> Result<SocketAddr> {
        match self.addr {
            Some(addr) => Ok(addr),
            None => Ok(SocketAddr::new(ADDRESS, free_port(&[ADDRESS])?)),
        }
    }
}

/// A server that runs. It stops when this is dropped.
pub struct Server {
    /// Before the files that it uses.
    process: Process,
    addr: SocketAddr,
    client: Vec<OsString>,
    tls: Files,
    stops_by_itself: bool,
    _files: Option<TempDir>,
}

impl Server {
    /// Starts a MariaDB server with an empty database.
    pub async fn mariadb(run: &Run, name: &str, options: &Options) -> Result<Self> {
        let directory = run.scratch(name)?;
        if is_root() {
            let scratch = directory.parent().context("the scratch directory has no parent")?;
            // The server's unprivileged user must pass through, and list nothing.
            std::fs::set_permissions(scratch, PermissionsExt::from_mode(0o711))
                .context("open the scratch directory")?;
        }
        let data = directory.join("data");
        install::empty_database(run, &data).await?;
        let tls = certificate(options.tls, &directory)?;
        let addr = options.addr()?;
        let socket = directory.join("socket");
        let fixture = if options.clear_text_login {
            Some(install::clear_text_login(&directory)?)
        } else {
            None
        };
        let program = install::server(name, fixture.as_ref())?;
        let program = program.args(arguments(options, addr, &directory, &tls));
        // A killed process loses nothing that the kernel has; an empty database needs little.
        let program = program.args([
            "--innodb-flush-method=nosync",
            "--innodb-log-file-size=4M",
            "--innodb-buffer-pool-size=8M",
        ]);
        let program =
            program.args(fixture.map(install::ClearTextLogin::arguments).unwrap_or_default());
        give_to_unprivileged(&directory)?;
        let client = [OsString::from(client_program()?), "--no-defaults".into(), "--socket".into()];
        let client = client.into_iter().chain([socket.clone().into()]).collect();
        let server = Self {
            process: program.start(run)?,
            addr,
            client,
            tls,
            stops_by_itself: options.clear_text_login,
            _files: None,
        };
        server.started(&socket).await
    }

    /// Starts the MySQL in the directory tree that [`CHROOT_VARIABLE`] names, if any. Needs root.
    pub async fn mysql(run: &Run, options: &Options) -> Result<Option<Self>> {
        match std::env::var_os(CHROOT_VARIABLE) {
            None => Ok(None),
            Some(tree) => Ok(Some(chroot::start(run, Path::new(&tree), options).await?)),
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The certificate of the authority that vouches for it.
    pub fn authority(&self) -> &Path {
        &self.tls.authority
    }

    /// Performs SQL as its administrator, and returns the rows: one a line, columns by tabs.
    pub async fn sql(&self, statements: &str) -> Result<String> {
        let mut command = Command::new(&self.client[0]);
        command.args(&self.client[1..]).args([
            "--user=root",
            "--batch",
            "--skip-column-names",
            "-e",
            statements,
        ]);
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.with_context(|| format!("start {}", self.client[0].display()))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{statements}: {}", errors.trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Waits until it answers on its socket, which is here.
    async fn started(mut self, socket: &Path) -> Result<Self> {
        let Self { process, client, .. } = &mut self;
        process
            .ready(START_DEADLINE, async || {
                // It makes its socket at last, and a client takes more than a look.
                ensure!(socket.exists(), "it has no socket yet");
                let mut command = Command::new(&client[0]);
                command
                    .args(&client[1..])
                    .args(["--user=root", "-e", "SELECT 1"])
                    .stdin(Stdio::null());
                let output = command
                    .kill_on_drop(true)
                    .output()
                    .await
                    .context("start the server's client")?;
                ensure!(
                    output.status.success(),
                    "{}",
                    String::from_utf8_lossy(&output.stderr).trim()
                );
                Ok(())
            })
            .await?;
        Ok(self)
    }
}

impl Drop for Server {
    /// Only `pam_wrapper` needs an orderly end: it removes its files in `/tmp` then.
    fn drop(&mut self) {
        if !self.stops_by_itself {
            return;
        }
        if self.process.id().is_some_and(|id| kill_process(id, Signal::TERM).is_ok()) {
            self.process.wait_briefly(STOP_DEADLINE);
        }
    }
}

/// The distribution's command line client.
pub fn client_program() -> Result<PathBuf> {
    install::program("mariadb")
}

/// What a server of either family is started with.
fn arguments(options: &Options, addr: SocketAddr, directory: &Path, tls: &Files) -> Vec<OsString> {
    let data = directory.join("data");
    let mut arguments: Vec<OsString> = vec![
        "--no-defaults".into(),
        path("--datadir=", &data),
        temporary(directory),
        path("--socket=", &directory.join("socket")),
        path("--pid-file=", &data.join("pid")),
        format!("--bind-address={}", addr.ip()).into(),
        format!("--port={}", addr.port()).into(),
        "--server-id=1".into(),
        "--log-bin=binlog".into(),
        format!("--max-connect-errors={}", options.max_connect_errors).into(),
        format!("--performance-schema={}", if options.performance_schema { "ON" } else { "OFF" })
            .into(),
    ];
    if options.tls != Tls::Off {
        arguments.push(path("--ssl-ca=", &tls.authority));
        arguments.push(path("--ssl-cert=", &tls.certificate));
        arguments.push(path("--ssl-key=", &tls.key));
    }
    arguments
}

/// A directory of its own for temporary tables: a server that starts removes all it finds.
fn temporary(directory: &Path) -> OsString {
    path("--tmpdir=", directory)
}

fn path(option: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(path);
    argument
}

fn certificate(tls: Tls, directory: &Path) -> Result<Files> {
    let (names, flaw) = match tls {
        Tls::Proper | Tls::Off => (&[NAME, ENDPOINT][..], Flaw::None),
        Tls::OtherName => (&["another-host.example"][..], Flaw::None),
        Tls::Expired => (&[NAME][..], Flaw::Expired),
    };
    Authority::new()?.issue(names, flaw, directory)
}

/// A file or directory that has to be there.
fn existing(path: PathBuf) -> Result<PathBuf> {
    ensure!(path.exists(), "{} is missing; `make mariadb` installs it", path.display());
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_cache::{BALANCER, BYSTANDER, block, is_blocked};

    #[tokio::test]
    async fn aborted_handshakes_block_the_address_that_they_come_from() {
        let run = Run::new().expect("directories");
        let server = Server::mariadb(&run, "mariadb", &Options::default()).await.expect("a server");
        // A server without an account for the address turns it away before it counts anything.
        server.sql("CREATE USER anybody@'%'").await.expect("an account");
        let aborted = block(BALANCER, server.addr()).await.expect("a block");
        // Not before the limit; a busy server counts some only after the next try.
        assert!(aborted >= 5, "{aborted}");
        assert!(!is_blocked(BYSTANDER, server.addr()).await.expect("an answer"));
        server.sql("FLUSH HOSTS").await.expect("a flush");
        assert!(!is_blocked(BALANCER, server.addr()).await.expect("an answer"));
    }

    /// Newer MySQL knows no other statement; here it is taken silently and does nothing.
    #[tokio::test]
    async fn truncating_the_table_lifts_no_block_without_the_performance_schema() {
        let run = Run::new().expect("directories");
        let server = Server::mariadb(&run, "mariadb", &Options::default()).await.expect("a server");
        server.sql("CREATE USER anybody@'%'").await.expect("an account");
        block(BALANCER, server.addr()).await.expect("a block");
        server.sql("TRUNCATE TABLE performance_schema.host_cache").await.expect("no error");
        assert!(is_blocked(BALANCER, server.addr()).await.expect("an answer"));
        server.sql("FLUSH NO_WRITE_TO_BINLOG HOSTS").await.expect("a flush");
        assert!(!is_blocked(BALANCER, server.addr()).await.expect("an answer"));
    }
}
