//! Makes foreign text harmless for a terminal.
//!
//! Names, labels, reasons and messages come from scenario files, clusters and records that somebody else may have
//! written. A terminal must show them, not obey them: no escape sequence, no line that poses as another, no text
//! that reads in another order than it is written. Nor may the log of a CI job obey them: GitHub takes a line that begins
//! with `::word::` for a command, and `##[word]` anywhere in one; Azure takes `##vso[word]`.

use std::borrow::Cow;

pub(crate) use verdikt_model::is_harmful;

/// Longest name that is shown, in characters.
pub(crate) const NAME: usize = 120;
/// Longest sentence (reason, message) that is shown, in characters.
pub(crate) const SENTENCE: usize = 600;

/// Text for one line: control characters, line breaks, characters that change the reading direction and invisible
/// ones become visible (`\n`, `\u{1b}`).
pub fn escape(text: &str) -> Cow<'_, str> {
    disarm(escape_if(text, is_harmful))
}

/// As [`escape()`], but line breaks stay.
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    disarm(escape_if(text, |c| c != '\n' && is_harmful(c)))
}

/// Text for one line, at most `max` characters long; a longer one ends in `…`.
pub fn cut(text: &str, max: usize) -> Cow<'_, str> {
    // Everything but the first `max` characters is dropped before escaping: a huge text costs nothing.
    let Some((end, _)) = text.char_indices().nth(max) else { return clip(escape(text), max) };
    let head = &text[..end];
    let mut shown: String = escape(head).chars().take(max.saturating_sub(1)).collect();
    shown.push('…');
    Cow::Owned(shown)
}

fn clip(text: Cow<'_, str>, max: usize) -> Cow<'_, str> {
    if text.chars().nth(max).is_none() {
        return text;
    }
    let mut short: String = text.chars().take(max.saturating_sub(1)).collect();
    short.push('…');
    Cow::Owned(short)
}

fn escape_if(text: &str, harmful: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if harmful(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Makes the first character of what a CI job's log takes for a command visible as a code.
fn disarm(text: Cow<'_, str>) -> Cow<'_, str> {
    let mut places: Vec<usize> =
        ["##[", "##vso["].iter().flat_map(|word| text.match_indices(word)).map(|(at, _)| at).collect();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let rest = line.trim_start();
        // No IPv6 address has this twice.
        if rest.strip_prefix("::").is_some_and(|rest| rest.contains("::")) {
            places.push(start + line.len() - rest.len());
        }
        start += line.len();
    }
    if places.is_empty() {
        return text;
    }
    let mut text = text.into_owned();
    places.sort_unstable();
    for at in places.into_iter().rev() {
        let code: String = text[at..=at].chars().flat_map(char::escape_unicode).collect();
        text.replace_range(at..=at, &code);
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_terminal_sees_no_control_character() {
        assert_eq!(escape("a\u{1b}[31mred\u{7}\r\n\tb\u{9b}"), "a\\u{1b}[31mred\\u{7}\\r\\n\\tb\\u{9b}");
        assert_eq!(escape_lines("a\n\u{1b}b"), "a\n\\u{1b}b");
    }

    #[test]
    fn direction_and_invisible_characters_are_shown() {
        for c in
            ['\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{200b}', '\u{200d}', '\u{feff}', '\u{2028}']
        {
            assert_eq!(escape(&format!("a{c}b")), format!("a\\u{{{:x}}}b", u32::from(c)));
        }
    }

    #[test]
    fn the_log_of_a_ci_job_sees_no_command() {
        assert_eq!(escape("::error file=a::no"), "\\u{3a}:error file=a::no");
        assert_eq!(escape_lines("fine\n  ::stop-commands::x"), "fine\n  \\u{3a}:stop-commands::x");
        assert_eq!(escape("a ##[error]b ##vso[task]"), "a \\u{23}#[error]b \\u{23}#vso[task]");
        for address in ["::1", "::ffff:10.0.0.1 port 80", "fd00::1 and fd00::2", "a::b::c"] {
            assert!(matches!(escape(address), Cow::Borrowed(_)));
        }
        assert_eq!(cut("::error::a long sentence", 12), "\\u{3a}:erro…");
    }

    #[test]
    fn ordinary_text_is_borrowed() {
        assert!(matches!(escape("x/a → 三層 äöü 🙂"), Cow::Borrowed(_)));
    }

    #[test]
    fn long_text_is_cut() {
        let name = "n".repeat(10_000);
        assert_eq!(cut(&name, 10), "nnnnnnnnn…");
        assert_eq!(cut("exactly-10", 10), "exactly-10");
        assert_eq!(cut("\u{1b}\u{1b}\u{1b}", 8), "\\u{1b}\\…");
    }

    proptest! {
        #[test]
        fn whatever_comes_in_what_goes_out_is_one_harmless_line(text in any::<String>(), max in 1..50_usize) {
            prop_assert!(!escape(&text).chars().any(is_harmful));
            let shown = cut(&text, max);
            prop_assert!(!shown.chars().any(is_harmful));
            prop_assert!(shown.chars().count() <= max);
        }
    }
}
