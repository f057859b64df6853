//! The pod's resolver configuration.

use std::{fs, net::IpAddr};

use verdikt_protocol::RESOLV_CONF_VARIABLE;

/// Most name servers that a resolver looks at (glibc's MAXNS).
const MOST_SERVERS: usize = 3;

/// The name servers of this pod, from `$VERDIKT_RESOLV_CONF` or `/etc/resolv.conf`.
///
/// # Errors
/// A sentence that names the file, when it cannot be read.
pub(crate) fn nameservers() -> Result<Vec<IpAddr>, String> {
    let path = std::env::var_os(RESOLV_CONF_VARIABLE).unwrap_or_else(|| "/etc/resolv.conf".into());
    let text = fs::read(&path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

fn parse(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.parse().ok())?
    };
    text.lines().filter_map(server).take(MOST_SERVERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_pod_has() {
        let text = "search x.svc.cluster.local\n# nameserver 1.1.1.1\nnameserver 10.96.0.10\nnameserver fd00::a # v6\n\
                    options ndots:5\nnameserver nonsense\n";
        assert_eq!(parse(text), ["10.96.0.10".parse::<IpAddr>().unwrap(), "fd00::a".parse().unwrap()]);
    }
}
