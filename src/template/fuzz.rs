//! The fuzzed property of templates: parsing and rendering any text ends, within bounds, without a
//! panic. The fuzz target and a unit test call it. It compares no output; `tests` has the expected
//! values.

use super::{Template, Value};

const DOCUMENT: &str = r#"{"Name":"/web","State":{"Status":"running","Pid":7,"Running":true},
    "Config":{"Labels":{"a":"1","b":"2"},"Env":["A=1","B=2"],"Cmd":null},"N":[1,2.5,-3]}"#;

/// Parses `input` as a template and renders it in all three ways.
pub fn template(input: &[u8]) {
    let Ok(source) = std::str::from_utf8(input) else { return };
    let Ok(template) = Template::parse(source) else { return };
    let document = miniserde::json::from_str(DOCUMENT).unwrap_or(miniserde::json::Value::Null);
    let value = Value::of_document(&document, "");
    let _ = template.render(&value);
    let _ = template.render_headers(&value);
    let _ = template.render_document(&value);
}
