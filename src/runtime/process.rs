//! The last steps of a process before it executes a container's program, for `start` and for
//! `exec`: the process takes the user, capabilities, resource limits and seccomp filter of the
//! spec, and calls execve(2).
//!
//! The order of the steps is a part of the protection. The comments at the steps say why a step
//! must come before another. Before these steps, the process has entered the container's root and
//! its namespaces except the user namespace. See credentials(7), capabilities(7), prctl(2),
//! seccomp(2).

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Access, CWD, FileType, Gid, Mode, OFlags, Uid, access, fchown, fstat, openat};
use rustix::io::Errno;
use rustix::process::{
    Resource, Rlimit, fchdir, set_parent_process_death_signal, setrlimit, umask,
};
use rustix::thread::{
    CapabilitySet, CpuSet, sched_setaffinity, set_keep_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::seccomp::Program as Filter;
use super::seccomp::listener::Agent;
use super::spec::{Capabilities, IdRange, Identity, Process, Scheduling};
use super::user::User;
use super::user_namespace::{UserNamespace, root_of};
use super::{capabilities, label, pid1, user};
use crate::error::{Context, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, Error, Result, fail};
use crate::raw;
use crate::sys::seccomp::Flags;
use crate::sys::trace::{self, Traced};
use crate::sys::{self, beneath};

/// The PATH for a program whose environment has none, as in Docker.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The command line that a mydocker process shows in a container.
pub const TITLE: &[u8] = b"mydocker-init";

/// The differences between a container's first process and a process of `exec`.
pub struct Entry<'a> {
    /// The container's user namespace, which the process has not entered yet.
    pub user_namespace: Option<UserNamespace<'a>>,
    /// Whether to create a missing working directory, as Docker does for the image's WORKDIR.
    pub make_cwd: bool,
    /// Whether to run an init as PID 1 that starts the program, reaps zombies and forwards signals.
    pub init: bool,
    /// Whether this process stays and never executes the program itself.
    pub stays: bool,
    /// Whether the kernel kills this process if the parent ends.
    pub die_with_parent: bool,
    /// The agent that decides some system calls, if the program's filter has one.
    pub agent: Option<&'a Agent>,
}

/// A process that is confined, but has neither no_new_privs nor the seccomp filter yet. So the
/// process can still wait and run hooks.
pub struct Confined<'a> {
    process: &'a Process,
    program: Program<'a>,
    filter: Option<Filter>,
    /// The capabilities that stay permitted only to install the filter.
    spare: u64,
    init: bool,
    stays: bool,
    agent: Option<&'a Agent>,
}

/// A program that a confined process can execute.
pub struct Program<'a> {
    args: &'a [String],
    path: String,
    vectors: sys::exec::Vectors,
}

