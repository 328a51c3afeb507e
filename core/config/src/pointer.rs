//! JSON pointers (RFC 6901), which name places in a tree for serde, for schemas and for plugins alike.

/// The pointer to `key` of the table at `pointer`.
pub fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}{}", segment(key))
}

/// A key as a segment of a pointer, its slash included.
pub(crate) fn segment(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The key that a segment of a pointer stands for.
pub(crate) fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}
