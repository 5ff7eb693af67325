//! MariaDB's programs, where the distribution puts them, and what is made with them once.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};

use super::{existing, path, temporary};
use crate::process::{Program, give_to_unprivileged};
use crate::progress::Quiet;
use crate::workspace::{Run, root};

/// The PAM service that lets everybody in: `IDENTIFIED VIA pam USING '...'`.
pub const PAM_SERVICE: &str = "lab";

/// The plugin, which `make mariadb` puts beside [`WRAPPER`].
const PLUGIN: &str = "auth_pam_v1.so";
const WRAPPER: &str = "libpam_wrapper.so";
const SERVICES: &str = "services";

/// Where servers are that are not on everybody's path.
const OTHER_DIRECTORIES: [&str; 3] = ["/usr/sbin", "/usr/libexec", "/usr/local/sbin"];

/// Counts the databases that this process makes at the same time.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// What a server needs to ask for passwords in clear text, in a directory that its user can read.
pub(super) struct ClearTextLogin {
    directory: PathBuf,
}

/// A program of MariaDB.
pub(super) fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(OTHER_DIRECTORIES.map(PathBuf::from));
    let found = directories.map(|directory| directory.join(name)).find(|program| program.is_file());
    found
        .with_context(|| format!("{name} is missing; `make mariadb` installs MariaDB, or says how"))
}

/// The server, without its arguments.
pub(super) fn server(name: &str, fixture: Option<&ClearTextLogin>) -> Result<Program> {
    let server = program("mariadbd")?;
    let Some(ClearTextLogin { directory }) = fixture else {
        return Ok(Program::new(name, server).unprivileged());
    };
    // By way of `env`, because what starts the server on our behalf is not to load the library.
    let program = Program::new(name, "env").unprivileged().arg("PAM_WRAPPER=1");
    let program = program.arg(path("LD_PRELOAD=", &directory.join(WRAPPER)));
    Ok(program.arg(path("PAM_WRAPPER_SERVICE_DIR=", &directory.join(SERVICES))).arg(server))
}

/// Puts an empty database at `data`, copied from `target/mariadb`: making one, once for each
/// version, takes as long as ten starts.
pub(super) async fn empty_database(run: &Run, data: &Path) -> Result<()> {
    let version = output(Command::new(program("mariadbd")?).args(["--no-defaults", "--version"]))?;
    let kept = root().join("target/mariadb").join(format!("database-{}", file_name(&version)));
    if !kept.exists() {
        make_database(run, &kept).await?;
    }
    copy(&kept, data)
}

async fn make_database(run: &Run, kept: &Path) -> Result<()> {
    // Threads and processes each make their own; the first to finish wins.
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let scratch = run.scratch(&format!("new-database-{number}"))?;
    give_to_unprivileged(&scratch)?;
    let made = scratch.join("data");
    let install = Program::new("mariadb-install-db", program("mariadb-install-db")?).unprivileged();
    let install =
        install.arg("--no-defaults").arg(path("--datadir=", &made)).arg(temporary(&scratch)).args(
            [
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                "--innodb-log-file-size=4M",
                "--innodb-flush-method=nosync",
            ],
        );
    install.run(run, &Quiet).await?;
    let directory = kept.parent().context("no directory to keep a database in")?;
    std::fs::create_dir_all(directory)
        .with_context(|| format!("create {}", directory.display()))?;
    let copied = directory.join(format!("new-{}-{number}", std::process::id()));
    copy(&made, &copied)?;
    if let Err(error) = std::fs::rename(&copied, kept) {
        std::fs::remove_dir_all(&copied).with_context(|| format!("remove {}", copied.display()))?;
        ensure!(kept.exists(), "rename {} to {}: {error}", copied.display(), kept.display());
    }
    Ok(())
}

/// Prepares a server with the PAM plugin and clear-text passwords. `pam_wrapper` shows it a service
/// that lets everybody in, so that `/etc` stays as it is.
pub(super) fn clear_text_login(directory: &Path) -> Result<ClearTextLogin> {
    let directory = directory.join("pam");
    let services = directory.join(SERVICES);
    std::fs::create_dir_all(&services).with_context(|| format!("create {}", services.display()))?;
    let service = "auth required pam_permit.so\naccount required pam_permit.so\n";
    std::fs::write(services.join(PAM_SERVICE), service).context("write the PAM service")?;
    for file in [PLUGIN, WRAPPER] {
        // The server's user may not be able to read the checkout.
        let from = existing(root().join("target/mariadb/pam").join(file))?;
        std::fs::copy(&from, directory.join(file))
            .with_context(|| format!("copy {}", from.display()))?;
    }
    Ok(ClearTextLogin { directory })
}

impl ClearTextLogin {
    /// The server's arguments.
    pub(super) fn arguments(self) -> Vec<OsString> {
        let options = [
            "--plugin-maturity=alpha",
            "--plugin-load-add=auth_pam_v1",
            "--pam-use-cleartext-plugin=ON",
        ];
        options
            .into_iter()
            .map(OsString::from)
            .chain([path("--plugin-dir=", &self.directory)])
            .collect()
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-R").arg(from).arg(to).status().context("run cp")?;
    ensure!(copied.success(), "cp did not copy {} to {}", from.display(), to.display());
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let output =
        command.output().with_context(|| format!("run {}", command.get_program().display()))?;
    ensure!(output.status.success(), "{} failed", command.get_program().display());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `mariadbd  Ver 10.11.19-MariaDB-...` as a word that can name a file.
fn file_name(version: &str) -> String {
    let word = version
        .split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    word.unwrap_or("unknown")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect()
}