/// Takes the program's user, capabilities, limits, scheduling, label and working directory. Closes
/// all descriptors except 0 to 2, the inherited ones (`preserved`), and `keep`.
///
/// Before the call, this process must be in all its namespaces except the user namespace. The
/// process's `/` must be the container's root, and its descriptors 0 to 2 must be the program's.
/// `parent` is the socket to the process that waits for this one. Fails with the error of the first
/// step that fails.
pub fn confine<'a>(
    process: &'a Process,
    entry: &Entry<'a>,
    parent: &OwnedFd,
    keep: &[BorrowedFd<'_>],
) -> Result<Confined<'a>> {
    let root = openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .context(|| "open the container's /")?;
    let user = look_up_user(root.as_fd(), process, entry)?;
    let vectors = vectors(process, &user.home)?;
    let path = search_path(process);
    own_stdio(host_uid(entry, &user)?)?;
    set_oom_score(process)?;
    if let Some(label) = &process.label {
        label.set_for_exec()?;
    }
    set_rlimits(process)?;
    set_scheduling(&process.scheduling)?;
    // Every step that needs the rights of the host's UID 0 is done, so enter the user namespace
    // now.
    if let Some(user_namespace) = &entry.user_namespace {
        user_namespace.enter()?;
    }
    if entry.make_cwd {
        make_working_directory(root.as_fd(), &process.cwd)?;
    }
    // Without a new session keyring, the container could read the keys of the caller's session.
    if process.new_keyring {
        sys::keyring::join_new_session().context(|| "join a new session keyring")?;
    }
    // Reduce the bounding set before the other sets, because reducing the bounding set needs
    // CAP_SETPCAP.
    let Capabilities { bounding, not_permitted, inheritable, ambient } = process.capabilities;
    capabilities::limit_bounding(bounding).traced("prctl", || {
        format!("PR_CAPBSET_DROP all but {}", capabilities::list_names(bounding))
    })?;
    let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    set_thread_groups(&groups).context(|| "set the supplementary groups")?;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    set_thread_res_gid(gid, gid, gid).context(|| format!("become group {}", user.gid))?;
    let filter = process.seccomp.program(bounding);
    // Without no_new_privs, installing a filter needs CAP_SYS_ADMIN. So keep this capability
    // permitted until `install` makes it effective.
    let spare = if filter.is_some() && !process.no_new_privileges {
        CapabilitySet::SYS_ADMIN.bits()
    } else {
        0
    };
    let granted = inheritable | ambient;
    set_keep_capabilities(spare | granted != 0)
        .context(|| "keep capabilities over a change of user")?;
    // For a user other than root, the kernel now empties the effective set. For root, `limit` below
    // reduces the effective set.
    set_thread_res_uid(uid, uid, uid)
        .traced("setresuid", || format!("become user {}, group {}", user.uid, user.gid))
        .context(|| format!("become user {}", user.uid))?;
    // With no_new_privs, the program cannot get a capability at execve(2) that is not permitted
    // now. Without no_new_privs, execve(2) permits root the whole bounding set.
    let permitted = if process.no_new_privileges { bounding & !not_permitted } else { bounding };
    capabilities::limit(permitted, spare | granted).traced("capset", || {
        "permitted and effective cut to the same; nothing inheritable".to_owned()
    })?;
    if granted != 0 {
        capabilities::grant(inheritable, ambient, spare)?;
    }
    // Change the directory as the new user, so that the program does not start in a directory that
    // this user may not enter.
    change_directory(root.as_fd(), &process.cwd).traced("fchdir", || process.cwd.clone())?;
    drop(root);
    umask(Mode::from_raw_mode(process.umask));
    sys::signal::reset_all();
    if entry.die_with_parent {
        die_with_parent(parent.as_fd())?;
    }
    // Close every other descriptor before the program runs (CVE-2024-21626). The descriptors in
    // `keep` are close-on-exec, for example the socket that reports a failed execve. The others are
    // closed at once, because CLOSE_RANGE_CLOEXEC (close_range(2)) would need Linux 5.11.
    sys::fds::close_after(process.preserved, keep).context(|| "close all other descriptors")?;
    let program = Program { args: &process.args, path, vectors };
    let (init, stays) = (entry.init, entry.stays);
    Ok(Confined { process, program, filter, spare, init, stays, agent: entry.agent })
}

impl<'a> Confined<'a> {
    /// Fails as `Program::exec` would if the program does not exist. A program that is named with a
    /// slash must also be executable.
    pub fn check(&self) -> Result<()> {
        self.program.check()
    }

    /// Confines a hook inside the container like the program, by no_new_privs and the filter. Must
    /// be called in the hook's own process. A hook has no agent: the system calls that the agent
    /// decides for the program fail in a hook with ENOSYS.
    pub fn confine_hook(&self) -> Result<()> {
        self.forbid_privileges()?;
        self.install(|flags| flags.without(Flags::NEW_LISTENER)).map(drop)
    }

    /// The environment variables of the program, as `NAME=value`.
    pub fn variables(&self) -> &[CString] {
        self.program.vectors.variables()
    }

    fn forbid_privileges(&self) -> Result<()> {
        if !self.process.no_new_privileges {
            return Ok(());
        }
        set_no_new_privs(true)
            .traced("prctl", || "PR_SET_NO_NEW_PRIVS".to_owned())
            .context(|| "set no_new_privs")
    }

    fn install(&self, change: impl FnOnce(Flags) -> Flags) -> Result<Option<OwnedFd>> {
        let Some(filter) = &self.filter else { return Ok(None) };
        if self.spare != 0 {
            capabilities::raise(self.spare)?;
        }
        sys::seccomp::install(&filter.instructions, change(filter.flags))
            .context(|| "install the seccomp filter")
    }

