//! `info`: what this host offers and how much is on record.

use super::Engine;
use super::view::Status;
use crate::error::Result;
use crate::image::ImageStore;
use crate::runtime::cgroup::Layout;

impl Engine {
    /// Labels and values, in the order to print them.
    pub fn info(&self) -> Result<Vec<(String, String)>> {
        let containers = self.containers(true, &[])?;
        let count = |is: fn(&Status) -> bool| {
            containers.iter().filter(|container| is(&container.status)).count().to_string()
        };
        let images = ImageStore::open(&self.roots).list()?;
        let layout = Layout::detect()?;
        let host = rustix::system::uname();
        let memory = rustix::system::sysinfo();
        let text = |value: &std::ffi::CStr| value.to_string_lossy().into_owned();
        let line = |label: &str, value: String| (label.to_owned(), value);
        Ok(vec![
            line("Containers", containers.len().to_string()),
            line(" Running", count(|status| matches!(status, Status::Running { .. }))),
            line(" Stopped", count(|status| !matches!(status, Status::Running { .. }))),
            line("Images", images.len().to_string()),
            line("State directory", self.roots.state.display().to_string()),
            line("Run directory", self.roots.run.display().to_string()),
            line("Storage driver", "overlay".to_owned()),
            line("Cgroup version", cgroup_version(&layout).to_owned()),
            line("Cgroup controllers", cgroup_controllers(&layout)),
            line("Kernel version", text(host.release())),
            line("Architecture", text(host.machine())),
            line("Name", text(host.nodename())),
            line("CPUs", std::thread::available_parallelism().map_or(1, usize::from).to_string()),
            line("Total memory", {
                let bytes = memory.totalram as u64 * u64::from(memory.mem_unit);
                format!("{:.2}GiB", bytes as f64 / f64::from(1 << 30))
            }),
        ])
    }
}

fn cgroup_version(layout: &Layout) -> &'static str {
    match (layout.v1.is_empty(), &layout.v2) {
        (true, Some(_)) => "2",
        (false, Some(_)) => "1 and 2 (hybrid)",
        (false, None) => "1",
        (true, None) => "none mounted: limits can't be applied",
    }
}

fn cgroup_controllers(layout: &Layout) -> String {
    let v1 = layout.v1.iter().flat_map(|hierarchy| hierarchy.controllers.iter());
    let v2 = layout.v2.iter().flat_map(|unified| unified.controllers.iter());
    let names: Vec<&str> = v1.chain(v2).map(String::as_str).collect();
    names.join(" ")
}
