use serde_json::json;

use super::*;
use crate::{
    traits::Traits,
    wire::{ServicePortState, ServiceState},
};

fn pod(namespace: &str, name: &str, n: u8, web: Option<u16>) -> PodState {
    PodState {
        uid: format!("{namespace}-{name}"),
        namespace: namespace.into(),
        name: name.into(),
        place: Place::Pod(0),
        labels: BTreeMap::from([("pod".into(), name.into())]),
        ips: vec![[10, 0, 0, n].into()],
        ports: web.map(|port| ("web".into(), "TCP".into(), port)).into_iter().collect(),
        terminating: false,
    }
}

fn resolved(spec: serde_json::Value) -> Isolation {
    resolved_with(Traits::default(), spec)
}

fn resolved_with(traits: Traits, spec: serde_json::Value) -> Isolation {
    isolation_of(&state(traits, spec))
}

fn isolation_of(state: &State) -> Isolation {
    resolve(state, &read(state).unwrap(), &HashSet::new()).unwrap()
}

fn state(traits: Traits, spec: serde_json::Value) -> State {
    State {
        traits,
        namespaces: BTreeMap::from([
            ("x".into(), BTreeMap::from([("ns".into(), "x".into())])),
            ("y".into(), BTreeMap::from([("ns".into(), "y".into())])),
        ]),
        pods: vec![pod("x", "a", 1, Some(80)), pod("x", "b", 2, None), pod("y", "a", 3, Some(8080))],
        services: vec![],
        policies: vec![json!({"metadata": {"name": "p", "namespace": "x"}, "spec": spec})],
    }
}

/// What pods may receive or send, as text; a pod is the last number of its address.
fn text(isolation: &Isolation, of: &BTreeMap<Subject, Rules>) -> Vec<String> {
    let port = |p: &Ports| format!("{}/{}-{}", p.protocol, p.low, p.high);
    of.iter()
        .map(|(pod, rules)| {
            let allows = rules.allows.iter().map(|id| {
                let allow = &isolation.allows[*id];
                let peers = match &allow.peers {
                    Peers::Any => "any".to_owned(),
                    Peers::Only { pods, ranges } => format!("{pods:?}{}", ranges.len()),
                };
                let ports =
                    allow.ports.as_ref().map(|ports| ports.iter().map(port).collect::<Vec<_>>().join(","));
                format!(" {peers}:{}", ports.unwrap_or("all".into()))
            });
            let pod = pod.ips[0].to_string().replace("10.0.0.", "");
            format!("{pod}{}", allows.collect::<String>())
        })
        .collect()
}

#[test]
fn types_default_to_ingress_and_to_egress_when_it_has_rules() {
    let isolation = resolved(json!({"podSelector": {}}));
    assert_eq!(text(&isolation, &isolation.ingress), ["1", "2"]);
    assert!(isolation.egress.is_empty());
    let isolation = resolved(json!({"podSelector": {"matchLabels": {"pod": "a"}}, "egress": [{}]}));
    assert_eq!(text(&isolation, &isolation.ingress), ["1"]);
    assert_eq!(text(&isolation, &isolation.egress), ["1 any:all"]);
    let isolation = resolved(json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{}]}));
    assert!(isolation.ingress.is_empty());
    assert_eq!(text(&isolation, &isolation.egress), ["1", "2"]);
}

#[test]
fn peers_are_and_within_an_element_and_or_between_elements() {
    let both = json!({"namespaceSelector": {"matchLabels": {"ns": "y"}}, "podSelector": {}});
    let isolation =
        resolved(json!({"podSelector": {"matchLabels": {"pod": "a"}}, "ingress": [{"from": [both]}]}));
    assert_eq!(text(&isolation, &isolation.ingress), ["1 {10.0.0.3}0:all"]);
    let either = json!([{"namespaceSelector": {"matchLabels": {"ns": "y"}}}, {"podSelector": {}}]);
    let isolation =
        resolved(json!({"podSelector": {"matchLabels": {"pod": "a"}}, "ingress": [{"from": either}]}));
    assert_eq!(text(&isolation, &isolation.ingress), ["1 {10.0.0.1, 10.0.0.2, 10.0.0.3}0:all"]);
    let nobody = json!([{"podSelector": {"matchLabels": {"pod": "none"}}}]);
    let isolation =
        resolved(json!({"podSelector": {"matchLabels": {"pod": "a"}}, "ingress": [{"from": nobody}]}));
    assert_eq!(text(&isolation, &isolation.ingress), ["1 {}0:all"]);
}

