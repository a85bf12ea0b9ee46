//! Opens a pseudo-terminal in the container's own devpts (pts(4), ioctl_tty(2)).
//!
//! The slave is opened from the master (TIOCGPTPEER), never by the path /dev/pts/N: a process in
//! the container could have mounted another file there (CVE-2025-52565).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux_raw_sys::general::DEVPTS_SUPER_MAGIC;
use rustix::fs::{Mode, OFlags, fstatfs};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::error::{Context, Result, fail};
use crate::sys::{self, beneath};

/// The master and the slave of a new terminal.
pub struct Pty {
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

/// Opens a new terminal in the devpts at /dev/pts below `root`. `window` is the terminal's size in
/// rows and columns, set before the program starts. Fails if /dev/pts/ptmx is not in a devpts.
pub fn open(root: BorrowedFd<'_>, window: Option<(u16, u16)>) -> Result<Pty> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let master = beneath::open_without_links(root, Path::new("dev/pts/ptmx"), flags, Mode::empty())
        .context(|| "open the container's /dev/pts/ptmx")?;
    let filesystem = fstatfs(&master).context(|| "look at the container's /dev/pts/ptmx")?;
    if filesystem.f_type as u32 != DEVPTS_SUPER_MAGIC {
        fail!("the container's /dev/pts is not a devpts");
    }
    unlockpt(&master).context(|| "unlock the terminal")?;
    let slave =
        ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .context(|| "open the terminal's other side")?;
    if let Some((ws_row, ws_col)) = window {
        let size = Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).context(|| "set the terminal's size")?;
    }
    Ok(Pty { master, slave })
}

/// Mounts the terminal on /dev/console below `root`. Fails if that path does not exist or has a
/// symbolic link in it.
pub fn mount_console(root: BorrowedFd<'_>, slave: BorrowedFd<'_>) -> Result<()> {
    let console =
        beneath::open_without_links(root, Path::new("dev/console"), OFlags::PATH, Mode::empty());
    let tree = sys::mount::copy_tree(slave, false);
    console
        .and_then(|console| sys::mount::attach(tree?.as_fd(), console.as_fd()))
        .context(|| "mount the terminal on /dev/console")
}

/// Makes `slave` the controlling terminal of this session (TIOCSCTTY) and the descriptors 0, 1 and
/// 2.
pub fn adopt(slave: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::process::ioctl_tiocsctty(slave)?;
    sys::fds::become_stdio([slave, slave, slave])
}
