//! Ports, families and paths of several cells, in few words: `80/tcp, 81/tcp ipv4, ipv6`.

use std::collections::{BTreeMap, BTreeSet};

use verdikt_model::{Cell, Family, PortProtocol, Protocol, Via};

/// What a cell dials, apart from who and whom. Ordered as reports show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) via: Via,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) family: Family,
}

impl Place {
    pub(crate) const fn of(cell: &Cell) -> Self {
        Self { via: cell.via, protocol: cell.protocol, port: cell.port, family: cell.family }
    }
}

/// Words for a set of places. Ports with the same families share them; groups are joined by `; `.
pub(crate) fn describe(places: impl IntoIterator<Item = Place>) -> String {
    let mut families: BTreeMap<(Via, Protocol, u16), BTreeSet<Family>> = BTreeMap::new();
    for place in places {
        families.entry((place.via, place.protocol, place.port)).or_default().insert(place.family);
    }
    let mut groups: Vec<(Via, BTreeSet<Family>, Vec<String>)> = Vec::new();
    for ((via, protocol, port), families) in families {
        let port = PortProtocol { port, protocol }.to_string();
        match groups.iter_mut().find(|(v, f, _)| *v == via && *f == families) {
            Some((_, _, ports)) => ports.push(port),
            None => groups.push((via, families, vec![port])),
        }
    }
    let words = groups.into_iter().map(|(via, families, ports)| {
        let families: Vec<_> = families.into_iter().map(Family::as_str).collect();
        let mut text = format!("{} {}", ports.join(", "), families.join(", "));
        if via != Via::PodIp {
            text.push_str(&format!(" via {via}"));
        }
        text
    });
    words.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(port: u16, family: Family, via: Via) -> Place {
        Place { via, protocol: Protocol::Tcp, port, family }
    }

    #[test]
    fn products_are_folded_and_others_are_not() {
        use Family::{Ipv4, Ipv6};
        let all = [(80, Ipv4), (80, Ipv6), (81, Ipv4), (81, Ipv6)].map(|(p, f)| place(p, f, Via::PodIp));
        assert_eq!(describe(all), "80/tcp, 81/tcp ipv4, ipv6");
        assert_eq!(describe(all[..3].iter().copied()), "80/tcp ipv4, ipv6; 81/tcp ipv4");
        assert_eq!(describe([place(80, Ipv4, Via::ClusterIp)]), "80/tcp ipv4 via cluster-ip");
    }
}