#[test]
fn a_named_port_is_each_destinations_own() {
    let ports = json!([{"port": "web"}, {"port": 5, "endPort": 7, "protocol": "UDP"}, {"protocol": "SCTP"}]);
    let isolation = resolved(json!({"podSelector": {}, "ingress": [{"ports": ports}]}));
    let rest = "17/5-7,132/0-65535";
    assert_eq!(
        text(&isolation, &isolation.ingress),
        [format!("1 any:6/80-80,{rest}"), format!("2 any:{rest}")]
    );

    let isolation = resolved(json!({"podSelector": {"matchLabels": {"pod": "b"}}, "policyTypes": ["Egress"],
        "egress": [{"ports": [{"port": "web"}]}]}));
    assert_eq!(text(&isolation, &isolation.egress), ["2 {10.0.0.1}0:6/80-80 {10.0.0.3}0:6/8080-8080"]);
    let isolation = resolved(json!({"podSelector": {"matchLabels": {"pod": "b"}}, "policyTypes": ["Egress"],
        "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.3/32"]}}],
            "ports": [{"port": "web"}]}]}));
    assert_eq!(text(&isolation, &isolation.egress), ["2 {10.0.0.1}0:6/80-80"]);
}

/// What the traits of these words make of the egress of pod b, or of the ingress of pods a and b.
fn named(words: &[&str], rule: serde_json::Value, egress: bool) -> Vec<String> {
    let mut traits = Traits::default();
    words.iter().for_each(|word| traits.read(word, None).unwrap().unwrap());
    if egress {
        let isolation = resolved_with(
            traits,
            json!({"podSelector": {"matchLabels": {"pod": "b"}},
            "policyTypes": ["Egress"], "egress": [rule]}),
        );
        text(&isolation, &isolation.egress)
    } else {
        let isolation = resolved_with(traits, json!({"podSelector": {}, "ingress": [rule]}));
        text(&isolation, &isolation.ingress)
    }
}