    /// Sets no_new_privs and installs the filter, if the spec has them. The filter must allow the
    /// system calls of every later step. With `init`, also forks: the child returns, and the parent
    /// stays as PID 1.
    pub fn install_filter(self) -> Result<Program<'a>> {
        self.forbid_privileges()?;
        let Confined { process, program, filter, init, stays, agent, .. } = &self;
        // Close the log now, because a filter may refuse write(2). So the last two steps are logged
        // before they happen.
        trace::step("seccomp", || match filter {
            Some(program) => {
                format!("install a filter of {} BPF instructions", program.instructions.len())
            }
            None => "no filter".to_owned(),
        });
        trace::step("execve", || {
            format!("{:?}, {} variables", process.args, program.vectors.variables().len())
        });
        trace::stop();
        // Install the filter last, so that a profile need not allow the system calls of earlier
        // steps. In this function, only the message to the agent, the removal of the spare
        // capabilities and the start of an init follow.
        let listener = self.install(|flags| flags)?;
        if let (Some(agent), Some(listener)) = (agent, listener) {
            agent.hand_over(listener.as_fd())?;
        }
        if *stays && process.capabilities.ambient == 0 {
            // Drop the spare capabilities here, because this process calls no execve(2), which
            // would drop them. A process with ambient capabilities keeps the spare ones, because
            // `limit` would empty the ambient set.
            capabilities::limit(process.capabilities.bounding, 0)?;
        }
        if *init {
            pid1::become_init()?;
        }
        Ok(self.program)
    }
}

/// Looks the user up in the container's passwd and group files, with the rights of the container's
/// root: without the caller's groups and with the container's capabilities. If the container has a
/// user namespace, the process also takes the host's IDs for the container's root. Otherwise a
/// symbolic link could lead to a file that only the host's root can read.
fn look_up_user(root: BorrowedFd<'_>, process: &Process, entry: &Entry<'_>) -> Result<User> {
    set_thread_groups(&[]).context(|| "leave the caller's groups")?;
    let ids = entry.user_namespace.as_ref().map(|user_namespace| user_namespace.ids);
    let (uid, gid) = ids.map_or(Ok((Uid::ROOT, Gid::ROOT)), root_of)?;
    set_thread_res_gid(Gid::ROOT, gid, Gid::ROOT).context(|| "leave the caller's group")?;
    let become_user =
        |uid| set_thread_res_uid(Uid::ROOT, uid, Uid::ROOT).context(|| "change the user");
    if ids.is_some() {
        become_user(uid)?;
    }
    let permitted = capabilities::lower_effective(process.capabilities.bounding)?;
    let user = match &process.user {
        Identity::Named(user) => {
            user::look_up(root, user.name.as_deref().unwrap_or("0"), &user.groups)
        }
        Identity::Numbers { uid, gid, groups } => {
            let last = process.env.iter().rev().find(|pair| name_of(pair) == "HOME");
            let home = match last {
                Some(pair) if pair != "HOME=" => String::new(),
                _ => user::home(root, *uid),
            };
            Ok(User { uid: *uid, gid: *gid, groups: groups.clone(), home })
        }
    };
    match ids {
        // The change to UID 0 makes the whole permitted set effective again (capabilities(7)). The
        // group is set when the process enters the user namespace.
        Some(_) => become_user(Uid::ROOT)?,
        None => capabilities::set(permitted, permitted)?,
    }
    user
}

/// Makes the kernel kill this process if its parent ends (PR_SET_PDEATHSIG, prctl(2)). Must be
/// called after the change of user, which clears this setting. If the parent has ended before the
/// call, the kernel sends no signal. Then the parent's end of the socket is closed, and this
/// function fails.
fn die_with_parent(parent: BorrowedFd<'_>) -> Result<()> {
    set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context(|| "request a signal for the monitor's death")?;
    if sys::packet::is_closed(parent) {
        fail!("the monitor is gone");
    }
    Ok(())
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(raw::decode(text)).map_err(|_| Error::new(format!("'{text}' holds a zero byte")))
}

