//! Cell patterns: `FROM -> TO[:PORT/PROTOCOL][ via PATH][ over FAMILY]` with globs.

use std::{fmt, str::FromStr};

use crate::{
    cell::Cell,
    net::{Family, Protocol, Via},
    world::World,
};

/// A pattern over cells. `*` stands for any run of characters but `/`; a whole `*` for any endpoint.
/// Without `via` it means the path `pod-ip`; without `over`, both IP families. ICMP echo is matched by `:icmp` only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellPattern {
    /// Glob over the source's name.
    pub from: String,
    /// Glob over the destination's name.
    pub to: String,
    /// Port; `None` for any.
    pub port: Option<u16>,
    /// Protocol; `None` for any.
    pub protocol: Option<Protocol>,
    /// Path.
    pub via: Via,
    /// IP family; `None` for both.
    pub family: Option<Family>,
}

/// A text that is no cell pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no cell pattern: {why}; expected FROM -> TO[:PORT/PROTOCOL][ via PATH][ over FAMILY]")]
pub struct ParsePatternError {
    /// What was read.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl CellPattern {
    /// Whether a cell of `world` matches. For many cells, [`CellMatcher`] is quicker.
    pub fn matches(&self, world: &World, cell: &Cell) -> bool {
        self.matches_names(&world.name(cell.from).to_string(), &world.name(cell.to).to_string(), cell)
    }

    /// The same for a cell whose endpoints have these names.
    pub fn matches_names(&self, from: &str, to: &str, cell: &Cell) -> bool {
        self.path_matches(cell) && self.from_matches(from) && self.to_matches(to)
    }

    /// Whether the source part matches an endpoint's name.
    pub fn from_matches(&self, name: &str) -> bool {
        glob(&self.from, name)
    }

    /// Whether the destination part matches an endpoint's name.
    pub fn to_matches(&self, name: &str) -> bool {
        glob(&self.to, name)
    }

    /// Whether everything but the endpoints matches.
    fn path_matches(&self, cell: &Cell) -> bool {
        self.via == cell.via
            && self.port.is_none_or(|port| port == cell.port)
            && match self.protocol {
                Some(protocol) => protocol == cell.protocol,
                // Policies do not speak of ICMP, and neither does a pattern that does not name it.
                None => cell.protocol != Protocol::Icmp,
            }
            && self.family.is_none_or(|family| family == cell.family)
    }
}

/// A pattern whose globs were matched once for each endpoint of a world, instead of once for each cell.
#[derive(Debug, Clone)]
pub struct CellMatcher<'p> {
    pattern: &'p CellPattern,
    from: Vec<bool>,
    to: Vec<bool>,
}

impl<'p> CellMatcher<'p> {
    /// For the cells of `world`.
    pub fn new(pattern: &'p CellPattern, world: &World) -> Self {
        let names: Vec<String> = world.endpoints.iter().map(|endpoint| endpoint.name.to_string()).collect();
        Self {
            pattern,
            from: names.iter().map(|name| pattern.from_matches(name)).collect(),
            to: names.iter().map(|name| pattern.to_matches(name)).collect(),
        }
    }

    /// The same as [`CellPattern::matches`].
    pub fn matches(&self, cell: &Cell) -> bool {
        self.from[usize::from(cell.from.0)]
            && self.to[usize::from(cell.to.0)]
            && self.pattern.path_matches(cell)
    }
}

/// Glob with `*` only. A lone `*` matches every name; elsewhere it does not cross `/`.
pub(crate) fn glob(pattern: &str, name: &str) -> bool {
    fn rest(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', tail)) => {
                let reach = name.iter().position(|c| *c == b'/').unwrap_or(name.len());
                (0..=reach).any(|skip| rest(tail, &name[skip..]))
            }
            Some((c, tail)) => name.first() == Some(c) && rest(tail, &name[1..]),
        }
    }
    pattern == "*" || rest(pattern.as_bytes(), name.as_bytes())
}

