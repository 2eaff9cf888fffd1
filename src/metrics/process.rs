//! The process, as the operating system sees it.

use std::fmt;

use procfs::process::Process;
use procfs::{ProcResult, WithCurrentSystemInfo};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Read at each scrape, under the names that Prometheus' own clients use.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

struct Snapshot {
    cpu_seconds: f64,
    resident_bytes: i64,
    threads: i64,
    open_files: i64,
    /// Seconds since 1970.
    started: f64,
}

impl Snapshot {
    fn take() -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            resident_bytes: stat.rss_bytes().get() as i64,
            threads: stat.num_threads,
            open_files: process.fd_count()? as i64,
            started: procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks,
        })
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        // Without /proc there are no such metrics, but all others.
        let Ok(now) = Snapshot::take() else { return Ok(()) };
        let mut write = |name, help, unit: Option<&Unit>, metric: &dyn EncodeMetric| {
            let metric_encoder =
                encoder.encode_descriptor(name, help, unit, metric.metric_type())?;
            metric.encode(metric_encoder)
        };
        let (seconds, bytes) = (Some(&Unit::Seconds), Some(&Unit::Bytes));
        write("process_cpu", "CPU time", seconds, &ConstCounter::new(now.cpu_seconds))?;
        let resident = ConstGauge::new(now.resident_bytes);
        write("process_resident_memory", "Memory in RAM", bytes, &resident)?;
        write("process_threads", "Threads", None, &ConstGauge::new(now.threads))?;
        write("process_open_fds", "Open files", None, &ConstGauge::new(now.open_files))?;
        let started = ConstGauge::new(now.started);
        write("process_start_time", "Start, since 1970", seconds, &started)
    }
}
