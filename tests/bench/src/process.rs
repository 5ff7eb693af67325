//! What the kernel knows about a process.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// The CPU time of all its threads, once it waits: what is running is counted late.
pub(crate) fn cpu_at_rest(process: u32) -> Result<Duration> {
    while !is_at_rest(process)? {
        thread::sleep(Duration::from_micros(50));
    }
    let mut total = 0;
    for task in
        fs::read_dir(format!("/proc/{process}/task")).context("the threads of the function")?
    {
        total += nanoseconds(&task.context("a thread of the function")?.path())?;
    }
    Ok(Duration::from_nanos(total))
}

/// The largest resident set so far, in bytes.
pub(crate) fn peak_memory(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))
        .context("the status of the function")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no peak memory in its status")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().context("its peak memory")?;
    Ok(kibibytes * 1024)
}

fn is_at_rest(process: u32) -> Result<bool> {
    let stat =
        fs::read_to_string(format!("/proc/{process}/stat")).context("the function has ended")?;
    let (_, fields) = stat.rsplit_once(") ").context("the state of the function")?;
    Ok(fields.starts_with('S'))
}

/// `/proc/…/stat` counts in ticks of 10 ms; this file counts in nanoseconds.
fn nanoseconds(task: &Path) -> Result<u64> {
    let text =
        fs::read_to_string(task.join("schedstat")).context("the kernel keeps no schedstat")?;
    text.split(' ').next().unwrap_or_default().parse().context("the CPU time of a thread")
}
