//! The oracle against real packets: on random topologies and policies, what the oracle expects is what the
//! sandbox's dataplane does. The dataplane is compiled from the policies without the oracle, so that each
//! checks the other.
//!
//! `VERDIKT_CASES` sets the number of cases (default 500), `VERDIKT_SEED` the seed, which is printed.

mod lab;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    sync::Arc,
};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use verdikt_model::{
    Action, EndpointName, Expect, ExtraEndpoint, Level, NamespaceSpec, Outcome, PodSpec, PolicyObject,
    PortProtocol, Protocol, Scenario, ScenarioOutcome, Serve, Step, Topology,
};
use verdikt_runner::Options;
use verdikt_sandbox::Profile;

/// Topologies among which the cases are spread: cases with the same topology share its pods.
const TOPOLOGIES: u64 = 10;

fn main() -> ExitCode {
    if let Some(code) = verdikt_sandbox::reexec() {
        return ExitCode::from(code);
    }
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Runtime::new().expect("an async runtime starts");
    let lab = Arc::new(lab::Lab::new(runtime.handle().clone(), Profile::default()));
    let trials = vec![Trial::test("oracle_equals_real_packets", {
        let lab = Arc::clone(&lab);
        move || oracle_equals_real_packets(&lab)
    })];
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(lab) = Arc::into_inner(lab) {
        lab.close();
    }
    conclusion.exit_code()
}

fn oracle_equals_real_packets(lab: &lab::Lab) -> Result<(), Failed> {
    let cases = setting("VERDIKT_CASES").unwrap_or(500);
    let seed = setting("VERDIKT_SEED").unwrap_or_else(|| {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        since.as_secs() ^ u64::from(since.subsec_nanos())
    });
    eprintln!("seed {seed}, {cases} cases; VERDIKT_SEED={seed} VERDIKT_CASES={cases} repeats them");
    let scenarios: Vec<Scenario> = (0..cases).map(|case| scenario(seed, case)).collect();
    let sources: BTreeMap<String, Scenario> = scenarios.iter().map(|s| (s.name.clone(), s.clone())).collect();
    let mut records = Vec::new();
    lab.run(scenarios, Options { lanes: 6, ..Options::default() }, |record| records.push(record))?;
    let (mut definite, mut open, mut denied) = (0_u64, 0_u64, 0_u64);
    let mut wrong = Vec::new();
    for record in &records {
        for row in record.steps.iter().flat_map(|step| &step.cells.rows) {
            match row.expected {
                verdikt_model::Expectation::Either => open += 1,
                expected if row.outcome == Outcome::Pass => {
                    definite += 1;
                    denied += u64::from(expected.is_denial());
                }
                _ => {}
            }
        }
        if record.outcome != ScenarioOutcome::Passed {
            let file = sources.get(&record.name).map(verdikt_scenario::to_yaml).unwrap_or_default();
            wrong.push(format!("{}\n--- as a scenario file:\n{file}", lab::findings(record)));
        }
    }
    eprintln!(
        "{} cases: {definite} definite cells as expected ({denied} denied), {open} left open",
        records.len()
    );
    if !wrong.is_empty() {
        return Err(format!("seed {seed}: {} of {cases} cases differ\n{}", wrong.len(), wrong[0]).into());
    }
    if records.len() as u64 != cases {
        return Err(format!("seed {seed}: {cases} cases, but {} records", records.len()).into());
    }
    // A generator that only makes trivial matrices would prove nothing.
    if cases >= 100 && (denied * 20 < definite || open > definite) {
        return Err(
            format!("the cases are too weak: {definite} definite, {denied} denied, {open} open").into()
        );
    }
    Ok(())
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// SplitMix64: small, good enough, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// True in `n` of a hundred cases.
    fn percent(&mut self, n: u64) -> bool {
        self.below(100) < n
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize].clone()
    }

    /// Some of the items, at least `least`.
    fn some<T: Clone>(&mut self, items: &[T], least: usize) -> Vec<T> {
        let mut chosen: Vec<T> = items.iter().filter(|_| self.percent(40)).cloned().collect();
        while chosen.len() < least {
            chosen.push(self.pick(items));
        }
        chosen
    }
}

const KEYS: [&str; 3] = ["app", "tier", "env"];
const VALUES: [&str; 2] = ["p", "q"];
const NAMESPACES: [&str; 3] = ["x", "y", "z"];
const PODS: [&str; 2] = ["a", "b"];

fn scenario(seed: u64, case: u64) -> Scenario {
    let mut random = Random(seed ^ (case % TOPOLOGIES).wrapping_mul(0x51_7cc1_b727_220a));
    let topology = topology(&mut random);
    let mut random = Random(seed.wrapping_add(case.wrapping_mul(0x2545_f491_4f6c_dd1d)));
    let owned: Vec<String> = topology.namespaces.keys().cloned().collect();
    let actions = (0..=random.below(3))
        .map(|index| {
            let namespace = random.pick(&owned);
            Action::Apply(policy(&mut random, index, &namespace))
        })
        .collect();
    Scenario {
        name: format!("random/case-{case}"),
        labels: BTreeMap::new(),
        level: Level::Core,
        summary: "random policies on a random topology".into(),
        clauses: vec![],
        references: vec![],
        differs: Vec::new(),
        requires: vec![],
        repeat: 1,
        topology,
        steps: vec![Step {
            name: "policies".into(),
            actions,
            checks: Vec::new(),
            expect: Expect { derived: true, rules: vec![] },
        }],
        source: format!("seed {seed}"),
    }
}

