//! The effect of `--log-driver` and `--log-opt`, except for the size and number of log files.
//!
//! These flags choose the tag, the labels and the variables of a container's log lines, which `logs
//! --details` prints. They also choose where the drivers syslog and journald send the lines. The
//! monitor sends the lines by `container::logs::forward`. `cli` has checked the values, but neither
//! the patterns of labels and variables nor the fields in the tag. See
//! docs.docker.com/engine/logging.

use crate::container::logs::{Address, Destination, Frame, Syslog, add_field};
use crate::container::record::Record;
use crate::error::{Context, Result};
use crate::hex::short;
use crate::order;
use crate::regex::Regex;
use crate::template::{Template, Value};

/// The default tag, for the drivers that need a tag.
const DEFAULT_TAG: &str = "{{.ID}}";

/// Returns the tag, labels and variables that `--log-opt` names, in Docker's format:
/// `A=1,B=x+y,tag=web`. Fails for a bad template of the tag.
pub fn details(record: &Record) -> Result<String> {
    let mut all = chosen(record);
    if let Some(template) = given(record, "tag").filter(|template| !template.is_empty()) {
        all.push(("tag".to_owned(), tag(record, template)?));
    }
    let mut all: Vec<String> =
        all.iter().map(|(key, value)| format!("{}={}", query(key), query(value))).collect();
    order::sort(&mut all);
    Ok(all.join(","))
}

/// Returns where the drivers syslog and journald send a container's log lines, and `None` for
/// another driver. Fails for example if the address in `--log-opt` is not valid.
pub fn destination(record: &Record) -> Result<Option<Destination>> {
    let driver = record.log.driver.as_deref();
    if !matches!(driver, Some("syslog" | "journald")) {
        return Ok(None);
    }
    let template = given(record, "tag").filter(|template| !template.is_empty());
    let tag = tag(record, template.unwrap_or(DEFAULT_TAG))?;
    let (address, frame) = if driver == Some("journald") {
        (Address::journal(), Frame::Journal(fields(record, &tag)))
    } else {
        let address = given(record, "syslog-address").map(Address::parse);
        let syslog =
            Syslog::parse(given(record, "syslog-facility"), given(record, "syslog-format"));
        (address.unwrap_or(Ok(Address::syslog()))?, Frame::Syslog { tag, syslog: syslog? })
    };
    let non_blocking = given(record, "mode") == Some("non-blocking");
    Ok(Some(Destination { address, frame, non_blocking }))
}

/// Renders a tag. The template has Docker's fields, such as `{{.Name}}`.
pub fn tag(record: &Record, template: &str) -> Result<String> {
    let image_id = record.image_id.map(|id| id.short()).unwrap_or_default();
    let command: Vec<&str> =
        record.entrypoint.iter().chain(&record.command).map(String::as_str).collect();
    let facts = Value::object(vec![
        ("ID", Value::text(short(&record.id))),
        ("FullID", Value::text(&record.id)),
        ("Name", Value::text(&record.name)),
        ("ImageID", Value::text(&image_id)),
        ("ImageFullID", Value::text(&record.image_id.to_string())),
        ("ImageName", Value::text(&record.image.to_string())),
        ("Command", Value::text(&command.join(" "))),
        ("DaemonName", Value::text("docker")),
    ]);
    let rendered = Template::parse(template).and_then(|template| template.render(&facts));
    rendered.context(|| format!("--log-opt tag={template}"))
}

/// Returns the fields of a container's entries in the systemd journal, with Docker's names.
fn fields(record: &Record, tag: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let image = record.image.to_string();
    for (name, value) in [
        ("CONTAINER_ID", short(&record.id)),
        ("CONTAINER_ID_FULL", &record.id),
        ("CONTAINER_NAME", &record.name),
        ("CONTAINER_TAG", tag),
        ("IMAGE_NAME", &image),
        ("SYSLOG_IDENTIFIER", tag),
    ] {
        add_field(&mut out, name, value.as_bytes());
    }
    for (key, value) in chosen(record) {
        if let Some(name) = field_name(&key) {
            add_field(&mut out, &name, value.as_bytes());
        }
    }
    out
}

/// Converts `key` to a field name of the journal: upper case letters, digits and `_`, without `_`
/// at the start. `None` if the name would be empty or start with a digit, because the journal
/// refuses such a name.
fn field_name(key: &str) -> Option<String> {
    let upper = key.to_ascii_uppercase();
    let name: String =
        upper.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let name = name.trim_start_matches('_');
    name.starts_with(|first: char| first.is_ascii_uppercase()).then(|| name.to_owned())
}

/// Returns the value of an option of the log driver.
fn given<'a>(record: &'a Record, option: &str) -> Option<&'a str> {
    let mut options = record.log.given.iter();
    options.find(|(key, _)| key == option).map(|(_, value)| value.as_str())
}

/// Returns the labels and variables that `--log-opt labels`, `env` and their patterns choose.
fn chosen(record: &Record) -> Vec<(String, String)> {
    let chooser = |list: &str, pattern: &str| {
        let names: Vec<&str> =
            given(record, list).iter().flat_map(|value| value.split(',')).collect();
        // An invalid pattern chooses nothing.
        let pattern = given(record, pattern).and_then(|text| Regex::parse(text).ok());
        move |name: &str| {
            names.contains(&name) || pattern.as_ref().is_some_and(|pattern| pattern.is_match(name))
        }
    };
    let (is_label, is_variable) = (chooser("labels", "labels-regex"), chooser("env", "env-regex"));
    let labels = record.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let variables = record.env.iter().filter_map(|pair| pair.split_once('='));
    let labels = labels.filter(|(key, _)| is_label(key));
    let chosen = labels.chain(variables.filter(|(key, _)| is_variable(key)));
    chosen.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Encodes `text` for the query of a URL (RFC 3986), with `+` for a blank.
fn query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte.into());
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
