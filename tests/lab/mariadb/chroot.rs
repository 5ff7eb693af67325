//! MySQL from a directory tree of its own: distributions rarely have it beside MariaDB.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::{Options, Server, arguments, certificate, path};
use crate::process::{Program, is_root};
use crate::progress::Quiet;
use crate::workspace::Run;

/// Names the tree. `make mysql` makes one, in `target/mysql`.
pub const CHROOT_VARIABLE: &str = "MYSQL_CHROOT";

/// Starts its server with an empty database.
pub(super) async fn start(run: &Run, tree: &Path, options: &Options) -> Result<Server> {
    ensure!(
        is_root(),
        "{CHROOT_VARIABLE} is set, and only root can start a program in {}",
        tree.display()
    );
    let server = tree.join("usr/sbin/mysqld");
    ensure!(server.exists(), "{CHROOT_VARIABLE} is set, and {} is missing", server.display());
    let files = TempDir::with_prefix_in("lab-", tree.join("tmp"))
        .context("a directory for MySQL's files")?;
    let inside =
        Path::new("/").join(files.path().strip_prefix(tree).context("a path inside the tree")?);
    let data = inside.join("data");
    let outside = certificate(options.tls, files.path())?;
    let mut tls = outside.clone();
    for file in [&mut tls.authority, &mut tls.certificate, &mut tls.key] {
        *file = inside.join(file.file_name().context("the name of a file")?);
    }

    let mysqld = || Program::new("mysqld", "chroot").arg(tree).arg("/usr/sbin/mysqld");
    let initialize = mysqld().arg("--no-defaults").arg(path("--datadir=", &data));
    let initialize =
        initialize.args(["--initialize-insecure", "--user=root", "--secure-file-priv=NULL"]);
    initialize.run(run, &Quiet).await?;

    let addr = options.addr()?;
    let (socket, seen) = (inside.join("socket"), files.path().join("socket"));
    let program = mysqld().args(arguments(options, addr, &inside, &tls));
    let process =
        program.args(["--user=root", "--mysqlx=OFF", "--secure-file-priv=NULL"]).start(run)?;
    let client = [
        OsString::from("chroot"),
        tree.into(),
        "mysql".into(),
        "--no-defaults".into(),
        "--socket".into(),
    ];
    let client = client.into_iter().chain([socket.into()]).collect();
    Server { process, addr, client, tls: outside, stops_by_itself: false, _files: Some(files) }
        .started(&seen)
        .await
}
