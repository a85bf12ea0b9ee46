//! The fuzzed property of templates: for any input, parsing and rendering end without a panic and
//! within the bounds of `eval` on steps, bytes and nesting. The fuzz target and a unit test call
//! `template`. It compares no output; `tests` has the expected values.

use super::{Template, Value, omit_empty};

/// A document in the shape of `docker inspect`.
pub fn document() -> Value {
    let text = Value::text;
    let strings = |items: &[&str]| Value::list(items.iter().copied().map(text));
    let labels = Value::map([("b", text("2")), ("a", text("1"))]);
    let port = Value::object(vec![("HostIp", text("0.0.0.0")), ("HostPort", text("8080"))]);
    let address = Value::object(vec![("IPAddress", text("10.0.0.2"))]);
    let mount = Value::object(vec![("Source", text("/s")), ("Destination", text("/d"))]);
    let state = Value::object(vec![
        ("Status", text("running")),
        ("Running", Value::Bool(true)),
        ("Pid", Value::Int(42)),
        ("ExitCode", Value::Int(0)),
        ("Health", omit_empty(Value::Nil)),
    ]);
    let config = Value::object(vec![
        ("Image", text("bb")),
        ("Env", strings(&["A=1", "B=2"])),
        ("Cmd", Value::NilList),
        ("Labels", labels),
        ("Volumes", Value::NilMap),
    ]);
    let ports = [("80/tcp", Value::list([port])), ("81/tcp", Value::NilList)];
    let settings = Value::object(vec![
        ("Networks", Value::map([("bridge", address)])),
        ("Ports", Value::map(ports)),
    ]);
    Value::object(vec![
        ("Id", text("abc")),
        ("Name", text("/web")),
        ("State", state),
        ("Config", config),
        ("NetworkSettings", settings),
        ("Mounts", Value::list([mount])),
        ("Numbers", Value::list([Value::Int(1), Value::Float(2.5), Value::Int(-3)])),
    ])
}

/// Parses `input` as a template, and renders `document` in three ways: as `ps` does, as a table's
/// headers, and as `inspect` does. Ignores input that is not UTF-8.
pub fn template(input: &[u8]) {
    let Ok(source) = std::str::from_utf8(input) else { return };
    let Ok(template) = Template::parse(source) else { return };
    let value = document();
    let _ = template.render(&value);
    let _ = template.render_headers(&value);
    let _ = template.render_document(&value);
}
