//! What `events` prints about a container, in runc's form: the counters of its cgroups as JSON
//! (admin-guide/cgroup-v2.rst and cgroup-v1/). A counter that the host does not keep is left out.
//! The CPU time and the number of processes are never left out: without their counters, `usage`
//! takes them from the processes. Times are in nanoseconds, but in microseconds in `psi`. Sizes are
//! in bytes. `raw` has the kernel's own units. If a limit is `max`, the JSON has the largest 64-bit
//! number; for `pids`, the JSON then has no `limit`.

use std::fs;
use std::path::Path;

use crate::order;
use crate::runtime::cgroup::usage;

/// Nanoseconds in a clock tick of the kernel's interface to programs (USER_HZ).
const TICK_NS: u64 = 10_000_000;

/// The object `data` in the JSON of `events`.
pub fn data(cgroups: &[String]) -> String {
    let files = Files { cgroups };
    object(&[
        ("cpu", Some(cpu(&files))),
        ("memory", Some(memory(&files))),
        (
            "pids",
            Some(object(&[
                ("current", Some(usage::usage(cgroups).processes.to_string())),
                ("limit", files.number("pids.max").map(|limit| limit.to_string())),
            ])),
        ),
        ("blkio", Some(block_io(&files))),
        ("hugetlb", Some(huge_pages(&files))),
    ])
}

/// The files of the container's cgroups.
struct Files<'a> {
    cgroups: &'a [String],
}

impl Files<'_> {
    fn text(&self, file: &str) -> Option<String> {
        let read = |cgroup: &String| fs::read_to_string(Path::new(cgroup).join(file)).ok();
        self.cgroups.iter().find_map(read)
    }

    fn number(&self, file: &str) -> Option<u64> {
        self.text(file)?.trim().parse().ok()
    }

    /// The number in the first of the files that exists. If that file says `max` (no limit), returns
    /// the largest 64-bit number.
    fn most(&self, names: [&str; 2]) -> Option<String> {
        let text = names.iter().find_map(|name| self.text(name))?;
        let is_none = text.trim() == "max";
        let number = if is_none { u64::MAX } else { text.trim().parse().ok()? };
        Some(number.to_string())
    }

    /// The number after `key` in `file` of the first cgroup that has this file.
    fn keyed(&self, file: &str, key: &str) -> Option<u64> {
        usage::keyed(&self.text(file)?, key)
    }
}

/// A JSON object of the fields that have a value.
fn object(fields: &[(&str, Option<String>)]) -> String {
    let mut text = "{".to_owned();
    for (key, value) in fields {
        let Some(value) = value else { continue };
        let comma = if text.len() > 1 { "," } else { "" };
        for part in [comma, "\"", key, "\":", value] {
            text.push_str(part);
        }
    }
    text.push('}');
    text
}

fn times(number: Option<u64>, by: u64) -> Option<String> {
    number.map(|number| number.saturating_mul(by).to_string())
}

fn cpu(files: &Files<'_>) -> String {
    let stat = |key: &str| files.keyed("cpu.stat", key);
    let each = files.text("cpuacct.usage_percpu").map(|text| {
        let numbers: Vec<&str> = text.split_whitespace().collect();
        format!("[{}]", numbers.join(","))
    });
    let mode = |ticks: &str, micros: &str| {
        let ticks = files.keyed("cpuacct.stat", ticks);
        times(ticks, TICK_NS).or_else(|| times(stat(micros), 1000))
    };
    let usage = object(&[
        ("total", Some(usage::usage(files.cgroups).cpu_ns.to_string())),
        ("percpu", each),
        ("kernel", mode("system", "system_usec")),
        ("user", mode("user", "user_usec")),
    ]);
    let throttling = object(&[
        ("periods", times(stat("nr_periods"), 1)),
        ("throttledPeriods", times(stat("nr_throttled"), 1)),
        (
            "throttledTime",
            times(stat("throttled_time"), 1).or_else(|| times(stat("throttled_usec"), 1000)),
        ),
    ]);
    object(&[
        ("usage", Some(usage)),
        ("throttling", Some(throttling)),
        ("psi", pressure(files, "cpu.pressure")),
    ])
}

