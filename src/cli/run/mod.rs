//! The commands `run` and `create`. `RunArgs` holds the flags as typed; `resolve` checks the flags
//! together and makes the engine's options. `run` pulls a missing image, creates the container,
//! starts it, and stays attached unless `-d` is given. `create` does not start the container.
//! `flags` has the table of flags; `engine::create` and `engine::start` do the work.

mod flags;

use super::flag::{Command, Flag, Group, MANY, Operand, spec};
#[cfg(feature = "compose")]
use super::flag::{Placed, set_all};
use super::lifecycle::detached_by;
use super::network::warn;
use super::output::{print_error, print_line};
use super::parse::missing;
use super::progress::Progress;
use super::value::mount::check_distinct;
use super::{EXIT_FAILURE, Failure, Invocation, Outcome};
use crate::engine::Engine;
use crate::engine::options::{
    AttachOptions, Attached, CreateOptions, ImageName, MountKind, MountOption, NetworkMode,
    Platform,
};
use crate::engine::registry::{LocalImage, PullRequest};
use crate::error::{Error, Result, fail};

use flags::{FLAGS, RUN_ONLY};

/// `--pull`: when to pull the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    Always,
    #[default]
    Missing,
    Never,
}

/// The flags as typed.
#[derive(Default)]
pub struct RunArgs {
    /// The options that single flags set. `options.env` has only the variables of the env files,
    /// until `resolve` appends those of `-e`.
    options: CreateOptions,
    /// The values of `-e`. They override every env file, wherever `-e` stands on the command line.
    env: Vec<String>,
    /// The value of `--swap`: bytes in addition to the memory.
    swap: Option<u64>,
    quiet: bool,
    pull: Pull,
    detach: bool,
    debug: bool,
    no_sig_proxy: bool,
    detach_keys: Option<Vec<u8>>,
    wants_api_socket: bool,
}

static CREATE_FLAGS: &[Flag<RunArgs>] = FLAGS.split_at(RUN_ONLY).1;

/// The command `run`.
pub static RUN: Command = Command {
    name: "run",
    group: Group::Run,
    usage: "[FLAGS] IMAGE [COMMAND [ARG…]]",
    summary: "Create a container from an image and run a command in it",
    examples: &[
        "mydocker run hello",
        "mydocker run --rm -it busybox sh",
        "mydocker run -d --name web -m 256m --cpus 0.5 -v ./site:/srv:ro nginx",
        "mydocker run --rm --rootfs ./rootfs /bin/ls /",
    ],
    operand: Operand::Image,
    operands: (0, MANY),
    trailing: true,
    flags: |at| spec(FLAGS, at),
    run,
};

/// The command `create`.
pub static CREATE: Command = Command {
    name: "create",
    group: Group::Run,
    usage: "[FLAGS] IMAGE [COMMAND [ARG…]]",
    summary: "Create a container without starting it",
    examples: &["mydocker start -a $(mydocker create busybox date)"],
    operand: Operand::Image,
    operands: (0, MANY),
    trailing: true,
    flags: |at| spec(CREATE_FLAGS, at),
    run: create,
};

