//! What each command means: the place where images, volumes, networks and containers meet. One file
//! for each family of verbs, each an `impl Engine`.

pub mod options;
pub mod registry;
pub mod view;

mod archives;
mod attach;
mod boot;
pub mod check;
mod commit;
mod condition;
mod confine;
mod cp;
mod cpus;
mod create;
mod diff;
mod disk;
mod exec;
mod hello;
mod images;
mod info;
mod inspect;
mod links;
mod list;
mod logs;
mod network;
mod network_view;
mod output;
mod pause;
mod placeholders;
mod remove;
mod root;
mod spec;
mod start;
mod stats;
mod stop;
mod top;
#[cfg(feature = "pull")]
mod transfer;
#[cfg(not(feature = "pull"))]
#[path = "no_transfer.rs"]
mod transfer;
mod user_namespace;
mod volumes;
mod wait;

use rustix::fs::Mode;
use rustix::process::umask;

use crate::error::{Result, fail};
use crate::network::firewall;
use crate::store::Roots;

pub use crate::container::state::StopMark;
pub use wait::WaitCondition;

pub struct Engine {
    roots: Roots,
    firewall: firewall::Choice,
    /// Tells the user what needs to be known but fails nothing.
    tell: fn(&str),
}

impl Engine {
    /// Needs root: namespaces, mounts and cgroups do.
    pub fn new(roots: Roots, firewall: firewall::Choice, tell: fn(&str)) -> Result<Engine> {
        if !rustix::process::geteuid().is_root() {
            fail!("mydocker needs root (namespaces, mounts, cgroups); run it with sudo or as root");
        }
        // What containers see of what is made here has the modes that are asked for.
        umask(Mode::from_raw_mode(0o022));
        if let Some(note) = roots.prepare()? {
            tell(&note);
        }
        Ok(Engine { roots, firewall, tell })
    }

    /// For a command whose processes enter containers, before it does anything: see `sys::binary`.
    pub fn shield() {
        crate::sys::binary::run_read_only();
    }

    /// For a command that was given variables and stays while its container runs: the host's other
    /// users see its arguments. It must have read them.
    pub fn hide_variables() {
        crate::sys::title::hide_variables();
    }
}
