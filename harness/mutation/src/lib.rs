//! Text made wrong at random, for tests: no input may make a reader panic, hang or print what acts on a terminal.

use proptest::prelude::*;

/// Words that are likely to break something where they are put.
const WORDS: [&str; 38] = [
    "",
    "null",
    "~",
    "yes",
    "010",
    "70000",
    "-1",
    "1e999",
    ".nan",
    "[]",
    "{}",
    "*a",
    "&a ",
    "!!binary x",
    "<<: ",
    "\"",
    "'",
    "\t",
    "\n",
    "---\n",
    "\u{0}",
    "\u{1b}[31m",
    "\u{202e}",
    "ä",
    "${",
    "${pod.x/a.ip}",
    "* -> *",
    "x/a",
    "0.0.0.0/0",
    "::/0",
    "external/65535",
    "node/65535",
    "same-as x/a",
    "kube-system",
    "18446744073709551616",
    "2026-02-30T25:00:00Z",
    "/dev/zero",
    "../../..",
];

/// One change of a text.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Puts a word somewhere.
    Insert(usize, usize),
    /// Takes some bytes out.
    Remove(usize, usize),
    /// Replaces what stands between two separators.
    Replace(usize, usize),
    /// Repeats a line somewhere else.
    Copy(usize, usize),
}

/// One to five changes.
pub fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(edit(), 1..6)
}

fn edit() -> impl Strategy<Value = Edit> {
    let (at, word) = (any::<usize>(), 0..WORDS.len());
    prop_oneof![
        (at, word.clone()).prop_map(|(at, word)| Edit::Insert(at, word)),
        (at, 1_usize..12).prop_map(|(at, count)| Edit::Remove(at, count)),
        (at, word).prop_map(|(at, word)| Edit::Replace(at, word)),
        (at, any::<usize>()).prop_map(|(from, to)| Edit::Copy(from, to)),
    ]
}

/// The text with these changes made, one after the other.
pub fn mutate(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits {
        let length = chars.len().max(1);
        match *edit {
            Edit::Insert(at, word) => {
                let at = (at % length).min(chars.len());
                chars.splice(at..at, WORDS[word].chars());
            }
            Edit::Remove(at, count) => {
                let at = (at % length).min(chars.len());
                chars.drain(at..(at + count).min(chars.len()));
            }
            Edit::Replace(at, word) => {
                let at = (at % length).min(chars.len());
                let stop = |c: &char| " \n,{}[]:\"".contains(*c);
                let start = chars[..at].iter().rposition(stop).map_or(0, |i| i + 1);
                let end = chars[at..].iter().position(stop).map_or(chars.len(), |i| at + i);
                chars.splice(start..end, WORDS[word].chars());
            }
            Edit::Copy(from, to) => {
                let text: String = chars.iter().collect();
                let lines: Vec<&str> = text.lines().collect();
                if !lines.is_empty() {
                    let mut copy = lines.clone();
                    copy.insert(to % lines.len(), lines[from % lines.len()]);
                    chars = copy.join("\n").chars().collect();
                }
            }
        }
    }
    chars.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_made() {
        let text = "a: 1\nb: [x, y]\n";
        assert_eq!(mutate(text, &[Edit::Insert(3, 5)]), "a: 700001\nb: [x, y]\n");
        assert_eq!(mutate(text, &[Edit::Remove(0, 5)]), "b: [x, y]\n");
        assert_eq!(mutate(text, &[Edit::Replace(3, 9)]), "a: []\nb: [x, y]\n");
        assert_eq!(mutate(text, &[Edit::Copy(1, 0)]), "b: [x, y]\na: 1\nb: [x, y]");
        for edit in [Edit::Insert(7, 0), Edit::Remove(7, 3), Edit::Replace(7, 0), Edit::Copy(7, 7)] {
            assert_eq!(mutate("", &[edit]), "");
        }
    }
}
