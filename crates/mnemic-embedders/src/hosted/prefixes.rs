//! Words before every text, which several models want, and how they mark the space. Not here: prompts that a vendor adds by itself.

use std::borrow::Cow;

/// The texts with the prefix of their purpose.
pub(crate) fn prefixed<'a>(prefix: &str, texts: &[&'a str]) -> Vec<Cow<'a, str>> {
    let with = |text: &'a str| {
        if prefix.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(format!("{prefix}{text}")) }
    };
    texts.iter().map(|text| with(text)).collect()
}

/// The model's name in the identity of the space. What is put before documents changes their vectors, so it is part of the name
/// as a short mark; what is put before queries changes no stored vector.
pub(crate) fn fingerprinted(name: &str, document_marks: &[&str]) -> String {
    if document_marks.iter().all(|mark| mark.is_empty()) {
        return name.to_owned();
    }
    // FNV-1a: short, stable and enough to tell settings apart.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for mark in document_marks {
        for byte in mark.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{name}#{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_document_prefix_is_another_space() {
        assert_eq!(fingerprinted("m", &["", ""]), "m");
        let marked = fingerprinted("m", &["passage: ", ""]);
        assert!(marked.starts_with("m#") && marked.len() == 10, "{marked}");
        assert_ne!(marked, fingerprinted("m", &["document: ", ""]));
        assert_ne!(fingerprinted("m", &["ab", ""]), fingerprinted("m", &["a", "b"]));
    }
}