/// Converts pressure stall information to JSON. The file has a line
/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and usually a line `full` in the same form.
fn pressure(files: &Files<'_>, file: &str) -> Option<String> {
    let text = files.text(file)?;
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let kind = words.next().filter(|kind| matches!(*kind, "some" | "full"))?;
        let pairs = words.filter_map(|word| word.split_once('='));
        let pairs: Vec<_> = pairs.map(|(key, value)| (key, Some(value.to_owned()))).collect();
        Some((kind, Some(object(&pairs))))
    });
    Some(object(&lines.collect::<Vec<_>>()))
}

fn memory(files: &Files<'_>) -> String {
    let v1 = |kind: &str| {
        let of = |file: &str| files.most([&format!("memory.{kind}{file}"), ""]);
        of("usage_in_bytes").map(|usage| {
            object(&[
                ("limit", of("limit_in_bytes")),
                ("usage", Some(usage)),
                ("max", of("max_usage_in_bytes")),
                ("failcnt", of("failcnt")),
            ])
        })
    };
    let events = |file, key| files.keyed(file, key).map(|count| count.to_string());
    let plain = v1("").unwrap_or_else(|| {
        object(&[
            ("limit", files.most(["memory.max", ""])),
            ("usage", files.most(["memory.current", ""])),
            ("max", files.most(["memory.peak", ""])),
            ("failcnt", events("memory.events", "max")),
        ])
    });
    let swap = v1("memsw.").or_else(|| {
        files.most(["memory.swap.current", ""]).map(|usage| {
            object(&[
                ("limit", files.most(["memory.swap.max", ""])),
                ("usage", Some(usage)),
                ("failcnt", events("memory.swap.events", "max")),
            ])
        })
    });
    let raw = files.text("memory.stat").map(|text| {
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        let pairs = pairs.map(|(key, value)| (key, Some(value.trim().to_owned())));
        object(&pairs.collect::<Vec<_>>())
    });
    object(&[
        ("usage", Some(plain)),
        ("swap", swap),
        ("kernel", v1("kmem.")),
        ("kernelTCP", v1("kmem.tcp.")),
        ("raw", raw),
        ("psi", pressure(files, "memory.pressure")),
    ])
}

fn block_io(files: &Files<'_>) -> String {
    // A line of v1 is `8:0 Read 5`. A line of v2 is `8:0 rbytes=5 wbytes=6 rios=1 …`.
    let v1 = |file: &str| {
        let text = files.text(&format!("{file}_recursive")).or_else(|| files.text(file))?;
        let rows = text.lines().filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [device, operation, value] = words[..] else { return None };
            row(device, operation, value)
        });
        Some(rows.collect::<Vec<_>>())
    };
    let unified = files.text("io.stat").unwrap_or_default();
    let v2 = |keys: [(&str, &str); 2]| {
        let of_line = |line: &str| -> Vec<String> {
            let (device, rest) = line.split_once(' ').unwrap_or_default();
            let pairs = rest.split(' ').filter_map(|word| word.split_once('='));
            let known = pairs.filter_map(|(key, value)| {
                let (_, operation) = keys.iter().find(|(known, _)| *known == key)?;
                row(device, operation, value)
            });
            known.collect()
        };
        unified.lines().flat_map(of_line).collect::<Vec<_>>()
    };
    let list = |rows: Vec<String>| {
        Some(rows).filter(|rows| !rows.is_empty()).map(|rows| format!("[{}]", rows.join(",")))
    };
    let bytes = v1("blkio.throttle.io_service_bytes")
        .unwrap_or_else(|| v2([("rbytes", "Read"), ("wbytes", "Write")]));
    let operations = v1("blkio.throttle.io_serviced")
        .unwrap_or_else(|| v2([("rios", "Read"), ("wios", "Write")]));
    object(&[
        ("ioServiceBytesRecursive", list(bytes)),
        ("ioServicedRecursive", list(operations)),
        ("psi", pressure(files, "io.pressure")),
    ])
}

fn row(device: &str, operation: &str, value: &str) -> Option<String> {
    let (major, minor) = device.split_once(':')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    let value: u64 = value.parse().ok()?;
    Some(format!(
        "{{\"major\":{major},\"minor\":{minor},\"op\":\"{operation}\",\"value\":{value}}}"
    ))
}

