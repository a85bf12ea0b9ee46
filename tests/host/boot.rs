//! Checks of restarts, of `boot` and of `halt`. `power` tests power cuts; in this file a host stops
//! its containers and removes its bridges, or shuts down and boots again.
//!
//! After the boot of a host, containers with a restart policy start again only if `boot` runs. The
//! files in `contrib` run `boot`.

use crate::checks::check;
use crate::host::Check;

pub fn restarts() -> Vec<Check> {
    vec![
        check(
            "restart policy",
            "mydocker run -d --net none --name r --restart on-failure:2 bb sh -c 'echo turn; exit 3' >/dev/null
             until mydocker ps -a --format '{{.Status}}' | grep -q 'Exited (3)'; do sleep 0.2; done
             mydocker logs r
             mydocker inspect --format '{{.RestartCount}}' r
             mydocker rm r",
            "turn
             turn
             turn
             2
             r",
        ),
        check(
            "boot, halt",
            "mydocker run -d --net none --name always --restart always bb sleep 1000 >/dev/null
             mydocker run -d --net none --name unless --restart unless-stopped bb sleep 1000 >/dev/null
             mydocker run -d --net none --name never bb sleep 1000 >/dev/null
             mydocker halt -t 0
             mydocker ps -q | wc -l
             mydocker boot 2>/dev/null
             mydocker boot
             mydocker ps --format '{{.Names}}' | sort
             mydocker stop -t 0 unless
             mydocker boot
             mydocker rm -f always unless never | wc -l",
            "0
             always
             unless
             always
             unless
             unless
             3",
        ),
    ]
}

/// Checks that `boot` makes the networks again.
pub fn boots_networks() -> Vec<Check> {
    vec![check(
        "boot restores networks",
        "mydocker network create web >/dev/null 2>&1
         mydocker run -d --net web --name served --restart always bb sh -c 'echo back >/tmp/page; httpd -f -h /tmp' >/dev/null 2>&1
         mydocker halt -t 0
         for bridge in $(ls -d /sys/class/net/*/bridge | cut -d/ -f5); do ip link del $bridge; done
         mydocker boot 2>/dev/null
         mydocker run --rm --net web bb sh -c 'until wget -qO- http://served/page; do sleep 0.2; done' 2>/dev/null
         mydocker rm -f served
         mydocker network rm web",
        "served
         back
         served
         web",
    )]
}

/// The last check before the host shuts down.
pub fn before_reboot() -> Vec<Check> {
    vec![check(
        "life before a reboot",
        "mydocker network create web >/dev/null
         mydocker run -d --net web -p 8080:80 --name served --restart always bb sh -c 'trap \"echo ended; exit\" TERM; echo up; echo back >/tmp/page; httpd -h /tmp; sleep 1000 & wait' >/dev/null
         mydocker run -d --net none --name stopped --restart unless-stopped bb sleep 1000 >/dev/null
         mydocker stop -t 0 stopped
         mydocker run -d --net none --name never bb sleep 1000 >/dev/null",
        "stopped",
    )]
}

/// The checks after the reboot: init has called `halt` and `boot`.
pub fn reboot() -> Vec<Check> {
    vec![check(
        "boot and halt by inittab",
        "eventually wget -qO- http://127.0.0.1:8080/page
         mydocker logs served
         mydocker ps --format '{{.Names}}'
         mydocker ps -a --format '{{.Names}} {{.Status}}' | grep -o '^[ns].* Exited ([0-9]*)' | sort
         mydocker rm -f served stopped never
         mydocker network rm web",
        "back
         up
         ended
         up
         served
         never Exited (137)
         stopped Exited (137)
         served
         stopped
         never
         web",
    )]
}
