//! Builds the values in the documents of `inspect` from `template::Value`: lists, maps, sets, sizes
//! and times.
//!
//! Empty values follow Go's encoding/json and Docker: a nil list is `null`, an empty one is `[]`.
//! The other files of this module decide which fields a document has.

use crate::network::attachment::record::Endpoint;
use crate::template::Value;
use crate::time::Instant;

/// Docker's time for an event that has not happened: Go's zero time.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// Makes an object whose fields keep their order, like a struct in Go.
pub fn object<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    Value::object(fields.into())
}

/// Returns the MAC address of an interface. The text is empty if the interface has the MAC address
/// of its parent.
pub fn mac(endpoint: &Endpoint) -> Value {
    text(endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default())
}

/// Makes a list.
pub fn array(values: impl IntoIterator<Item = Value>) -> Value {
    Value::list(values)
}

/// Makes a list of texts.
pub fn strings<S: ToString>(values: impl IntoIterator<Item = S>) -> Value {
    array(values.into_iter().map(text))
}

/// Makes a list of texts, or a nil list for `None`.
pub fn strings_or_null(values: Option<&[String]>) -> Value {
    values.map_or(Value::NilList, strings)
}

/// Makes a set as Go writes it: `{"80/tcp": {}}`.
pub fn set<S: AsRef<str>>(keys: impl IntoIterator<Item = S>) -> Value {
    Value::map(keys.into_iter().map(|key| (key, object([]))))
}

/// Makes a map of texts.
pub fn map(pairs: &[(String, String)]) -> Value {
    Value::map(pairs.iter().map(|(key, value)| (key, text(value))))
}

/// Returns `list`, or a nil list if it is empty.
pub fn or_nil_list(list: Value) -> Value {
    if list.is_true() { list } else { Value::NilList }
}

/// Returns `map`, or a nil map if it is empty.
pub fn or_nil_map(map: Value) -> Value {
    if map.is_true() { map } else { Value::NilMap }
}

/// Makes a text.
pub fn text(value: impl ToString) -> Value {
    Value::text(&value.to_string())
}

/// Makes a number from a count or a number of bytes.
pub fn number(value: u64) -> Value {
    // `Value::Int` holds an `i64`, so a larger number becomes `i64::MAX`.
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Makes a number that may be negative, such as a limit of -1.
pub fn signed(value: i64) -> Value {
    Value::Int(value)
}

/// Makes a time in RFC 3339 from nanoseconds since 1970. Zero is [`NEVER`].
pub fn instant(ns: i64) -> Value {
    if ns == 0 { text(NEVER) } else { text(Instant(ns).to_rfc3339()) }
}
