//! The statements of the specification, and which of them a scenario can test. `docs/spec-statements.md` says more of each.

/// One statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// `N14`
    pub name: &'static str,
    /// What it says, in a sentence.
    pub text: &'static str,
    /// Why no scenario can test it; `None` when one can.
    pub untestable: Option<&'static str>,
}

const fn testable(name: &'static str, text: &'static str) -> Statement {
    Statement { name, text, untestable: None }
}

const fn untestable(name: &'static str, text: &'static str, why: &'static str) -> Statement {
    Statement { name, text, untestable: Some(why) }
}

/// All statements, in order.
pub const STATEMENTS: &[Statement] = &[
    testable("N1", "Policies speak of TCP, UDP and, where supported, SCTP."),
    testable(
        "N2",
        "A policy concerns a connection with a pod at one end or both; it says nothing of others.",
    ),
    testable("N3", "Without a plugin that implements policies, creating one changes nothing."),
    testable("N4", "A pod cannot be cut off from itself."),
    testable(
        "N5",
        "Traffic between a pod and its own node is always allowed. The introduction says so for both directions, the section on isolation only for traffic from the node.",
    ),
    testable("N6", "Ingress and egress isolation are declared apart, and neither implies the other."),
    testable("N7", "A pod that nothing isolates for egress may connect anywhere."),
    testable(
        "N8",
        "A pod is isolated for egress once a policy selects it and lists Egress; then only what the egress rules of those policies allow is allowed.",
    ),
    testable("N9", "A pod that nothing isolates for ingress takes connections from anywhere."),
    testable(
        "N10",
        "A pod is isolated for ingress once a policy selects it and lists Ingress; then only its own node and what the ingress rules allow may connect.",
    ),
    testable("N11", "Replies of an allowed connection need no rule."),
    testable("N12", "Policies and rules add up; none takes away what another allows."),
    testable("N13", "The order of policies has no effect."),
    testable("N14", "A connection between two pods must be allowed at both ends."),
    testable(
        "N15",
        "`podSelector` picks the policy's subjects, in its own namespace; an empty one picks all of them.",
    ),
    testable(
        "N16",
        "Without `policyTypes`, Ingress is set, and Egress when there is at least one egress rule.",
    ),
    testable(
        "N17",
        "A rule matches when one of its peers and one of its ports match; rules are alternatives.",
    ),
    testable(
        "N18",
        "A peer is a `podSelector` (own namespace), a `namespaceSelector` (all pods of those namespaces), both (pods of those namespaces), or an `ipBlock`.",
    ),
    testable("N19", "Both selectors in one list element mean AND, in two elements OR."),
    testable("N20", "`ipBlock` is a CIDR without its exceptions, meant for addresses outside the cluster."),
    testable(
        "N21",
        "Whether addresses are rewritten before or after policies look is not defined; the source may be the client, a load balancer or a node.",
    ),
    untestable(
        "N22",
        "Egress to a Service whose address becomes an external one may or may not be subject to `ipBlock`.",
        "no Service of a scenario leads to an address outside the cluster",
    ),
    testable(
        "N23",
        "Missing or empty `from`, `to` or `ports` means all; a missing or empty rule list allows nothing.",
    ),
    testable(
        "N24",
        "A missing `protocol` is TCP; a missing `port` is every port of the protocol; a port can be a number or a name.",
    ),
    testable(
        "N25",
        "`ipBlock` excludes selectors in its peer; exceptions lie inside the CIDR and are no denials.",
    ),
    testable("N26", "All pods, Ingress, no rules: nothing comes in; egress stays as it is."),
    testable("N27", "All pods, one empty ingress rule: everything comes in, whatever other policies say."),
    testable("N28", "All pods, Egress, no rules: nothing goes out, DNS included; ingress stays as it is."),
    testable("N29", "All pods, one empty egress rule: everything goes out, whatever other policies say."),
    testable("N30", "All pods, both types, no rules: neither."),
    testable("N31", "For anything but TCP, UDP and SCTP (ICMP, ARP) the effect is undefined."),
    testable("N32", "SCTP rules need a plugin that supports SCTP."),
    testable(
        "N33",
        "`endPort` makes a range with both ends included; it needs a numeric `port` that is not larger.",
    ),
    testable("N34", "A plugin without `endPort` applies the policy to the single `port`."),
    testable("N35", "Label expressions can choose several namespaces."),
    testable("N36", "A namespace is chosen by name through its label `kubernetes.io/metadata.name`."),
    testable("N37", "A new policy takes time to be handled; a pod that starts before is not protected yet."),
    testable("N38", "Once handled, a policy isolates each new pod before it starts."),
    testable("N39", "Allow rules may come later than isolation."),
    testable("N40", "Every policy is handled in the end; until then the view may differ across the cluster."),
    testable("N41", "What a change does to existing connections is left to the implementation."),
    testable(
        "N42",
        "For `hostNetwork` pods there are two options: policies treat them as any pod, or no selector finds them and their traffic is their node's.",
    ),
    untestable(
        "N43",
        "Gateways, TLS, node identities, Services by name, cluster-wide defaults, explicit denials, logging, blocking loopback or the own node.",
        "a NetworkPolicy has no words for it; scenarios that name it test what other kinds of objects add",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_the_same() {
        let page = include_str!("../../../docs/spec-statements.md");
        let rows: Vec<(&str, &str)> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| N"))
            .map(|row| row.split_once(" | ").expect("a row has columns"))
            .map(|(number, rest)| (number, rest.split(" | ").next().unwrap_or_default()))
            .collect();
        let ours: Vec<(&str, &str)> =
            STATEMENTS.iter().map(|s| (s.name.trim_start_matches('N'), s.text)).collect();
        assert_eq!(rows, ours);
        for statement in STATEMENTS {
            if let Some(why) = statement.untestable {
                let line = format!("- {}: {why}.", statement.name);
                assert!(page.contains(&line), "docs/spec-statements.md does not say `{line}`");
            }
        }
    }
}
