//! JSON that tells whether it is what was written: its last key, `seal`, is the hash of the rest.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// A SHA-256 in lower-case hexadecimal, as files of txray write it.
pub fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A table as JSON for people, sealed.
pub fn sealed(table: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(table)?;
    let Some(body) = text.strip_suffix("\n}") else {
        return Err(serde::ser::Error::custom("only a table with something in it is sealed"));
    };
    Ok(format!("{body}{}", end(body)))
}

/// Whether a text is what [`sealed`] gave, to the byte.
pub fn is_sealed(text: &str) -> bool {
    text.rfind(KEY).is_some_and(|at| text[at..] == end(&text[..at]))
}

const KEY: &str = ",\n  \"seal\": ";

fn end(body: &str) -> String {
    format!("{KEY}\"{}\"\n}}", hex(&Sha256::digest(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_breaks_with_any_byte() {
        let text = sealed(&serde_json::json!({ "a": [1.5, "x\n"], "b": {} })).unwrap();
        assert!(is_sealed(&text));
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        for at in 0..text.len() {
            for bit in 0..7 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                assert!(!is_sealed(&String::from_utf8(bytes).unwrap()), "bit {bit} of byte {at}");
            }
        }
        for other in
            [String::new(), format!("{text}\n"), text[1..].to_owned(), "{}".to_owned(), text.replace("1.5", "1.50")]
        {
            assert!(!is_sealed(&other), "{other}");
        }
        assert!(sealed(&serde_json::json!({})).is_err());
    }
}
