//! Applies `--change` of `import` and `commit`: Dockerfile instructions that change an image's
//! config (Dockerfile reference: CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL STOPSIGNAL USER VOLUME
//! WORKDIR). Each `--change` is one instruction. JSON lists, quotes and variables are parsed by
//! Docker's rules. Instructions that build (RUN, COPY, ONBUILD …) are refused.

use miniserde::json;

use super::config::ContainerConfig;
use crate::error::{Context, Error, Result, fail};
use crate::healthcheck::{Healthcheck, parse_retries, parse_span};
use crate::sys::signal::Signal;
use crate::words::{Expander, split_pairs};

const ESCAPE: char = '\\';
/// The most ports in one range.
const MAX_PORTS: u16 = 1024;

/// Applies `changes`, one instruction each, in their order. Fails on an instruction that is
/// unknown, that builds, or that has a bad argument.
pub fn apply(config: &mut ContainerConfig, changes: &[String]) -> Result<()> {
    let mut has_command = false;
    for change in changes {
        let change = change.trim();
        let (keyword, rest) = change.split_once(char::is_whitespace).unwrap_or((change, ""));
        let keyword = keyword.to_ascii_uppercase();
        one(config, &keyword, rest.trim(), has_command)
            .context(|| format!("--change '{change}'"))?;
        has_command |= keyword == "CMD";
    }
    Ok(())
}

fn one(config: &mut ContainerConfig, keyword: &str, rest: &str, has_command: bool) -> Result<()> {
    if rest.is_empty() && matches!(keyword, "ENV" | "EXPOSE" | "LABEL" | "VOLUME" | "WORKDIR") {
        fail!("{keyword} needs an argument");
    }
    match keyword {
        "CMD" => config.cmd = Some(command(rest, config)),
        "ENTRYPOINT" => {
            config.entrypoint = Some(command(rest, config)).filter(|words| !words.is_empty());
            // As in Docker, a new entrypoint drops the old command, but not a command that an
            // earlier change has set.
            if !has_command {
                config.cmd = None;
            }
        }
        "ENV" => {
            for (name, value) in pairs(rest, &config.env)? {
                config.env.retain(|known| known.split('=').next() != Some(&name));
                config.env.push(format!("{name}={value}"));
            }
        }
        "LABEL" => {
            for (key, value) in pairs(rest, &config.env)? {
                config.labels.retain(|(known, _)| *known != key);
                config.labels.push((key, value));
            }
        }
        "EXPOSE" => {
            for word in words(rest, &config.env)? {
                for port in ports(&word)? {
                    push_new(&mut config.exposed_ports, port);
                }
            }
        }
        "HEALTHCHECK" => config.healthcheck = Some(healthcheck(rest)?),
        "VOLUME" => {
            let paths =
                if rest.starts_with('[') { json_words(rest)? } else { words(rest, &config.env)? };
            for path in paths {
                if path.is_empty() {
                    fail!("an empty path");
                }
                push_new(&mut config.volumes, path);
            }
        }
        "STOPSIGNAL" => {
            let signal = one_word(keyword, rest, &config.env)?;
            if Signal::parse(&signal).is_none() {
                fail!("'{signal}' is no signal");
            }
            config.stop_signal = Some(signal);
        }
        "USER" => config.user = one_word(keyword, rest, &config.env)?,
        "WORKDIR" => {
            let path = words(rest, &config.env)?.join(" ");
            config.working_dir = if path.starts_with('/') {
                path
            } else {
                format!("{}/{path}", config.working_dir.trim_end_matches('/'))
            };
        }
        "ONBUILD" => fail!("ONBUILD is for builds; write it in a Dockerfile"),
        _ => fail!(
            "unknown instruction; known: CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL STOPSIGNAL \
             USER VOLUME WORKDIR"
        ),
    }
    Ok(())
}

/// Parses the exec form, `["a","b"]`, or otherwise the shell form, which runs the image's shell or
/// `/bin/sh -c`.
fn command(rest: &str, config: &ContainerConfig) -> Vec<String> {
    if rest.is_empty() {
        return Vec::new();
    }
    // As in Docker: a text that is not a valid list is the shell form.
    let exec = rest.starts_with('[').then(|| json_words(rest).ok()).flatten();
    exec.unwrap_or_else(|| [config.shell_or_default(), vec![rest.to_owned()]].concat())
}

