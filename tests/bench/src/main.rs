//! `make bench`: what the function's release binary costs, and whether it keeps its budgets.
//!
//! The binary is that of the zip. It runs behind a Runtime API, a TLS endpoint for ELBv2 and RDS,
//! and a DNS server on loopback: neither the network of AWS is measured nor Lambda's processor.
#![expect(clippy::print_stdout, reason = "a command line program talks to its user")]

mod aws;
mod function;
mod http;
mod measure;
mod process;
mod report;
mod role_probe;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use lab::dns::DnsServer;
use lab::workspace::root;
use tempfile::TempDir;

use aws::Aws;
use report::{Budget, Figure};

const ZIP: &str = "target/lambda/failover-sync/bootstrap.zip";
const REPORT: &str = "target/bench/report.json";

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<ExitCode> {
    let zip = std::env::args_os().nth(1).map_or_else(|| root().join(ZIP), PathBuf::from);
    let scratch = TempDir::with_prefix("bench-").context("a directory for scratch files")?;
    let binary = unpack(&zip, scratch.path())?;
    let size = fs::metadata(&zip).with_context(|| format!("the size of {}", zip.display()))?.len();
    let dns = DnsServer::start().await?;
    let aws = Aws::start(scratch.path())?;

    let database = role_probe::Database::start().await?;

    let mut figures = tokio::task::block_in_place(|| measure::figures(&binary, &dns, &aws))?;
    figures.extend(tokio::task::block_in_place(|| {
        role_probe::figures(&binary, &dns, &aws, &database)
    })?);
    let megabytes = f64::from(u32::try_from(size).unwrap_or(u32::MAX)) / 1e6;
    figures.push(Figure::new("zip", "MB", vec![megabytes], Budget::Exact(4.5)));

    println!("{}", report::table(&figures));
    println!(
        "Growth and round trips: with {} ms for each answer of AWS.",
        measure::LATENCY.as_millis()
    );
    let file = root().join(REPORT);
    fs::create_dir_all(root().join("target/bench")).context("the directory of the report")?;
    fs::write(&file, format!("{:#}\n", report::json(&figures)))
        .with_context(|| format!("write {}", file.display()))?;
    let is_missed = figures.iter().any(Figure::is_missed);
    Ok(if is_missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Python is there: the Makefile needs it for everything else.
fn unpack(zip: &Path, directory: &Path) -> Result<PathBuf> {
    let mut python = Command::new("python3");
    let status = python
        .args(["-m", "zipfile", "-e"])
        .arg(zip)
        .arg(directory)
        .status()
        .context("run python3")?;
    ensure!(status.success(), "{} cannot be unpacked; `make bench` builds it", zip.display());
    let binary = directory.join("bootstrap");
    fs::set_permissions(&binary, Permissions::from_mode(0o755))
        .context("make the binary executable")?;
    Ok(binary)
}
