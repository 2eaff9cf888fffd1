//! What a process has used so far, by `/proc`.

use anyhow::Context;
use procfs::process::Process;

/// Of one process since its start.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system time of all threads, in seconds, to 10 ms.
    pub cpu_seconds: f64,
    /// Bytes in RAM now.
    pub resident: u64,
}

impl Usage {
    pub fn own() -> anyhow::Result<Self> {
        Self::of(&Process::myself()?)
    }

    pub fn of_process(id: u32) -> anyhow::Result<Self> {
        Self::of(&Process::new(i32::try_from(id)?)?)
    }

    fn of(process: &Process) -> anyhow::Result<Self> {
        let stat = process.stat().context("reading /proc")?;
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
            resident: stat.rss * procfs::page_size(),
        })
    }
}
