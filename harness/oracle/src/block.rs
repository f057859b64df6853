//! `ipBlock`: a CIDR without its exceptions (statements N20, N25).

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::IPBlock;
use verdikt_model::cidr;

/// Whether a block holds an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// It does not: of another family, outside the CIDR, or excepted.
    No,
    /// It does.
    Yes,
    /// A CIDR written with host bits (`192.168.1.1/24`) decides it, and the API does not say how to read one.
    HostBits,
    /// A CIDR decides it that is written in a way which readers take differently: with leading zeros (`198.051.100.0/24`), or
    /// as an IPv6 form of IPv4 addresses.
    Doubtful,
}

/// A CIDR, or one of the readings of one.
#[derive(Debug, Clone, Copy)]
struct Net {
    net: IpNet,
    /// What holding an address means.
    holds: Holds,
}

/// A parsed `ipBlock`. A part that is no CIDR holds nothing; the API server refuses it anyway.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    cidr: Vec<Net>,
    except: Vec<Net>,
}

impl Block {
    pub(crate) fn parse(block: &IPBlock) -> Self {
        let nets = |text: &String| {
            let doubtful = cidr::is_doubtful(text);
            let net = move |net: IpNet| {
                let holds = match (doubtful, net.network() == net.addr()) {
                    (true, _) => Holds::Doubtful,
                    (false, true) => Holds::Yes,
                    (false, false) => Holds::HostBits,
                };
                Net { net, holds }
            };
            cidr::readings(text).into_iter().map(net)
        };
        Self {
            cidr: nets(&block.cidr).collect(),
            except: block.except.iter().flatten().flat_map(nets).collect(),
        }
    }

    /// Whether an exception holds an address that the CIDR itself holds.
    pub(crate) fn excepts(&self, ip: IpAddr) -> bool {
        let holds = |nets: &[Net]| nets.iter().any(|one| one.net.contains(&ip));
        holds(&self.cidr) && holds(&self.except)
    }

    /// A family never holds addresses of the other. What `except` takes away is merely not in this peer;
    /// another peer may still allow it (N25).
    pub(crate) fn holds(&self, ip: IpAddr) -> Holds {
        let sure = |one: &&Net| one.holds == Holds::Yes;
        let found = |nets: &[Net]| {
            let holding = || nets.iter().filter(|one| one.net.contains(&ip));
            holding().find(sure).or_else(|| holding().next()).map(|one| one.holds)
        };
        match (found(&self.cidr), found(&self.except)) {
            (None, _) | (_, Some(Holds::Yes)) => Holds::No,
            (Some(cidr), None) => cidr,
            (Some(_), Some(except)) => except,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(cidr: &str, except: &[&str], ip: &str) -> Holds {
        let except = (!except.is_empty()).then(|| except.iter().map(|e| (*e).to_owned()).collect());
        Block::parse(&IPBlock { cidr: cidr.into(), except }).holds(ip.parse().unwrap())
    }

    #[test]
    fn n20_a_block_is_its_cidr_without_the_exceptions() {
        assert_eq!(holds("10.0.0.0/8", &[], "10.1.2.3"), Holds::Yes);
        assert_eq!(holds("10.0.0.0/8", &[], "11.1.2.3"), Holds::No);
        assert_eq!(holds("10.0.0.0/8", &["10.1.0.0/16", "10.1.2.0/24"], "10.1.2.3"), Holds::No);
        assert_eq!(holds("10.0.0.0/8", &["10.1.0.0/16"], "10.2.2.3"), Holds::Yes);
        assert_eq!(holds("10.0.0.0/8", &["10.0.0.0/8"], "10.2.2.3"), Holds::No);
    }

    #[test]
    fn n20_families_are_apart() {
        assert_eq!(holds("0.0.0.0/0", &[], "fd00::1"), Holds::No);
        assert_eq!(holds("::/0", &[], "10.0.0.1"), Holds::No);
        assert_eq!(holds("::/0", &["fd00:1::/32"], "fd00:1::2"), Holds::No);
        assert_eq!(holds("::/0", &["0.0.0.0/0"], "fd00::1"), Holds::Yes);
    }

    #[test]
    fn n20_host_bits_are_open_only_where_they_decide() {
        assert_eq!(holds("192.168.1.1/24", &[], "192.168.1.9"), Holds::HostBits);
        assert_eq!(holds("192.168.1.1/24", &[], "192.168.2.9"), Holds::No);
        assert_eq!(holds("192.168.0.0/16", &["192.168.1.1/24"], "192.168.1.9"), Holds::HostBits);
        assert_eq!(holds("192.168.0.0/16", &["192.168.1.1/24", "192.168.1.0/28"], "192.168.1.9"), Holds::No);
    }

    #[test]
    fn n20_leading_zeros_are_open_in_every_reading() {
        for ip in ["198.51.100.7", "198.41.100.7"] {
            assert_eq!(holds("198.051.100.000/24", &[], ip), Holds::Doubtful, "{ip}");
            assert_eq!(holds("198.0.0.0/8", &["198.051.100.000/24"], ip), Holds::Doubtful, "{ip}");
        }
        assert_eq!(holds("198.051.100.000/24", &[], "198.52.100.7"), Holds::No);
        assert_eq!(holds("::ffff:198.51.100.0/120", &[], "198.51.100.7"), Holds::Doubtful);
        assert_eq!(holds("::ffff:198.51.100.0/120", &[], "198.51.101.7"), Holds::No);
        assert_eq!(holds("198.0.0.0/8", &["198.051.100.000/24"], "198.52.100.7"), Holds::Yes);
        assert_eq!(holds("198.0.0.0/8", &["198.051.100.000/24", "198.51.0.0/16"], "198.51.100.7"), Holds::No);
    }

    #[test]
    fn n25_what_is_no_cidr_holds_nothing() {
        for cidr in ["", "10.0.0.0", "10.0.0.0/33", "${pod.x/a.ip}/32", "x"] {
            assert_eq!(holds(cidr, &[], "10.0.0.1"), Holds::No, "{cidr}");
        }
        assert_eq!(holds("10.0.0.0/8", &["nonsense"], "10.0.0.1"), Holds::Yes);
    }
}
