//! What the operating system knows: processes' memory and time, sizes on disk, free ports, the machine itself.

use anyhow::Context;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a process used since it started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) processor_seconds: f64,
    /// Since the last [`forget_memory_peak`].
    pub(crate) memory_peak_bytes: Option<u64>,
}

/// Linux counts processor time for user programs in hundredths of a second on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

impl Usage {
    pub(crate) fn of_process(process_id: u32) -> Self {
        let (user, system, _) = processor_ticks(process_id).unwrap_or_default();
        Self {
            processor_seconds: (user + system) as f64 / TICKS_PER_SECOND,
            memory_peak_bytes: status_bytes(process_id, "VmHWM:"),
        }
    }

    /// A process and its children that still live.
    pub(crate) fn of_tree(process_id: u32) -> Self {
        let mut usage = Self::of_process(process_id);
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        for child in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            if let Some((user, system, parent)) = processor_ticks(child)
                && parent == process_id
            {
                usage.processor_seconds += (user + system) as f64 / TICKS_PER_SECOND;
            }
        }
        usage
    }
}

/// Lets the peak of memory count from now.
pub(crate) fn forget_memory_peak(process_id: u32) {
    // Where the kernel refuses, the peak counts from the start of the process, which is no smaller.
    let _ = fs::write(format!("/proc/{process_id}/clear_refs"), "5");
}

/// User ticks, system ticks, and the parent's id.
fn processor_ticks(process_id: u32) -> Option<(u64, u64, u32)> {
    let text = fs::read_to_string(format!("/proc/{process_id}/stat")).ok()?;
    // The program's name may hold spaces; fields count from behind its closing parenthesis.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?, fields.get(1)?.parse().ok()?))
}

fn status_bytes(process_id: u32, key: &str) -> Option<u64> {
    kibibytes(&fs::read_to_string(format!("/proc/{process_id}/status")).ok()?, key)
}

fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// What a file or all files below a directory take on the disk. Files that vanish meanwhile do not count.
pub(crate) fn disk_bytes(path: &Path) -> anyhow::Result<u64> {
    let metadata = fs::symlink_metadata(path).with_context(|| format!("look at {}", path.display()))?;
    if !metadata.is_dir() {
        return Ok(metadata.blocks() * 512);
    }
    let entries = fs::read_dir(path).with_context(|| format!("list {}", path.display()))?;
    Ok(entries.flatten().filter_map(|entry| disk_bytes(&entry.path()).ok()).sum())
}

pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?.local_addr()?.port())
}

/// Cores, processor, memory and kernel, as far as they are known.
pub(crate) fn describe() -> serde_json::Value {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    serde_json::json!({
        "cores": cores(),
        "processor": model,
        "memory_bytes": memory_bytes(),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
    })
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(crate) fn memory_bytes() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}