fn vectors(process: &Process, home: &str) -> Result<sys::exec::Vectors> {
    let args = process.args.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>>>()?;
    // As in runc, the last of several values of a variable counts, and an empty HOME counts as
    // missing.
    let mut later = BTreeSet::new();
    let mut given: Vec<&String> = process.env.iter().rev().collect();
    given.retain(|pair| later.insert(name_of(pair)) && *pair != "HOME=");
    given.reverse();
    let mut env = given.iter().map(|pair| c_string(pair)).collect::<Result<Vec<_>>>()?;
    // sd_listen_fds(3) compares this variable with the program's own PID. `oci` leaves the value
    // empty, because only this process knows the PID.
    if let Some(pair) = env.iter_mut().find(|pair| pair.as_c_str() == c"LISTEN_PID=") {
        let own = rustix::process::getpid().as_raw_nonzero();
        *pair = c_string(&format!("LISTEN_PID={own}"))?;
    }
    let has = |name: &str| given.iter().any(|pair| name_of(pair) == name);
    if process.completes_env && !has("PATH") {
        env.push(c_string(&format!("PATH={DEFAULT_PATH}"))?);
    }
    if !has("HOME") {
        env.push(c_string(&format!("HOME={home}"))?);
    }
    if process.completes_env && process.terminal && !has("TERM") {
        env.push(c_string("TERM=xterm")?);
    }
    Ok(sys::exec::Vectors::new(args, env))
}

fn name_of(pair: &str) -> &str {
    pair.split('=').next().unwrap_or(pair)
}

fn search_path(process: &Process) -> String {
    let path = process.env.iter().rev().find_map(|pair| pair.strip_prefix("PATH="));
    path.unwrap_or(DEFAULT_PATH).to_owned()
}

/// The user's ID on the host. Fails if the user or a group is outside the container's user
/// namespace.
fn host_uid(entry: &Entry<'_>, user: &User) -> Result<u32> {
    let Some(UserNamespace { ids, .. }) = &entry.user_namespace else { return Ok(user.uid) };
    let outside = user.groups.iter().chain([&user.gid]).find(|gid| ids.host_gid(**gid).is_none());
    match (ids.host_uid(user.uid), outside) {
        (Some(uid), None) => Ok(uid),
        (None, _) => {
            fail!("user {} is beyond the container's user namespace{}", user.uid, hint(&ids.uids))
        }
        (_, Some(gid)) => {
            fail!("group {gid} is beyond the container's user namespace{}", hint(&ids.gids))
        }
    }
}

/// The hint that an error shows for an ID that is not mapped.
fn hint(ranges: &[IdRange]) -> String {
    match ranges {
        [IdRange { inside: 0, size, .. }] => format!(
            ", which has 0 to {}; give the namespace a larger range",
            size.saturating_sub(1)
        ),
        _ => String::new(),
    }
}

/// Makes the user the owner of pipes and terminals among the descriptors 0 to 2, so that the
/// program can open /dev/stdout again. Other files, such as /dev/null, keep their owner. For the
/// host's UID 0, changes nothing.
fn own_stdio(uid: u32) -> Result<()> {
    if uid == 0 {
        return Ok(());
    }
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let stat = fstat(fd).context(|| "stat the standard streams")?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let terminal = rustix::termios::isatty(fd);
        if kind == FileType::Fifo || terminal {
            fchown(fd, Some(Uid::from_raw(uid)), None)
                .context(|| "give the standard streams to the user")?;
        }
    }
    Ok(())
}

fn set_oom_score(process: &Process) -> Result<()> {
    let Some(score) = process.limits.oom_score_adj else { return Ok(()) };
    let proc = label::private_proc()?;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    openat(&proc, "self/oom_score_adj", flags, Mode::empty())
        .and_then(|file| rustix::io::write(&file, score.to_string().as_bytes()))
        .map(drop)
        .context(|| format!("set the OOM score adjustment to {score}"))
}

