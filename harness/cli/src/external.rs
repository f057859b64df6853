//! Hosts outside a real cluster, from the command line's words to addresses.

use std::net::IpAddr;

use verdikt_runner::ExternalHost;

use crate::failure::Failure;

/// As many as scenarios know: `external` and `external/2`.
const MOST: usize = 2;

/// The hosts in the order in which they are named. `real`: whether the target is a real cluster.
pub(crate) async fn hosts(named: &[(String, u16)], real: bool) -> Result<Vec<ExternalHost>, Failure> {
    if !real && !named.is_empty() {
        return Err(Failure::usage(
            "--external is for real clusters: the sandbox has its own external hosts",
        )
        .help("add --context NAME, or leave it out"));
    }
    let mut hosts: Vec<(&str, ExternalHost)> = Vec::new();
    for (name, port) in named {
        if let Some((_, host)) = hosts.iter_mut().find(|(known, _)| *known == name) {
            host.ports.insert(*port);
            continue;
        }
        let found = tokio::net::lookup_host((name.as_str(), *port)).await.map_err(|error| {
            Failure::usage(format!("--external {name}:{port}: {error}"))
                .help("name a host that resolves on this machine, or its address")
        })?;
        let mut ips: Vec<IpAddr> = Vec::new();
        for ip in found.map(|address| address.ip()) {
            if !ips.iter().any(|have| have.is_ipv4() == ip.is_ipv4()) {
                ips.push(ip);
            }
        }
        hosts.push((name, ExternalHost { ips, ports: [*port].into() }));
    }
    if hosts.len() > MOST {
        return Err(Failure::usage(format!(
            "--external names {} hosts, and scenarios know {MOST}",
            hosts.len()
        ))
        .help("a host that is named again only adds a port"));
    }
    Ok(hosts.into_iter().map(|(_, host)| host).collect())
}
