//! The demands (MUST) of the OCI runtime specification 1.3, and the check of each: a config.json
//! that is refused, a container that prints what it sees, or the name of a test or of a check in a
//! virtual machine. Demands on the author of a configuration, on other systems than Linux, and on
//! the virtual machine of a container are left out.

use super::Bundle;

/// The check of a demand.
enum Check {
    /// With a part of config.json replaced, `run` fails with one line that contains this text, and
    /// leaves nothing.
    Refused(&'static str, &'static str, &'static str),
    /// With a part of config.json replaced, this script prints this text in a container.
    Prints(&'static str, &'static str, &'static str, &'static str),
    /// The name of a test.
    Test(&'static str),
    /// The name of a check in `tests/host`, whose virtual machine has what the demand needs.
    Guest(&'static str),
}
use Check::{Guest, Prints, Refused, Test};

const LIFECYCLE: Check = Test("a_container_is_created_started_killed_and_deleted");
const HOOKS: Check = Test("hooks_run_in_their_order_with_the_state_to_read");
const FAILING_HOOKS: Check = Test("a_failed_hook_ends_the_container_and_poststop_still_runs");
const ERRORS: Check = Test("every_operation_needs_a_container_that_exists");
const STATE: Check = Test("the_state_is_as_specified_and_survives_a_change_of_the_bundle");
const LIMITS: Check = Test("every_limit_is_in_its_file_or_an_error_that_names_it");
const HOSTNAME: &str = "\"hostname\"";
const MASKED: &str = "\"maskedPaths\"";
const NAMESPACES: &str = "\"namespaces\": [";
const MOUNTS: &str = "\"mounts\": [";
const CWD: &str = "\"cwd\"";
/// A script that prints the type of propagation of `/`.
const OF_ROOT: &str =
    "while read a b c d e f g h; do [ $e = / ] && echo ${g%%:*}; done < /proc/self/mountinfo; true";
const SAME: (&str, &str) = ("\"hostname\"", "\"hostname\"");

const RUNTIME: &[(&str, Check)] = &[
    ("the creator of a container can use every operation on it", LIFECYCLE),
    ("the state includes version, id, status, pid, bundle; as JSON in this pattern", STATE),
    ("the id is unique on the host", LIFECYCLE),
    ("further statuses stand for further states", LIFECYCLE),
    (
        "the environment is as config.json says, or there is an error",
        Test("a_bad_bundle_gets_one_line_that_names_the_field"),
    ),
    ("create runs no code of the user's", LIFECYCLE),
    ("changes of config.json after create have no effect", STATE),
    ("prestart, createRuntime, createContainer hooks run at create", HOOKS),
    ("startContainer and poststart hooks run at start", HOOKS),
    (
        "a failing prestart, createRuntime, createContainer hook is an error and stops",
        FAILING_HOOKS,
    ),
    ("a failing startContainer or poststart hook is an error and stops", FAILING_HOOKS),
    ("a failing poststop hook is a warning, and the others run", FAILING_HOOKS),
    ("start runs the program", LIFECYCLE),
    ("start without a process is an error, create is not", Test("only_start_needs_a_process")),
    (
        "delete undoes what create did",
        Test("run_gives_the_output_and_the_status_and_leaves_nothing"),
    ),
    ("an error leaves all as it was", Test("a_bad_bundle_gets_one_line_that_names_the_field")),
    ("state, create, start, kill, delete without an id are errors", ERRORS),
    ("state, start, kill, delete of a container that isn't there are errors", ERRORS),
    ("create with an id that is taken or wrong is an error and makes nothing", ERRORS),
    ("after create the status is created, after start running, at the end stopped", LIFECYCLE),
    ("start of a started container is an error without effect", LIFECYCLE),
    ("kill of a stopped container is an error", LIFECYCLE),
    ("kill sends the signal that is asked for", Test("kill_sends_the_signal_that_is_asked_for")),
    ("delete of a created or running container is an error", LIFECYCLE),
    ("delete removes nothing that create didn't make", Test("delete_keeps_the_files_of_mounts")),
    ("an id is free again after delete", Test("delete_keeps_the_files_of_mounts")),
];

const CONFIG: &[(&str, Check)] = &[
    ("ociVersion is in SemVer format", Refused("\"1.3.0\"", "\"1.x\"", "ociVersion should be")),
    ("every 1.x is taken", Prints("\"1.3.0\"", "\"1.0.2-dev\"", "echo ok", "ok\n")),
    ("another major version is refused", Refused("\"1.3.0\"", "\"2.0.0\"", "ociVersion should be")),
    ("root.path is a directory that exists", Refused("\"rootfs\"", "\"nowhere\"", "root.path")),
    ("root is required", Refused("\"root\":", "\"x-root\":", "has no field 'root'")),
    (
        "root.readonly makes the root read-only",
        Prints(SAME.0, SAME.1, "touch /x 2>/dev/null || echo read-only", "read-only\n"),
    ),
    (
        "without root.readonly it is writable",
        Prints(
            "\"readonly\": true",
            "\"readonly\": false",
            "touch /x && rm /x && echo writable",
            "writable\n",
        ),
    ),
    (
        "mounts are made in their order",
        Prints(
            MOUNTS,
            "\"mounts\": [{\"destination\":\"/m\",\"type\":\"tmpfs\",\"source\":\"a\"},{\"destination\":\"/m/b\",\"type\":\"tmpfs\",\"source\":\"c\"},",
            "grep -c ' /m/b ' /proc/mounts; ls /m",
            "1\nb\n",
        ),
    ),
    (
        "a mount has a destination",
        Refused(
            MOUNTS,
            "\"mounts\": [{\"type\":\"tmpfs\"},",
            "mounts[0] has no field 'destination'",
        ),
    ),
    (
        "a relative destination is below /",
        Prints(
            MOUNTS,
            "\"mounts\": [{\"destination\":\"m/n\",\"type\":\"tmpfs\"},",
            "grep -c ' /m/n ' /proc/mounts",
            "1\n",
        ),
    ),
    ("every option of the table of mount options is known", Test("features_lists_only_what_works")),
    (
        "the options of a mount and of its filesystem are set",
        Prints(
            MOUNTS,
            "\"mounts\": [{\"destination\":\"/m\",\"type\":\"tmpfs\",\"options\":[\"ro\",\"nosuid\",\"nodev\",\
             \"noexec\",\"noatime\",\"nodiratime\",\"sync\",\"dirsync\",\"lazytime\",\"mode=1777\"]},",
            "while read a b c d e f g h i j; do [ $e = /m ] && echo $f $j; done < /proc/self/mountinfo; true",
            "ro,nosuid,nodev,noexec,noatime,nodiratime rw,sync,dirsync,lazytime\n",
        ),
    ),
    (
        "a mount has the propagation that it is given",
        Prints(
            MOUNTS,
            "\"mounts\": [{\"destination\":\"/m\",\"type\":\"tmpfs\",\"options\":[\"shared\"]},\
             {\"destination\":\"/m/b\",\"type\":\"tmpfs\",\"options\":[\"runbindable\"]},\
             {\"destination\":\"/m/c\",\"type\":\"tmpfs\",\"options\":[\"shared\",\"rprivate\"]},\
             {\"destination\":\"/m/d\",\"source\":\"rootfs/bin\",\"options\":[\"rbind\",\"unbindable\"]},",
            "while read a b c d e f g h; do case $e in /m*) echo $e ${g%%:*};; esac; done \
             < /proc/self/mountinfo",
            "/m shared\n/m/b unbindable\n/m/c -\n/m/d unbindable\n",
        ),
    ),
    (
        "a mount and those below it have the propagation that they are given",
        Test("a_bind_and_the_mounts_below_it_have_a_propagation_each"),
    ),
    (
        "a remount changes the options of the mount that is there",
        Prints(
            MOUNTS,
            "\"mounts\": [{\"destination\":\"/m\",\"type\":\"tmpfs\"},\
             {\"destination\":\"/m\",\"options\":[\"remount\",\"ro\",\"noexec\"]},",
            "while read a b c d e f g h; do [ $e = /m ] && echo $f; done < /proc/self/mountinfo; true",
            "ro,noexec,relatime\n",
        ),
    ),
    (
        "a recursive option also changes the mount itself, unless a later one changes it back",
        Prints(
            MOUNTS,
            "\"mounts\": [{\"destination\":\"/m\",\"source\":\".\",\"options\":[\"rbind\",\"rw\",\"rro\"]},\
             {\"destination\":\"/n\",\"source\":\".\",\"options\":[\"rbind\",\"rro\",\"rw\"]},",
            "for d in m n; do touch /$d/x 2>/dev/null && echo $d; done",
            "n\n",
        ),
    ),
    (
        "a file of /proc may be covered with the container's own figures",
        Prints(
            "{ \"destination\": \"/dev\", \"type\"",
            "{ \"destination\": \"/proc/uptime\", \"source\": \"config.json\", \"options\": [\"bind\"] },\
             { \"destination\": \"/dev\", \"type\"",
            "head -c1 /proc/uptime",
            "{",
        ),
    ),
    (
        "other files of /proc may not be covered",
        Refused(
            "{ \"destination\": \"/dev\", \"type\"",
            "{ \"destination\": \"/proc/version\", \"source\": \"config.json\", \"options\": [\"bind\"] },\
             { \"destination\": \"/dev\", \"type\"",
            "/proc/version lies in /proc",
        ),
    ),
    (
        "a remount needs a mount",
        Refused(
            MOUNTS,
            "\"mounts\": [{\"destination\":\"/bin\",\"options\":[\"remount\",\"ro\"]},",
            "mount on /bin in the container: nothing is mounted there",
        ),
    ),
    (
        "an idmapped mount that can't be had is an error",
        Refused(
            MOUNTS,
            "\"mounts\": [{\"destination\":\"/m\",\"type\":\"tmpfs\",\"source\":\"a\",\"options\":[\"idmap\"]},",
            "mounts[0].options",
        ),
    ),
    (
        "a mount has both mappings or none",
        Refused(
            MOUNTS,
            "\"mounts\": [{\"destination\":\"/m\",\"source\":\".\",\"options\":[\"bind\",\"idmap\"],\
             \"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":1}]},",
            "mounts[0] should be given both uidMappings and gidMappings",
        ),
    ),
    ("a mount's owners are shown by its mapping", Test("mounts_have_id_mappings_and_copied_files")),
    (
        "process.cwd is absolute",
        Refused("\"cwd\": \"/\"", "\"cwd\": \"tmp\"", "process.cwd should be an absolute path"),
    ),
    ("process.args has an entry", Refused("[\"sh\"]", "[]", "process.args should be")),
    (
        "process.args has strings that a program can have",
        Refused("[\"sh\"]", "[\"a\\u0000b\"]", "process.args[0] should be a string without a zero"),
    ),
    (
        "process.env is the environment",
        Prints("\"TERM=xterm\"", "\"A=b c\"", "env | grep ^A=", "A=b c\n"),
    ),
    (
        "process.env has NAME=value",
        Refused("\"TERM=xterm\"", "\"TERM\"", "process.env[1] should be NAME=value"),
    ),
    (
        "consoleSize is ignored without a terminal",
        Prints(CWD, "\"consoleSize\":{\"height\":1,\"width\":2},\"cwd\"", "echo ok", "ok\n"),
    ),
    (
        "an unknown rlimit is an error",
        Refused("RLIMIT_NOFILE", "RLIMIT_X", "process.rlimits[0].type should be"),
    ),
    (
        "an rlimit twice is an error",
        Refused(
            "\"rlimits\": [",
            "\"rlimits\": [{\"type\":\"RLIMIT_NOFILE\",\"hard\":1,\"soft\":1},",
            "in the list once",
        ),
    ),
    (
        "rlimits are set",
        Prints("\"soft\": 1024", "\"soft\": 99", "ulimit -Sn; ulimit -Hn", "99\n1024\n"),
    ),
    (
        "a capability that can't be granted is a warning",
        Test("a_capability_that_cannot_be_granted_is_a_warning"),
    ),
    (
        "a process has the five capability sets that it is given",
        Test("without_new_privileges_a_program_has_the_permitted_capabilities_that_it_is_given"),
    ),
    (
        "noNewPrivileges is set",
        Prints(SAME.0, SAME.1, "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1\n"),
    ),
    (
        "oomScoreAdj is set",
        Prints(CWD, "\"oomScoreAdj\":321,\"cwd\"", "cat /proc/self/oom_score_adj", "321\n"),
    ),
    (
        "without oomScoreAdj it is the caller's",
        Test("unset_properties_are_inherited_from_the_caller"),
    ),
    ("scheduler and ioPriority are set", Test("the_scheduling_of_a_process_is_set")),
    ("uid, gid, additionalGids and umask are set", Test("time_offsets_user_and_groups_are_set")),
    ("hostname is set", Prints("\"mydocker\"", "\"other\"", "hostname", "other\n")),
    (
        "domainname is set",
        Prints(
            HOSTNAME,
            "\"domainname\":\"example\",\"hostname\"",
            "cat /proc/sys/kernel/domainname",
            "example\n",
        ),
    ),
    ("hooks run in the listed order with the state on stdin", HOOKS),
    (
        "a hook's path is absolute",
        Refused(
            HOSTNAME,
            "\"hooks\":{\"poststop\":[{\"path\":\"true\"}]},\"hostname\"",
            "hooks.poststop[0].path should be an absolute path",
        ),
    ),
    (
        "a hook's timeout is greater than zero",
        Refused(
            HOSTNAME,
            "\"hooks\":{\"prestart\":[{\"path\":\"/bin/true\",\"timeout\":0}]},\"hostname\"",
            "hooks.prestart[0].timeout should be",
        ),
    ),
    (
        "createContainer runs in the container's namespaces, its path is the host's",
        Test("hooks_run_in_the_specified_namespaces"),
    ),
    (
        "a startContainer hook without env has the environment of the program",
        Test("a_hook_in_the_container_without_an_environment_has_that_of_the_program"),
    ),
    (
        "a startContainer hook has the filter of the program",
        Test("a_hook_in_the_container_has_the_filter_of_the_program"),
    ),
    ("startContainer's path is the container's", Test("hooks_run_in_the_specified_namespaces")),
    (
        "prestart, createRuntime, poststart, poststop run in the caller's namespaces",
        Test("hooks_run_in_the_specified_namespaces"),
    ),
    (
        "keys of annotations are not empty",
        Refused(HOSTNAME, "\"annotations\":{\"\":\"x\"},\"hostname\"", "annotations should be"),
    ),
    (
        "values of annotations are strings",
        Refused(
            HOSTNAME,
            "\"annotations\":{\"a\":1},\"hostname\"",
            "annotations.a should be a string",
        ),
    ),
    (
        "unknown annotations and properties are no error",
        Prints(
            HOSTNAME,
            "\"annotations\":{\"a.b/c\":\"d\"},\"x-new\":{\"y\":1},\"hostname\"",
            "echo ok",
            "ok\n",
        ),
    ),
    (
        "an invalid value is an error",
        Refused(HOSTNAME, "\"annotations\":7,\"hostname\"", "annotations should be an object"),
    ),
];

