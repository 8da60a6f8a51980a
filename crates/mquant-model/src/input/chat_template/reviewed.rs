//! Templates that were read by a person and found harmless: they need no process of their own.

use sha2::{Digest, Sha256};

/// SHA-256 of their sources.
const REVIEWED: [&str; 1] = [
    // The demo model's: one loop over messages and one over their parts, nothing that grows.
    "86230235df8e8f9ba243119e10bc8aa64afe749dc201436254f73e84b2ee36cb",
];

/// Whether a template's source is one of them.
pub(super) fn is_reviewed(source: &str) -> bool {
    let hash: String = Sha256::digest(source).iter().map(|byte| format!("{byte:02x}")).collect();
    REVIEWED.contains(&hash.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_template_is_reviewed_and_nothing_near_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/chat_template.jinja");
        let source = std::fs::read_to_string(path).unwrap();
        assert!(is_reviewed(&source));
        assert!(!is_reviewed(&(source + " ")));
        assert!(!is_reviewed(""));
    }
}