fn run(call: &Invocation) -> Outcome {
    let (args, operands) = call.parse(FLAGS)?;
    let (detach, no_sig_proxy) = (args.detach, args.no_sig_proxy);
    if args.debug {
        Engine::trace(false);
    }
    if detach && args.options.streams.attached != Attached::default() {
        let error = Error::new("-a and -d contradict each other").exit_with(EXIT_FAILURE);
        return Err(Failure::Usage(error));
    }
    let keys = args.detach_keys.clone();
    let pull = args.pull;
    let has_variables = !args.env.is_empty();
    let mut options = lower(call, args, operands)?;
    options.streams.keeps_stdin = detach && options.streams.interactive;
    if has_variables {
        Engine::hide_variables();
    }
    Engine::need_terminal(options.streams.interactive && options.streams.tty && !detach)?;
    let engine = call.engine()?;
    bring_image_of(&engine, &options, pull)?;
    if options.networks.iter().all(|given| matches!(given.network, NetworkMode::Network(_))) {
        warn(&engine);
    }
    if detach {
        let id = engine.run_detached(&options)?;
        print_line(&id)?;
        return Ok(0);
    }
    let Attached { stdin, stdout, stderr } = options.streams.attached;
    let attach = AttachOptions {
        stdin: options.streams.interactive && stdin,
        stdout,
        stderr,
        sig_proxy: !no_sig_proxy,
        ..detached_by(keys)
    };
    let input_alone = !attach.stdout && !attach.stderr;
    // As in Docker, `-a stdin` without another `-a` prints the id, so that the user can find the
    // container's output.
    let made = |id: &str| if input_alone { print_line(id) } else { Ok(()) };
    Ok(engine.run_attached(&options, &attach, &made)?)
}

fn create(call: &Invocation) -> Outcome {
    let (args, operands) = call.parse(CREATE_FLAGS)?;
    let pull = args.pull;
    let options = lower(call, args, operands)?;
    let engine = call.engine()?;
    bring_image_of(&engine, &options, pull)?;
    print_line(&engine.create(&options)?)?;
    Ok(0)
}

fn bring_image_of(engine: &Engine, options: &CreateOptions, pull: Pull) -> Result<()> {
    match &options.image {
        Some(image) => bring_image(engine, image, pull, options.platform.as_ref(), options.quiet),
        None => Ok(()),
    }
}

/// Pulls the image if `pull` requires a pull. Progress goes to stderr. Fails for example if the
/// pull fails, or if the name to pull is an id, which no registry knows. If the local image is for
/// another platform, also fails if the right image cannot be pulled, or if `pull` is `Never`.
pub fn bring_image(
    engine: &Engine,
    name: &ImageName,
    pull: Pull,
    platform: Option<&Platform>,
    quiet: bool,
) -> Result<()> {
    let notice = match (pull, engine.has_image(name, platform)?) {
        (Pull::Always, _) => None,
        (_, LocalImage::Present) | (Pull::Never, LocalImage::Absent) => return Ok(()),
        (Pull::Missing, LocalImage::Absent) => {
            Some(format!("Unable to find image '{name}' locally\n"))
        }
        (Pull::Missing, LocalImage::OtherPlatform { reason, can_pull: true }) => {
            Some(format!("Unable to find image '{name}' locally: {reason}\n"))
        }
        // Never run an image for another platform than the requested one.
        (_, LocalImage::OtherPlatform { reason, .. }) => fail!("{reason}"),
    };
    if let Some(notice) = notice.filter(|_| !quiet) {
        print_error(&notice);
    }
    let progress = Progress::on_stderr(quiet);
    let Some(reference) = name.reference() else { fail!("no such image: {name}") };
    let request = PullRequest { platform: platform.cloned(), ..PullRequest::of(reference.clone()) };
    engine.pull_apart(&request, &|event| progress.note(event))
}

/// Why the settings of a compose file make no container.
#[cfg(feature = "compose")]
pub enum Unfit {
    /// The value of one setting is invalid. The error names its place in the file.
    Setting(Error),
    /// Settings contradict each other, or a memory limit is too small.
    Together(Error),
}

/// Returns the options that these flags of `run` set. A compose file gives the flags.
#[cfg(feature = "compose")]
pub fn options_of(settings: &mut dyn Iterator<Item = Placed<'_>>) -> Result<CreateOptions, Unfit> {
    let mut args = RunArgs::default();
    set_all(FLAGS, &mut args, settings).map_err(Unfit::Setting)?;
    let options = resolve(args, None, Vec::new()).map_err(Unfit::Together)?;
    // Check the limits, but not against this machine: the file may be meant for another machine.
    Engine::check_limits(&options.resources).map_err(Unfit::Together)?;
    Ok(options)
}

