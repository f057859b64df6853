//! The page's own style and script, from `reports/html/`, and the policy that lets nothing else in.

use std::sync::LazyLock;

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

/// The page around everything, with `{{slots}}`.
pub(super) const TEMPLATE: &str = include_str!("../../../../reports/html/page.html");
/// The style sheet.
pub(super) const STYLE: &str = include_str!("../../../../reports/html/style.css");
/// One script of several files; they share one scope, which is nobody else's.
pub(super) const SCRIPT: &str = concat!(
    "(() => {\n\"use strict\";\n",
    include_str!("../../../../reports/html/dom.js"),
    include_str!("../../../../reports/html/data.js"),
    include_str!("../../../../reports/html/state.js"),
    include_str!("../../../../reports/html/theme.js"),
    include_str!("../../../../reports/html/detail.js"),
    include_str!("../../../../reports/html/grid.js"),
    include_str!("../../../../reports/html/map.js"),
    include_str!("../../../../reports/html/matrix.js"),
    include_str!("../../../../reports/html/filters.js"),
    include_str!("../../../../reports/html/main.js"),
    "})();\n",
);

/// The Content-Security-Policy: just this style and this script; no address, no frame, no form, and no text that becomes
/// markup.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(STYLE),
        hash(SCRIPT),
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_do_not_end_their_elements_and_name_no_address() {
        for text in [STYLE, SCRIPT] {
            for bad in ["</s", "<!--", "http:", "https:", "url(", "@import", "innerHTML", "eval(", "\r"] {
                assert!(!text.contains(bad), "{bad}");
            }
        }
    }

    #[test]
    fn the_policy_allows_nothing_but_the_page_itself() {
        assert!(POLICY.starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(!POLICY.contains("unsafe") && !POLICY.contains('*'));
    }
}
