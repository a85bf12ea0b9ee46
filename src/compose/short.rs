//! Converts the short forms of the compose specification to long forms: `ports`, `volumes`,
//! `secrets`, `depends_on`, `env_file` and others.
//!
//! `schema` names the function for each key, and `canonical` calls it. In a value that already has
//! the long form, relative paths become absolute, and some missing keys get their defaults. The
//! maps of `devices` and `extra_hosts` become texts. Unknown keys are found here only in a map of
//! `devices`: `canonical` checks the keys of the result.

use super::node::{Node, Value};
use super::scope::Scope;
use crate::error::Result;

fn entry(node: &Node, pairs: Vec<(&str, Value)>) -> Node {
    let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), node.with(value)));
    node.with(Value::Map(pairs.collect()))
}

/// Returns a map as it is, and converts a scalar to a map in which `key` has this value.
fn wrapped(node: &Node, key: &str) -> Result<Node> {
    Ok(match node.value {
        Value::Map(_) => node.clone(),
        _ => entry(node, vec![(key, text(node.scalar()?))]),
    })
}

/// Returns the elements of a list. A scalar is a list of one, and a map has no elements.
fn several(node: &Node) -> &[Node] {
    match node.value {
        Value::Map(_) => &[],
        Value::List(_) => node.elements(),
        _ => std::slice::from_ref(node),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Returns the object unchanged, because it has no short form.
pub fn as_it_is(node: &Node, _: &Scope) -> Result<Vec<Node>> {
    Ok(vec![node.clone()])
}

/// Converts `build: DIR` to a map with the key `context`, and makes the directory absolute. A
/// context that is an address ([`is_remote`]) stays as it is.
pub fn build(node: &Node, scope: &Scope) -> Result<Node> {
    let mut node = match &node.value {
        Value::Text(_) => wrapped(node, "context")?,
        _ => node.clone(),
    };
    if let Some(context) = node.given("context").cloned()
        && let Value::Text(path) = &context.value
        && !is_remote(path)
    {
        let path = context.text(scope.path(path));
        node.set("context", path);
    }
    Ok(node)
}

/// Reports whether a build context is an address and not a directory.
pub fn is_remote(context: &str) -> bool {
    context.contains("://") || context.starts_with("git@")
}

/// `additional_contexts`: converts a list of `NAME=VALUE` to a map, and makes directories absolute.
pub fn contexts(node: &Node, scope: &Scope) -> Result<Node> {
    let mut map = node.map();
    for element in several(node) {
        let pair = element.scalar()?;
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        map.set(name, element.text(value));
    }
    for (name, value) in node.entries() {
        map.set(name, value.clone());
    }
    if let Value::Map(entries) = &mut map.value {
        for (_, value) in entries {
            let text = value.scalar()?;
            if !text.contains("://") && !text.starts_with("service:") {
                *value = value.text(scope.path(text));
            }
        }
    }
    Ok(map)
}

/// `cache_from` and `cache_to`, such as `type=local,src=DIRECTORY`: makes the directories absolute.
pub fn caches(node: &Node, scope: &Scope) -> Result<Node> {
    let mut list = Vec::new();
    for element in several(node) {
        let line = element.scalar()?;
        let parts = line.split(',').map(|part| match part.split_once('=') {
            Some((key @ ("src" | "dest"), path)) => format!("{key}={}", scope.path(path)),
            _ => part.to_owned(),
        });
        list.push(element.text(parts.collect::<Vec<_>>().join(",")));
    }
    Ok(node.with(Value::List(list)))
}

/// Converts a list of names to a map with these keys and null values.
pub fn names(node: &Node, _: &Scope) -> Result<Node> {
    let Value::List(elements) = &node.value else { return Ok(node.clone()) };
    let mut map = node.map();
    for element in elements {
        map.set(element.scalar()?, element.with(Value::Null));
    }
    Ok(map)
}

/// Converts a list of services to a map with the defaults of `condition` and `required`.
pub fn depends_on(node: &Node, scope: &Scope) -> Result<Node> {
    let mut map = names(node, scope)?;
    if let Value::List(_) = node.value {
        add_needs(&mut map);
    }
    Ok(map)
}

/// Adds the missing `condition` and `required` to all entries of `depends_on`.
pub fn add_needs(depends_on: &mut Node) {
    let Value::Map(entries) = &mut depends_on.value else { return };
    for (_, dependency) in entries {
        if dependency.value == Value::Null {
            dependency.value = Value::Map(Vec::new());
        }
        for (key, value) in
            [("condition", text("service_started")), ("required", Value::Bool(true))]
        {
            if dependency.given(key).is_none() {
                let value = dependency.with(value);
                dependency.set(key, value);
            }
        }
    }
}

/// Converts a map of `source`, `target` and `permissions` to `SOURCE:TARGET:PERMISSIONS`.
pub fn devices(node: &Node, _: &Scope) -> Result<Node> {
    let mut list = Vec::new();
    for element in several(node) {
        let Value::Map(_) = element.value else {
            list.push(element.clone());
            continue;
        };
        element.refuse_unknown("devices", &["source", "target", "permissions"])?;
        let part = |key: &str, default| element.given(key).map_or(Ok(default), Node::scalar);
        let source = part("source", "")?;
        let target = part("target", source)?;
        let permissions = part("permissions", "rwm")?;
        list.push(element.text(format!("{source}:{target}:{permissions}")));
    }
    Ok(node.with(Value::List(list)))
}

/// Returns the path in the container of a device `SOURCE[:TARGET][:PERMISSIONS]`.
pub fn device_target(device: &str) -> &str {
    let mut paths = device.split(':').filter(|part| part.starts_with('/'));
    let source = paths.next().unwrap_or(device);
    paths.next().unwrap_or(source)
}

/// The values of `seccomp` that are no path, as `run --security-opt` accepts them.
const SECCOMP_WORDS: [&str; 3] = ["unconfined", "builtin", "default"];

/// `security_opt`: makes the path of a seccomp profile (`seccomp:PROFILE`) absolute.
pub fn security(node: &Node, scope: &Scope) -> Result<Node> {
    let mut list = Vec::new();
    for element in several(node) {
        let option = element.scalar()?;
        list.push(match option.split_once([':', '=']) {
            Some(("seccomp", profile)) if !SECCOMP_WORDS.contains(&profile) => {
                element.text(format!("seccomp={}", scope.path(profile)))
            }
            _ => element.clone(),
        });
    }
    Ok(node.with(Value::List(list)))
}

/// `driver_opts` of a volume: makes the directory of a bind mount absolute.
pub fn volume_options(node: &Node, scope: &Scope) -> Result<Node> {
    let mut node = node.clone();
    let is_bind = |options: &str| options.split(',').any(|option| option.ends_with("bind"));
    if node.get_text("o").is_some_and(is_bind)
        && let Some(device) = node.given("device")
    {
        let device = device.text(scope.path(device.scalar()?));
        node.set("device", device);
    }
    Ok(node)
}

/// Converts a path to an object.
pub fn env_file(node: &Node, _: &Scope) -> Result<Vec<Node>> {
    Ok(vec![wrapped(node, "path")?])
}

/// Converts one path to a list, and makes paths absolute.
pub fn paths(node: &Node, scope: &Scope) -> Result<Node> {
    let paths: Result<Vec<Node>> =
        several(node).iter().map(|node| Ok(node.text(scope.path(node.scalar()?)))).collect();
    Ok(node.with(Value::List(paths?)))
}

/// Converts the name of a service of the same file to an object.
pub fn extends(node: &Node, _: &Scope) -> Result<Node> {
    wrapped(node, "service")
}

/// Converts `NAME:ADDRESS` and maps to `NAME=ADDRESS`.
pub fn extra_hosts(node: &Node, _: &Scope) -> Result<Node> {
    let mut list = Vec::new();
    for element in several(node) {
        let line = element.scalar()?;
        let line = if line.contains('=') { line.to_owned() } else { line.replacen(':', "=", 1) };
        list.push(element.text(line));
    }
    for (name, addresses) in node.entries() {
        for address in several(addresses) {
            list.push(addresses.text(format!("{name}={}", address.scalar()?)));
        }
    }
    Ok(node.with(Value::List(list)))
}

/// Converts a text, which is a line for a shell, to the list of `CMD-SHELL` and the text.
pub fn health_test(node: &Node, _: &Scope) -> Result<Node> {
    Ok(match &node.value {
        Value::Text(line) => {
            node.with(Value::List(vec![node.text("CMD-SHELL"), node.text(line.as_str())]))
        }
        _ => node.clone(),
    })
}

/// Converts the name of a secret to an object. Without a target, the name is the target.
pub fn secret(node: &Node, _: &Scope) -> Result<Vec<Node>> {
    grant(node, "")
}

/// Converts the name of a config to an object. Without a target, the target is the file `/NAME`.
pub fn config(node: &Node, _: &Scope) -> Result<Vec<Node>> {
    grant(node, "/")
}

fn grant(node: &Node, parent: &str) -> Result<Vec<Node>> {
    let mut grant = wrapped(node, "source")?;
    if let Some(source) = grant.given("source").filter(|_| grant.given("target").is_none()) {
        let target = source.text(format!("{parent}{}", source.scalar()?));
        grant.set("target", target);
    }
    Ok(vec![grant])
}

/// Converts one number to an object in which it is both the soft and the hard limit.
pub fn ulimit(node: &Node, _: &Scope) -> Result<Node> {
    Ok(match &node.value {
        Value::Map(_) => node.clone(),
        _ => {
            let limit = node.scalar()?;
            entry(node, vec![("soft", text(limit)), ("hard", text(limit))])
        }
    })
}

/// Converts `[[IP:]HOST:]CONTAINER[/PROTOCOL]` to objects, one for each container port of a range.
/// Fails on any other text. Also fails if CONTAINER is more than one port and HOST has another
/// number of ports.
pub fn port(node: &Node, _: &Scope) -> Result<Vec<Node>> {
    if let Value::Map(_) = node.value {
        let mut node = node.clone();
        for (key, value) in [("mode", "ingress"), ("protocol", "tcp")] {
            if node.given(key).is_none() {
                let value = node.text(value);
                node.set(key, value);
            }
        }
        return Ok(vec![node]);
    }
    let typed = node.scalar()?;
    let (rest, protocol) = typed.split_once('/').unwrap_or((typed, "tcp"));
    let (rest, container) = match rest.rsplit_once(':') {
        Some((rest, container)) => (Some(rest), container),
        None => (None, rest),
    };
    let (address, host) = match rest.map(|rest| rest.rsplit_once(':').unwrap_or(("", rest))) {
        Some((address, host)) => (address.trim_matches(['[', ']']), host),
        None => ("", ""),
    };
    let bad =
        || node.wrong(format_args!("bad port '{typed}': write [[IP:]HOST:]CONTAINER[/tcp|udp]"));
    let range = |text: &str| -> Option<(u16, u16)> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some((first, last))
    };
    let (first, last) = range(container).filter(|&(first, _)| first > 0).ok_or_else(bad)?;
    let published: Vec<String> = match host {
        "" => Vec::new(),
        _ => {
            // The port 0 means any free port, but it starts no range.
            let is_good = |&(low, high): &(u16, u16)| low > 0 || high == 0;
            let (low, high) = range(host).filter(is_good).ok_or_else(bad)?;
            match (high - low == last - first, first == last) {
                (true, _) => (low..=high).map(|port| port.to_string()).collect(),
                // One container port may get any host port of the range.
                (false, true) => vec![host.to_owned()],
                (false, false) => return Err(bad()),
            }
        }
    };
    let mut ports = Vec::new();
    for (at, target) in (first..=last).enumerate() {
        let mut pairs = vec![("mode", text("ingress"))];
        if !address.is_empty() {
            pairs.push(("host_ip", text(address)));
        }
        pairs.push(("target", Value::Text(target.to_string())));
        if let Some(port) = published.get(at) {
            pairs.push(("published", text(port)));
        }
        pairs.push(("protocol", text(protocol)));
        ports.push(entry(node, pairs));
    }
    Ok(ports)
}

/// Converts `[SOURCE:]TARGET[:OPTIONS]` to an object. Fails for more than three parts and for an
/// unknown option.
pub fn volume(node: &Node, scope: &Scope) -> Result<Vec<Node>> {
    if let Value::Map(_) = node.value {
        let mut node = node.clone();
        let is_bind = node.given("type").is_some_and(|kind| kind.as_text() == "bind");
        if let Some(source) = node.given("source").cloned().filter(|_| is_bind) {
            let path = source.text(scope.path(source.scalar()?));
            node.set("source", path);
        }
        return Ok(vec![node]);
    }
    let typed = node.scalar()?;
    let parts: Vec<&str> = typed.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => {
            return Err(
                node.wrong(format_args!("bad volume '{typed}': write [SOURCE:]TARGET[:OPTIONS]"))
            );
        }
    };
    let is_bind = source.starts_with(['/', '.', '~']);
    let mut pairs = vec![("type", text(if is_bind { "bind" } else { "volume" }))];
    if is_bind {
        pairs.push(("source", Value::Text(scope.path(source))));
    } else if !source.is_empty() {
        pairs.push(("source", text(source)));
    }
    pairs.push(("target", text(target)));
    let (mut bind, mut volume) = (node.map(), node.map());
    if is_bind {
        bind.set("create_host_path", node.with(Value::Bool(true)));
    }
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => pairs.push(("read_only", Value::Bool(true))),
            "rw" | "cached" | "delegated" | "consistent" => {}
            "z" | "Z" => bind.set("selinux", node.text(option)),
            "nocopy" => volume.set("nocopy", node.with(Value::Bool(true))),
            "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" => {
                bind.set("propagation", node.text(option));
            }
            _ => {
                return Err(node.wrong(format_args!(
                    "bad volume '{typed}': unknown option '{option}'; known: ro rw nocopy z Z \
                     rprivate rslave rshared"
                )));
            }
        }
    }
    if is_bind {
        pairs.push(("bind", bind.value))
    } else {
        pairs.push(("volume", volume.value))
    }
    Ok(vec![entry(node, pairs)])
}