/// Sets the scheduling of this process. A higher priority than the default needs CAP_SYS_NICE on
/// the host.
fn set_scheduling(scheduling: &Scheduling) -> Result<()> {
    let Scheduling { scheduler, io_priority, memory_policy, personality, cpus, .. } = scheduling;
    // Set the CPUs before the policy, because the kernel refuses to restrict the CPUs of a
    // SCHED_DEADLINE task.
    set_cpus(cpus.as_deref())?;
    if let Some(scheduler) = scheduler {
        sys::schedule::set_scheduler(None, scheduler).context(|| "set process.scheduler")?;
    }
    if let Some((class, level)) = io_priority {
        sys::schedule::set_io_priority(*class, *level)
            .context(|| format!("set process.ioPriority to level {level} of class {class}"))?;
    }
    if let Some((mode, nodes)) = memory_policy {
        sys::schedule::set_memory_policy(*mode, nodes).context(|| "set linux.memoryPolicy")?;
    }
    if let Some(domain) = personality {
        sys::schedule::set_personality(*domain).context(|| "set linux.personality")?;
    }
    Ok(())
}

/// Restricts the calling thread to these CPUs (sched_setaffinity(2)); `None` changes nothing. Fails
/// with EINVAL if none of the CPUs exists.
pub fn set_cpus(cpus: Option<&[u32]>) -> Result<()> {
    let Some(cpus) = cpus else { return Ok(()) };
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu as usize));
    let set_affinity = sched_setaffinity(None, &set);
    set_affinity
        .traced("sched_setaffinity", || format!("affinity: {}", mask_of(cpus)))
        .context(|| format!("run on the CPUs {cpus:?}"))
}

/// The CPUs as a hexadecimal mask with bit N for CPU N.
fn mask_of(cpus: &[u32]) -> String {
    let digits = cpus.iter().max().map_or(1, |last| last / 4 + 1);
    let bit = |at: u32, bit: u32| u32::from(cpus.contains(&(at * 4 + bit))) << bit;
    let digit = |at| format!("{:x}", (0..4).fold(0, |digit, place| digit | bit(at, place)));
    format!("0x{}", (0..digits).rev().map(digit).collect::<String>())
}

fn set_rlimits(process: &Process) -> Result<()> {
    for limit in &process.limits.rlimits {
        let known = RESOURCES.into_iter().find(|(name, _)| *name == limit.name);
        let Some((_, resource)) = known else {
            fail!("no resource limit is called '{}'", limit.name)
        };
        let value = |value: u64| (value != u64::MAX).then_some(value);
        setrlimit(resource, Rlimit { current: value(limit.soft), maximum: value(limit.hard) })
            .traced("setrlimit", || format!("{}={}:{}", limit.name, limit.soft, limit.hard))
            .context(|| format!("set ulimit {}={}:{}", limit.name, limit.soft, limit.hard))?;
    }
    Ok(())
}

/// The names of the resource limits: those of setrlimit(2) in lower case and without `RLIMIT_`.
pub fn rlimits() -> [&'static str; RESOURCES.len()] {
    RESOURCES.map(|(name, _)| name)
}

const RESOURCES: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// Creates the working directory below `root` if it is missing, as Docker does for an image's
/// WORKDIR. A read-only root is no error. Fails if a file stands in the way.
pub fn make_working_directory(root: BorrowedFd<'_>, cwd: &str) -> Result<()> {
    match beneath::make_dirs(root, &raw::path(cwd), Mode::from_raw_mode(0o755)) {
        // On a read-only root, `change_directory` reports the missing directory.
        Ok(_) | Err(Errno::ROFS) => Ok(()),
        Err(error) => Err(error).context(|| format!("make working directory {cwd}")),
    }
}

/// Changes to the working directory. Fails with exit status 126, for example with ELOOP on a magic
/// link: `/proc/self/fd/N` could lead out of the container (CVE-2024-21626).
fn change_directory(root: BorrowedFd<'_>, cwd: &str) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    beneath::open(root, &raw::path(cwd), flags, Mode::empty())
        .and_then(fchdir)
        .context(|| format!("change to working directory {cwd}"))
        .map_err(|error| error.exit_with(EXIT_NOT_EXECUTABLE))
}

