//! Most of the checks that the hosts run.
//!
//! A check is a script for the guest's shell and the output that it must print. `hosts.rs` lists
//! which host runs which check. Checks of some subjects, such as ports, have their own files.

use crate::host::Check;

/// A check whose script gets no input.
pub const fn check(name: &'static str, script: &'static str, expect: &'static str) -> Check {
    Check { name, script, expect, typed: &[] }
}

/// The life cycle of a container.
pub fn basics() -> Vec<Check> {
    vec![
        check("import", "mydocker import /share/bb.tar bb", "*"),
        check(
            "run",
            "mydocker run --rm --net none bb echo hello
             mydocker run --rm --net none bb sh -c 'exit 7'; echo $?
             mydocker run --rm --net none bb nothing; echo $?
             mydocker run --rm --net none hello >/dev/null; echo $?
             echo typed | mydocker run --rm -i --net none bb cat",
            "hello
             7
             *'nothing' not found*
             127
             0
             typed",
        ),
        check(
            "namespaces",
            "mydocker run --rm --net none -h inside bb sh -c '
                 hostname; echo $$; set -- /proc/[0-9]*; echo $#; ls /sys/class/net'
             hostname | grep -c inside
             test $? = 1",
            "inside
             1
             1
             lo
             0",
        ),
        Check {
            name: "terminal",
            script: "mydocker run --rm -it --net none bb sh; echo $?",
            typed: &[("# ", "tty; echo a$((40+2))b; exit 5\n")],
            expect: "...
                     /dev/pts/0
                     a42b
                     5",
        },
        check(
            "detached, logs, exec, stop, rm",
            "mydocker run -d --net none --name c bb sh -c 'echo out; sleep 1; echo err >&2; sleep 1000' >/dev/null
             sleep 2
             mydocker exec c sh -c 'echo inside; exit 3'; echo $?
             mydocker logs c
             mydocker ps | grep -c 'Up .* c$'
             mydocker stop -t 1 c
             mydocker ps -a | grep -c 'Exited (137)'
             mydocker rm c; mydocker ps -aq",
            "inside
             3
             out
             err
             1
             c
             1
             c",
        ),
        check(
            "files of a container",
            "mydocker run --net none --name f bb sh -c '
                 rm -r /tmp && mkdir /tmp && echo kept >/tmp/new && rm /etc/group && ls -A /tmp'
             mydocker start -a f; echo $?
             mydocker rm f
             mydocker run --rm --net none bb sh -c 'ls -d /etc/group /tmp; ls /tmp'
             mydocker run --rm --net none -v data:/data bb sh -c 'echo stays >/data/file'
             mydocker run --rm --net none -v data:/data bb cat /data/file
             mydocker volume rm data",
            "new
             rm: can't remove '/etc/group': No such file or directory
             1
             f
             /etc/group
             /tmp
             stays
             data",
        ),
        check(
            "no way out by chroot",
            "mydocker run --rm --net none -v /share/escape:/escape bb /escape
             mydocker run --rm --net none --privileged -v /share/escape:/escape bb /escape",
            "inside
             inside",
        ),
    ]
}

/// Networks without a bridge, each with a container that pings another: the drivers macvlan and
/// ipvlan, four of their modes, and as parent an interface of the host or a VLAN that mydocker
/// makes and removes.
pub fn direct_networks() -> Vec<Check> {
    vec![check(
        "macvlan, ipvlan, VLAN",
        "ip link add up0 type dummy && ip link set up0 up
         for kind in macvlan:bridge:up0 macvlan:bridge:up0.10 ipvlan:l2:up0.11 ipvlan:l3:up0 ipvlan:l3s:up0.12; do
             set -- $(echo $kind | tr : ' ')
             mydocker network create -d $1 -o $1_mode=$2 -o parent=$3 --subnet 10.99.0.0/24 lan >/dev/null
             mydocker run -d --name one --net lan bb sleep 1000 >/dev/null
             mydocker run --rm --net lan bb ping -c1 -W20 one >/dev/null; echo $kind $?
             mydocker network inspect -f '{{.Driver}} {{index .Options \"parent\"}}' lan
             mydocker rm -f one; mydocker network rm lan
         done
         ls /sys/class/net | grep -c 'up0[.]'
         ip link del up0",
        "macvlan:bridge:up0 0
         macvlan up0
         one
         lan
         macvlan:bridge:up0.10 0
         macvlan up0.10
         one
         lan
         ipvlan:l2:up0.11 0
         ipvlan up0.11
         one
         lan
         ipvlan:l3:up0 0
         ipvlan up0
         one
         lan
         ipvlan:l3s:up0.12 0
         ipvlan up0.12
         one
         lan
         0",
    )]
}

