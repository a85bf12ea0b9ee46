//! `--storage-opt size=` on file systems with project quotas.
//!
//! XFS, and ext4 with the features quota and project, enforce project quotas if they are mounted
//! with `prjquota`. If the file system enforces no project quotas, the flag must be refused, so
//! that no container runs without the limit that its user asked for.

use crate::checks::check;
use crate::host::Check;

/// A script that checks containers with a size limit on the disk `$disk`, a file system of the type
/// `$kind`.
macro_rules! script {
    ($kind:literal, $disk:literal) => {
        concat!(
            "mkdir -p /quota; mount -t ",
            $kind,
            " -o prjquota ",
            $disk,
            " /quota || exit 9
             at() { mydocker --root /quota \"$@\"; }
             at import /share/bb.tar bb >/dev/null
             write='dd if=/dev/zero bs=64k'
             at run -d --net none --name c --storage-opt size=8m -v v:/v bb sleep 1000 >/dev/null
             at exec c $write of=/fits count=64 2>/dev/null; echo $?
             at exec c $write of=/more count=128 2>&1 | grep -c -e 'No space' -e 'uota exceeded'
             at exec c $write of=/v/volume count=160 2>/dev/null; echo $?
             at exec c rm /more /v/volume
             at exec c df -m / | awk 'END { print $2 }'
             at inspect -f '{{.HostConfig.StorageOpt}}' c
             # Another container has a limit of its own, or none.
             at run --rm --net none --storage-opt size=8m bb $write of=/fits count=64 2>/dev/null; echo $?
             at run --rm --net none bb $write of=/much count=160 2>/dev/null; echo $?
             # The limit outlives the program.
             at restart -t 0 c
             at exec c $write of=/more count=128 2>&1 | grep -c -e 'No space' -e 'uota exceeded'
             # The number of the project is on record as long as the container exists.
             grep -c . /quota/containers/*/quota
             at rm -f c; at volume rm v
             ls /quota/containers; umount /quota"
        )
    };
}

const EXPECTED: &str = "0
    1
    0
    8
    map[size:8m]
    0
    0
    c
    1
    1
    c
    v
    names";

/// The checks. They need three disks: ext4 and XFS with project quotas, and ext4 without them.
pub fn quotas() -> Vec<Check> {
    vec![
        check("a size on ext4", script!("ext4", "/dev/vda"), EXPECTED),
        check("a size on XFS", script!("xfs", "/dev/vdb"), EXPECTED),
        check(
            "a size where there are no quotas",
            "mkdir /plain; mount -t ext4 /dev/vdc /plain
             mydocker --root /plain import /share/bb.tar bb >/dev/null
             mydocker --root /plain run --rm --net none --storage-opt size=8m bb true; echo $?
             mydocker --root /plain ps -aq
             umount /plain",
            "mydocker: --storage-opt size=8m: the file system of * enforces no limits of projects*
             125",
        ),
    ]
}