#[test]
fn names_of_ports_are_looked_up_where_a_trait_says() {
    let web = json!({"ports": [{"port": "web"}, {"port": 5}]});
    assert_eq!(
        named(&["merges-port-names"], web.clone(), false),
        ["1 any:6/5-5,6/80-80", "2 any:6/5-5,6/80-80"]
    );
    let both = "2 any:6/5-5 {10.0.0.1}0:6/80-80 {10.0.0.3}0:6/8080-8080";
    assert_eq!(named(&[], web.clone(), true), [both]);
    assert_eq!(named(&["ignores-ambiguous-port-names"], web.clone(), true), ["2 any:6/5-5"]);
    assert_eq!(named(&["ignores-port-names-without-peers"], web.clone(), true), ["2 any:6/5-5"]);
    assert_eq!(named(&["port-names-of-own-namespace"], web, true), ["2 any:6/5-5 {10.0.0.1}0:6/80-80"]);
    let one = json!({"to": [{"podSelector": {}}], "ports": [{"port": "web"}]});
    assert_eq!(named(&["ignores-ambiguous-port-names"], one, true), ["2 {10.0.0.1}0:6/80-80"]);
    let block = json!({"to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}, {"podSelector": {}}], "ports": [{"port": "web"}]});
    assert_eq!(named(&["ignores-port-names-of-blocks"], block, true), ["2 {10.0.0.1}0:6/80-80"]);
}

/// Pods a and b of namespace x with these ports, and what a policy of both opens on each for these ingress rules.
fn mixed_up(traits: Traits, ports: [&[(&str, u16)]; 2], rules: serde_json::Value) -> Vec<String> {
    let mut state = state(traits, json!({"podSelector": {}, "ingress": rules}));
    for (pod, ports) in state.pods.iter_mut().zip(ports) {
        pod.ports = ports.iter().map(|(name, port)| ((*name).into(), "TCP".into(), *port)).collect();
    }
    let isolation = isolation_of(&state);
    text(&isolation, &isolation.ingress)
}

#[test]
fn names_of_ports_are_mixed_up_as_a_trait_says() {
    let shares = Traits { shares_port_addresses: true, ..Traits::default() };
    let web = json!([{"ports": [{"port": "web"}]}]);
    let of = |traits: &Traits, ports| mixed_up(traits.clone(), ports, web.clone());
    let apart: [&[(&str, u16)]; 2] = [&[("web", 80), ("", 90)], &[("web", 81), ("", 91)]];
    assert_eq!(of(&shares, apart), ["1 any:6/80-80", "2 any:6/81-81"]);
    let unnamed: [&[(&str, u16)]; 2] = [&[("web", 80), ("", 90)], &[("web", 81), ("", 90)]];
    assert_eq!(of(&Traits::default(), unnamed), ["1 any:6/80-80", "2 any:6/81-81"]);
    assert_eq!(of(&shares, unnamed), ["1 any:6/80-80", "2 any:6/80-80,6/81-81"], "b is in a's list");
    let named: [&[(&str, u16)]; 2] = [&[("web", 80), ("admin", 90)], &[("web", 81), ("admin", 90)]];
    assert_eq!(of(&shares, named), of(&shares, unnamed));

    let mixes = Traits { mixes_port_names: std::time::Duration::from_secs(1), ..Traits::default() };
    assert_eq!(of(&mixes, apart), ["1 any:6/81-81", "2 any:6/80-80"]);
    let same: [&[(&str, u16)]; 2] = [&[("web", 80)], &[("web", 80)]];
    assert_eq!(of(&mixes, same), ["1 any:6/80-80", "2 any:6/80-80"]);

    // The twelfth name of rule 1 and the second one of rule 11.
    let joins = Traits { joins_names: true, ..Traits::default() };
    let mut twelve = vec![json!({"port": "web"}); 11];
    twelve.push(json!({"port": "admin"}));
    let mut rules = vec![json!({"ports": [{"port": 5}]}); 12];
    rules[1] = json!({"ports": twelve});
    rules[11] = json!({"ports": [{"port": "web"}, {"port": "other"}]});
    let opened = mixed_up(joins, [&[("web", 80), ("admin", 90)], &[("other", 91)]], json!(rules));
    assert_eq!(opened, ["1 any:6/5-5 any:6/80-80", "2 any:6/5-5 any:6/90-90 any:6/91-91"]);
}

#[test]
fn a_name_that_nobody_has_opens_everything_with_a_trait() {
    let opens = Traits { undefined_port_name_opens_all: true, ..Traits::default() };
    let ports: [&[(&str, u16)]; 2] = [&[("web", 80)], &[]];
    let of = |rule| mixed_up(opens.clone(), ports, json!([rule]));
    let peers = json!([{"podSelector": {}}]);
    let all = "{10.0.0.1, 10.0.0.2}0";
    assert_eq!(
        of(json!({"from": peers, "ports": [{"port": "none"}]})),
        [format!("1 {all}:all"), format!("2 {all}:all")]
    );
    assert_eq!(
        of(json!({"from": peers, "ports": [{"port": "web"}]})),
        [format!("1 {all}:6/80-80"), format!("2 {all}:")]
    );
    assert_eq!(
        of(json!({"from": peers, "ports": [{"port": "none"}, {"port": 5}]}))[1],
        format!("2 {all}:6/5-5")
    );
    assert_eq!(of(json!({"ports": [{"port": "none"}]})), ["1 any:", "2 any:"]);
}

#[test]
fn blocks_leave_out_what_a_trait_says() {
    let ranges = |word: &str, cidr: &str| {
        let isolation = {
            let mut traits = Traits::default();
            traits.read(word, None).unwrap().unwrap();
            resolved_with(
                traits,
                json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": cidr}}]}]}),
            )
        };
        match &isolation.allows[0].peers {
            Peers::Only { ranges, .. } => ranges.clone(),
            Peers::Any => panic!("a block is not everything"),
        }
    };
    let any = ranges("blocks-skip-pods", "0.0.0.0/0");
    let inside = |ranges: &[Range], ip: [u8; 4]| ranges::contains(ranges, ip.into());
    assert!(!inside(&any, [10, 244, 16, 1]) && inside(&any, [172, 30, 0, 1]) && inside(&any, [8, 8, 8, 8]));
    assert!(ranges("blocks-skip-pods", "10.244.16.1/32").is_empty());
    assert!(ranges("blocks-skip-nodes", "172.30.0.2/32").is_empty());
    let nodes = ranges("blocks-skip-nodes", "172.30.0.0/24");
    assert!(!inside(&nodes, [172, 30, 0, 1]) && inside(&nodes, [172, 30, 0, 3]));
}

#[test]
fn a_service_is_open_at_the_port_that_leads_to_the_rules() {
    let traits = Traits { egress_sees_services: true, ..Traits::default() };
    // Port and target of a Service of pod a, whose port web is 80; the ports of a rule to all pods; what it opens of the
    // Service.
    let cases = [
        (json!(80), json!([{"port": 80}]), Some("6/5000-5000")),
        (json!(80), json!([{"port": 5000}]), None),
        (json!(80), json!([{"port": "web"}]), Some("6/5000-5000")),
        (json!("web"), json!([{"port": "web"}]), Some("6/5000-5000")),
        (json!("web"), json!([{"port": 80}]), Some("6/5000-5000")),
        (json!(81), json!([{"port": "web"}]), None),
        // Of a range the first is looked up, and the last stays.
        (json!(80), json!([{"port": 80, "endPort": 6000}]), Some("6/5000-6000")),
        (json!(80), json!([{"port": 80, "endPort": 90}]), Some("6/5000-5000")),
        (json!(85), json!([{"port": 80, "endPort": 90}]), None),
        (json!(80), json!([{"port": 80, "protocol": "UDP"}]), None),
        (json!(80), json!([{}]), Some("6/0-65535")),
        (json!(80), json!([]), Some("all")),
    ];
    for (target, ports, opened) in cases {
        let rule = json!({"to": [{"podSelector": {}}], "ports": ports});
        let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]});
        let mut state = state(traits.clone(), spec);
        state.services.push(service(&target));
        let isolation = isolation_of(&state);
        let cluster_ip: IpAddr = [10, 96, 0, 1].into();
        let of_service = isolation.allows.iter().filter(|allow| match &allow.peers {
            Peers::Only { pods, .. } => pods.contains(&cluster_ip),
            Peers::Any => false,
        });
        let ports = |allow: &Allow| match &allow.ports {
            None => "all".to_owned(),
            Some(ports) => {
                let text = |p: &Ports| format!("{}/{}-{}", p.protocol, p.low, p.high);
                ports.iter().map(text).collect::<Vec<_>>().join(",")
            }
        };
        let seen: Vec<String> = of_service.map(ports).collect();
        assert_eq!(seen, Vec::from_iter(opened), "{target} {rule}", rule = state.policies[0]);
    }

    // A number that another pod behind the name does not have would be a way around the rule.
    let rule = json!({"to": [{"podSelector": {}}], "ports": [{"port": 80}]});
    let mut state = state(traits, json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]}));
    state.services.push(service(&json!("web")));
    state.pods.push(PodState { labels: state.pods[0].labels.clone(), ..pod("x", "c", 4, Some(8080)) });
    assert!(isolation_of(&state).allows.iter().all(|allow| match &allow.peers {
        Peers::Only { pods, .. } => !pods.contains(&IpAddr::from([10, 96, 0, 1])),
        Peers::Any => false,
    }));
}

/// A Service of pod a in namespace x with port 5000.
fn service(target: &serde_json::Value) -> ServiceState {
    ServiceState {
        namespace: "x".into(),
        name: "s".into(),
        selector: BTreeMap::from([("pod".into(), "a".into())]),
        cluster_ips: vec![[10, 96, 0, 1].into()],
        external_name: None,
        hostnames: BTreeMap::new(),
        pod_ips: vec![],
        ports: vec![ServicePortState {
            name: String::new(),
            protocol: "TCP".into(),
            port: 5000,
            target: serde_json::from_value(target.clone()).unwrap(),
            node_port: None,
            backends: vec![],
        }],
        local: false,
    }
}