/// Networks on a host without iptables.
pub fn networks() -> Vec<Check> {
    vec![
        check(
            "default network",
            "mydocker run -d --name one bb sh -c 'echo served >/tmp/page; httpd -f -h /tmp' >/dev/null 2>&1
             address=$(mydocker inspect one | grep -o '\"IPAddress\": \"[0-9.]*' | head -n 1 | grep -o '[0-9.]*$')
             mydocker run --rm bb sh -c \"until wget -qO- http://$address/page; do sleep 0.2; done\" 2>/dev/null
             wget -qO- http://$address/page
             mydocker rm -f one",
            "served
             served
             one",
        ),
        check(
            "network by name",
            "mydocker network create web >/dev/null 2>&1
             mydocker run -d --net web --name one bb sh -c 'echo named >/tmp/page; httpd -f -h /tmp' >/dev/null 2>&1
             mydocker run --rm --net web bb sh -c 'until wget -qO- http://one/page; do sleep 0.2; done' 2>/dev/null
             mydocker rm -f one
             mydocker network rm web
             ls /sys/class/net | grep -c veth
             test $? = 1",
            "named
             one
             web
             0",
        ),
    ]
}

/// User namespaces on a kernel and a file system that support ID-mapped mounts.
pub fn user_namespaces() -> Vec<Check> {
    vec![check(
        "user namespaces",
        "mydocker info 2>/dev/null | grep -c 'User Namespaces: supported'
         mydocker run -d --net none --userns 100000:200000:65536 --name u -v owned:/v bb sh -c '
             touch /mine /v/its; chown 5:6 /v/its; sleep 1000' >/dev/null
         sleep 1
         grep ^Uid /proc/$(mydocker inspect -f '{{.State.Pid}}' u)/status
         mydocker exec u sh -c 'id -u; stat -c %u:%g /mine /v/its /bin'
         touch /file; mydocker cp /file u:/copied; mydocker exec u stat -c %u /copied
         mydocker exec u sh -c 'ls /sys/fs/cgroup | grep -c pids.max'
         mydocker stop -t 0 u; mydocker commit u of-u >/dev/null
         mydocker run --rm --net none -v owned:/v of-u stat -c %u:%g /mine /v/its
         mydocker rm u; mydocker volume rm owned; mydocker rmi of-u >/dev/null
         mydocker run --rm --userns auto bb sh -c 'id -u; ls -d /sys/class/net/eth0' 2>/dev/null
         mydocker run --rm --net none --userns auto -v /share:/x bb true; echo $?
         ls /var/lib/mydocker/ids",
        "1
         Uid:\t100000\t100000\t100000\t100000
         0
         0:0
         5:6
         0:0
         0
         1
         u
         0:0
         5:6
         u
         owned
         0
         /sys/class/net/eth0
         mydocker: *noidmap*
         125",
    )]
}

/// User namespaces on a host that does not support them.
pub fn no_user_namespaces() -> Vec<Check> {
    vec![check(
        "user namespaces are refused",
        "mydocker info 2>/dev/null | grep -o 'User Namespaces.*'
         mydocker run --rm --net none --userns auto bb true; echo $?
         mydocker ps -aq; ls /var/lib/mydocker/ids",
        "User Namespaces: not supported: *
         mydocker: *the host's user namespace*
         125",
    )]
}

/// The wear of the host's flash: bytes written and flushes, from /proc/diskstats.
pub fn wear() -> Vec<Check> {
    vec![check(
        "flash wear",
        "count() { awk '$3 == \"vda\" { print int($10 / 2), $19 }' /proc/diskstats; }
         cost() {
             sync; sleep 1; before=$(count); label=$1; shift
             \"$@\" >/dev/null 2>&1; done=$(count); sync; after=$(count)
             set -- $before $done $after
             echo \"measured: $label: $(($3 - $1)) kB and $(($4 - $2)) flushes when it comes back, $(($5 - $1)) kB in the end\"
         }
         cost 'run --rm' mydocker run --rm --net none bb true
         cost 'run -d' mydocker run -d --net none --name w bb sh -c 'sleep 1; seq 1 150000; sleep 1000'
         cost '1 MB of logs' sleep 4
         test $(mydocker logs w | wc -c) -gt 1000000
         cost 'an idle minute' sleep 60
         cost 'stop' mydocker stop -t 0 w
         cost 'rm' mydocker rm w",
        "measured: *
         measured: *
         measured: *
         measured: *
         measured: *
         measured: *",
    )]
}

