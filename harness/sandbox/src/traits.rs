//! [`Traits`]: every way in which the dataplane can behave otherwise than the reference, one field each.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use verdikt_model::Topic;

/// What the grammar says of one trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trait {
    /// Its word in a profile.
    pub word: &'static str,
    /// What follows the word: nothing, `=DUR` or `[=DUR]`.
    pub value: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Where dataplanes are known to differ by it; nowhere for what is only ever a defect.
    pub topics: &'static [Topic],
}

/// A field of [`Traits`]: how it is read from a profile and printed into one.
trait Value {
    /// What follows the word.
    const SYNTAX: &'static str;
    /// Takes what was read after `=`.
    fn read(&mut self, value: Option<&str>) -> Result<(), String>;
    /// What is printed: `None` when the field is as in the reference, else what follows the word.
    fn print(&self) -> Option<String>;
}

impl Value for bool {
    const SYNTAX: &'static str = "";

    fn read(&mut self, value: Option<&str>) -> Result<(), String> {
        match value {
            None => *self = true,
            Some(_) => return Err("takes no value".into()),
        }
        Ok(())
    }

    fn print(&self) -> Option<String> {
        self.then(String::new)
    }
}

impl Value for Duration {
    const SYNTAX: &'static str = "=DUR";

    fn read(&mut self, value: Option<&str>) -> Result<(), String> {
        *self = duration(value.ok_or("needs a duration, such as =200ms")?)?;
        Ok(())
    }

    fn print(&self) -> Option<String> {
        (!self.is_zero()).then(|| format!("={}", shown(*self)))
    }
}

impl Value for Option<Duration> {
    const SYNTAX: &'static str = "[=DUR]";

    fn read(&mut self, value: Option<&str>) -> Result<(), String> {
        *self = Some(value.map(duration).transpose()?.unwrap_or_default());
        Ok(())
    }

    fn print(&self) -> Option<String> {
        self.map(|after| if after.is_zero() { String::new() } else { format!("={}", shown(after)) })
    }
}

/// Longer times are slips of the keyboard: no run lasts as long.
const LONGEST: Duration = Duration::from_secs(3600);

/// Whole microseconds at least, so that what is printed is what was read.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("needs a number and ms, s or m, such as 200ms; `{text}` is none");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let number: u64 = text[..split].parse().map_err(|_| bad())?;
    let time = match &text[split..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => return Err(bad()),
    };
    if time > LONGEST { Err(format!("takes an hour at most; `{text}` is more")) } else { Ok(time) }
}

fn shown(time: Duration) -> String {
    let millis = time.as_millis();
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

macro_rules! traits {
    ($($word:literal $field:ident: $kind:ty $(=> $($topic:ident)+)?, $about:literal;)+) => {
        /// How a dataplane behaves. The default is the reference: NetworkPolicy as the specification has it, in
        /// force at once and before a pod starts, denied packets dropped, existing connections left alone.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case", default)]
        #[non_exhaustive]
        pub struct Traits {
            $(#[doc = $about] pub $field: $kind,)+
        }

        impl Traits {
            /// All of them, in the order in which they are printed.
            pub const ALL: &'static [Trait] = &[$(Trait {
                word: $word,
                value: <$kind as Value>::SYNTAX,
                about: $about,
                topics: &[$($(Topic::$topic),+)?],
            },)+];

            /// Sets the trait of a word; `None` when there is none.
            pub(crate) fn read(&mut self, word: &str, value: Option<&str>) -> Option<Result<(), String>> {
                match word {
                    $($word => Some(self.$field.read(value)),)+
                    _ => None,
                }
            }

            /// Words, with values, of the traits that are not as in `base`.
            pub fn beyond(&self, base: &Self) -> Vec<String> {
                let mut words = vec![];
                $(if self.$field != base.$field && let Some(value) = self.$field.print() {
                    words.push(format!("{}{value}", $word));
                })+
                words
            }

            /// Words, with values, of the traits of a topic that are not as in the reference: where two dataplanes
            /// have the same ones, they do the same.
            pub fn of_topic(&self, topic: Topic) -> Vec<String> {
                let mut words = vec![];
                $(if [$($(Topic::$topic),+)?].contains(&topic) && let Some(value) = self.$field.print() {
                    words.push(format!("{}{value}", $word));
                })+
                words
            }
        }
    };
}

