//! The numbers that every process has: build, operating system, runtime, pools.
//!
//! They are read when they are asked for: [`sample`] is called by `/metrics`.

use std::fs;
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use tokio::runtime::Handle;

use crate::{build, pools};

/// Always 1, labelled with version and commit.
pub(super) const BUILD_INFO: &str = "pillivery_build_info";
/// Seconds of processor time, whole ones.
pub(super) const CPU_SECONDS: &str = "process_cpu_seconds_total";
/// Memory in use.
pub(super) const MEMORY_BYTES: &str = "process_resident_memory_bytes";
/// Open descriptors: files, sockets.
pub(super) const FDS_OPEN: &str = "process_open_fds";
/// Most descriptors that the system allows.
pub(super) const FDS_MAX: &str = "process_max_fds";
/// Threads.
pub(super) const THREADS: &str = "process_threads";
/// Tasks of the async runtime that have not ended.
pub(super) const TASKS: &str = "tokio_tasks";
/// Tasks that are ready and wait for a thread.
pub(super) const TASKS_QUEUED: &str = "tokio_tasks_queued";
/// Threads that run tasks.
pub(super) const WORKERS: &str = "tokio_workers";
/// Seconds in which these threads ran tasks, whole ones, all threads together.
pub(super) const WORKERS_BUSY_SECONDS: &str = "tokio_workers_busy_seconds_total";
/// Connections that a pool has open.
pub(super) const POOL_CONNECTIONS: &str = "postgres_pool_connections";
/// Most connections that a pool may have open. Alert: in use equals it.
pub(super) const POOL_CONNECTIONS_MAX: &str = "postgres_pool_connections_max";
/// Connections that are in use.
pub(super) const POOL_IN_USE: &str = "postgres_pool_connections_in_use";
/// Callers that wait for a connection.
pub(super) const POOL_WAITING: &str = "postgres_pool_waiting";

/// Linux counts processor time in hundredths of a second for user space, whatever the kernel uses.
const TICK: Duration = Duration::from_millis(10);

pub(super) fn describe() {
    describe_gauge!(BUILD_INFO, Unit::Count, "always 1, labelled with version and commit");
    describe_counter!(CPU_SECONDS, Unit::Seconds, "processor time of the process");
    describe_gauge!(MEMORY_BYTES, Unit::Bytes, "resident memory");
    describe_gauge!(FDS_OPEN, Unit::Count, "open file descriptors");
    describe_gauge!(FDS_MAX, Unit::Count, "most file descriptors that may be open");
    describe_gauge!(THREADS, Unit::Count, "threads of the process");
    describe_gauge!(TASKS, Unit::Count, "async tasks that have not ended");
    describe_gauge!(TASKS_QUEUED, Unit::Count, "async tasks that wait for a thread");
    describe_gauge!(WORKERS, Unit::Count, "threads that run async tasks");
    describe_counter!(WORKERS_BUSY_SECONDS, Unit::Seconds, "time in which these threads were busy");
    describe_gauge!(POOL_CONNECTIONS, Unit::Count, "open connections, by pool");
    describe_gauge!(POOL_CONNECTIONS_MAX, Unit::Count, "most open connections, by pool");
    describe_gauge!(POOL_IN_USE, Unit::Count, "connections in use, by pool");
    describe_gauge!(POOL_WAITING, Unit::Count, "callers that wait for a connection, by pool");
    gauge!(BUILD_INFO, "version" => build::VERSION, "commit" => build::COMMIT).set(1);
}

/// Reads all of them.
pub(crate) fn sample() {
    sample_process();
    if let Ok(runtime) = Handle::try_current() {
        sample_runtime(&runtime);
    }
    for (name, status) in pools::statuses() {
        gauge!(POOL_CONNECTIONS, "pool" => name).set(number(status.size));
        gauge!(POOL_CONNECTIONS_MAX, "pool" => name).set(number(status.max_size));
        let in_use = status.size.saturating_sub(status.available);
        gauge!(POOL_IN_USE, "pool" => name).set(number(in_use));
        gauge!(POOL_WAITING, "pool" => name).set(number(status.waiting));
    }
}

/// What `/proc` says; on a system without it, nothing.
fn sample_process() {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    if let Some(ticks) = ticks(&read("stat")) {
        counter!(CPU_SECONDS).absolute(TICK.saturating_mul(ticks).as_secs());
    }
    let status = read("status");
    if let Some(kibibytes) = field(&status, "VmRSS:") {
        gauge!(MEMORY_BYTES).set(number(kibibytes.saturating_mul(1024)));
    }
    if let Some(threads) = field(&status, "Threads:") {
        gauge!(THREADS).set(number(threads));
    }
    if let Some(limit) = field(&read("limits"), "Max open files") {
        gauge!(FDS_MAX).set(number(limit));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        gauge!(FDS_OPEN).set(number(open.count()));
    }
}

fn sample_runtime(runtime: &Handle) {
    let numbers = runtime.metrics();
    gauge!(TASKS).set(number(numbers.num_alive_tasks()));
    gauge!(TASKS_QUEUED).set(number(numbers.global_queue_depth()));
    gauge!(WORKERS).set(number(numbers.num_workers()));
    let busy: Duration =
        (0..numbers.num_workers()).map(|worker| numbers.worker_total_busy_duration(worker)).sum();
    counter!(WORKERS_BUSY_SECONDS).absolute(busy.as_secs());
}

/// User and system time from `/proc/self/stat`: the 14th and 15th field. The second one is the
/// program's name in parentheses, which may hold blanks.
fn ticks(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_whitespace().skip(11);
    let (user, system): (u32, u32) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    user.checked_add(system)
}

/// The first number of the line that begins with `name`.
fn field(text: &str, name: &str) -> Option<usize> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, and these are counts and bytes")]
const fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_whatever_the_program_is_called() {
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 9 0 12345";
        assert_eq!(ticks(stat), Some(175));
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn fields_are_read_by_name() {
        let text =
            "VmRSS:\t  2048 kB\nThreads:\t9\nMax open files            1024      4096  files";
        assert_eq!(field(text, "VmRSS:"), Some(2048));
        assert_eq!(field(text, "Max open files"), Some(1024));
        assert_eq!(field(text, "VmSwap:"), None);
    }
}
