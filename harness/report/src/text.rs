//! Numbers, plurals, durations and wrapped lists in English.

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 cell`, `2 cells`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// Milliseconds as `0.41s`.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{:02}s", ms / 1000, ms % 1000 / 10)
}

/// Microseconds as `85 µs`, `1.2 ms` or `3.0 s`.
pub(crate) fn micros(us: impl Into<u64>) -> String {
    let us = us.into();
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// The items, comma separated, in lines of at most `width` characters that begin with `indent` spaces. Each line
/// ends in a line break.
pub(crate) fn wrap(items: impl IntoIterator<Item = String>, indent: usize, width: usize) -> String {
    let (mut text, mut line) = (String::new(), String::new());
    for item in items {
        let used = line.chars().count();
        if used > 0 && indent + used + 2 + item.chars().count() > width {
            text.push_str(&format!("{:indent$}{line},\n", ""));
            line.clear();
        } else if used > 0 {
            line.push_str(", ");
        }
        line.push_str(&item);
    }
    if !line.is_empty() {
        text.push_str(&format!("{:indent$}{line}\n", ""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(
            [0, 999, 1_000, 40_000, 1_234_567].map(thousands),
            ["0", "999", "1,000", "40,000", "1,234,567"]
        );
        assert_eq!([1, 2].map(|n| count(n, "cell")), ["1 cell", "2 cells"]);
        assert_eq!([0, 413, 19_809].map(seconds), ["0.00s", "0.41s", "19.80s"]);
        assert_eq!([85_u32, 1_250, 3_000_000].map(micros), ["85 µs", "1.2 ms", "3.0 s"]);
    }

    #[test]
    fn lists_wrap() {
        let items = ["aaa", "bbb", "ccc"].map(str::to_owned);
        assert_eq!(wrap(items, 2, 12), "  aaa, bbb,\n  ccc\n");
        assert_eq!(wrap([], 2, 12), "");
    }
}
