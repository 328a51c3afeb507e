//! What messages show of what files hold: as much as can be read.

/// The items that a message names at most: a header may have millions of columns.
const NAMED: usize = 20;

/// Items, as many as are named.
pub(crate) fn list(items: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    let mut items = items.into_iter();
    let mut named: Vec<String> = items.by_ref().take(NAMED).map(|item| shortened(&item.to_string())).collect();
    match items.count() {
        0 if named.is_empty() => return "none".to_owned(),
        0 => {}
        more => named.push(format!("{more} more")),
    }
    named.join(", ")
}

/// The beginning of what a file holds, as long as a message can show.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 300;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
