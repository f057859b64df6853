//! Checks that no run can measure are refused at their place; those that one can are not.

use super::*;

/// A scenario whose only step has these lines.
fn scenario(lines: &str) -> String {
    format!(
        "apiVersion: verdikt.dev/v1alpha1
kind: Scenario
metadata: {{name: chk/a, labels: {{level: extended}}}}
spec:
  summary: A check
  topology:
    namespaces:
      x:
        pods:
          s: {{labels: {{app: s}}, serve: {{tcp: [80], udp: [80], sctp: [80], http: [8080], icmp: true}}}}
          c: {{node: 2}}
          h: {{hostNetwork: true, node: 1, serve: {{tcp: [9100]}}}}
          l: {{late: true}}
          m: {{late: true, labels: {{app: m}}}}
        services:
          s: {{selector: {{app: s}}, ports: [{{port: 80}}, {{port: 80, protocol: UDP}}, {{port: 8080}}], nodePort: true, via: [cluster-ip, dns, node-port, other-node-port]}}
          hl: {{selector: {{app: s}}, headless: true, ports: [{{port: 80}}]}}
          m: {{selector: {{app: m}}, ports: [{{port: 80}}]}}
    endpoints: {{dns: {{}}, external: {{}}, node/2: {{serve: {{tcp: [7777]}}}}}}
  steps:
    - name: one
{lines}
"
    )
}

const DENIED: &str = "      apply: [{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: x}, \
                      spec: {podSelector: {matchLabels: {app: s}}, policyTypes: [Ingress]}}]\n";

fn codes(lines: &str) -> Vec<(&'static str, String)> {
    let (_, diagnostics) = findings(&scenario(lines));
    diagnostics.into_iter().map(|d| (d.code, format!("{}: {}", d.line, d.message))).collect()
}

#[test]
fn what_cannot_be_measured_is_refused_at_its_place() {
    let start = "      start: [x/l]\n";
    for (before, check, words) in [
        ("", "hold: x/c -> dns:53/udp via cluster-ip", "not against `dns`"),
        ("", "hold: x/c -> dns:53/tcp via cluster-ip", "not against `dns`"),
        ("", "hold: x/c -> x/hl via headless", "via pod-ip, cluster-ip, node-port, other-node-port only"),
        ("", "hold: x/c -> x/s via dns", "via pod-ip"),
        (
            "",
            "transfer: x/c -> x/s",
            "x/c -> x/s:80/udp over ipv4 cannot be measured by a transfer check: over tcp only",
        ),
        ("", "transfer: x/c -> x/s:80/sctp", "over tcp only"),
        ("", "transfer: x/c -> x/s:icmp", "over tcp only"),
        ("", "transfer: x/c -> dns:53/tcp via cluster-ip", "not against `dns`"),
        ("", "transfer: x/c -> x/hl:80/tcp via headless", "via pod-ip"),
        ("", "transfer: x/c -> x/s:80/tcp via dns", "via pod-ip"),
        (start, "first: x/l -> x/s:icmp", "by a first check by the new pod: over tcp, udp, sctp only"),
        (start, "first: x/l -> x/s via dns", "via pod-ip"),
        (start, "first: x/l -> dns:53/udp via cluster-ip", "not against `dns`"),
        (start, "first: x/l -> x/l", "both ends of x/l -> x/l"),
        ("      start: [x/l, x/m]\n", "first: x/l -> x/m", "both ends of x/l -> x/m"),
        (DENIED, "sample: x/c -> x/s via dns", "via pod-ip"),
        (DENIED, "sample: x/c -> x/hl via headless", "via pod-ip"),
        ("", "sample: x/c -> x/s:80/tcp", "is allow before it, too"),
        (DENIED, "sample: x/c -> x/s:icmp", "is open"),
        (start, "sample: x/l -> x/s", "is not there yet"),
        (start, "hold: x/l -> x/s", "is not there yet"),
        ("      start: [x/m]\n", "hold: x/c -> x/m", "is not there yet"),
        ("      start: [x/m]\n", "hold: x/c -> x/m via cluster-ip", "is not there yet"),
    ] {
        let found = codes(&format!(
            "{before}      checks: [{{\"{}\": \"{}\"}}]",
            &check[..check.find(':').unwrap()],
            check.split_once(": ").unwrap().1
        ));
        let [(code, message)] = found.as_slice() else { panic!("{check}: {found:?}") };
        assert_eq!(*code, "scenario/unmeasurable-check", "{check}");
        assert!(message.contains(words), "{check}: {message}");
        let line = 22 + usize::from(!before.is_empty());
        assert!(message.starts_with(&format!("{line}: ")), "{check}: {message}");
    }
}

#[test]
fn a_hold_needs_a_connection_that_can_be_opened() {
    let found = codes(&format!(
        "{DENIED}    - name: two\n      delete: [{{kind: NetworkPolicy, namespace: x, name: p}}]\n      checks: [{{hold: \"x/c -> x/s:80/tcp\"}}]"
    ));
    let [(code, message)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(*code, "scenario/unmeasurable-check");
    assert!(message.contains("is denied then"), "{message}");
}

#[test]
fn what_can_be_measured_is_not() {
    let all = format!(
        "{DENIED}      remove: [x/h]\n      start: [x/l]
      checks:
        - {{hold: \"* -> x/s\"}}
        - {{hold: \"x/c -> x/s:80/sctp\"}}
        - {{hold: \"x/c -> x/s:icmp\"}}
        - {{hold: \"x/c -> x/s via cluster-ip\"}}
        - {{hold: \"external -> x/s via node-port\"}}
        - {{hold: \"external -> x/s\"}}
        - {{first: \"x/l -> x/s\"}}
        - {{first: \"x/l -> x/s via cluster-ip\"}}
        - {{first: \"x/l -> x/s via node-port\"}}
        - {{first: \"x/l -> *\"}}
        - {{first: \"x/c -> x/l\"}}
        - {{first: \"external -> x/l\"}}
        - {{sample: \"x/c -> x/s\"}}
        - {{sample: \"x/c -> x/*\"}}
        - {{transfer: \"node/2 -> x/s:80/tcp\"}}
        - {{transfer: \"x/c -> x/s:*/tcp via other-node-port\"}}
        - {{transfer: \"x/c -> node/2:7777/tcp\"}}
        - {{http: \"* -> x/s:8080/tcp\", expect: 200}}
        - {{http: \"x/c -> x/s:8080/tcp via dns\", expect: 200}}"
    );
    assert_eq!(codes(&all), []);
    let egress = "      apply: [{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: x}, \
                  spec: {podSelector: {}, policyTypes: [Egress]}}]\n      checks: [{sample: \"x/c -> dns:53/udp via cluster-ip\"}]";
    assert_eq!(codes(egress), []);
}
