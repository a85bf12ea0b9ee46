//! `post_start` and `pre_stop`: commands that run in a service's container after its start and
//! before its stop, by `exec`, so with the container's own confinement. Their output is the caller's.
//! As the specification says, a `post_start` that fails stops its container, and a `pre_stop` that
//! fails keeps it running; both are errors.

use super::node::Node;
use super::project::Service;
use crate::engine::options::ExecOptions;
use crate::engine::{Engine, StopMark};
use crate::error::{Context, Result, fail};

/// Runs the service's `post_start` hooks in container `id`, which stops if one fails.
pub fn post_start(engine: &Engine, service: &Service, id: &str) -> Result<()> {
    let done = run(engine, service, id, "post_start");
    if done.is_err() {
        let asked = engine.ask_to_stop(id, None, None, StopMark::User);
        // The hook's error is the one that counts.
        let _ = asked.and_then(|asked| engine.end_stop(asked));
    }
    done
}

/// Runs the service's `pre_stop` hooks in container `id`.
pub fn pre_stop(engine: &Engine, service: &Service, id: &str) -> Result<()> {
    run(engine, service, id, "pre_stop")
}

fn run(engine: &Engine, service: &Service, id: &str, key: &str) -> Result<()> {
    for hook in service.node.get(key).iter().flat_map(|node| node.elements()) {
        let mut env = Vec::new();
        for (name, value) in hook.get("environment").iter().flat_map(|node| node.entries()) {
            env.push(format!("{name}={}", value.scalar()?));
        }
        let options = ExecOptions {
            container: id.to_owned(),
            command: words(hook)?,
            privileged: hook.get_bool("privileged"),
            user: hook.get_text("user")?,
            workdir: hook.get_text("working_dir")?,
            env,
            ..ExecOptions::default()
        };
        let code = engine.exec(&options).context(|| format!("{}: {key}", hook.place))?;
        if code != 0 {
            fail!("{}: {key} of service {} exited with {code}", hook.place, service.name);
        }
    }
    Ok(())
}

fn words(hook: &Node) -> Result<Vec<String>> {
    let command = hook.get("command").map(Node::elements).unwrap_or_default();
    if command.is_empty() {
        return Err(hook.wrong("a hook needs a command"));
    }
    command.iter().map(Node::scalar).collect()
}