/// Parses `CMD command` or `NONE`, after options such as `--interval=30s`. Fails on an unknown
/// option, a bad value or any other text.
pub fn healthcheck(rest: &str) -> Result<Healthcheck> {
    let mut check = Healthcheck::none();
    let mut rest = rest;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, tail) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        let Some((name, value)) = option.split_once('=') else {
            fail!("--{option} has no value; write --{option}=VALUE");
        };
        match name {
            "interval" => check.interval = parse_span(value)?,
            "timeout" => check.timeout = parse_span(value)?,
            "start-period" => check.start_period = parse_span(value)?,
            "start-interval" => check.start_interval = parse_span(value)?,
            "retries" => check.retries = parse_retries(value)?,
            _ => fail!("unknown option --{name}"),
        }
        rest = tail.trim_start();
    }
    let (keyword, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    match (keyword.to_ascii_uppercase().as_str(), command) {
        ("NONE", "") => return Ok(Healthcheck::none()),
        ("CMD", "") => fail!("CMD needs a command"),
        ("CMD", _) => {}
        _ => fail!("HEALTHCHECK should be NONE, or CMD and a command"),
    }
    check.test = match command.starts_with('[').then(|| json_words(command)) {
        Some(Ok(words)) => [vec!["CMD".to_owned()], words].concat(),
        _ => vec!["CMD-SHELL".to_owned(), command.to_owned()],
    };
    Ok(check)
}

/// Parses the exec form, a JSON list of strings. Fails on any other text.
pub fn json_words(text: &str) -> Result<Vec<String>> {
    json::from_str(text).map_err(|_| Error::new("not a JSON list of strings"))
}

/// Parses `K=V K="V w"…`, or the old form `K all the rest`.
fn pairs(rest: &str, env: &[String]) -> Result<Vec<(String, String)>> {
    let lookup = |name: &str| variable(name, env);
    let expander = Expander { escape: ESCAPE, variable: &lookup };
    let mut pairs = Vec::new();
    for (name, value) in split_pairs(rest, ESCAPE)? {
        pairs.push((expander.word(name)?, expander.word(value)?));
    }
    Ok(pairs)
}

fn one_word(keyword: &str, rest: &str, env: &[String]) -> Result<String> {
    match words(rest, env)?.as_slice() {
        [word] => Ok(word.clone()),
        _ => fail!("{keyword} needs exactly one argument"),
    }
}

/// Splits a line into words, and substitutes the variables of the image's environment.
fn words(text: &str, env: &[String]) -> Result<Vec<String>> {
    let lookup = |name: &str| variable(name, env);
    Expander { escape: ESCAPE, variable: &lookup }.words(text)
}