impl Program<'_> {
    fn check(&self) -> Result<()> {
        // An OCI container may be created without a program. Then only `start` fails.
        let Some(program) = self.args.first() else { return Ok(()) };
        let look = |path: &str| access(raw::path(path).as_ref(), Access::EXEC_OK);
        if program.contains('/') {
            return look(program).map_err(|errno| exec_failure(program, errno));
        }
        let mut errors = self.candidates(program).map(|path| look(&path));
        // If the file exists but may not be executed, execve(2) will report the reason.
        if errors.any(|found| !matches!(found, Err(Errno::NOENT | Errno::NOTDIR))) {
            Ok(())
        } else {
            Err(not_found(program, &self.path))
        }
    }

    /// The paths at which PATH may have `program`; none if the name is empty. As for execvp(3), an
    /// empty element of PATH is the working directory.
    fn candidates(&self, program: &str) -> impl Iterator<Item = String> {
        let directories = self.path.split(':').filter(|_| !program.is_empty());
        directories.map(move |directory| match directory {
            "" => format!("./{program}"),
            _ => format!("{directory}/{program}"),
        })
    }

    /// Executes the program. Searches a name without a slash in PATH, as execvp(3) does. Returns
    /// only if no execution succeeds: with the exit status 125 if there is no program to execute,
    /// 127 if the program or its interpreter does not exist, otherwise 126.
    pub fn exec(&self) -> Result<Infallible> {
        let Program { args, path, vectors } = self;
        let Some(program) = args.first() else { fail!("no command to run") };
        if program.contains('/') {
            let Err(errno) = sys::exec::execve(&c_string(program)?, vectors);
            return Err(match errno {
                Errno::NOENT if self.lacks_interpreter(program) => no_interpreter(program),
                errno => exec_failure(program, errno),
            });
        }
        let mut denied = None;
        for candidate in self.candidates(program) {
            match sys::exec::execve(&c_string(&candidate)?, vectors) {
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(Errno::ACCESS) => denied = Some(Errno::ACCESS),
                Err(errno) => return Err(exec_failure(program, errno)),
            }
        }
        Err(match denied {
            Some(errno) => exec_failure(program, errno),
            None => match self.candidates(program).find(|path| self.lacks_interpreter(path)) {
                Some(path) => no_interpreter(&path),
                None => not_found(program, path),
            },
        })
    }

    /// Whether the file at `path` exists although execve(2) fails with ENOENT. If so, the file's
    /// interpreter does not exist. If the file exists, execve(2) of `path/.` fails with ENOTDIR.
    /// This check calls only execve(2), because a seccomp profile may kill the process at any other
    /// call.
    fn lacks_interpreter(&self, path: &str) -> bool {
        let fails_with = |path: &str, errno| {
            c_string(path).is_ok_and(|path| {
                matches!(sys::exec::execve(&path, &self.vectors), Err(error) if error == errno)
            })
        };
        fails_with(path, Errno::NOENT) && fails_with(&format!("{path}/."), Errno::NOTDIR)
    }
}

fn no_interpreter(path: &str) -> Error {
    let message = format!(
        "exec '{path}' in the container: its dynamic loader, or the program after #!, does not exist \
         there; add that file, or use a static program"
    );
    Error::new(message).exit_with(EXIT_NOT_FOUND)
}

fn not_found(program: &str, path: &str) -> Error {
    let message = format!("exec: '{program}' not found in the container's PATH ({path})");
    Error::not_in_path(message)
}

fn exec_failure(program: &str, errno: Errno) -> Error {
    let code = match errno {
        Errno::NOENT | Errno::NOTDIR => EXIT_NOT_FOUND,
        _ => EXIT_NOT_EXECUTABLE,
    };
    let failed: Result<()> = Err(errno).context(|| format!("exec '{program}' in the container"));
    // `failed` is always an error.
    failed.unwrap_err().exit_with(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_end_of_the_parent_is_an_error() {
        // PR_SET_PDEATHSIG applies only to the calling thread, so use a thread that ends.
        std::thread::spawn(|| {
            let (ours, theirs) = sys::packet::pair().unwrap();
            die_with_parent(ours.as_fd()).unwrap();
            drop(theirs);
            assert!(die_with_parent(ours.as_fd()).is_err());
        })
        .join()
        .unwrap();
    }
}
