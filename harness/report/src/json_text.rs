//! JSON that may be shown on a terminal: what would act on it, or hide, is written as a code, which whoever reads the JSON
//! takes for the same text.

use std::fmt::Write;

use serde::Serialize;

use crate::escape::is_harmful;

/// A value as indented JSON, without a line break at its end.
pub fn json_text(value: &impl Serialize) -> String {
    inert(serde_json::to_string_pretty(value).expect("strings and numbers always serialise"))
}

/// A value as JSON on one line.
pub(crate) fn json_line(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value).map(inert)
}

/// The same JSON without harmful characters. serde_json has escaped those below U+0020 already, and beyond them they stand
/// in strings only, where there is another spelling for each.
fn inert(json: String) -> String {
    let harmful = |c: char| c != '\n' && is_harmful(c);
    if json.is_ascii() && !json.contains('\u{7f}') || !json.chars().any(harmful) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if harmful(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_a_code() {
        let text = "a\u{1b}[31m\u{7f}\u{9b}\u{202e}\u{e0041}\u{200b}\nä🙂";
        assert_eq!(json_line(&text).unwrap(), r#""a\u001b[31m\u007f\u009b\u202e\udb40\udc41\u200b\nä🙂""#);
        assert_eq!(json_text(&[1, 2]), "[\n  1,\n  2\n]");
    }

    proptest! {
        #[test]
        fn it_reads_as_it_was_and_shows_nothing_else(text in any::<String>()) {
            let json = json_text(&[(&text, &text)]);
            prop_assert!(!json.chars().any(|c| c != '\n' && is_harmful(c)));
            let read: Vec<(String, String)> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&read, &[(text.clone(), text)]);
        }
    }
}
