//! The command line, by hand: a parser library would be a third of the binary.

use std::{collections::VecDeque, ffi::OsString, str::FromStr, time::Duration};

use crate::Failure;

/// Arguments that have not been taken yet.
pub(crate) struct Arguments {
    left: VecDeque<OsString>,
}

impl Arguments {
    /// All arguments after the verb.
    pub(crate) fn new(args: impl Iterator<Item = OsString>) -> Self {
        Self { left: args.collect() }
    }

    /// The next option or operand. `--name=value` comes as `--name`, and the value is next.
    pub(crate) fn next(&mut self) -> Result<Option<String>, Failure> {
        let Some(word) = self.left.pop_front() else { return Ok(None) };
        let word = text(word)?;
        match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => {
                self.left.push_front(value.into());
                Ok(Some(name.into()))
            }
            _ => Ok(Some(word)),
        }
    }

    /// The value of an option that was just taken.
    pub(crate) fn value(&mut self, option: &str) -> Result<String, Failure> {
        self.left.pop_front().map_or_else(|| Err(usage(format!("{option} needs a value"))), text)
    }

    /// The same, as something else than text; `what` names it in the error.
    pub(crate) fn parsed<T: FromStr>(&mut self, option: &str, what: &str) -> Result<T, Failure> {
        let value = self.value(option)?;
        value.parse().map_err(|_| usage(format!("{option}: `{value}` is no {what}")))
    }
}

/// A usage error.
pub(crate) fn usage(why: impl Into<String>) -> Failure {
    Failure::Usage(why.into())
}

/// The error for an argument that the verb does not know.
pub(crate) fn unknown(verb: &str, argument: &str) -> Failure {
    usage(format!("{verb} does not know `{argument}`"))
}

/// `80,81` as ports. Each is 1–65535, and none comes twice.
pub(crate) fn ports(option: &str, list: &str) -> Result<Vec<u16>, Failure> {
    let mut ports = Vec::new();
    for word in list.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        match word.parse() {
            Ok(0) | Err(_) => {
                return Err(usage(format!("{option}: `{word}` is no port; expected 1 to 65535")));
            }
            Ok(port) if !ports.contains(&port) => ports.push(port),
            Ok(_) => {}
        }
    }
    Ok(ports)
}

/// `300ms` or `1.5s`, at most an hour.
pub(crate) fn duration(option: &str, value: &str) -> Result<Duration, Failure> {
    let seconds = match (value.strip_suffix("ms"), value.strip_suffix('s')) {
        (Some(n), _) => n.parse::<f64>().map(|n| n / 1000.0),
        (_, Some(n)) => n.parse(),
        _ => return Err(usage(format!("{option}: `{value}` needs a unit, such as 300ms or 1s"))),
    };
    match seconds {
        Ok(s) if (0.001..=3600.0).contains(&s) => Ok(Duration::from_secs_f64(s)),
        _ => Err(usage(format!("{option}: `{value}` is no duration between 1ms and 3600s"))),
    }
}

fn text(word: OsString) -> Result<String, Failure> {
    word.into_string().map_err(|w| usage(format!("`{}` is not UTF-8", w.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_durations() {
        assert_eq!(ports("--tcp", "80, 81,80").ok(), Some(vec![80, 81]));
        assert!(
            ports("--tcp", "0").is_err()
                && ports("--tcp", "70000").is_err()
                && ports("--tcp", "http").is_err()
        );
        assert_eq!(duration("-d", "300ms").ok(), Some(Duration::from_millis(300)));
        assert_eq!(duration("-d", "1.5s").ok(), Some(Duration::from_millis(1500)));
        for bad in ["", "1", "s", "-1s", "0ms", "4000s", "NaNs"] {
            assert!(duration("-d", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_equals_sign_separates_a_value() {
        let mut args = Arguments::new(["--tcp=80", "x=y"].map(OsString::from).into_iter());
        assert_eq!(args.next().ok().flatten().as_deref(), Some("--tcp"));
        assert_eq!(args.value("--tcp").ok().as_deref(), Some("80"));
        assert_eq!(args.next().ok().flatten().as_deref(), Some("x=y"));
    }
}
