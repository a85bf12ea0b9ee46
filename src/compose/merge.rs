//! Merges a later file over an earlier one, both in canonical form (compose specification,
//! "Merge").
//!
//! Most maps are merged by key, lists are joined, and scalars and commands are replaced. Entries of
//! `ports`, `volumes` and similar lists are replaced if their identity in `schema` is the same.
//! `!reset` removes a value, and `!override` replaces a value without merging. `interpolate` has
//! replaced the variables before.

use super::node::{Node, Tag, Value};
use super::schema::{Key, Kind, ListOf};

/// Merges `over`, a value of the later file, over `base`.
pub fn merge(base: Node, over: Node, kind: &Kind) -> Node {
    match over.tag {
        Tag::Reset => return Node { value: Value::Null, tag: Tag::None, ..over },
        Tag::Override => return Node { tag: Tag::None, ..over },
        Tag::None => {}
    }
    if over.value == Value::Null {
        return base;
    }
    if base.value == Value::Null {
        return over;
    }
    match kind {
        Kind::Short(_, kind) => merge(base, over, kind),
        Kind::Driver(_) if is_other(base.get_text("driver"), over.get_text("driver")) => over,
        Kind::Object(keys) | Kind::Driver(keys) => merge_maps(base, over, &|name| find(keys, name)),
        Kind::Named(kind) => merge_maps(base, over, &|_| kind),
        // In `environment`, a key without a value takes its value from outside the file. So such a
        // key replaces an earlier value too.
        Kind::Dict => {
            let mut merged = base;
            for (key, node) in over.entries() {
                match node.tag {
                    Tag::Reset => drop(merged.take(key)),
                    _ => merged.set(key, node.clone()),
                }
            }
            merged
        }
        Kind::List => merge_lists(base, over, &|one, other| one == other),
        Kind::ListBy(key) => {
            merge_lists(base, over, &|one, other| key(one.as_text()) == key(other.as_text()))
        }
        Kind::Entries(ListOf { identity, .. }) => merge_lists(base, over, &|one, other| {
            !identity.is_empty() && identity.iter().all(|key| one.get(key) == other.get(key))
        }),
        Kind::Text
        | Kind::Bool
        | Kind::Number
        | Kind::Path
        | Kind::Words
        | Kind::Any
        | Kind::Refused(_) => over,
    }
}

fn is_other(one: Option<&str>, other: Option<&str>) -> bool {
    one.is_some() && other.is_some() && one != other
}

fn find(keys: &'static [Key], name: &str) -> &'static Kind {
    keys.iter().find(|(key, _)| *key == name).map_or(&Kind::Any, |(_, kind)| kind)
}

fn merge_maps<'k>(base: Node, over: Node, kind: &dyn Fn(&str) -> &'k Kind) -> Node {
    let mut merged = base;
    let Value::Map(entries) = over.value else { return merged };
    for (key, node) in entries {
        let merge_one = |old: Node, node: Node| merge(old, node, kind(&key));
        match (merged.take(&key), node.tag) {
            (_, Tag::Reset) => {}
            (Some(old), _) => merged.set(&key, merge_one(old, node)),
            (None, _) => merged.set(&key, node),
        }
    }
    merged
}

fn merge_lists(base: Node, over: Node, same: &dyn Fn(&Node, &Node) -> bool) -> Node {
    let mut merged: Vec<Node> = base.elements().to_vec();
    for node in over.elements() {
        match merged.iter().position(|known| same(known, node)) {
            Some(at) => merged[at] = node.clone(),
            None => merged.push(node.clone()),
        }
    }
    Node { value: Value::List(merged), ..over }
}

/// Removes the values that have the tag `!reset`, and removes all tags.
pub fn strip(node: &mut Node) {
    node.tag = Tag::None;
    match &mut node.value {
        Value::Map(entries) => {
            entries.retain(|(_, node)| node.tag != Tag::Reset);
            entries.iter_mut().for_each(|(_, node)| strip(node));
        }
        Value::List(elements) => {
            elements.retain(|node| node.tag != Tag::Reset);
            elements.iter_mut().for_each(strip);
        }
        _ => {}
    }
}