impl fmt::Display for CellPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.from, self.to)?;
        match (self.port, self.protocol) {
            (None, None) => {}
            (_, Some(Protocol::Icmp)) => write!(f, ":{}", Protocol::Icmp)?,
            (Some(port), None) => write!(f, ":{port}/*")?,
            (None, Some(protocol)) => write!(f, ":*/{protocol}")?,
            (Some(port), Some(protocol)) => write!(f, ":{port}/{protocol}")?,
        }
        if self.via != Via::PodIp {
            write!(f, " via {}", self.via)?;
        }
        if let Some(family) = self.family {
            write!(f, " over {family}")?;
        }
        Ok(())
    }
}

impl FromStr for CellPattern {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |why: String| ParsePatternError { text: text.to_owned(), why };
        let (from, rest) = text
            .split_once("->")
            .ok_or_else(|| bad("there is no `->` between source and destination".into()))?;
        let mut words = rest.split_whitespace();
        let target = words.next().ok_or_else(|| bad("the destination is missing".into()))?;
        let (mut via, mut family) = (Via::PodIp, None);
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| bad(format!("`{word}` has no value")))?;
            match word {
                "via" => via = value.parse::<Via>().map_err(|e| bad(e.to_string()))?,
                "over" => family = Some(value.parse::<Family>().map_err(|e| bad(e.to_string()))?),
                _ => return Err(bad(format!("unexpected `{word}`"))),
            }
        }
        let (to, port, protocol) =
            match target.split_once(':') {
                None => (target, None, None),
                Some((to, "icmp" | "*/icmp")) => (to, None, Some(Protocol::Icmp)),
                Some((to, port)) => {
                    let (port, protocol) = match port.split_once('/') {
                        Some((port, "*")) => (port, None),
                        Some((port, protocol)) => {
                            (port, Some(protocol.parse::<Protocol>().map_err(|e| bad(e.to_string()))?))
                        }
                        None => (port, None),
                    };
                    if protocol == Some(Protocol::Icmp) {
                        return Err(bad("ICMP has no ports; write `:icmp`".into()));
                    }
                    let port =
                        match port {
                            "*" => None,
                            _ => Some(port.parse::<u16>().ok().filter(|p| *p > 0).ok_or_else(|| {
                                bad(format!("`{port}` is no port; expected 1–65535 or `*`"))
                            })?),
                        };
                    (to, port, protocol)
                }
            };
        let from = from.trim();
        for (part, what) in [(from, "source"), (to, "destination")] {
            if part.is_empty() || part.contains(char::is_whitespace) {
                return Err(bad(format!("the {what} `{part}` is no endpoint name")));
            }
        }
        Ok(Self { from: from.to_owned(), to: to.to_owned(), port, protocol, via, family })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_round_trip() {
        for text in [
            "x/a -> y/b",
            "* -> x/*:80/tcp",
            "x/a -> x/web:80/tcp via cluster-ip",
            "x/a -> y/b:*/udp over ipv6",
            "x/a -> y/b:icmp",
            "external -> x/a:80/*",
        ] {
            assert_eq!(text.parse::<CellPattern>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, why) in [
            ("x/a y/b", "no `->`"),
            ("x/a ->", "destination is missing"),
            ("x/a -> y/b:70000/tcp", "no port"),
            ("x/a -> y/b via tunnel", "pod-ip, cluster-ip"),
            ("x/a -> y/b:80/icmp", "no ports"),
            ("x/a -> y/b:80/ip", "tcp, udp, sctp"),
            ("x/a -> y/b over", "no value"),
            (" -> y/b", "source"),
        ] {
            let error = text.parse::<CellPattern>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_star_stays_inside_its_segment() {
        assert!(glob("x/*", "x/abc"));
        assert!(glob("*/a", "x/a"));
        assert!(!glob("*/a", "external"));
        assert!(glob("*", "external"));
        assert!(glob("*", "x/a"));
        assert!(glob("x/a*c", "x/abbc"));
        assert!(!glob("x*", "x/a"));
        assert!(glob("*/*", "x/a"));
    }
}