const CONFIG_LINUX: &[(&str, Check)] = &[
    (
        "a namespace's path is absolute",
        Refused(
            "{ \"type\": \"uts\" }",
            "{ \"type\": \"uts\", \"path\": \"proc/self/ns/uts\" }",
            "linux.namespaces[3].path should be an absolute path",
        ),
    ),
    (
        "the process is in the namespace of the path",
        Test("namespaces_are_new_the_callers_or_those_of_a_path"),
    ),
    (
        "without a mount namespace in the list, the container is in the caller's",
        Test("a_container_in_the_hosts_mount_namespace_leaves_no_mounts"),
    ),
    ("a mount namespace may have a path", Test("a_container_joins_the_mount_namespace_of_a_path")),
    ("ID mappings need no ID 0", Test("a_user_namespace_needs_no_root")),
    (
        "a path to a namespace of another type is an error",
        Refused(
            "{ \"type\": \"uts\" }",
            "{ \"type\": \"uts\", \"path\": \"/proc/self/ns/net\" }",
            "join the uts namespace",
        ),
    ),
    (
        "a path to no namespace is an error",
        Refused(
            "{ \"type\": \"uts\" }",
            "{ \"type\": \"uts\", \"path\": \"/dev/null\" }",
            "is not a namespace",
        ),
    ),
    (
        "without a path the namespace is new",
        Test("namespaces_are_new_the_callers_or_those_of_a_path"),
    ),
    (
        "a type that is not listed is the caller's",
        Test("namespaces_are_new_the_callers_or_those_of_a_path"),
    ),
    (
        "a type twice is an error",
        Refused(
            NAMESPACES,
            "\"namespaces\": [{\"type\":\"pid\"},",
            "linux.namespaces[1].type should be in the list once",
        ),
    ),
    (
        "devices are there",
        Prints(
            MASKED,
            "\"devices\":[{\"path\":\"/dev/x/y\",\"type\":\"c\",\"major\":1,\"minor\":3,\"fileMode\":416,\"uid\":3,\"gid\":4}],\"maskedPaths\"",
            "stat -c '%F %t:%T %a %u %g' /dev/x/y",
            "character special file 1:3 640 3 4\n",
        ),
    ),
    (
        "devices may be anywhere, and named pipes",
        Prints(
            MASKED,
            "\"devices\":[{\"path\":\"/x/zero\",\"type\":\"c\",\"major\":1,\"minor\":5},\
             {\"path\":\"/dev/pipe\",\"type\":\"p\",\"fileMode\":384}],\"maskedPaths\"",
            "stat -c '%F %t:%T' /x/zero; stat -c '%F %a' /dev/pipe; head -c1 /x/zero | wc -c",
            "character special file 1:5\nfifo 600\n1\n",
        ),
    ),
    (
        "another file where a device should be is an error",
        Refused(
            MASKED,
            "\"devices\":[{\"path\":\"/bin/busybox\",\"type\":\"c\",\"major\":1,\"minor\":5}],\"maskedPaths\"",
            "device /bin/busybox: another file is there",
        ),
    ),
    (
        "the default devices are there",
        Prints(
            SAME.0,
            SAME.1,
            "for d in null zero full random urandom tty ptmx; do [ -c /dev/$d ] && echo $d; done",
            "null\nzero\nfull\nrandom\nurandom\ntty\nptmx\n",
        ),
    ),
    (
        "the default devices are there without a mount on /dev, and keep devices that are given",
        Prints(
            "\"destination\": \"/dev\", \"type\": \"tmpfs\"",
            "\"destination\": \"/x/dev\", \"type\": \"tmpfs\"",
            "for d in null zero full random urandom tty; do [ -c /dev/$d ] && echo $d; done; \
             readlink /dev/fd; echo x > /dev/null",
            "null\nzero\nfull\nrandom\nurandom\ntty\n/proc/self/fd\n",
        ),
    ),
    (
        "with a terminal, /dev/console is the terminal",
        Prints(
            "\"terminal\": false",
            "\"terminal\": true",
            "stat -c %t /dev/console; tty",
            "88\r\n/dev/pts/0\r\n",
        ),
    ),
    ("a cgroup with processes is an error", Test("a_cgroup_that_is_in_use_is_refused")),
    (
        "an absolute cgroupsPath is below the hierarchies' roots",
        Test("a_cgroups_path_always_means_the_same_cgroup"),
    ),
    ("a relative one is in one place", Test("a_cgroups_path_always_means_the_same_cgroup")),
    (
        "an invalid cgroupsPath is an error",
        Refused(
            MASKED,
            "\"cgroupsPath\":\"/a/../b\",\"maskedPaths\"",
            "linux.cgroupsPath should be",
        ),
    ),
    (
        "a cgroupsPath that no file can have is an error",
        Refused(
            MASKED,
            "\"cgroupsPath\":\"/a\\u0000b\",\"maskedPaths\"",
            "linux.cgroupsPath should be the path of a directory",
        ),
    ),
    (
        "device rules apply in their order",
        Prints(
            "{ \"allow\": false, \"access\": \"rwm\" }",
            "{ \"allow\": false, \"access\": \"rwm\" },{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":200,\"access\":\"rw\"}",
            "cat /sys/fs/cgroup/devices/devices.list | grep '10:200'",
            "c 10:200 rw\n",
        ),
    ),
    (
        "a device can be denied after all were allowed",
        Prints(
            "{ \"allow\": false, \"access\": \"rwm\" }",
            "{ \"allow\": true, \"access\": \"rwm\" },{\"allow\":false,\"type\":\"c\",\"major\":10,\"minor\":229,\"access\":\"rw\"}] }, \
             \"devices\":[{\"path\":\"/dev/denied\",\"type\":\"c\",\"major\":10,\"minor\":229},\
             {\"path\":\"/dev/allowed\",\"type\":\"c\",\"major\":10,\"minor\":200}],\"x\":{\"y\":[",
            "for d in denied allowed; do true 2>/dev/null </dev/$d && echo $d; done",
            "allowed\n",
        ),
    ),
    ("limits are applied", LIMITS),
    (
        "a weight of a device says which",
        Refused(
            "\"resources\": {",
            "\"resources\": {\"blockIO\":{\"weightDevice\":[{\"major\":8,\"minor\":0}]},",
            "weightDevice[0] should be",
        ),
    ),
    (
        "an rdma limit says which",
        Refused("\"resources\": {", "\"resources\": {\"rdma\":{\"x\":{}},", "rdma.x should be"),
    ),
    ("a limit below the use is refused with checkBeforeUpdate", Guest("OCI runtime on v2")),
    ("unified enables the controllers that it needs, and is written", Guest("OCI runtime on v2")),
    ("unified for a controller that isn't there is an error", LIMITS),
    ("a limit that can't be converted is an error", LIMITS),
    ("intelRdt without resctrl is an error", Test("unsupported_features_are_refused")),
    (
        "a number with an action that has none is an error",
        Refused(
            MASKED,
            "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":1},\"maskedPaths\"",
            "defaultErrnoRet can't go with",
        ),
    ),
    (
        "so is the number of a call whose action has none",
        Refused(
            MASKED,
            "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"getpgid\"],\
             \"action\":\"SCMP_ACT_KILL\",\"errnoRet\":1}]},\"maskedPaths\"",
            "errnoRet can't go with",
        ),
    ),
    (
        "a call's names has an entry",
        Refused(
            MASKED,
            "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[],\"action\":\"SCMP_ACT_LOG\"}]},\"maskedPaths\"",
            "names",
        ),
    ),
    (
        "listenerMetadata needs listenerPath",
        Refused(
            MASKED,
            "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerMetadata\":\"x\"},\"maskedPaths\"",
            "listenerMetadata needs listenerPath",
        ),
    ),
    (
        "listenerPath is ignored without SCMP_ACT_NOTIFY",
        Prints(
            MASKED,
            "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/nowhere\"},\"maskedPaths\"",
            "echo ok",
            "ok\n",
        ),
    ),
    (
        "an agent that can't be reached is an error",
        Refused(
            MASKED,
            "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/nowhere\",\"syscalls\":[{\"names\":[\"getpgid\"],\"action\":\"SCMP_ACT_NOTIFY\"}]},\"maskedPaths\"",
            "/nowhere",
        ),
    ),
    (
        "the agent receives one state with the descriptor on each connection",
        Test("a_seccomp_agent_gets_the_state_of_the_container"),
    ),
    (
        "maskedPaths are absolute",
        Refused(
            "[\"/proc/acpi\"",
            "[\"proc/acpi\"",
            "linux.maskedPaths[0] should be an absolute path",
        ),
    ),
    (
        "readonlyPaths are absolute",
        Refused(
            "[\"/proc/bus\"",
            "[\"proc/bus\"",
            "linux.readonlyPaths[0] should be an absolute path",
        ),
    ),
    (
        "masked paths can't be read",
        Prints("[\"/proc/acpi\"", "[\"/etc\",\"/proc/acpi\"", "ls /etc; wc -c < /proc/keys", "0\n"),
    ),
    (
        "a masked or read-only path may be a link, which leads to a file of the container",
        Test("links_of_masked_and_read_only_paths_stay_in_the_container"),
    ),
    (
        "a masked path whose links loop is an error",
        Test("links_of_masked_and_read_only_paths_stay_in_the_container"),
    ),
    (
        "read-only paths can't be written",
        Prints(
            SAME.0,
            SAME.1,
            "echo 1 2>/dev/null > /proc/sys/kernel/hostname || echo read-only",
            "read-only\n",
        ),
    ),
    (
        "sysctls are set",
        Prints(
            MASKED,
            "\"sysctl\":{\"net.ipv4.ip_forward\":\"1\",\"kernel/msgmax\":\"9999\"},\"maskedPaths\"",
            "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax",
            "1\n9999\n",
        ),
    ),
    (
        "the host name is no sysctl",
        Refused(
            MASKED,
            "\"sysctl\":{\"kernel.hostname\":\"x\"},\"maskedPaths\"",
            "linux.sysctl.kernel.hostname should be",
        ),
    ),
    (
        "an empty memory policy is none",
        Prints(
            MASKED,
            "\"memoryPolicy\":{},\"maskedPaths\"",
            "head -n1 /proc/self/numa_maps | cut -d' ' -f2",
            "default\n",
        ),
    ),
    (
        "a mode of a memory policy may need no nodes",
        Prints(
            MASKED,
            "\"memoryPolicy\":{\"mode\":\"MPOL_LOCAL\"},\"maskedPaths\"",
            "head -n1 /proc/self/numa_maps | cut -d' ' -f2",
            "local\n",
        ),
    ),
    (
        "a mode that takes no nodes is refused with nodes",
        Refused(
            MASKED,
            "\"memoryPolicy\":{\"mode\":\"MPOL_DEFAULT\",\"nodes\":\"0\"},\"maskedPaths\"",
            "set linux.memoryPolicy",
        ),
    ),
    (
        "a mode that takes nodes is refused without them",
        Refused(
            MASKED,
            "\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"\"},\"maskedPaths\"",
            "set linux.memoryPolicy",
        ),
    ),
    (
        "a memory policy has a mode",
        Refused(
            MASKED,
            "\"memoryPolicy\":{\"nodes\":\"0\"},\"maskedPaths\"",
            "linux.memoryPolicy has no field 'mode'",
        ),
    ),
    (
        "the flags of a memory policy are set",
        Prints(
            MASKED,
            "\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"0\",\
             \"flags\":[\"MPOL_F_STATIC_NODES\"]},\"maskedPaths\"",
            "head -n1 /proc/self/numa_maps | cut -d' ' -f2",
            "bind=static:0\n",
        ),
    ),
    (
        "an unknown mode of a memory policy is an error",
        Refused(
            MASKED,
            "\"memoryPolicy\":{\"mode\":\"MPOL_X\"},\"maskedPaths\"",
            "linux.memoryPolicy.mode should be one of",
        ),
    ),
    (
        "an unknown flag of a memory policy is an error",
        Refused(
            MASKED,
            "\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"0\",\"flags\":[\"x\"]},\"maskedPaths\"",
            "linux.memoryPolicy.flags[0] should be one of",
        ),
    ),
    (
        "a memory policy that the kernel refuses is an error",
        Refused(
            MASKED,
            "\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"1000\"},\"maskedPaths\"",
            "set linux.memoryPolicy",
        ),
    ),
    (
        "a filter that allows nothing ends the container",
        Test("a_filter_that_refuses_everything_ends_the_container"),
    ),
    (
        "personality has no flags",
        Refused(
            MASKED,
            "\"personality\":{\"domain\":\"LINUX\",\"flags\":[\"x\"]},\"maskedPaths\"",
            "personality.flags should be empty",
        ),
    ),
    (
        "rootfsPropagation is one of four",
        Refused(
            MASKED,
            "\"rootfsPropagation\":\"x\",\"maskedPaths\"",
            "linux.rootfsPropagation should be one of",
        ),
    ),
    (
        "rootfsPropagation shared is a new group",
        Prints(MASKED, "\"rootfsPropagation\":\"shared\",\"maskedPaths\"", OF_ROOT, "shared\n"),
    ),
    (
        "rootfsPropagation private has no group",
        Prints(MASKED, "\"rootfsPropagation\":\"private\",\"maskedPaths\"", OF_ROOT, "-\n"),
    ),
    (
        "a root that is unbindable can't be bound",
        Prints(
            MASKED,
            "\"rootfsPropagation\":\"runbindable\",\"maskedPaths\"",
            OF_ROOT,
            "unbindable\n",
        ),
    ),
    (
        "rootfsPropagation slave receives the host's mounts",
        Test("the_hosts_mounts_reach_a_root_that_is_a_slave"),
    ),
    ("mountLabel without SELinux is an error", Test("unsupported_features_are_refused")),
    ("mountLabel is the label of new file systems", Guest("SELinux labels")),
    ("selinuxLabel is the label of the process", Guest("SELinux labels")),
    ("apparmorProfile is the profile of the process", Guest("OCI AppArmor profiles")),
    ("rdma limits are set", Guest("OCI limits of RDMA devices")),
    ("classID and priorities are set", Guest("OCI network classes")),
    (
        "an interface moves with its name, its addresses and its MAC, and is up",
        Test("interfaces_of_the_host_move_into_the_container"),
    ),
    (
        "an interface's name that is taken in the container is an error",
        Test("interfaces_of_the_host_move_into_the_container"),
    ),
    (
        "a name of an interface may have %d, which the kernel replaces",
        Test("interfaces_of_the_host_move_into_the_container"),
    ),
    (
        "an interface that is absent is an error",
        Refused(
            MASKED,
            "\"netDevices\":{\"absent0\":{}},\"maskedPaths\"",
            "linux.netDevices.absent0: there is no such interface",
        ),
    ),
    (
        "interfaces need a network namespace",
        Refused(
            "\"namespaces\": [{ \"type\": \"pid\" }, { \"type\": \"network\" },",
            "\"netDevices\":{\"va\":{}},\"namespaces\": [{ \"type\": \"pid\" },",
            "linux.netDevices should be absent without a network namespace",
        ),
    ),
    (
        "time offsets need a time namespace",
        Refused(
            MASKED,
            "\"timeOffsets\":{\"boottime\":{\"secs\":1}},\"maskedPaths\"",
            "linux.timeOffsets should be absent",
        ),
    ),
    ("clocks are ahead by their offsets", Test("time_offsets_user_and_groups_are_set")),
    (
        "process, scheduling and memory policy are as asked",
        Test("the_scheduling_of_a_process_is_set"),
    ),
];

