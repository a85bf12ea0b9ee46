//! The image `bb`: Debian's static busybox with a link for each applet, and the files of users and
//! groups.
//!
//! Most tests use this image, because it starts fast and needs no download. It has no libraries and
//! no packages; tests that need them use an image of Debian (`debian.rs`).

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cached;

const BUSYBOX: &str = "/bin/busybox";

/// `app` has supplementary groups. `1000` is a name that looks like a number.
const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
app:x:1234:1234:app:/home/app:/bin/sh
1000:x:0:0:not what it says:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
";
const GROUP: &str = "\
root:x:0:
daemon:x:1:
audio:x:29:app
staff:x:50:app,other
app:x:1234:
nogroup:x:65534:
";

/// The tar of the root file system.
pub fn archive() -> PathBuf {
    cached("busybox.tar", |partial| {
        assert!(
            Path::new(BUSYBOX).exists(),
            "{BUSYBOX} is missing: apt-get install busybox-static"
        );
        let root = partial.with_extension("root");
        let _ = std::fs::remove_dir_all(&root);
        for dir in ["bin", "etc", "home/app", "proc", "root", "sys", "dev", "tmp", "var", "usr"] {
            std::fs::create_dir_all(root.join(dir)).unwrap();
        }
        std::fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777)).unwrap();
        std::fs::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
        std::fs::write(root.join("etc/passwd"), PASSWD).unwrap();
        std::fs::write(root.join("etc/group"), GROUP).unwrap();
        let applets = Command::new(BUSYBOX).arg("--list").output().unwrap();
        for applet in String::from_utf8(applets.stdout).unwrap().lines() {
            if applet != "busybox" {
                std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
            }
        }
        let tar = Command::new("tar")
            .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"])
            .arg("-cf")
            .arg(partial)
            .arg("-C")
            .arg(&root)
            .arg(".")
            .status();
        assert!(tar.unwrap().success());
        std::fs::remove_dir_all(&root).unwrap();
    })
}
