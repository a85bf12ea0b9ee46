//! What must hold for any template: it ends, in bounds, without a panic.

use super::{Template, Value};

const DOCUMENT: &str = r#"{"Name":"/web","State":{"Status":"running","Pid":7,"Running":true},
    "Config":{"Labels":{"a":"1","b":"2"},"Env":["A=1","B=2"],"Cmd":null},"N":[1,2.5,-3]}"#;

pub fn template(input: &[u8]) {
    let Ok(source) = std::str::from_utf8(input) else { return };
    let Ok(template) = Template::parse(source) else { return };
    let document = miniserde::json::from_str(DOCUMENT).unwrap_or(miniserde::json::Value::Null);
    let value = Value::of_document(&document, "");
    let _ = template.render(&value);
    let _ = template.render_headers(&value);
    let _ = template.render_document(&value);
}
