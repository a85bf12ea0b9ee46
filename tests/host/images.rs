//! Checks of images, and of containers' files.
//!
//! They run on hosts with unusual file systems and few tools, where unpacking and copying are most
//! likely to fail. `tests/images.rs` has the finer tests, for this machine alone.

use crate::checks::check;
use crate::host::Check;

/// The checks. Each needs the image `bb`, which `basics` has imported, and keeps it.
pub fn images() -> Vec<Check> {
    vec![
        check(
            "pull",
            "mydocker pull -q 127.0.0.1:5000/bb
             mydocker run --rm --net none 127.0.0.1:5000/bb echo pulled
             mydocker pull 127.0.0.1:5000/bb 2>&1 | grep -c 'up to date'
             mydocker rmi 127.0.0.1:5000/bb | grep -c 'Untagged: 127.0.0.1:5000/bb:latest'
             mydocker run --rm --net none -q 127.0.0.1:5000/bb echo again
             mydocker rmi 127.0.0.1:5000/bb >/dev/null
             mydocker pull 127.0.0.1:5000/nothing 2>&1 | grep -c 404",
            "127.0.0.1:5000/bb:latest
             pulled
             1
             1
             again
             1",
        ),
        check(
            "save, load",
            "mydocker save bb >/run/bb.tar
             mydocker rmi bb >/dev/null
             mydocker load -q -i /run/bb.tar >/dev/null
             rm /run/bb.tar
             mydocker run --rm --net none bb echo loaded",
            "loaded",
        ),
        check(
            "diff, commit, cp",
            "mydocker run --net none --name m bb sh -c 'echo two >/etc/version; rm /etc/group'
             mydocker diff m | sort
             mydocker commit m two >/dev/null
             mydocker run --rm --net none two sh -c 'cat /etc/version; ls /etc/group 2>&1'
             mydocker cp m:/etc/version - | tar -xO
             echo three >/run/version && mydocker cp /run/version m:/etc/version
             mydocker cp m:/etc/version - | tar -xO
             mydocker export m | tar -tf - | grep -c etc/version
             mydocker history -q two | wc -l
             mydocker rm m
             mydocker rmi two >/dev/null; rm /run/version",
            "A /etc/version
             C /etc
             D /etc/group
             two
             ls: /etc/group: No such file or directory
             two
             three
             1
             2
             m",
        ),
    ]
}
