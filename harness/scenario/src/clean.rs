//! Makes text of the input safe to print: a file must not be able to drive the reader's terminal.

use verdikt_model::is_harmful;

/// Escapes control and direction-changing characters, and cuts what is too long for a sentence.
pub(crate) fn message(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && is_harmful(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// A text that is one line, such as a path: a line break in it is escaped as well, so that no part of it poses as a line of
/// verdikt's.
pub(crate) fn line(text: &str) -> String {
    message(text).replace('\n', "\\n")
}

/// A word of the input for use inside a sentence: one line, not too long.
pub(crate) fn word(text: &str) -> String {
    const LONGEST: usize = 80;
    let flat: String = text.chars().take(LONGEST + 1).map(|c| if c == '\n' { ' ' } else { c }).collect();
    if flat.chars().count() > LONGEST { flat.chars().take(LONGEST).chain(['…']).collect() } else { flat }
}

/// Replaces the same characters by harmless ones of the same length in bytes, so that places stay right.
pub(crate) fn same_length(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            _ if !is_harmful(c) => c,
            _ => match c.len_utf8() {
                1 => '?',
                2 => '¿',
                _ => '\u{fffd}',
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_cannot_reach_a_terminal() {
        let text = "a\u{1b}[31mb\u{9b}c\u{202e}d\r";
        assert_eq!(message(text), "a\\u{1b}[31mb\\u{9b}c\\u{202e}d\\u{d}");
        let shown = same_length(text);
        assert_eq!(shown.len(), text.len());
        assert!(!shown.chars().any(is_harmful), "{shown:?}");
    }

    #[test]
    fn a_path_cannot_pose_as_a_line() {
        assert_eq!(line("a\n  PASS all\u{202e}"), "a\\n  PASS all\\u{202e}");
    }

    #[test]
    fn long_words_are_cut() {
        assert_eq!(word(&"x".repeat(200)).chars().count(), 81);
        assert_eq!(word("a\nb"), "a b");
    }
}