fn lower(
    call: &Invocation,
    args: RunArgs,
    operands: Vec<String>,
) -> Result<CreateOptions, Failure> {
    if operands.is_empty() && args.options.rootfs.is_none() {
        return Err(Failure::Usage(missing(call.command, 0)));
    }
    let (image, command) = split(&args, operands)?;
    let options = resolve(args, image, command).map_err(|error| {
        if error.is_daemon() { Failure::Engine(error) } else { Failure::Usage(error) }
    })?;
    // Report a mistake before the pull of a large image.
    Engine::check_options(&options)?;
    Ok(options)
}

/// Splits the operands into the image and the command. With `--rootfs` there is no image.
fn split(args: &RunArgs, mut operands: Vec<String>) -> Result<(Option<ImageName>, Vec<String>)> {
    if args.options.rootfs.is_some() {
        return Ok((None, operands));
    }
    let image = operands.remove(0).parse()?;
    Ok((Some(image), operands))
}

/// Turns the typed flags into the engine's options. Fails if the flags do not fit together, or if
/// `--use-api-socket` was given.
fn resolve(args: RunArgs, image: Option<ImageName>, command: Vec<String>) -> Result<CreateOptions> {
    let mut options = args.options;
    options.image = image;
    options.command = command;
    options.env.extend(args.env);
    options.quiet = args.quiet;
    let streams = &mut options.streams;
    if !args.detach && streams.attached == Attached::default() {
        streams.attached = Attached { stdin: streams.interactive, stdout: true, stderr: true };
    }
    // The same mount twice counts once, as the same `-v` twice does in Docker.
    let given = std::mem::take(&mut options.mounts);
    let by_tmpfs = |mount: &MountOption| mount.kind == MountKind::Tmpfs && mount.given.is_some();
    for mount in given {
        // As in Docker, the last `--tmpfs` of a target counts.
        if by_tmpfs(&mount) {
            options.mounts.retain(|other| !by_tmpfs(other) || other.target != mount.target);
        }
        if !options.mounts.contains(&mount) {
            options.mounts.push(mount);
        }
    }
    check_distinct(&options.mounts)?;
    if args.wants_api_socket {
        fail!("--use-api-socket: mydocker has no daemon and so no socket");
    }
    let is_of_syslog = |(key, _): &&(String, String)| key.starts_with("syslog-");
    if let Some((key, _)) = options.log.given.iter().find(is_of_syslog)
        && options.log.driver.as_deref() != Some("syslog")
    {
        fail!("--log-opt {key} needs --log-driver syslog");
    }
    let log_option = |name: &str| {
        options.log.given.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    };
    if log_option("max-buffer-size").is_some() && log_option("mode") != Some("non-blocking") {
        let words = "--log-opt max-buffer-size needs --log-opt mode=non-blocking";
        return Err(Error::new(words).of_daemon());
    }
    if options.log.disabled && !options.log.given.is_empty() {
        fail!("--log-driver none can't go with --log-opt");
    }
    let health = &options.health;
    if health.disabled && (health.check != Default::default() || health.on_failure.acts()) {
        fail!("--no-healthcheck can't go with other --health flags");
    }

    let resources = &mut options.resources;
    if let Some(swap) = args.swap {
        let Some(memory) = resources.memory else {
            fail!("--swap needs --mem: it is swap on top of the memory");
        };
        let Some(both) = memory.checked_add_unsigned(swap) else {
            fail!("--swap and the memory together are too large");
        };
        resources.memory_swap = Some(both);
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;
    use crate::engine::options::{EndpointOption, MountKind, NamespaceMode};

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn typed(line: &str) -> Result<(RunArgs, Vec<String>), String> {
        let mut args = RunArgs::default();
        match parse(&RUN, FLAGS, &mut args, &words(line)) {
            Ok(operands) => Ok((args, operands)),
            Err(Failure::Usage(error) | Failure::Engine(error)) => Err(error.to_string()),
            Err(Failure::Help) => Err("help".to_owned()),
        }
    }

    fn options(line: &str) -> Result<CreateOptions, String> {
        let (args, operands) = typed(line)?;
        let (image, command) = split(&args, operands).map_err(|error| error.to_string())?;
        resolve(args, image, command).map_err(|error| error.to_string())
    }

    #[test]
    fn every_flag_of_the_first_release_is_there() {
        let flags = RUN.specs();
        for long in "interactive tty detach name rm env env-file volume mount tmpfs workdir user \
            hostname entrypoint read-only init stop-signal stop-timeout label cidfile ulimit sysctl \
            shm-size add-host dns dns-search net pid ipc uts cgroup-parent memory memory-swap \
            memory-reservation cpus cpu-shares cpu-quota cpu-period cpuset-cpus cpuset-mems \
            pids-limit blkio-weight oom-score-adj device rootfs log-driver log-opt privileged \
            cap-add cap-drop security-opt device-cgroup-rule userns \
            sig-proxy detach-keys publish quiet mem swap it"
            .split_whitespace()
        {
            assert!(flags.iter().any(|flag| flag.long == long), "--{long}");
        }
        for also in "--network -net -name -mem -cpu -cpushare -cpuset --pids --v --p --ti --d --e"
            .split_whitespace()
        {
            assert!(flags.iter().any(|flag| flag.also.contains(&also)), "{also}");
        }
    }

    #[test]
    fn create_has_no_flags_of_the_foreground() {
        let longs: Vec<&str> = CREATE.specs().iter().map(|flag| flag.long).collect();
        for long in ["detach", "sig-proxy", "detach-keys"] {
            assert!(!longs.contains(&long), "{long}");
        }
        assert!(longs.contains(&"it"));
    }

    #[test]
    fn switches_and_short_letters() {
        let (args, operands) = typed("-dit --name web -h box -w /x -u 1:2 img sh -c x").unwrap();
        assert!(args.detach && args.options.streams.interactive && args.options.streams.tty);
        assert_eq!(args.options.hostname.as_deref(), Some("box"));
        assert_eq!(operands, ["img", "sh", "-c", "x"]);
        let (args, _) = typed("--d --ti img").unwrap();
        assert!(args.detach && args.options.streams.interactive && args.options.streams.tty);
        assert!(
            !typed("--it --sig-proxy=false img").unwrap().0.options.command.contains(&"x".into())
        );
        assert!(typed("--sig-proxy=false img").unwrap().0.no_sig_proxy);
    }

    #[test]
    fn the_tutorial_engines_spellings() {
        let o =
            options("-net none -name web -mem 100m -cpu 50 -cpushare 512 -cpuset 0 img").unwrap();
        assert_eq!(o.networks, [EndpointOption::new(NetworkMode::None)]);
        assert_eq!(o.name.as_deref(), Some("web"));
        assert_eq!(o.resources.memory, Some(100 << 20));
        assert_eq!(o.resources.nano_cpus, Some(500_000_000));
        assert_eq!(o.resources.cpu_shares, Some(512));
        assert_eq!(o.resources.cpuset_cpus.as_deref(), Some("0"));
        let o = options("--mem=64 --swap=32 --pids=20 --cpus=0.5 --v /a:/b --e A=1 --p 80:80 img")
            .unwrap();
        assert_eq!(o.resources.memory, Some(64 << 20));
        assert_eq!(o.resources.memory_swap, Some(96 << 20));
        assert_eq!(o.resources.pids, Some(20));
        assert_eq!(o.mounts.len(), 1);
        assert_eq!((o.env, o.publish), (vec!["A=1".to_owned()], vec!["80:80".parse().unwrap()]));
        assert_eq!(options("-m 100 img").unwrap().resources.memory, Some(100));
    }

    #[test]
    fn limits() {
        let o = options(
            "-m 64m --memory-swap -1 --memory-reservation 32m --cpu-quota 50000 --cpu-period 100000 \
             --cpuset-mems 0 --pids-limit -1 --blkio-weight 500 --oom-score-adj -5 --shm-size 1g img",
        )
        .unwrap();
        assert_eq!(o.resources.memory_swap, Some(-1));
        assert_eq!(o.resources.memory_reservation, Some(32 << 20));
        assert_eq!((o.resources.cpu_quota, o.resources.cpu_period), (Some(50_000), Some(100_000)));
        assert_eq!((o.resources.pids, o.resources.blkio_weight), (Some(-1), Some(500)));
        assert_eq!((o.limits.oom_score_adj, o.shm_size), (Some(-5), Some(1 << 30)));
        assert_eq!(
            options("-m 0 --cpus 0 --cpu-shares 0 img").unwrap().resources,
            Default::default()
        );
    }

    #[test]
    fn flags_that_contradict_each_other() {
        for (line, part) in [
            ("--swap 10 img", "needs --mem"),
            ("-v /a:/x --tmpfs /x img", "two mounts on '/x'"),
            ("--cpuset-cpus 0-4294967295 img", "--cpuset-cpus: bad list"),
            ("-m 1x img", "-m: bad size '1x'"),
            ("--oom-score-adj 2000 img", "from -1000 to 1000"),
            ("--blkio-weight 5 img", "from 10 to 1000"),
            ("--name .a img", "--name: bad container name '.a'"),
            ("--log-driver fluentd img", "unknown log driver"),
            ("--log-opt syslog-facility=mail img", "needs --log-driver syslog"),
        ] {
            let error = options(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn variables_override_env_files_wherever_they_stand() {
        let file = std::env::temp_dir().join(format!("mydocker-env-{}", std::process::id()));
        std::fs::write(&file, "A=file\nB=file\n").unwrap();
        let o = options(&format!("-e A=flag --env-file {} img", file.display())).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(o.env, ["A=file", "B=file", "A=flag"]);
        assert!(options("--env-file /no/such/file img").unwrap_err().contains("/no/such/file"));
    }

    #[test]
    fn each_other_flag_sets_its_option() {
        let o = options(
            "--rm --init --read-only --privileged --entrypoint /x --stop-signal HUP --stop-timeout 3 \
             -l a=b --cidfile /tmp/c --ulimit nofile=1 --ulimit nofile=2 --sysctl net.a=1 \
             --add-host db:1.2.3.4 --dns 1.1.1.1 --dns-search lan --network host --pid host \
             --ipc container:x --uts host --cgroup-parent /p --device /dev/fuse --log-opt max-file=2 \
             --mount type=bind,src=/a,dst=/b --user= img",
        )
        .unwrap();
        assert!(o.lifecycle.remove && o.system.init && o.system.read_only && o.privileged);
        let signal = o.stop_signal.map(|signal| signal.to_string());
        assert_eq!((o.entrypoint.as_deref(), signal.as_deref()), (Some("/x"), Some("HUP")));
        assert_eq!(
            (o.lifecycle.stop_timeout, o.limits.rlimits.len(), o.limits.rlimits[0].soft),
            (Some(3), 1, 2)
        );
        assert_eq!(
            (o.namespaces.pid, o.namespaces.uts),
            (NamespaceMode::Host, NamespaceMode::Host)
        );
        assert_eq!(o.namespaces.ipc, NamespaceMode::Container("x".into()));
        assert_eq!(o.networks, [EndpointOption::new(NetworkMode::Host)]);
        assert_eq!(o.resolver.search, ["lan"]);
        assert_eq!((o.mounts[0].kind, o.log.max_file), (MountKind::Bind, 2));
    }

    #[test]
    fn a_root_directory_needs_no_image() {
        let o = options("--rootfs /r ls -l").unwrap();
        assert_eq!((o.image, o.command), (None, words("ls -l")));
        assert!(options("--rootfs /r").unwrap().command.is_empty());
    }
}
