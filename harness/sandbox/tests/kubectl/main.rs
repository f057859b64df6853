//! A real `kubectl` against a real sandbox: server, node, packets.
//!
//! A test of its own (`harness = false`), because the program must be able to become the node and the probe: `main`
//! calls `reexec` first. Without `kubectl` in PATH every test is ignored, and says so.

mod lab;

use std::process::ExitCode;

use lab::Lab;
use libtest_mimic::{Arguments, Completion, Trial};

/// A test: what it does with a fresh sandbox. It panics when it fails.
type Test = (&'static str, fn(&Lab));

const TESTS: &[Test] = &[
    ("get_shows_the_cluster", get_shows_the_cluster),
    ("discovery_and_access", discovery_and_access),
    ("apply_creates_changes_and_validates", apply_creates_changes_and_validates),
    ("apply_takes_lists", apply_takes_lists),
    ("server_side_apply_finds_conflicts", server_side_apply_finds_conflicts),
    ("imperative_commands", imperative_commands),
    ("exec_and_logs", exec_and_logs),
    ("a_policy_changes_what_exec_can_reach", a_policy_changes_what_exec_can_reach),
    ("services_and_names_lead_to_pods", services_and_names_lead_to_pods),
    ("pods_complete_and_their_addresses_go_on", pods_complete_and_their_addresses_go_on),
    ("init_containers_and_sidecars", init_containers_and_sidecars),
    ("grace_periods", grace_periods),
    ("services_of_users_own_endpoints", services_of_users_own_endpoints),
    ("a_namespace_goes_and_kubectl_waits_for_it", a_namespace_goes_and_kubectl_waits_for_it),
];

fn main() -> ExitCode {
    if let Some(code) = verdikt_sandbox::reexec() {
        return code.into();
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    let trials = TESTS
        .iter()
        .map(|&(name, test)| {
            Trial::ignorable_test(name, move || {
                if !lab::kubectl_exists() {
                    return Ok(Completion::ignored_with("no kubectl in PATH"));
                }
                test(&Lab::new());
                Ok(Completion::Completed)
            })
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn get_shows_the_cluster(lab: &Lab) {
    assert!(lab.ok(&["version"]).contains("Server Version: v1."));
    let all = lab.ok(&["get", "nodes,ns,pods,svc,netpol", "-A", "-o", "wide"]);
    for part in [
        "node/sandbox-1",
        "Ready",
        "172.30.0.1",
        "namespace/kube-system",
        "pod/kube-dns",
        "1/1",
        "53/UDP,53/TCP",
    ] {
        assert!(all.contains(part), "{part} is missing in\n{all}");
    }
    assert_eq!(lab.ok(&["get", "--raw", "/readyz"]), "ok");
    assert!(lab.ok(&["describe", "node", "sandbox-2"]).contains("sandbox.verdikt.dev/profile=reference"));
    assert!(
        lab.ok(&["describe", "pod", "-n", "kube-system", "kube-dns"]).contains("Started container kube-dns")
    );
}

fn discovery_and_access(lab: &Lab) {
    let resources = lab.ok(&["api-resources"]);
    for part in ["networkpolicies", "netpol", "endpointslices", "discovery.k8s.io/v1"] {
        assert!(resources.contains(part), "{part} is missing in\n{resources}");
    }
    assert!(lab.ok(&["api-versions"]).contains("networking.k8s.io/v1"));
    assert_eq!(lab.ok(&["auth", "can-i", "create", "pods"]).trim(), "yes");
    assert!(lab.ok(&["auth", "can-i", "--list"]).contains("[*]"));
    assert!(lab.ok(&["auth", "whoami"]).contains("system:masters"));
}

fn apply_creates_changes_and_validates(lab: &Lab) {
    lab.feed(&["apply", "-f", "-"], lab::WORLD);
    assert!(lab.feed(&["apply", "-f", "-"], lab::WORLD).lines().all(|line| line.ends_with("unchanged")));
    lab.feed(&["apply", "-f", "-"], &lab::policy("{podSelector: {}, ingress: [{}]}"));
    lab.feed(&["apply", "-f", "-"], &lab::policy("{podSelector: {}, egress: [{}], policyTypes: [Egress]}"));
    let spec = lab.ok(&["get", "netpol", "-n", "x", "p", "-o", "jsonpath={.spec}"]);
    assert_eq!(spec, r#"{"egress":[{}],"podSelector":{},"policyTypes":["Egress"]}"#);
    lab.ok(&["wait", "-n", "x", "--for=condition=Ready", "pod", "--all", "--timeout=20s"]);

    let refused = lab.refused(&["apply", "-f", "-"], &lab::policy("{podSelector: {}, ingres: []}"));
    assert!(refused.contains("strict decoding error: unknown field \"spec.ingres\""), "{refused}");
    let refused = lab.refused(
        &["apply", "-f", "-"],
        &lab::policy("{podSelector: {}, ingress: [{ports: [{port: 70000}]}]}"),
    );
    assert!(
        refused.contains("spec.ingress[0].ports[0].port: Invalid value: 70000: must be between 1 and 65535"),
        "{refused}"
    );
    let refused = lab.refused(&["create", "-f", "-"], &lab::policy("{podSelector: {}}"));
    assert!(refused.contains("AlreadyExists"), "{refused}");
}

/// What `kubectl get -o yaml` prints of several objects is a `List`.
fn apply_takes_lists(lab: &Lab) {
    lab.feed(&["apply", "-f", "-"], lab::WORLD);
    let item = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
                metadata: {name: p, namespace: x, uid: 1-2-3, resourceVersion: '12', creationTimestamp: null, \
                generation: 1, managedFields: []}, spec: {podSelector: {}, policyTypes: [Ingress]}}";
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {item}\n");
    assert!(lab.feed(&["apply", "-f", "-"], &list).contains("networkpolicy.networking.k8s.io/p created"));
    let spec = lab.ok(&["get", "netpol", "-n", "x", "p", "-o", "jsonpath={.spec.policyTypes}"]);
    assert_eq!(spec, r#"["Ingress"]"#);
    // The server is as strict with it as with a single object.
    let wrong = list.replace("podSelector: {}", "podSelector: {}, ingres: []");
    let refused = lab.refused(&["apply", "-f", "-"], &wrong);
    assert!(refused.contains("unknown field \"spec.ingres\""), "{refused}");
    lab.ok(&["wait", "-n", "x", "--for=condition=Ready", "pod", "--all", "--timeout=20s"]);
    let policies = lab.ok(&["get", "netpol", "-n", "x", "-o", "yaml"]);
    lab.ok(&["delete", "netpol", "-n", "x", "--all"]);
    assert!(lab.feed(&["apply", "-f", "-"], &policies).contains("networkpolicy.networking.k8s.io/p created"));
    let all = lab.ok(&["get", "pods,services,netpol", "-n", "x", "-o", "yaml"]);
    assert!(all.contains("kind: List"), "{all}");
    let said = lab.feed(&["apply", "-f", "-"], &all);
    assert_eq!(said.lines().count(), 4, "{said}");
    assert!(said.lines().all(|line| line.ends_with("configured") || line.ends_with("unchanged")), "{said}");
}

fn server_side_apply_finds_conflicts(lab: &Lab) {
    lab.feed(&["apply", "--server-side", "-f", "-"], lab::WORLD);
    lab.feed(&["apply", "--server-side", "-f", "-"], &lab::policy("{podSelector: {}}"));
    let other = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
    let changed = lab::policy("{podSelector: {matchLabels: {app: a}}}");
    let refused = lab.refused(&other, &changed);
    assert!(
        refused.contains("conflict with \"kubectl\"") && refused.contains(".spec.podSelector"),
        "{refused}"
    );
    lab.feed(&[&other[..], &["--force-conflicts"]].concat(), &changed);
    let selector = lab.ok(&["get", "netpol", "-n", "x", "p", "-o", "jsonpath={.spec.podSelector}"]);
    assert_eq!(selector, r#"{"matchLabels":{"app":"a"}}"#);
    // From client-side apply to server-side apply, as users do it.
    lab.feed(
        &["apply", "-f", "-"],
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1', b: '2'}",
    );
    lab.feed(
        &["apply", "--server-side", "-f", "-"],
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1'}",
    );
    assert_eq!(lab.ok(&["get", "cm", "c", "-o", "jsonpath={.data}"]), r#"{"a":"1"}"#);
}

fn imperative_commands(lab: &Lab) {
    lab.ok(&["create", "namespace", "x"]);
    lab.ok(&["create", "configmap", "c", "--from-literal=a=b"]);
    lab.ok(&["run", "a", "--image=verdikt/probe", "--labels=app=a", "--port=80", "-n", "x"]);
    lab.ok(&["expose", "pod", "a", "-n", "x", "--port=80"]);
    lab.ok(&["create", "service", "clusterip", "s", "--tcp=80:8080", "-n", "x"]);
    lab.ok(&["label", "pod", "-n", "x", "a", "tier=front"]);
    lab.ok(&["label", "namespace", "x", "env=prod"]);
    lab.ok(&["annotate", "pod", "-n", "x", "a", "note=yes"]);
    lab.ok(&["patch", "pod", "-n", "x", "a", "-p", r#"{"metadata":{"labels":{"tier":null}}}"#]);
    assert_eq!(lab.ok(&["get", "pods", "-n", "x", "-l", "app=a,!tier", "-o", "name"]).trim(), "pod/a");
    assert_eq!(lab.ok(&["get", "ns", "-l", "env in (prod)", "-o", "name"]).trim(), "namespace/x");
    assert!(lab.ok(&["get", "svc", "-n", "x"]).contains("10.96."));
    lab.ok(&["wait", "-n", "x", "--for=jsonpath={.status.phase}=Running", "pod/a", "--timeout=20s"]);
    assert!(lab.ok(&["get", "events", "-n", "x"]).contains("Started container a"));
    lab.ok(&["delete", "pod", "a", "-n", "x"]);
    assert!(lab.refused(&["get", "pod", "a", "-n", "x"], "").contains("pods \"a\" not found"));
}

fn exec_and_logs(lab: &Lab) {
    lab.world();
    assert!(lab.ok(&["logs", "-n", "x", "a"]).starts_with("ready"));
    assert!(lab.ok(&["exec", "-n", "x", "a", "--", "verdikt-probe", "version"]).contains('.'));
    // The agent answers its first question, then ends with its input.
    let hello = lab.feed(
        &["exec", "-i", "-n", "x", "a", "--", "verdikt-probe", "agent"],
        "{\"op\":\"hello\",\"version\":1}\n",
    );
    assert!(hello.contains(r#""op":"hello""#) && hello.contains(r#""identity":"a""#), "{hello}");
    let refused = lab.refused(&["exec", "-n", "x", "a", "--", "verdikt-probe", "no-such-verb"], "");
    assert!(refused.contains("exit code 2"), "{refused}");
    assert!(lab.refused(&["exec", "-n", "x", "nobody", "--", "verdikt-probe"], "").contains("not found"));
}

fn a_policy_changes_what_exec_can_reach(lab: &Lab) {
    lab.world();
    for family in ["0", "1"] {
        let ip = lab.ok(&[
            "get",
            "pod",
            "-n",
            "x",
            "a",
            "-o",
            &format!("jsonpath={{.status.podIPs[{family}].ip}}"),
        ]);
        let target = if ip.contains(':') { format!("[{ip}]:80") } else { format!("{ip}:80") };
        let connect =
            ["exec", "-n", "x", "b", "--", "verdikt-probe", "connect", &target, "--deadline", "300ms"];
        lab.ok(&connect);
        lab.feed(&["apply", "-f", "-"], &lab::policy("{podSelector: {matchLabels: {app: a}}}"));
        assert!(lab.refused(&connect, "").contains("exit code 1"));
        let allow = "{podSelector: {matchLabels: {app: a}}, ingress: [{from: [{podSelector: {matchLabels: {app: b}}}]}]}";
        lab.feed(&["apply", "-f", "-"], &lab::policy(allow));
        lab.ok(&connect);
        lab.ok(&["label", "pod", "-n", "x", "b", "app=other", "--overwrite"]);
        assert!(lab.refused(&connect, "").contains("exit code 1"));
        lab.ok(&["label", "pod", "-n", "x", "b", "app=b", "--overwrite"]);
        lab.ok(&["delete", "netpol", "-n", "x", "p"]);
        lab.ok(&connect);
    }
}

fn services_and_names_lead_to_pods(lab: &Lab) {
    lab.world();
    let probe = |target: &str| {
        lab.ok(&["exec", "-n", "x", "b", "--", "verdikt-probe", "connect", target, "--expect", "a"])
    };
    let ip = lab.ok(&["get", "svc", "-n", "x", "web", "-o", "jsonpath={.spec.clusterIP}"]);
    probe(&format!("{ip}:8080"));
    probe("web.x.svc.cluster.local:8080");
    let port = lab.ok(&["get", "svc", "-n", "x", "web", "-o", "jsonpath={.spec.ports[0].nodePort}"]);
    probe(&format!("172.30.0.2:{port}"));
    lab.ok(&[
        "wait",
        "-n",
        "x",
        "--for=jsonpath={.endpoints[0].conditions.ready}=true",
        "endpointslice/web-ipv4",
        "--timeout=20s",
    ]);
}

fn a_namespace_goes_and_kubectl_waits_for_it(lab: &Lab) {
    lab.world();
    lab.feed(&["apply", "-f", "-"], &lab::policy("{podSelector: {}}"));
    lab.ok(&["delete", "namespace", "x", "--timeout=20s"]);
    assert!(lab.refused(&["get", "namespace", "x"], "").contains("not found"));
    assert_eq!(lab.ok(&["get", "pods,netpol,svc,events", "-n", "x", "-o", "name"]), "");
    // The name is free again.
    lab.world();
}

/// A pod on the first node that is not started again, with these containers in YAML's flow style.
fn pod(name: &str, containers: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: default}}\n\
         spec: {{nodeName: sandbox-1, restartPolicy: Never, {containers}}}\n---\n"
    )
}

const SERVES: &str = "containers: [{name: c, image: i, args: [serve, --tcp, '80']}]";

fn pods_complete_and_their_addresses_go_on(lab: &Lab) {
    let phase = |pod: &str, phase: &str| {
        let wanted = format!("--for=jsonpath={{.status.phase}}={phase}");
        lab.ok(&["wait", &wanted, &format!("pod/{pod}"), "--timeout=20s"]);
    };
    let ip = |pod: &str| lab.ok(&["get", "pod", pod, "-o", "jsonpath={.status.podIP}"]);
    lab.feed(&["apply", "-f", "-"], &pod("done", "containers: [{name: c, image: i, args: [version]}]"));
    phase("done", "Succeeded");
    lab.feed(&["apply", "-f", "-"], &pod("next", SERVES));
    lab.ok(&["wait", "--for=condition=Ready", "pod/next", "--timeout=20s"]);
    assert_eq!(ip("next"), ip("done"));
    lab.feed(&["apply", "-f", "-"], &pod("bad", "containers: [{name: c, image: i, args: [connect]}]"));
    phase("bad", "Failed");
    let table = lab.ok(&["get", "pods"]);
    for (name, ready, status) in
        [("done", "0/1", "Completed"), ("next", "1/1", "Running"), ("bad", "0/1", "Error")]
    {
        let line = table.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().take(3).collect();
        assert_eq!(words, [name, ready, status], "{table}");
    }
    assert!(lab.ok(&["logs", "done"]).starts_with("verdikt-probe"));
    assert!(lab.refused(&["exec", "done", "--", "verdikt-probe", "version"], "").contains("completed pod"));
    // The name and address of the one that is over lead nowhere; the other's still work.
    let target = format!("{}:80", ip("next"));
    lab.feed(&["apply", "-f", "-"], &pod("client", SERVES));
    lab.ok(&["wait", "--for=condition=Ready", "pod/client", "--timeout=20s"]);
    lab.ok(&["exec", "client", "--", "verdikt-probe", "connect", &target, "--expect", "next"]);
    lab.ok(&["delete", "pod", "done", "bad", "--timeout=20s"]);
    lab.ok(&["exec", "client", "--", "verdikt-probe", "connect", &target, "--expect", "next"]);
}

fn init_containers_and_sidecars(lab: &Lab) {
    // Silence from an address that does not exist keeps it busy for a while.
    let waits = "initContainers: [{name: i, image: i, args: [connect, '203.0.113.1:80', --deadline, 3s]}], ";
    lab.feed(&["apply", "-f", "-"], &pod("waits", &format!("{waits}{SERVES}")));
    let side = "initContainers: [{name: i, image: i, args: [version]}, \
                {name: side, image: i, restartPolicy: Always, args: [serve, --tcp, '90', --identity, side], \
                 ports: [{name: metrics, containerPort: 90}]}], ";
    lab.feed(&["apply", "-f", "-"], &pod("two", &format!("{side}{SERVES}")));
    assert!(lab.ok(&["get", "pod", "waits"]).contains("Init:0/1"));
    lab.ok(&["wait", "--for=condition=Ready", "pod/two", "--timeout=20s"]);
    assert!(lab.ok(&["get", "pod", "two"]).contains("2/2"));
    assert!(lab.ok(&["logs", "two", "-c", "i"]).starts_with("verdikt-probe"));
    assert!(lab.ok(&["logs", "two", "-c", "side"]).contains("identity side"));
    let ip = lab.ok(&["get", "pod", "two", "-o", "jsonpath={.status.podIP}"]);
    for container in ["c", "side"] {
        let target = format!("{ip}:90");
        lab.ok(&[
            "exec",
            "two",
            "-c",
            container,
            "--",
            "verdikt-probe",
            "connect",
            &target,
            "--expect",
            "side",
        ]);
    }
    // A policy's named port may be a sidecar's.
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n\
                  spec: {podSelector: {}, ingress: [{ports: [{port: metrics}]}]}\n";
    lab.feed(&["apply", "-f", "-"], &pod("client", SERVES));
    lab.ok(&["wait", "--for=condition=Ready", "pod/client", "--timeout=20s"]);
    lab.feed(&["apply", "-f", "-"], policy);
    let connect = |port: &str| {
        ["exec", "client", "--", "verdikt-probe", "connect"]
            .map(String::from)
            .into_iter()
            .chain([format!("{ip}:{port}"), "--deadline".into(), "300ms".into()])
            .collect::<Vec<_>>()
    };
    let strs = |args: &[String]| lab.ok(&args.iter().map(String::as_str).collect::<Vec<_>>());
    strs(&connect("90"));
    let denied = connect("80");
    assert!(lab.refused(&denied.iter().map(String::as_str).collect::<Vec<_>>(), "").contains("exit code 1"));
    lab.ok(&["wait", "--for=jsonpath={.status.phase}=Failed", "pod/waits", "--timeout=20s"]);
    assert!(lab.ok(&["get", "pod", "waits"]).contains("Init:Error"));
}

fn grace_periods(lab: &Lab) {
    for (name, flags) in [
        ("a", &["--grace-period=5"][..]),
        ("b", &["--now"]),
        ("c", &["--grace-period=0", "--force"]),
        ("d", &[]),
    ] {
        lab.feed(&["apply", "-f", "-"], &pod(name, SERVES));
        lab.ok(&["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=20s"]);
        let begun = std::time::Instant::now();
        lab.ok(&[&["delete", "pod", name], flags].concat());
        // The probe ends when it is asked to, whatever time it is given.
        assert!(begun.elapsed() < std::time::Duration::from_secs(4), "{flags:?}: {:?}", begun.elapsed());
        assert!(lab.refused(&["get", "pod", name], "").contains("not found"));
    }
}

fn services_of_users_own_endpoints(lab: &Lab) {
    lab.world();
    let ip = lab.ok(&["get", "pod", "-n", "x", "a", "-o", "jsonpath={.status.podIP}"]);
    let world = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: own, namespace: x}}\nspec: {{ports: [{{port: 81}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: own-1, namespace: x, labels: {{kubernetes.io/service-name: own}}}}\n\
         addressType: IPv4\nports: [{{name: '', port: 80, protocol: TCP}}]\nendpoints: [{{addresses: ['{ip}']}}]\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: alias, namespace: x}}\n\
         spec: {{type: ExternalName, externalName: own.x.svc.cluster.local}}\n"
    );
    lab.feed(&["apply", "-f", "-"], &world);
    let again = lab.feed(&["apply", "-f", "-"], &world);
    assert!(again.lines().all(|line| line.ends_with("unchanged")), "{again}");
    assert!(lab.ok(&["get", "svc", "-n", "x", "alias"]).contains("own.x.svc.cluster.local"));
    let connect = |target: &str| {
        let argv = ["exec", "-n", "x", "b", "--", "verdikt-probe", "connect", target, "--expect", "a"];
        // The dataplane may need a moment for what was only just applied.
        let begun = std::time::Instant::now();
        while begun.elapsed() < std::time::Duration::from_secs(5) && !lab.works(&argv) {}
        lab.ok(&argv);
    };
    connect("own.x.svc.cluster.local:81");
    connect("alias.x.svc.cluster.local:81");
    let bad = world.replace(&ip, "127.0.0.1");
    assert!(lab.refused(&["apply", "-f", "-"], &bad).contains("may not be in the loopback range"));
    lab.ok(&["delete", "endpointslice", "-n", "x", "own-1"]);
}