#[test]
fn every_must_of_the_specification_is_checked() {
    let sources = [
        include_str!("main.rs"),
        include_str!("features.rs"),
        include_str!("lifecycle.rs"),
        include_str!("namespaces.rs"),
        include_str!("update.rs"),
    ];
    let guests = include_str!("../host/checks.rs");
    let bundle = Bundle::new();
    let good = bundle.config();
    let mut failed = Vec::new();
    for (demand, check) in RUNTIME.iter().chain(CONFIG).chain(CONFIG_LINUX) {
        bundle.set_config(&good);
        let (is_right, found) = match *check {
            Test(name) => {
                let function = format!("#[test]\nfn {name}(");
                (sources.iter().any(|source| source.contains(&function)), String::new())
            }
            Guest(name) => (guests.contains(&format!("\"{name}\",")), String::new()),
            Refused(part, by, words) => {
                bundle.edit(part, by);
                let output = bundle.output_of_run();
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                let is_one_line = text.lines().count() == 1 && output.stdout.is_empty();
                let is_refused = output.status.code() == Some(1) && text.contains(words);
                let leaves_nothing =
                    !bundle.has_cgroup() && !bundle.root().join(&bundle.id).exists();
                (is_one_line && is_refused && leaves_nothing, text)
            }
            Prints(part, by, script, expected) => {
                bundle.edit(part, by);
                bundle.runs(script);
                let output = bundle.output_of_run();
                let text = [&output.stdout[..], &output.stderr].concat();
                let is_right = output.status.success() && output.stdout == expected.as_bytes();
                (is_right, String::from_utf8_lossy(&text).into_owned())
            }
        };
        if !is_right {
            failed.push(format!("{demand}: {found}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
