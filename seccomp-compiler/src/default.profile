# The default system call filter, compiled to BPF when mydocker is built.
#
# An unindented line starts a group: an action and its conditions. The indented names below it are
# the calls to which it applies. The first group that names a call and whose conditions hold
# decides. A call of syscalls.tbl that no group decides fails with EPERM. A call that syscalls.tbl
# lacks fails with ENOSYS, so that libraries fall back to an older call.
#
#   allow | EPERM | EINVAL | ENOSYS       the action: allow the call, or fail with this error
#   with CAP [CAP…]                       the container has one of these capabilities
#   if ARG is N [N…]                      the argument, arg0 to arg5, is one of these numbers
#   if ARG & MASK is N                    the argument's bits in MASK are N
#   … and ARG …                           a further condition on an argument
#
# Only the low 32 bits of arguments are compared. All arguments that are named here are ints: the
# kernel ignores their upper half, so a program could evade a comparison of 64 bits by setting it.

# Files, memory, time, processes, sockets: the calls of ordinary programs.
allow
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32
    clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2
    dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
    epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat
    fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64
    fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64
    futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd
    getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32
    getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid
    getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid
    gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch io_cancel io_destroy io_getevents io_setup io_submit ioctl ioprio_get
    ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown
    lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek
    lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create
    memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
    mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall
    munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open
    pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl
    pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6
    pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv
    recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename
    renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
    rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
    sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select
    semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg
    sendto set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32
    setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32
    setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt
    setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd
    signalfd4 sigprocmask sigreturn socketpair splice stat stat64 statfs statfs64 statmount statx
    symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
    truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64
    utimes vfork wait4 waitid waitpid write writev

# Not allowed, although other engines allow some of them: the operations of io_uring_* bypass every
# filter, and io_uring has had many exploitable bugs. vmsplice and io_pgetevents have few users, and
# Podman denies both.

# Calls that only one architecture has.
allow
    arch_prctl modify_ldt
    arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls

# AF_ALG (38) opens much of the kernel's crypto code to programs (CVE-2026-31431). AF_VSOCK (40)
# reaches the hypervisor from every network namespace.
EPERM if arg0 is 38 40
    socket
allow with AUDIT_WRITE
    socket
# NETLINK_AUDIT (9) of AF_NETLINK (16): libaudit takes EINVAL for "this kernel has no audit".
EINVAL if arg0 is 16 and arg2 is 9
    socket
allow
    socket

# socketcall, i386's multiplexer, passes the address family behind a pointer, which a filter can't
# read. Deny it for SYS_SOCKET (1), because it would bypass the groups above. i386 has had socket(2)
# since Linux 4.3.
ENOSYS if arg0 is 1
    socketcall
allow
    socketcall

# A new namespace gives capabilities over much kernel code (CVE-2022-0185), so CLONE_NEW* flags need
# SYS_ADMIN. clone3 passes its flags behind a pointer: with ENOSYS, libraries fall back to clone.
allow with SYS_ADMIN
    bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
    lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree open_tree_attr
    perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2
    unshare
allow if arg0 & 0x7e020000 is 0
    clone
ENOSYS
    clone3

# PER_LINUX, PER_LINUX32, and each with UNAME26. 0xffffffff only reads the present personality.
allow if arg0 is 0 8 0x20000 0x20008 0xffffffff
    personality

# Calls that a single capability allows.
allow with BPF
    bpf
allow with DAC_READ_SEARCH
    open_by_handle_at
allow with PERFMON
    perf_event_open
allow with SYSLOG
    syslog
allow with SYS_BOOT
    reboot
allow with SYS_CHROOT
    chroot
allow with SYS_MODULE
    delete_module finit_module init_module
allow with SYS_NICE
    get_mempolicy mbind set_mempolicy set_mempolicy_home_node
allow with SYS_PACCT
    acct
allow with SYS_PTRACE
    kcmp pidfd_getfd process_madvise
allow with SYS_RAWIO
    ioperm iopl
allow with SYS_TIME
    clock_settime clock_settime64 settimeofday stime
allow with SYS_TTY_CONFIG
    vhangup

# Calls that are too new for programs to depend on.
ENOSYS
    file_getattr file_setattr
