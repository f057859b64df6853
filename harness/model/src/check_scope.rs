//! What each kind of check can be about. Lint holds scenarios to it, and docs/scenario-format.md has it as a table.

use crate::{
    cell::Cell,
    check::CheckWord,
    endpoint::EndpointName,
    net::{Protocol, Via},
    world::World,
};

/// What one kind of check can be about.
#[derive(Debug, Clone, Copy)]
pub struct CheckScope {
    /// The kind.
    pub check: CheckWord,
    /// Who measures it, where a kind has more than one way; otherwise empty.
    pub way: &'static str,
    /// Protocols that it can be measured over,
    pub protocols: &'static [Protocol],
    /// and why over no other.
    pub why_protocols: &'static str,
    /// Paths that it can be measured on,
    pub paths: &'static [Via],
    /// and why on no other.
    pub why_paths: &'static str,
    /// Whether its other end can be the cluster's DNS servers,
    pub dns: bool,
    /// and why not.
    pub why_no_dns: &'static str,
}

const ANY_PROTOCOL: &[Protocol] = &[Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp];
const ANY_PATH: &[Via] =
    &[Via::PodIp, Via::ClusterIp, Via::Dns, Via::Headless, Via::NodePort, Via::OtherNodePort];
const BY_ADDRESS: &[Via] = &[Via::PodIp, Via::ClusterIp, Via::NodePort, Via::OtherNodePort];
const BY_NAME: &str =
    "it goes to one address from its first moment to its last, and a name may lead elsewhere each time";
const OURS: &str = "its other end must be a server of verdikt's";

/// Every kind of check, in the order of the page.
const SCOPES: [CheckScope; 6] = [
    CheckScope {
        check: CheckWord::Hold,
        way: "",
        protocols: ANY_PROTOCOL,
        why_protocols: "",
        paths: BY_ADDRESS,
        why_paths: BY_NAME,
        dns: false,
        why_no_dns: OURS,
    },
    CheckScope {
        check: CheckWord::First,
        way: "by the new pod",
        protocols: &[Protocol::Tcp, Protocol::Udp, Protocol::Sctp],
        why_protocols: "a pod's first instructions open sockets of protocols with ports",
        paths: BY_ADDRESS,
        why_paths: BY_NAME,
        dns: false,
        why_no_dns: OURS,
    },
    CheckScope {
        check: CheckWord::First,
        way: "towards it",
        protocols: ANY_PROTOCOL,
        why_protocols: "",
        paths: &[Via::PodIp],
        why_paths: "a new pod is reached by its own address from the moment on at which the API tells it",
        dns: false,
        why_no_dns: OURS,
    },
    CheckScope {
        check: CheckWord::Sample,
        way: "",
        protocols: ANY_PROTOCOL,
        why_protocols: "",
        paths: BY_ADDRESS,
        why_paths: BY_NAME,
        dns: true,
        why_no_dns: "",
    },
    CheckScope {
        check: CheckWord::Transfer,
        way: "",
        protocols: &[Protocol::Tcp],
        why_protocols: "bytes are sent there and back on a TCP connection",
        paths: BY_ADDRESS,
        why_paths: BY_NAME,
        dns: false,
        why_no_dns: OURS,
    },
    CheckScope {
        check: CheckWord::Http,
        way: "",
        protocols: &[Protocol::Tcp],
        why_protocols: "HTTP is spoken over TCP",
        paths: ANY_PATH,
        why_paths: "",
        dns: false,
        why_no_dns: OURS,
    },
];

impl CheckScope {
    /// Every kind of check, in the order of the page.
    pub const ALL: &'static [Self] = &SCOPES;

    /// The scope of a check. `by_new_pod`: whether the source is a pod that the step starts.
    pub fn of(check: CheckWord, by_new_pod: bool) -> &'static Self {
        let mut ways = SCOPES.iter().filter(|scope| scope.check == check);
        match check {
            CheckWord::First if !by_new_pod => ways.next_back(),
            _ => ways.next(),
        }
        .unwrap_or(&SCOPES[0])
    }

    /// Why a cell cannot be measured by such a check; `None` when it can.
    pub fn fault(&self, world: &World, cell: &Cell) -> Option<String> {
        let list = |words: Vec<String>| words.join(", ");
        if !self.protocols.contains(&cell.protocol) {
            let can = list(self.protocols.iter().map(ToString::to_string).collect());
            return Some(format!("over {can} only: {}", self.why_protocols));
        }
        if !self.paths.contains(&cell.via) {
            let can = list(self.paths.iter().map(ToString::to_string).collect());
            return Some(format!("via {can} only: {}", self.why_paths));
        }
        if !self.dns && *world.name(cell.to) == EndpointName::Dns {
            return Some(format!("not against `dns`: {}", self.why_no_dns));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_check_has_its_scope() {
        for check in
            [CheckWord::Hold, CheckWord::First, CheckWord::Sample, CheckWord::Transfer, CheckWord::Http]
        {
            assert_eq!(CheckScope::of(check, true).check, check);
            assert_eq!(CheckScope::of(check, false).check, check);
        }
        assert!(!CheckScope::of(CheckWord::First, true).protocols.contains(&Protocol::Icmp));
        assert!(CheckScope::of(CheckWord::First, false).protocols.contains(&Protocol::Icmp));
    }

    #[test]
    fn what_is_not_all_has_its_reason() {
        for scope in CheckScope::ALL {
            assert_eq!(scope.why_protocols.is_empty(), scope.protocols == ANY_PROTOCOL, "{scope:?}");
            assert_eq!(scope.why_paths.is_empty(), scope.paths == ANY_PATH, "{scope:?}");
            assert_eq!(scope.why_no_dns.is_empty(), scope.dns, "{scope:?}");
        }
    }
}