traits! {
    "enforces-nothing" enforces_nothing: bool => Enforcement, "Policies are accepted and not enforced.";

    "policy-delay" policy_delay: Duration,
        "A change of policies or of labels takes force this long after the API accepted it.";
    "delay-per-policy" delay_per_policy: Duration,
        "A change of policies or of labels takes force later, by this time for each policy that there is then.";
    "start-delay" start_delay: Duration => StartUp,
        "A new pod is not isolated until this long after its start.";
    "cuts-established" cuts_established: Option<Duration> => Established,
        "Connections that are allowed no longer are cut, this long (at once without a value) after that took force.";
    "rejects" rejects: bool => DenialSignal,
        "What is denied is refused instead of dropped: TCP with a reset, UDP and SCTP with ICMP port unreachable.";
    "allows-icmp" allows_icmp: bool => Icmp, "ICMP echo passes whatever policies say.";

    "ignores-except" ignores_except: bool, "The exceptions of an ipBlock have no effect.";
    "except-denies" except_denies: bool, "The exceptions of an ipBlock are denied even where another peer allows them.";
    "shares-excepts" shares_excepts: bool, "The exceptions of an ipBlock are taken out of all blocks of its rule.";
    "refuses-overlapping-blocks" refuses_overlapping_blocks: bool,
        "A policy isolates and opens nothing when blocks or exceptions of a rule lie within one another.";
    "ignores-blocks" ignores_blocks: bool, "An ipBlock matches nothing.";
    "blocks-match-all" blocks_match_all: bool, "An ipBlock matches every address.";
    "and-as-or" and_as_or: bool, "Two selectors in one peer are two peers.";
    "or-as-and" or_as_and: bool, "A namespaceSelector and a podSelector in two peers are one peer.";
    "ignores-namespace-selector" ignores_namespace_selector: bool,
        "A peer with a namespaceSelector matches pods of all namespaces.";
    "ignores-pod-selector" ignores_pod_selector: bool, "A peer with a podSelector matches all pods of the namespace.";
    "ignores-expressions" ignores_expressions: bool, "The matchExpressions of selectors have no effect.";
    "crosses-namespaces" crosses_namespaces: bool, "A peer with only a podSelector matches pods of all namespaces.";
    "admits-hosts" admits_hosts: bool, "A peer with a namespaceSelector also matches addresses outside of pods.";
    "empty-is-none" empty_is_none: bool, "Empty peers, empty ports and empty selectors of peers match nothing.";
    "selects-all" selects_all: bool, "A policy applies to all pods of its namespace.";
    "subjects-everywhere" subjects_everywhere: bool, "A policy applies to the pods that it selects in all namespaces.";
    "named-port-opens-all" named_port_opens_all: bool => NamedPorts EgressPortNames, "A named port opens all ports of its protocol.";
    "ignores-ports" ignores_ports: bool, "A rule opens all ports.";
    "ignores-protocol" ignores_protocol: bool, "A numbered port is opened for TCP, UDP and SCTP.";
    "ignores-end-port" ignores_end_port: bool => EndPort, "Of a range of ports only the first is opened.";
    "blocks-skip-pods" blocks_skip_pods: bool => IpBlockPods, "An ipBlock matches no address of a pod.";
    "blocks-skip-nodes" blocks_skip_nodes: bool => IpBlockNodes, "An ipBlock matches no address of a node.";
    "selects-host-network" selects_host_network: bool => HostNetwork,
        "A peer with a podSelector also matches pods on their node's network.";
    "undefined-port-name-opens-all" undefined_port_name_opens_all: bool,
        "A rule with peers opens all ports when it has only names of ports, and nobody has a port of these names.";
    "shares-port-addresses" shares_port_addresses: bool,
        "A port's name opens its number also on pods that share another port, named or not, with a pod that has it.";
    "mixes-port-names" mixes_port_names: Duration,
        "For this long after each change of policies the numbers of a rule's port names are open on each other's pods.";
    "joins-names" joins_names: bool,
        "Policies, pods of a node and port names of rules are one where their names or numbers are alike once joined.";
    "refuses-port-names" refuses_port_names: bool => NamedPorts EgressPortNames,
        "A policy with a port's name in a rule is not enforced at all.";
    "merges-port-names" merges_port_names: bool => NamedPorts,
        "A port's name in an ingress rule means all numbers that it has on the policy's pods.";
    "ignores-port-names-of-sidecars" ignores_port_names_of_sidecars: bool => NamedPorts,
        "The names of a sidecar's ports are not known.";
    "ignores-ambiguous-port-names" ignores_ambiguous_port_names: bool => NamedPorts EgressPortNames,
        "A port's name in an egress rule opens nothing when it has several numbers on the rule's pods.";
    "ignores-port-names-of-blocks" ignores_port_names_of_blocks: bool => EgressPortNames,
        "A port's name in an egress rule opens nothing in an ipBlock.";
    "ignores-port-names-without-peers" ignores_port_names_without_peers: bool => EgressPortNames,
        "A port's name in an egress rule without peers opens nothing.";
    "port-names-of-own-namespace" port_names_of_own_namespace: bool => EgressPortNames,
        "A port's name in an egress rule without peers means pods of the policy's namespace.";
    "ignores-sctp" ignores_sctp: bool => Sctp, "A rule for SCTP opens nothing.";
    "first-policy-only" first_policy_only: bool,
        "Of several policies that isolate a pod in a direction only the first counts.";
    "first-rule-only" first_rule_only: bool, "Of several rules for a direction only the first counts.";
    "forgets-egress" forgets_egress: bool, "Nothing is denied at the source.";
    "forgets-ingress" forgets_ingress: bool, "Nothing is denied at the target.";
    "ignores-policy-types" ignores_policy_types: bool, "A policy isolates in the directions for which it has rules.";
    "isolates-both" isolates_both: bool, "Every policy isolates in both directions.";
    "forgets-tcp" forgets_tcp: bool, "TCP is not policed.";
    "forgets-udp" forgets_udp: bool, "UDP is not policed.";
    "leaks-ipv6" leaks_ipv6: bool, "IPv6 is not policed.";
    "allows-dns" allows_dns: bool, "Port 53 is open over TCP and UDP whatever policies say.";
    "drops-replies" drops_replies: bool, "Replies need a rule of their own.";
    "polices-own-node" polices_own_node: bool => FromOwnNode, "What a node sends to its own pods is policed.";
    "same-node-skips-ingress" same_node_skips_ingress: bool,
        "Between pods of one node only the source's side is policed.";
    "trusts-services" trusts_services: bool, "What came through a cluster IP or a node port is not policed.";
    "egress-sees-services" egress_sees_services: bool => ServiceAddresses,
        "An egress policy is judged before the addresses of Services are translated.";
    "polices-to-own-node" polices_to_own_node: bool => ToOwnNode,
        "What a pod sends to its own node is policed.";
    "trusts-node-ports" trusts_node_ports: bool => NodePorts,
        "What came through a node port with externalTrafficPolicy Cluster is not policed at the target.";
    "node-ports-keep-source" node_ports_keep_source: bool => NodePorts ServiceAddresses,
        "A node port with externalTrafficPolicy Cluster is translated at a client's own node, and clients keep their address.";
    "allows-own-service" allows_own_service: bool => OwnService,
        "A pod reaches itself through its own Service whatever policies say.";
    "ignores-relabelling" ignores_relabelling: bool, "Labels of pods and namespaces stay as first seen.";
    "ignores-updates" ignores_updates: bool, "A policy that is replaced stays as first seen.";
    "never-removes" never_removes: bool, "A policy that is deleted stays in force.";
    "stale-addresses" stale_addresses: bool,
        "An address keeps namespace and labels of the pod that had it for the next one, which gets it at once.";
    "forgets-terminating" forgets_terminating: bool, "A pod that is being deleted is not isolated.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trait_is_set_by_its_word_and_printed_as_it() {
        for known in Traits::ALL {
            let value = (!known.value.is_empty()).then_some("1500ms");
            let mut traits = Traits::default();
            traits.read(known.word, value).unwrap().unwrap();
            let text = value.map_or(known.word.to_owned(), |value| format!("{}={value}", known.word));
            assert_eq!(traits.beyond(&Traits::default()), [text]);
            let wire = serde_json::to_value(&traits).unwrap();
            assert!(wire.get(known.word).is_some(), "{} has a field of another name", known.word);
            assert_eq!(serde_json::from_value::<Traits>(wire).unwrap(), traits);
        }
    }

    #[test]
    fn a_topic_has_the_words_that_are_about_it() {
        let mut traits = Traits { rejects: true, named_port_opens_all: true, ..Traits::default() };
        traits.start_delay = Duration::from_secs(1);
        assert_eq!(traits.of_topic(Topic::StartUp), ["start-delay=1s"]);
        assert_eq!(traits.of_topic(Topic::NamedPorts), traits.of_topic(Topic::EgressPortNames));
        assert!(traits.of_topic(Topic::Icmp).is_empty());
        assert!(Traits::default().of_topic(Topic::StartUp).is_empty());
    }

    #[test]
    fn values_are_where_they_belong() {
        let mut traits = Traits::default();
        let mut refused = |word, value| traits.read(word, value).unwrap().unwrap_err();
        assert!(refused("rejects", Some("1s")).contains("takes no value"));
        assert!(refused("policy-delay", None).contains("needs a duration"));
        assert!(refused("policy-delay", Some("200")).contains("`200` is none"));
        assert!(refused("policy-delay", Some("-1s")).contains("`-1s` is none"));
        assert!(refused("policy-delay", Some("99999999999999999999s")).contains("is none"));
        assert!(refused("cuts-established", Some("61m")).contains("an hour at most"));
        traits.read("cuts-established", None).unwrap().unwrap();
        assert_eq!(traits.cuts_established, Some(Duration::ZERO));
        assert_eq!(traits.beyond(&Traits::default()), ["cuts-established"]);
        assert!(traits.read("policy-dela", None).is_none());
    }
}