/// The binary as an OCI runtime on a host with cgroup v2. The script first unmounts /sys/fs/cgroup.
pub fn oci() -> Vec<Check> {
    vec![check(
        "OCI runtime on v2",
        "umount /sys/fs/cgroup
         mkdir -p /tmp/bundle/rootfs; tar -xf /share/bb.tar -C /tmp/bundle/rootfs; cd /tmp/bundle
         oci() { mydocker oci \"$@\"; }
         is() { oci state c | grep -o '\"status\": *\"[a-z]*\"' | cut -d'\"' -f4; }
         oci spec
         sed -i -e 's/\"terminal\": true/\"terminal\": false/; s/\\[\"sh\"]/[\"sleep\", \"1000\"]/' \
             -e 's/\"resources\": {/&\"memory\":{\"limit\":33554432},\"pids\":{\"limit\":17},/' \
             -e 's/\"resources\": {/&\"cpu\":{\"shares\":512,\"quota\":50000,\"period\":100000},/' \
             -e 's/\"resources\": {/&\"unified\":{\"memory.high\":\"30000000\"},/' config.json
         oci create c </dev/null >/dev/null 2>&1; is
         oci start c; is
         oci exec c sh -c 'cat /proc/self/cgroup; cd /sys/fs/cgroup
             head -n 1 memory.max memory.high pids.max cpu.max cpu.weight'
         oci update --memory 67108864 c
         oci exec c cat /sys/fs/cgroup/memory.max
         oci exec c sh -c 'head -c 20000000 /dev/zero >/dev/shm/x'
         echo '{\"memory\":{\"limit\":10485760,\"checkBeforeUpdate\":true}}' |
             oci update --resources - c; echo $?
         oci exec c sh -c 'cat /sys/fs/cgroup/memory.max; rm /dev/shm/x'
         oci pause c; is; oci resume c; is
         oci exec c sh -c 'echo x >/dev/null; head -c 4 /dev/zero | wc -c; exit 3'; echo $?
         oci delete c; echo $?
         oci kill c KILL; for n in $(seq 50); do test \"$(is)\" = stopped && break; sleep 0.2; done
         oci delete c; ls -d /sys/fs/cgroup/c 2>/dev/null; oci list -q
         cd /; rm -r /tmp/bundle",
        "created
         running
         0::/
         ==> memory.max <==
         33554432
         ...
         29999104
         ...
         17
         ...
         50000 100000
         ...
         59
         67108864
         mydocker-runtime: *memory.limit 10485760 is less than the * bytes that are in use
         1
         67108864
         paused
         running
         4
         3
         mydocker-runtime: *not stopped: running
         1",
    )]
}

/// The binary as an OCI runtime with cgroups by systemd.
pub fn oci_by_systemd() -> Vec<Check> {
    vec![check(
        "OCI scopes of systemd",
        "mkdir -p /tmp/bundle/rootfs; tar -xf /share/bb.tar -C /tmp/bundle/rootfs; cd /tmp/bundle
         oci() { mydocker oci --systemd-cgroup \"$@\"; }
         is() { oci state c | grep -o '\"status\": *\"[a-z]*\"' | cut -d'\"' -f4; }
         scope=/sys/fs/cgroup/outer.slice/outer-inner.slice/harness-c.scope
         show() { systemctl --no-pager show -P \"$1\" harness-c.scope; }
         cat /proc/1/comm
         oci spec
         sed -i -e 's/\"terminal\": true/\"terminal\": false/; s/\\[\"sh\"]/[\"sleep\", \"1000\"]/' \
             -e 's/\"resources\": {/&\"memory\":{\"limit\":33554432},\"pids\":{\"limit\":17},/' \
             -e 's/\"resources\": {/&\"cpu\":{\"shares\":512,\"quota\":50000,\"period\":100000},/' \
             -e 's/\"resources\": {/\"cgroupsPath\":\"outer-inner.slice:harness:c\",&/' config.json
         oci create c </dev/null >/dev/null 2>&1; is
         for name in ActiveState Slice Delegate MemoryMax TasksMax CPUWeight CPUQuotaPerSecUSec; do
             show $name
         done
         oci start c; is
         grep -c . $scope/cgroup.procs
         # What systemd writes again must be what the runtime wrote.
         systemctl daemon-reload
         head -n 1 $scope/memory.max $scope/pids.max $scope/cpu.max $scope/cpu.weight
         oci exec c sh -c 'cat /proc/self/cgroup; exit 3'; echo $?
         oci update --memory 67108864 --pids-limit 20 c; show MemoryMax; show TasksMax
         systemctl daemon-reload; cat $scope/memory.max $scope/pids.max
         oci pause c; is; oci resume c; is
         oci kill c KILL; for n in $(seq 50); do test \"$(is)\" = stopped && break; sleep 0.2; done
         oci delete c; ls -d $scope 2>/dev/null; show LoadState; oci list -q
         # A container that ends by itself, and its name again.
         sed -i 's/\"sleep\", \"1000\"/\"sh\",\"-c\",\"exit 5\"/' config.json
         oci run c; echo $?; oci run c; echo $?; show LoadState
         systemctl --no-pager list-units --failed --no-legend
         cd /; rm -r /tmp/bundle",
        "systemd
         created
         active
         outer-inner.slice
         yes
         33554432
         17
         59
         500ms
         running
         1
         ==> */memory.max <==
         33554432
         ...
         17
         ...
         50000 100000
         ...
         59
         0::/
         3
         67108864
         20
         67108864
         20
         paused
         running
         not-found
         5
         5
         not-found",
    )]
}

/// A container as a service of systemd: the service is active when the container sends READY=1, the
/// main process of the service is the container's, and the container inherits the service's socket.
/// The check runs the runtime alone, and then Podman with the runtime.
pub fn services() -> Vec<Check> {
    vec![check(
        "services of systemd",
        "mkdir -p /tmp/bundle/rootfs/share; tar -xf /share/bb.tar -C /tmp/bundle/rootfs; cd /tmp/bundle
         mydocker oci spec
         sed -i -e 's/\"terminal\": true/\"terminal\": false/; s|\\[\"sh\"]|[\"sh\", \"/begin\"]|' \
             -e 's|\"mounts\": \\[|&{\"destination\":\"/share\",\"source\":\"/share\",\"options\":[\"bind\"]},|' config.json
         echo 'echo $LISTEN_FDS $LISTEN_PID; readlink /proc/self/fd/3
             until [ -e /go ]; do sleep 0.1; done; exec sh /end' >rootfs/begin
         echo 'trap \"exit 0\" TERM; /share/ready; sleep 1000 & wait' | tee /tmp/end >rootfs/end
         show() { systemctl --no-pager show -P \"$1\" $2; }
         service() { systemd-run -q -p Type=notify -p NotifyAccess=all -p TimeoutStopSec=30 \"$@\"; }
         service --no-block --unit box --socket-property=ListenStream=127.0.0.1:7777 \
             -p StandardOutput=file:/tmp/said /bin/mydocker oci run -b /tmp/bundle box
         nc 127.0.0.1 7777 </dev/null & eventually grep socket: /tmp/said; head -n 1 /tmp/said
         show ActiveState box; touch rootfs/go; eventually systemctl is-active box
         mydocker oci state box | grep -c '\"pid\": '$(show MainPID box),
         systemctl stop box.socket box; show Result box; mydocker oci list -q
         service --unit web /usr/bin/podman --runtime /bin/mydocker-runtime --storage-driver overlay run \
             --rm --name web --network none --sdnotify container -v /share:/share -v /tmp/end:/end bb sh /end
         echo $?; systemctl is-active web; systemctl stop web; show Result web; rm -r /tmp/bundle",
        "socket:*
         1 1
         activating
         active
         1
         success
         0
         active
         success",
    )]
}

/// Checks of kernel features that the machine that runs the tests may lack: AppArmor profiles,
/// network classes and priorities (cgroup v1), and limits of RDMA devices.
pub fn labels_and_rdma() -> Vec<Check> {
    vec![
        check(
            "OCI AppArmor profiles",
            "PATH=$PATH:/sbin; mkdir -p /tmp/bundle/rootfs; tar -xf /share/bb.tar -C /tmp/bundle/rootfs
             cd /tmp/bundle; echo hidden >rootfs/secret
             for name in one two; do
                 echo \"profile $name flags=(attach_disconnected) { file, deny /secret r, capability, signal, }\"
             done | apparmor_parser -K -r
             mydocker oci spec
             sed -i -e 's/\"terminal\": true/\"terminal\": false/; s/\\[\"sh\"]/[\"sleep\", \"1000\"]/' \
                 -e 's/\"cwd\"/\"apparmorProfile\":\"one\",&/' config.json
             mydocker oci run -d c </dev/null >/dev/null 2>&1
             mydocker oci exec c sh -c 'cat /proc/1/attr/current /proc/self/attr/current /secret; exit 3'; echo $?
             mydocker oci exec --apparmor 'one//&two' c cat /proc/self/attr/current
             mydocker oci exec --apparmor none c true; echo $?
             mydocker oci exec --apparmor 'one//&none' c true; echo $?
             echo '{\"args\":[\"cat\",\"/proc/self/attr/current\"],\"cwd\":\"/\",\"user\":{\"uid\":7,\"gid\":7},
                 \"noNewPrivileges\":true,\"apparmorProfile\":\"two\"}' >process.json
             mydocker oci exec --process process.json c
             sed -i 's/two/none/' process.json; mydocker oci exec --process process.json c; echo $?
             sed -i 's/\"none\"/\"unconfined\"/' process.json; mydocker oci exec --process process.json c
             mydocker oci delete -f c
             sed -i 's/\"one\"/\"none\"/' config.json; mydocker oci create c; echo $?
             mydocker oci list -q; rm -r /tmp/bundle
             mydocker run --rm --net none --security-opt apparmor=one bb cat /proc/self/attr/current
             mydocker run --rm --net none --security-opt apparmor=none bb true; echo $?",
            "one (enforce)
             one (enforce)
             cat: *secret*: Permission denied
             3
             one//&two (enforce)
             mydocker-runtime: --apparmor: no AppArmor profile 'none' is loaded
             255
             mydocker-runtime: no AppArmor profile 'one//&none' is loaded
             255
             two (enforce)
             mydocker-runtime: process.json: apparmorProfile: no AppArmor profile 'none' is loaded
             255
             unconfined
             mydocker-runtime: config.json: process.apparmorProfile: no AppArmor profile 'none' is loaded
             1
             one (enforce)
             mydocker: --security-opt apparmor=none: no AppArmor profile 'none' is loaded
             125",
        ),
        check(
            "OCI network classes",
            r#"PATH=$PATH:/sbin; mkdir -p /tmp/bundle/rootfs; tar -xf /share/bb.tar -C /tmp/bundle/rootfs
             cd /tmp/bundle; for name in net_cls net_prio; do
                 mkdir /mnt/$name; mount -t cgroup -o $name none /mnt/$name
             done
             mydocker oci spec
             network='"network":{"classID":1048577,"priorities":[{"name":"lo","priority":7}]}'
             sed -i -e 's/"terminal": true/"terminal": false/; s/\["sh"]/["sleep", "1000"]/' \
                 -e "s/\"resources\": {/&$network,/" config.json
             mydocker oci run -d c </dev/null >/dev/null 2>&1
             cat /mnt/net_cls/c/net_cls.classid; grep lo /mnt/net_prio/c/net_prio.ifpriomap
             mydocker oci delete -f c; ls -d /mnt/*/c 2>/dev/null
             umount /mnt/net_cls /mnt/net_prio; mydocker oci run c; echo $?
             sed -i 's/"linux": {/&"intelRdt":{"closID":"x"},/' config.json; mydocker oci run c; echo $?
             mydocker oci list -q; rm -r /tmp/bundle"#,
            "1048577
             lo 7
             mydocker-runtime: config.json: linux.resources.network.classID can't be applied: *no cgroup controller 'net_cls'
             1
             mydocker-runtime: config.json: linux.intelRdt: this host has no resctrl
             1",
        ),
        check(
            "OCI limits of RDMA devices",
            "PATH=$PATH:/sbin; mkdir -p /tmp/bundle/rootfs; tar -xf /share/bb.tar -C /tmp/bundle/rootfs
             cd /tmp/bundle; ip link add r0 type dummy; ip link set r0 up
             rdma link add rxe0 type rxe netdev r0; mydocker oci spec
             sed -i -e 's/\"terminal\": true/\"terminal\": false/' \
                 -e 's/\\[\"sh\"]/[\"cat\", \"\\/sys\\/fs\\/cgroup\\/rdma.max\"]/' \
                 -e 's/\"resources\": {/&\"rdma\":{\"rxe0\":{\"hcaHandles\":3,\"hcaObjects\":90}},/' config.json
             mydocker oci run c </dev/null; sed -i 's/rxe0/rxe1/' config.json
             mydocker oci run c; echo $?; mydocker oci list -q
             rdma link delete rxe0; ip link delete r0; rm -r /tmp/bundle",
            "rxe0 hca_handle=3 hca_object=90*
             mydocker-runtime: config.json: linux.resources.rdma.rxe1: *No such device
             1",
        ),
    ]
}

/// SELinux labels, on a host that boots with SELinux and has no policy yet. The policy
/// (guest/selinux.cil) does not let `container_t` make files in a directory of the host's type
/// `host_file_t`, or write to files of this type.
pub fn selinux() -> Vec<Check> {
    vec![labels(), podman_with_labels()]
}

fn labels() -> Check {
    check(
        "SELinux labels",
        r#"dd if=/share/selinux of=/sys/fs/selinux/load bs=1M 2>/dev/null; echo 1 >/sys/fs/selinux/enforce
         mkdir -p /tmp/bundle/rootfs; tar -xf /share/bb.tar -C /tmp/bundle/rootfs; cd /tmp/bundle
         mydocker oci spec; mkdir low up work; at=/tmp/bundle
         options="\"lowerdir=$at/low\",\"upperdir=$at/up\",\"workdir=$at/work\""
         overlay="{\"destination\":\"/o\",\"type\":\"overlay\",\"options\":[$options]}"
         sed -i -e 's/"terminal": true/"terminal": false/; s/\["sh"]/["sleep", "1000"]/' \
             -e 's/"readonly": true/"readonly": false/' -e "s|\"mounts\": \[|&$overlay,|" \
             -e 's/"cwd"/"selinuxLabel":"system_u:system_r:container_t:s0:c1",&/' \
             -e 's/"linux": {/&"mountLabel":"system_u:object_r:container_file_t:s0:c1",/' config.json
         mydocker oci run -d c </dev/null >/dev/null 2>&1
         mydocker oci exec c sh -c 'cat /proc/1/attr/current; echo
             grep -o "^.*,context=[^,]*" /proc/mounts | cut -d" " -f2,4 | grep -v proc
             touch /o/x /dev/x /dev/shm/x /dev/mqueue/x; touch /x'
         mydocker oci exec --process-label system_u:system_r:container_t:s0:c2 c cat /proc/self/attr/current; echo
         mydocker oci exec --process-label u:r:t c true; echo $?
         mydocker oci delete -f c
         sed -i 's/container_file_t:s0:c1/container_file_t:s0:c9/' config.json; mydocker oci run c; echo $?
         sed -i 's/container_t:s0:c1/nothing_t:s0:c1/' config.json; mydocker oci run c; echo $?
         mydocker oci list -q; cd /; rm -r /tmp/bundle
         mydocker run --rm --net none --security-opt label=level:s0:c2 -v /tmp:/d:Z bb sh -c '
             cat /proc/self/attr/current; echo; touch /d/x'
         mydocker run --rm --net none --security-opt label=type:nothing_t bb true; echo $?
         echo 0 >/sys/fs/selinux/enforce"#,
        "system_u:system_r:container_t:s0:c1*
         /o rw,context=system_u:object_r:container_file_t:s0:c1
         /dev rw,context=system_u:object_r:container_file_t:s0:c1
         /dev/pts rw,context=system_u:object_r:container_file_t:s0:c1
         /dev/shm rw,context=system_u:object_r:container_file_t:s0:c1
         /sys/firmware ro,context=system_u:object_r:container_file_t:s0:c1
         touch: /x: Permission denied
         system_u:system_r:container_t:s0:c2*
         mydocker-runtime: --process-label: the SELinux policy of this host has no label 'u:r:t'
         255
         mydocker-runtime: config.json: linux.mountLabel: the SELinux policy * no label '*:c9'
         1
         mydocker-runtime: config.json: process.selinuxLabel: the SELinux policy * no label '*nothing_t:s0:c1'
         1
         system_u:system_r:container_t:s0:c2*
         touch: /d/x: Permission denied
         mydocker: --security-opt label=type:nothing_t: the SELinux policy * no label '*'
         125",
    )
}

/// Podman takes the labels from the policy's file of contexts for containers (lxc_contexts).
fn podman_with_labels() -> Check {
    check(
        "Podman with SELinux labels",
        r#"mkdir -p /etc/selinux/small/contexts /var/tmp; ln -s mydocker /bin/mydocker-runtime
         printf 'SELINUX=enforcing\nSELINUXTYPE=small\n' >/etc/selinux/config
         printf 'process = "system_u:system_r:container_t:s0"\nfile = "system_u:object_r:container_file_t:s0"\n' \
             >/etc/selinux/small/contexts/lxc_contexts
         podman() { /usr/bin/podman --runtime /bin/mydocker-runtime --storage-driver overlay "$@"; }
         podman import -q /share/bb.tar bb >/dev/null 2>&1; echo 1 >/sys/fs/selinux/enforce
         podman run -d --name c --network none --security-opt label=level:s0:c2 -v /tmp:/d bb sleep 1000 >/dev/null
         podman inspect -f '{{.ProcessLabel}} {{.MountLabel}}' c
         podman exec c sh -c 'cat /proc/1/attr/current; echo; cat /proc/self/attr/current; echo
             grep -o "^.* rw,context=[^,]*" /proc/mounts | cut -d" " -f2,4 | grep -v proc
             touch /x /dev/x /dev/shm/x; echo $?; touch /d/x'
         podman rm -f -t 0 c; echo 0 >/sys/fs/selinux/enforce"#,
        "system_u:system_r:container_t:s0:c2 system_u:object_r:container_file_t:s0:c2
         system_u:system_r:container_t:s0:c2*
         system_u:system_r:container_t:s0:c2*
         / rw,context=system_u:object_r:container_file_t:s0:c2
         /dev rw,context=system_u:object_r:container_file_t:s0:c2
         /dev/pts rw,context=system_u:object_r:container_file_t:s0:c2
         /dev/shm rw,context=system_u:object_r:container_file_t:s0:c2
         0
         touch: /d/x: Permission denied
         c",
    )
}

/// Podman, Docker, containerd and Kubernetes with the binary as their OCI runtime and with cgroups
/// by systemd. Such cgroups are Podman's default on a host with systemd.
pub fn engines_by_systemd() -> Vec<Check> {
    vec![podman_by_systemd(), docker_by_systemd(), containerd_by_systemd(), pods_by_systemd()]
}

fn docker_by_systemd() -> Check {
    check(
        "Docker with systemd's cgroups",
        "PATH=$PATH:/sbin
         dockerd --bridge none --iptables=false --default-runtime my --storage-driver overlay2 \
             --add-runtime my=/bin/mydocker-runtime --exec-opt native.cgroupdriver=systemd \
             >/tmp/dockerd.log 2>&1 & dockerd=$!
         for n in $(seq 60); do docker info >/dev/null 2>&1 && break; echo wait; sleep 0.3; done
         docker info >/dev/null 2>&1 || tail -n 5 /tmp/dockerd.log
         docker info -f '{{.CgroupDriver}} {{.CgroupVersion}} {{.DefaultRuntime}}' 2>/dev/null
         docker import /share/bb.tar bb >/dev/null
         docker run --rm --network none bb sh -c 'cat /proc/self/attr/current; exit 7'; echo $?
         docker run -d --network none --name box -m 64m --pids-limit 20 --cpus 0.5 \
             --security-opt apparmor=two bb sleep 1000 >/dev/null
         docker exec box sh -c 'cat /proc/self/attr/current /proc/self/cgroup; cd /sys/fs/cgroup; cat memory.max pids.max cpu.max'
         scope=docker-$(docker inspect -f '{{.Id}}' box).scope
         for name in Slice MemoryMax TasksMax CPUQuotaPerSecUSec; do
             systemctl --no-pager show -P $name $scope
         done
         docker update -m 96m --memory-swap 96m --pids-limit 30 box >/dev/null; systemctl daemon-reload
         docker exec box sh -c 'cd /sys/fs/cgroup; cat memory.max pids.max'
         docker stats --no-stream --format '{{.PIDs}}' box
         docker pause box >/dev/null; docker inspect -f '{{.State.Status}}' box; docker unpause box >/dev/null
         docker restart -t 0 box; docker stop -t 0 box; docker inspect -f '{{.State.ExitCode}}' box
         docker rm box; ls -d /sys/fs/cgroup/system.slice/docker-* 2>/dev/null
         systemctl --no-pager show -P LoadState $scope
         systemctl --no-pager list-units --failed --no-legend
         kill $dockerd; wait $dockerd; echo $?",
        "...
         systemd 2 my
         docker-default (enforce)
         7
         two (enforce)
         0::/
         67108864
         20
         50000 100000
         system.slice
         67108864
         20
         500ms
         100663296
         30
         1
         paused
         box
         box
         137
         box
         not-found
         0",
    )
}

fn containerd_by_systemd() -> Check {
    check(
        "containerd with systemd's cgroups",
        "containerd >/tmp/containerd.log 2>&1 & containerd=$!
         for n in $(seq 100); do ctr version >/dev/null 2>&1 && break; sleep 0.3; done
         mkdir -p /tmp/root; tar -xf /share/bb.tar -C /tmp/root
         run() {
             ctr run --runc-binary /bin/mydocker-runtime --runc-systemd-cgroup \
                 --cgroup outer.slice:ctr:c --rootfs \"$@\"
         }
         run --rm /tmp/root c sh -c 'cat /proc/self/cgroup; exit 7'; echo $?
         run -d --memory-limit 33554432 /tmp/root c sleep 1000
         ctr task exec --exec-id e c sh -c 'cat /proc/self/cgroup; exit 3'; echo $?
         systemctl --no-pager show -P MemoryMax ctr-c.scope
         head -n 1 /sys/fs/cgroup/outer.slice/ctr-c.scope/memory.max
         ctr task pause c; ctr task ls | tail -n 1 | tr -s ' ' | cut -d' ' -f3; ctr task resume c
         ctr task kill -s KILL c
         for n in $(seq 50); do ctr task ls | grep -q STOPPED && break; sleep 0.2; done
         ctr task rm c; ctr container rm c
         ls -d /sys/fs/cgroup/outer.slice/ctr-c.scope 2>/dev/null
         systemctl --no-pager show -P LoadState ctr-c.scope
         grep -c 'exit status 255' /tmp/containerd.log
         kill $containerd; wait $containerd; echo $?",
        "0::/outer.slice/ctr-c.scope
         7
         0::/outer.slice/ctr-c.scope
         3
         33554432
         33554432
         PAUSED
         *exit code 137*
         not-found
         0
         0",
    )
}

/// Pods of Kubernetes. The tool `cri` makes the calls of kubelet.
fn pods_by_systemd() -> Check {
    check(
        "Kubernetes with systemd's cgroups",
        r#"cd /tmp; mkdir -p /etc/cni/net.d; mydocker import -c 'CMD ["sleep", "100000"]' /share/bb.tar bb >/dev/null
         mydocker save -o bb.tar bb; touch /etc/hosts /etc/resolv.conf
         plugin='plugins."io.containerd.grpc.v1.cri"'
         echo "version = 2
             [$plugin]
             sandbox_image = \"docker.io/library/bb:latest\"
             [$plugin.cni]
             bin_dir = \"/usr/lib/cni\"
             [$plugin.containerd]
             default_runtime_name = \"mydocker\"
             [$plugin.containerd.runtimes.mydocker]
             runtime_type = \"io.containerd.runc.v2\"
             [$plugin.containerd.runtimes.mydocker.options]
             BinaryName = \"/bin/mydocker-runtime\"
             SystemdCgroup = true" >config.toml
         echo '{"cniVersion":"0.4.0","name":"pods","plugins":[{"type":"bridge","bridge":"pods0","isGateway":true,
             "ipam":{"type":"host-local","ranges":[[{"subnet":"10.98.0.0/24"}]]}}]}' >/etc/cni/net.d/1.conflist
         PATH=$PATH:/sbin containerd -c config.toml >containerd.log 2>&1 & containerd=$!
         for n in $(seq 100); do ctr version >/dev/null 2>&1 && break; sleep 0.3; done
         ctr -n k8s.io images import bb.tar >/dev/null
         /share/cri; cut -d' ' -f2- pod-logs/c.log; ls /sys/class/net/pods0/brif
         ls /sys/fs/cgroup/pods.slice | grep scope; mydocker oci --root /run/containerd/runc/k8s.io list -q
         systemctl --no-pager list-units --failed --no-legend
         kill $containerd; wait $containerd; echo $?"#,
        "1000
         cri-containerd.apparmor.d (enforce)
         67108864
         exec: 3
         Slice: pods.slice
         MemoryMax: 67108864
         MemoryMax: 134217728
         memory.max: 134217728
         ended: 143
         LoadState: not-found
         exec: eth0 10.98.0.2/24 on host-of-lan
         HTTP/1.*200 OK*
         stdout F begun
         0",
    )
}

fn podman_by_systemd() -> Check {
    check(
        "Podman with systemd's cgroups",
        "ln -s /bin/mydocker /bin/mydocker-runtime; mkdir -p /var/tmp
         podman() { /usr/bin/podman --runtime /bin/mydocker-runtime --storage-driver overlay \"$@\"; }
         podman import -q /share/bb.tar bb >/dev/null 2>&1
         podman info --format '{{.Host.CgroupManager}} {{.Host.CgroupsVersion}} {{.Host.OCIRuntime.Path}}'
         podman run --rm --network none bb echo hi
         podman run --rm --network none bb sh -c 'cat /proc/self/attr/current; exit 7'; echo $?
         podman run -d --network none --name c -m 64m --pids-limit 20 --cpus 0.5 bb sleep 1000 >/dev/null
         podman exec c sh -c 'cat /proc/self/cgroup; cd /sys/fs/cgroup; cat memory.max pids.max cpu.max'
         scope=libpod-$(podman inspect -f '{{.Id}}' c).scope
         for name in Slice MemoryMax TasksMax CPUQuotaPerSecUSec; do
             systemctl --no-pager show -P $name $scope
         done
         systemctl daemon-reload
         podman exec c cat /sys/fs/cgroup/memory.max
         podman stats --no-stream --format '{{.PIDs}}' c | grep -o '[0-9]*$'
         podman pause c >/dev/null; podman inspect -f '{{.State.Status}}' c; podman unpause c >/dev/null
         podman stop -t 0 c; podman inspect -f '{{.State.ExitCode}}' c
         systemctl --no-pager show -P LoadState $scope
         podman start c; podman rm -f -t 0 c
         printf 'FROM bb\\nRUN cat /proc/self/cgroup && echo made >/made\\n' >/tmp/Containerfile
         podman build -q --network none -t built -f /tmp/Containerfile /tmp >/dev/null 2>&1; echo $?
         podman run --rm --network none built cat /made
         ls -d /sys/fs/cgroup/machine.slice/libpod-*; systemctl --no-pager list-units --failed --no-legend",
        "systemd v2 /bin/mydocker-runtime
         hi
         containers-default-* (enforce)
         7
         0::/
         67108864
         20
         50000 100000
         machine.slice
         67108864
         20
         500ms
         67108864
         1
         paused
         c
         137
         not-found
         c
         c
         0
         made
         ls: *No such file or directory",
    )
}

/// Limits, access to devices, and many containers, on a host with cgroup v2.
pub fn limits() -> Vec<Check> {
    vec![
        check(
            "limits of v2",
            "mydocker run --rm --net none -m 32m --memory-reservation 16m --cpus 0.5 --cpuset-cpus 0 \
                 --pids-limit 17 -c 512 bb sh -c '
                 cd /sys/fs/cgroup
                 head -n 1 memory.max memory.low cpu.max cpuset.cpus pids.max cpu.weight'",
            "==> memory.max <==
             33554432
             ...
             16777216
             ...
             50000 100000
             ...
             0
             ...
             17
             ...
             59",
        ),
        check(
            "update on v2",
            "mydocker run -d --net none -m 32m --name box bb sleep 1000 >/dev/null
             mydocker update -m 48m --memory-swap 64m --memory-reservation 24m --cpus 0.25 \
                 --cpuset-cpus 0 --pids-limit 23 -c 256 box
             mydocker exec box sh -c '
                 cd /sys/fs/cgroup
                 head -n 1 memory.max memory.swap.max memory.low cpu.max cpuset.cpus pids.max \
                     cpu.weight'
             mydocker update --blkio-weight 300 box; echo $?
             mydocker exec box sh -c 'cat /sys/fs/cgroup/io.*weight'
             mydocker rm -f box",
            "box
             ==> memory.max <==
             50331648
             ...
             16777216
             ...
             25165824
             ...
             25000 100000
             ...
             0
             ...
             23
             ...
             35
             box
             0
             default 300
             default 100
             box",
        ),
        check(
            "memory limit kills",
            "mydocker run --net none -m 16m --memory-swap 16m --name hog bb sh -c '
                 dd if=/dev/zero of=/dev/null bs=64M count=1'; echo $?
             mydocker inspect hog | grep -c '\"OOMKilled\": true'
             mydocker rm hog",
            "137
             1
             hog",
        ),
        check(
            "pids limit",
            "mydocker run --rm --net none --pids-limit 5 bb sh -c '
                 for n in 1 2 3 4 5 6 7 8; do sleep 1 & done' 2>&1 | grep -c fork",
            "1",
        ),
        check(
            "devices of v2",
            "head -c 4096 /dev/zero >/tmp/blocks && losetup /dev/loop0 /tmp/blocks
             mydocker run --rm --net none bb sh -c 'exec 2>&1
                 mknod /tmp/disk b 7 0 && head -c 1 /tmp/disk; echo $?
                 head -c 4 /dev/zero | wc -c; echo x >/dev/null; head -c 4 /dev/urandom | wc -c'
             mydocker run --rm --net none --device /dev/loop0:/dev/disk:r bb sh -c 'exec 2>&1
                 head -c 512 /dev/disk | wc -c; echo x >/dev/disk'
             mydocker run --rm --net none --privileged bb sh -c '
                 mknod /tmp/disk b 7 0; head -c 512 /tmp/disk | wc -c'",
            "head: /tmp/disk: Operation not permitted
             1
             4
             4
             512
             sh: can't create /dev/disk: Operation not permitted
             512",
        ),
        check(
            "many containers",
            "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
                 mydocker run -d --net none bb sleep 1000
             done | wc -l
             mydocker ps -q | wc -l
             mydocker rm -f $(mydocker ps -q) | wc -l",
            "20
             20
             20",
        ),
        check(
            "no cgroup is left",
            "ls /sys/fs/cgroup/mydocker | grep -v '[.]'",
            "monitors",
        ),
    ]
}
