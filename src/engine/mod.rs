//! What each command means: the layer where images, volumes, networks and containers meet. One file
//! for each family of commands, each an `impl Engine`. Results are facts; words, tables and exit
//! codes are made in `cli`. An `Engine` holds only the roots and the choice of a firewall, and
//! keeps no state between commands.

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
#[cfg(feature = "build")]
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

/// The engine for one command: the roots, the firewall, and where warnings go.
pub struct Engine {
    roots: Roots,
    firewall: firewall::Choice,
    /// Takes each warning for the user.
    warn: fn(&Warning),
}

impl Engine {
    /// Prepares the roots. Fails without root, which namespaces, mounts and cgroups need.
    pub fn new(roots: Roots, firewall: firewall::Choice, warn: fn(&Warning)) -> Result<Engine> {
        if !rustix::process::geteuid().is_root() {
            fail!("mydocker needs root (namespaces, mounts, cgroups); run it with sudo or as root");
        }
        // Containers see files made here, which must have exactly the modes asked for.
        umask(Mode::from_raw_mode(0o022));
        if let Some(note) = roots.prepare()? {
            warn(&Warning::StateRoot(note));
        }
        Ok(Engine { roots, firewall, warn })
    }

    /// Writes events to the journal.
    fn note(&self, events: &[Event]) {
        journal::append(&self.roots, events);
    }

    /// Protects this binary from containers that its processes enter; called first. See
    /// `sys::binary`.
    pub fn shield() {
        crate::sys::binary::run_read_only();
    }

    /// Logs each step of a container's birth from here on, see `sys::trace`.
    pub fn trace(json: bool) {
        crate::sys::trace::start(json);
    }

    /// Whether steps are logged.
    pub fn is_traced() -> bool {
        crate::sys::trace::is_on()
    }

    /// Hides the values of `-e` in this process's arguments, which other users of the host can
    /// read. For a command that stays while its container runs; called after the flags were parsed.
    pub fn hide_variables() {
        crate::sys::title::hide_variables();
    }
}
