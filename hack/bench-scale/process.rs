//! What this process has cost so far.

/// Processor time of all threads of this process, in microseconds.
pub fn cpu() -> f64 {
    let of_thread = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or(0.0)
    };
    std::fs::read_dir("/proc/self/task").unwrap().map_while(Result::ok).map(of_thread).sum::<f64>() / 1000.0
}

/// Resident memory, in mebibytes: now, or the most that it ever was.
pub fn memory(of: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(of)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