fn labels(random: &mut Random) -> BTreeMap<String, String> {
    random.some(&KEYS, 0).into_iter().map(|key| (key.to_owned(), random.pick(&VALUES).to_owned())).collect()
}

fn port(port: u16, protocol: Protocol) -> PortProtocol {
    PortProtocol { port, protocol }
}

fn topology(random: &mut Random) -> Topology {
    let ports: BTreeSet<PortProtocol> =
        [port(80, Protocol::Tcp), port(81, Protocol::Tcp), port(80, Protocol::Udp)].into();
    let mut namespaces: BTreeMap<String, NamespaceSpec> = BTreeMap::new();
    for namespace in random.some(&NAMESPACES, 2) {
        let spec = namespaces.entry(namespace.to_owned()).or_default();
        spec.labels = labels(random);
        for pod in random.some(&PODS, 1) {
            let mut names: BTreeMap<String, PortProtocol> =
                [("dns".to_owned(), port(80, Protocol::Udp))].into();
            if random.percent(80) {
                // The same name stands for different numbers on different pods.
                names.insert("web".to_owned(), port(random.pick(&[80, 81]), Protocol::Tcp));
            }
            let serve = Serve { ports: ports.clone(), names, ..Serve::default() };
            spec.pods.insert(pod.to_owned(), PodSpec { labels: labels(random), serve, ..PodSpec::default() });
        }
    }
    let serve = Serve { ports, ..Serve::default() };
    let endpoints =
        [1, 2].map(|n| (EndpointName::External(n), ExtraEndpoint { serve: serve.clone() })).into();
    Topology { namespaces, endpoints }
}

fn selector(random: &mut Random) -> Value {
    let mut selector = json!({});
    if random.percent(40) {
        selector["matchLabels"] = json!({ random.pick(&KEYS): random.pick(&VALUES) });
    }
    if random.percent(40) {
        let operator = random.pick(&["In", "NotIn", "Exists", "DoesNotExist"]);
        let mut expression = json!({"key": random.pick(&KEYS), "operator": operator});
        if matches!(operator, "In" | "NotIn") {
            expression["values"] = json!(random.some(&VALUES, 1));
        }
        selector["matchExpressions"] = json!([expression]);
    }
    selector
}

fn namespace_selector(random: &mut Random) -> Value {
    if random.percent(30) {
        return json!({"matchLabels": {"kubernetes.io/metadata.name": random.pick(&NAMESPACES)}});
    }
    selector(random)
}

fn ip_block(random: &mut Random) -> Value {
    // Ranges around the two external identities, in both families; some hold pods too.
    match random.below(8) {
        0 => json!({"cidr": "198.51.100.0/24", "except": ["198.51.100.16/28"]}),
        1 => json!({"cidr": "${external.ip}/32"}),
        2 => json!({"cidr": "0.0.0.0/0", "except": ["198.51.100.0/28", "10.0.0.0/8"]}),
        3 => json!({"cidr": "2001:db8:51:100::/64", "except": ["2001:db8:51:100::10/124"]}),
        4 => json!({"cidr": "${external/2.ipv6}/128"}),
        5 => json!({"cidr": "::/0", "except": ["2001:db8:51:100::/124", "fd00::/8"]}),
        6 => json!({"cidr": "203.0.113.0/24"}),
        _ => json!({"cidr": "0.0.0.0/0"}),
    }
}

fn peer(random: &mut Random) -> Value {
    match random.below(5) {
        0 => json!({"podSelector": selector(random)}),
        1 => json!({"namespaceSelector": namespace_selector(random)}),
        2 | 3 => json!({"namespaceSelector": namespace_selector(random), "podSelector": selector(random)}),
        _ => json!({"ipBlock": ip_block(random)}),
    }
}

fn policy_port(random: &mut Random) -> Value {
    match random.below(8) {
        0 => json!({"port": 80}),
        1 => json!({"protocol": "TCP", "port": 81}),
        2 => json!({"protocol": "UDP", "port": 80}),
        3 => json!({"protocol": random.pick(&["TCP", "UDP"])}),
        4 => json!({"port": "web"}),
        5 => json!({"protocol": "UDP", "port": "dns"}),
        6 => json!({"port": 80, "endPort": random.pick(&[80, 81, 90])}),
        _ => json!({"port": "nosuch"}),
    }
}

fn rule(random: &mut Random, peers: &str) -> Value {
    let mut rule = json!({});
    if random.percent(80) {
        let list: Vec<Value> = (0..=random.below(2)).map(|_| peer(random)).collect();
        rule[peers] = Value::from(list);
    }
    if random.percent(60) {
        let list: Vec<Value> = (0..=random.below(2)).map(|_| policy_port(random)).collect();
        rule["ports"] = Value::from(list);
    }
    rule
}

fn policy(random: &mut Random, index: u64, namespace: &str) -> PolicyObject {
    let mut spec = json!({"podSelector": selector(random)});
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        if random.percent(60) {
            let list: Vec<Value> = (0..random.below(3)).map(|_| rule(random, peers)).collect();
            spec[direction] = Value::from(list);
        }
    }
    match random.below(4) {
        0 => spec["policyTypes"] = json!(["Ingress"]),
        1 => spec["policyTypes"] = json!(["Egress"]),
        2 => spec["policyTypes"] = json!(["Ingress", "Egress"]),
        _ => {}
    }
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": format!("p{index}"), "namespace": namespace},
        "spec": spec,
    });
    PolicyObject::NetworkPolicy(Box::new(
        serde_json::from_value(policy).expect("a generated policy is a NetworkPolicy"),
    ))
}
