//! The commands: the layer in which images, volumes, networks and containers meet.
//!
//! Each family of commands has a file with an `impl Engine`; the other files have helpers. Results
//! are facts, from which `cli` makes texts, tables and exit statuses. An `Engine` has only the
//! roots, the choice of a firewall and the receiver of warnings, and keeps no state between
//! commands.

pub mod events;
pub mod explain;
pub mod options;
pub mod project;
pub mod registry;
pub mod view;

mod anonymous_volumes;
mod archives;
mod attach;
mod boot;
#[cfg(feature = "build")]
mod build_cache;
#[cfg(feature = "build")]
mod cache_mounts;
pub mod check;
pub mod child;
mod commit;
mod condition;
mod confine;
mod cp;
mod cpus;
mod create;
mod diff;
mod disk;
mod download;
#[cfg(feature = "build")]
pub mod emulation;
mod exec;
mod filesystems;
mod hello;
mod hooks;
mod images;
mod info;
mod inspect;
mod links;
mod list;
mod log_driver;
mod logs;
mod network;
#[cfg(not(feature = "pull"))]
pub mod no_transfer;
mod output;
mod pause;
mod placeholders;
mod ports;
mod remove;
mod root;
mod spec;
mod start;
mod stats;
#[cfg(feature = "build")]
pub mod step;
mod stop;
mod top;
#[cfg(feature = "pull")]
pub mod transfer;
mod update;
mod update_ports;
mod user_namespace;
mod volumes;
mod wait;
pub mod warning;
mod watch;

use rustix::fs::Mode;
use rustix::process::umask;

use crate::error::{Result, fail};
use crate::event::Event;
use crate::network::firewall;
use crate::runtime::cgroup;
use crate::store::journal;

#[cfg(feature = "compose")]
pub use self::stop::Stopping;
pub use crate::container::state::StopMark;
pub use crate::store::Roots;
#[cfg(feature = "compose")]
pub use logs::Follower;
#[cfg(not(feature = "pull"))]
pub use no_transfer as transfer;
pub use wait::WaitCondition;
use warning::Warning;

/// The engine of one command: the roots, the firewall, and the receiver of warnings.
pub struct Engine {
    roots: Roots,
    firewall: firewall::Choice,
    /// Shows a warning to the user.
    warn: fn(&Warning),
}

impl Engine {
    /// Prepares the roots. Fails unless the effective user is root, because namespaces, mounts and
    /// cgroups need root. Also fails for example if the roots cannot be made.
    pub fn new(roots: Roots, firewall: firewall::Choice, warn: fn(&Warning)) -> Result<Engine> {
        if !rustix::process::geteuid().is_root() {
            fail!("mydocker needs root (namespaces, mounts, cgroups); run it with sudo or as root");
        }
        // Containers see files that this process makes, so the user's umask must not change the
        // modes of these files.
        umask(Mode::from_raw_mode(0o022));
        cgroup::adopt()?;
        if let Some(note) = roots.prepare()? {
            warn(&Warning::StateRoot(note));
        }
        Ok(Engine { roots, firewall, warn })
    }

    /// Writes events to the journal.
    fn note(&self, events: &[Event]) {
        journal::append(&self.roots, events);
    }

    /// Protects this binary from containers, because mydocker's processes enter the namespaces of
    /// containers (CVE-2019-5736). Call this before any work. See `sys::binary`.
    pub fn shield() {
        crate::sys::binary::run_read_only();
    }

    /// Logs each step of a container's start from now on, as text or as JSON. See `sys::trace`.
    pub fn trace(json: bool) {
        use crate::sys::trace::{Form, start};
        start(if json { Form::Json } else { Form::Text });
    }

    /// Reports whether steps are logged.
    pub fn is_traced() -> bool {
        crate::sys::trace::is_on()
    }

    /// Hides the values of `-e` and `--build-arg` in this process's arguments, which other users of
    /// the host can read in /proc. Call this after the flags were parsed.
    pub fn hide_variables() {
        crate::sys::title::hide_variables();
    }
}