fn huge_pages(files: &Files<'_>) -> String {
    let entries = files.cgroups.iter().filter_map(|cgroup| fs::read_dir(cgroup).ok()).flatten();
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut sizes: Vec<String> = names
        .filter_map(|name| {
            let (size, kind) = name.strip_prefix("hugetlb.")?.split_once('.')?;
            matches!(kind, "usage_in_bytes" | "current").then(|| size.to_owned())
        })
        .collect();
    order::sort(&mut sizes);
    sizes.dedup();
    let each = sizes.iter().map(|size| {
        let file = |kind: &str| format!("hugetlb.{size}.{kind}");
        let events = files.keyed(&file("events"), "max").map(|count| count.to_string());
        let value = object(&[
            ("usage", files.most([&file("usage_in_bytes"), &file("current")])),
            ("max", files.most([&file("max_usage_in_bytes"), ""])),
            ("failcnt", files.most([&file("failcnt"), ""]).or(events)),
        ]);
        (size.as_str(), Some(value))
    });
    object(&each.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounts_of_both_versions_are_printed() {
        let data_of = |files: &[(&str, &str)]| {
            let name = format!("stats-{}-{}", std::process::id(), files[0].0);
            let directory = std::env::temp_dir().join(name);
            fs::create_dir_all(&directory).unwrap();
            for (file, content) in files {
                fs::write(directory.join(file), content).unwrap();
            }
            let found = data(&[directory.display().to_string()]);
            fs::remove_dir_all(&directory).unwrap();
            found
        };
        assert_eq!(
            data_of(&[
                ("cpu.stat", "usage_usec 5\nuser_usec 2\nsystem_usec 3\nnr_periods 7\n"),
                ("cpu.pressure", "some avg10=0.50 avg60=0.00 avg300=0.00 total=9\n"),
                ("memory.max", "max\n"),
                ("memory.current", "8\n"),
                ("memory.stat", "anon 4\n"),
                ("io.stat", "8:0 rbytes=5 wbytes=6 rios=1 wios=2 dbytes=0 dios=0\n"),
                ("pids.current", "2\n"),
                ("pids.max", "10\n"),
                ("hugetlb.2MB.current", "0\n"),
                ("hugetlb.2MB.events", "max 3\n"),
            ]),
            "{\"cpu\":{\"usage\":{\"total\":5000,\"kernel\":3000,\"user\":2000},\
             \"throttling\":{\"periods\":7},\
             \"psi\":{\"some\":{\"avg10\":0.50,\"avg60\":0.00,\"avg300\":0.00,\"total\":9}}},\
             \"memory\":{\"usage\":{\"limit\":18446744073709551615,\"usage\":8},\
             \"raw\":{\"anon\":4}},\"pids\":{\"current\":2,\"limit\":10},\
             \"blkio\":{\"ioServiceBytesRecursive\":[\
             {\"major\":8,\"minor\":0,\"op\":\"Read\",\"value\":5},\
             {\"major\":8,\"minor\":0,\"op\":\"Write\",\"value\":6}],\"ioServicedRecursive\":[\
             {\"major\":8,\"minor\":0,\"op\":\"Read\",\"value\":1},\
             {\"major\":8,\"minor\":0,\"op\":\"Write\",\"value\":2}]},\
             \"hugetlb\":{\"2MB\":{\"usage\":0,\"failcnt\":3}}}"
        );
        assert_eq!(
            data_of(&[
                ("cpuacct.usage", "50\n"),
                ("cpuacct.usage_percpu", "20 30 \n"),
                ("cpuacct.stat", "user 1\nsystem 2\n"),
                ("memory.usage_in_bytes", "8\n"),
                ("memory.limit_in_bytes", "9\n"),
                ("memory.failcnt", "1\n"),
                ("blkio.throttle.io_serviced_recursive", "8:0 Read 5\nTotal 5\n"),
            ]),
            "{\"cpu\":{\"usage\":{\"total\":50,\"percpu\":[20,30],\"kernel\":20000000,\
             \"user\":10000000},\"throttling\":{}},\
             \"memory\":{\"usage\":{\"limit\":9,\"usage\":8,\"failcnt\":1}},\
             \"pids\":{\"current\":0},\"blkio\":{\"ioServicedRecursive\":[\
             {\"major\":8,\"minor\":0,\"op\":\"Read\",\"value\":5}]},\"hugetlb\":{}}"
        );
    }
}
