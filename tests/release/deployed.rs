//! The archive of a release, made from the binaries of `make build`, in an empty directory.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base::VERSION;
use lab::cloudformation::Template;
use lab::deploy::{self, FLUSH_HOSTS, FRONT_DOOR};
use lab::events::ClusterEvent;
use lab::process::Program;
use lab::progress::{Quiet, Steps};
use lab::stage::{EVENT_DEADLINE, Lab, Options, RARE_MINUTES};
use lab::workspace::{Run, root, venv_bin, venv_program};
use serde_json::json;

const FUNCTIONS: [&str; 2] = ["failover-sync", "flush-hosts"];

/// What the commands of a person who unpacked a release name.
const NAMED: [&str; 19] = [
    "LICENSE",
    "README.md",
    "failover-sync-arm64.zip",
    "failover-sync-x86_64.zip",
    "flush-hosts-arm64.zip",
    "flush-hosts-x86_64.zip",
    "function-standalone.yaml",
    "infra/configuration/fill.py",
    "infra/configure.py",
    "infra/function.yaml",
    "infra/link.yaml",
    "infra/terraform/examples/existing-group/main.tf",
    "infra/terraform/main.tf",
    "samconfig.toml",
    "template.yaml",
    "x86_64/infra/database.yaml",
    "x86_64/infra/flush-hosts.yaml",
    "x86_64/infra/function.yaml",
    "x86_64/template.yaml",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unpacked_release_is_deployed_without_a_compiler_and_fails_over() -> Result<()> {
    let run = Run::new()?;
    let outcome = async {
        let release = unpack(&run).await?;
        for cargo in ["cargo", "rustc"] {
            ensure!(!venv_bin().join(cargo).exists(), "{cargo} is on the path of sam deploy");
        }
        fails_over(&run, &release).await?;
        names_its_zips(&run, &release).await
    }
    .await;
    run.ended(outcome)
}

async fn fails_over(run: &Run, release: &Path) -> Result<()> {
    let release = release.join("x86_64");
    let built = Template::fit(run, &release.join("template.yaml"), &release).await?;
    let options = Options { schedule_minutes: RARE_MINUTES, ..Options::default() };
    let lab = Lab::deploy(run, built, options, &Steps).await?;
    Steps::begin("by hand: the release's function fills the group");
    let result = lab.invoke(&json!({})).await?;
    ensure!(result.error.is_none() && result.payload["version"] == VERSION, "{}", result.payload);
    lab.wait_for_target(0, EVENT_DEADLINE).await?;
    Steps::begin("by event: it follows the failover");
    lab.move_writer(1).await?;
    lab.publish(ClusterEvent::Completed, 1).await?;
    lab.wait_for_target(1, EVENT_DEADLINE).await
}

/// Every template of an architecture leads to its zips, and allows no other processor.
async fn names_its_zips(run: &Run, release: &Path) -> Result<()> {
    for (place, architecture) in [(".", "arm64"), ("x86_64", "x86_64")] {
        // Finds what it nests.
        Template::fit(run, &release.join(place).join("template.yaml"), &release.join(place))
            .await?;
        for (template, function) in [("function", "failover-sync"), ("flush-hosts", "flush-hosts")]
        {
            let path = release.join(place).join(format!("infra/{template}.yaml"));
            let text = std::fs::read_to_string(&path)?;
            let code = text
                .lines()
                .find_map(|line| line.trim().strip_prefix("Code: "))
                .context("no Code")?;
            let zip = path
                .with_file_name(code)
                .canonicalize()
                .with_context(|| format!("{code} of {template}"))?;
            ensure!(
                zip == release.join(format!("{function}-{architecture}.zip")).canonicalize()?,
                "{}",
                zip.display()
            );
            for line in
                [format!("AllowedValues: [{architecture}]"), format!("Default: {architecture}")]
            {
                ensure!(
                    text.contains(&format!("\n    {line}\n")),
                    "{} lacks {line}",
                    path.display()
                );
            }
            ensure!(!text.contains("BuildMethod"), "{} is to be built", path.display());
        }
    }
    Ok(())
}

/// Packages twice, which must give the same bytes, and unpacks the second.
async fn unpack(run: &Run) -> Result<PathBuf> {
    for source in [FRONT_DOOR, FLUSH_HOSTS] {
        deploy::build(run, source, &Steps).await?;
    }
    let binaries = root().join("target/lambda");
    for function in FUNCTIONS {
        names_no_place(&binaries.join(function).join("bootstrap"))?;
    }
    let arm64 = disguised(run, &binaries)?;
    let mut archives = Vec::new();
    for name in ["once", "again"] {
        let directory = run.scratch(name)?;
        Program::new(format!("package-{name}"), venv_program("python")?)
            .arg(root().join("infra/package.py"))
            .arg(&directory)
            .args([format!("arm64={}", arm64.display()), format!("x86_64={}", binaries.display())])
            .run(run, &Quiet)
            .await?;
        archives.push(directory.join(format!("failover-sync-{VERSION}.tar.gz")));
    }
    ensure!(
        std::fs::read(&archives[0])? == std::fs::read(&archives[1])?,
        "the second archive differs from the first"
    );

    let empty = run.scratch("unpacked")?;
    let tar = Program::new("tar", "tar").arg("-xzf").arg(&archives[1]).directory(&empty);
    tar.run(run, &Quiet).await?;
    let release = empty.join(format!("failover-sync-{VERSION}"));
    let sums = Program::new("sums", "sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .directory(&release);
    let checked = sums.output(run).await?;
    let checked: BTreeSet<_> =
        checked.lines().filter_map(|line| line.strip_suffix(": OK")).collect();
    let missing: Vec<_> = NAMED.iter().filter(|name| !checked.contains(*name)).collect();
    ensure!(missing.is_empty(), "SHA256SUMS lacks {missing:?}");
    Ok(release)
}

/// A build of the same version elsewhere has the same bytes only without the places of this one.
fn names_no_place(binary: &Path) -> Result<()> {
    let home = |name: &str| env::var(name).ok().filter(|home| !home.is_empty());
    let crates = home("CARGO_HOME").or_else(|| Some(format!("{}/.cargo", home("HOME")?)));
    let text = String::from_utf8_lossy(&std::fs::read(binary)?).into_owned();
    ensure!(text.contains("/cargo/registry/"), "{} names no source file", binary.display());
    for place in [crates.context("no HOME")?, root().display().to_string()] {
        ensure!(!text.contains(&place), "{} names {place}", binary.display());
    }
    Ok(())
}

/// The binaries with a header that calls them arm64's: a stand-in that nothing runs.
fn disguised(run: &Run, binaries: &Path) -> Result<PathBuf> {
    /// Where the header of an ELF file names the machine, and its number.
    const MACHINE: (usize, u8) = (18, 183);
    let directory = run.scratch("arm64")?;
    for function in FUNCTIONS {
        let mut binary = std::fs::read(binaries.join(function).join("bootstrap"))?;
        binary[MACHINE.0] = MACHINE.1;
        std::fs::create_dir_all(directory.join(function))?;
        std::fs::write(directory.join(function).join("bootstrap"), binary)?;
    }
    Ok(directory)
}
