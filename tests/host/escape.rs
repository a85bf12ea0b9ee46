//! The classic way out of a chroot, tried from inside a container (chroot(2), NOTES).
//!
//! The harness's own binary is static and so runs in any container; called as `escape` it does
//! this and nothing else.

use rustix::process::{chdir, chroot};

/// Says where it ended up: `inside`, or `outside` if it can see the host's /share.
pub fn main() {
    const JAIL: &str = "/tmp/jail";
    std::fs::create_dir_all(JAIL).expect("make a directory");
    chdir("/").expect("go to /");
    // The working directory stays above the new root, where `..` stops at nothing.
    chroot(JAIL).expect("chroot into the directory");
    for _ in 0..64 {
        chdir("..").expect("go up");
    }
    chroot(".").expect("chroot out of it");
    let outside = std::path::Path::new("/share").exists() || !std::path::Path::new("/tmp").exists();
    println!("{}", if outside { "outside" } else { "inside" });
}