/// Returns the value of a variable in a list of `NAME=value`. The last entry counts.
pub fn variable(name: &str, env: &[String]) -> Option<String> {
    let pairs = env.iter().filter_map(|pair| pair.split_once('='));
    pairs.rev().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

/// Parses `80`, `53/udp` or `8000-8010/tcp` into one text for each port, such as `53/udp`. Of a
/// mapping such as `127.0.0.1:8080:80` only the container's port counts, as with Docker. Fails on a
/// bad port or protocol, and on a range of more than `MAX_PORTS`.
pub fn ports(word: &str) -> Result<Vec<String>> {
    let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let bad = || Error::new(format!("bad port '{word}': it should be like 80, 53/udp, 8000-8010"));
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(bad());
    }
    let range = range.rsplit(':').next().unwrap_or(range);
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u16>().ok().filter(|&port| port > 0).ok_or_else(bad);
    let (first, last) = (number(first)?, number(last)?);
    if last < first || last - first >= MAX_PORTS {
        return Err(bad());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// Adds `value` unless the list has it already.
pub fn push_new(list: &mut Vec<String>, value: String) {
    if !list.contains(&value) {
        list.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Result<ContainerConfig> {
        let mut config = ContainerConfig {
            env: vec!["PATH=/bin".to_owned(), "HOME=/root".to_owned()],
            cmd: Some(vec!["old".to_owned()]),
            working_dir: "/srv".to_owned(),
            ..ContainerConfig::default()
        };
        let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
        apply(&mut config, &changes).map(|()| config)
    }

    #[test]
    fn commands_in_both_forms() {
        let config = changed(&["CMD [\"a\", \"b c\"]", "entrypoint exec x \"y\""]).unwrap();
        assert_eq!(config.cmd.unwrap(), ["a", "b c"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "exec x \"y\""]);
        assert_eq!(changed(&["ENTRYPOINT [\"/x\"]"]).unwrap().cmd, None);
        assert_eq!(changed(&["CMD [ -f x ]"]).unwrap().cmd.unwrap()[2], "[ -f x ]");
        assert_eq!(changed(&["CMD []"]).unwrap().cmd.unwrap(), [""; 0]);
        let shell = Some(vec!["/bin/ash".to_owned(), "-ec".to_owned()]);
        let mut config = ContainerConfig { shell, ..ContainerConfig::default() };
        apply(&mut config, &["CMD exec x".to_owned()]).unwrap();
        assert_eq!(config.cmd.unwrap(), ["/bin/ash", "-ec", "exec x"]);
    }

    #[test]
    fn pairs_quotes_and_variables() {
        let config = changed(&[
            "ENV A=1 B=\"two words\" PATH=/opt:$PATH C='$HOME' D=${HOME}x",
            "ENV OLD all  of it",
            "LABEL a.b=c \"d e\"=f\\ g",
        ])
        .unwrap();
        let expected = [
            "HOME=/root",
            "A=1",
            "B=two words",
            "PATH=/opt:/bin",
            "C=$HOME",
            "D=/rootx",
            "OLD=all  of it",
        ];
        assert_eq!(config.env, expected);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(config.labels, [pair("a.b", "c"), pair("d e", "f g")]);
    }

    #[test]
    fn each_other_instruction_changes_its_field() {
        let config = changed(&[
            "EXPOSE 80 53/UDP 8000-8002",
            "VOLUME /a /b",
            "VOLUME [\"/a\", \"/c d\"]",
            "USER app:app",
            "WORKDIR www",
            "STOPSIGNAL SIGQUIT",
        ])
        .unwrap();
        assert_eq!(config.exposed_ports, ["80/tcp", "53/udp", "8000/tcp", "8001/tcp", "8002/tcp"]);
        assert_eq!(config.volumes, ["/a", "/b", "/c d"]);
        assert_eq!((&*config.user, &*config.working_dir), ("app:app", "/srv/www"));
        assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
    }

    #[test]
    fn health_checks() {
        let check = |change| changed(&[change]).unwrap().healthcheck.unwrap();
        let found = check("HEALTHCHECK --interval=5s --retries=2  CMD curl -f  localhost");
        assert_eq!(found.test, ["CMD-SHELL", "curl -f  localhost"]);
        assert_eq!((found.interval, found.retries), (5_000_000_000, 2));
        assert_eq!(check("healthcheck cmd [\"/x\", \"y\"]").test, ["CMD", "/x", "y"]);
        assert_eq!(check("HEALTHCHECK NONE").test, ["NONE"]);
    }

    #[test]
    fn mistakes_name_the_instruction() {
        for (change, reason) in [
            ("ONBUILD RUN x", "ONBUILD is for builds"),
            ("RUN x", "unknown instruction"),
            ("HEALTHCHECK", "NONE, or CMD"),
            ("HEALTHCHECK --interval=1 CMD x", "bad duration '1'"),
            ("HEALTHCHECK --every=1s CMD x", "unknown option --every"),
            ("ENV", "needs an argument"),
            ("ENV A", "'A' has no value"),
            ("ENV A=1 B", "'B' should be NAME=VALUE"),
            ("ENV A='1", "not closed"),
            ("EXPOSE 0", "bad port '0'"),
            ("EXPOSE 9-8", "bad port '9-8'"),
            ("EXPOSE 1-65535", "bad port"),
            ("STOPSIGNAL NOPE", "no signal"),
            ("USER a b", "exactly one"),
            ("VOLUME [1]", "list of strings"),
        ] {
            let error = changed(&[change]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--change '{change}': ")), "{error}");
            assert!(error.contains(reason), "{error}");
        }
    }
}
