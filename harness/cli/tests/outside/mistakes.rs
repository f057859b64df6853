//! Bad input: each mistake has its exit code, its place and a message that a user can act on; none panics.

use crate::binary::{Said, file, run, said, scenario, verdikt};

/// Runs `verdikt run -f` on a text.
fn run_text(text: &str) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "s.yaml", text);
    run(&["run", "-f", path.to_str().unwrap()])
}

#[track_caller]
fn refused(text: &str, code: i32, words: &[&str]) {
    let said = run_text(text);
    assert_eq!(said.code, code, "stdout: {}\nstderr: {}", said.stdout, said.stderr);
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
    for word in words {
        assert!(said.stderr.contains(word), "no `{word}` in:\n{}", said.stderr);
    }
}

const INGRESS: &str = "ingress: []";

#[test]
fn an_unknown_field_is_named_with_a_suggestion() {
    refused(&scenario("podSelector:", "podSelectors:"), 2, &["podSelectors", "s.yaml", "podSelector"]);
}

#[test]
fn a_duplicate_key() {
    refused(&scenario("  summary:", "  summary: Again\n  summary:"), 2, &["summary", "s.yaml:7"]);
}

#[test]
fn a_port_out_of_range() {
    refused(&scenario(INGRESS, "ingress: [{ports: [{port: 70000}]}]"), 2, &["70000", "65535", "s.yaml:23"]);
}

#[test]
fn an_end_port_below_its_port() {
    refused(
        &scenario(INGRESS, "ingress: [{ports: [{port: 90, endPort: 80}]}]"),
        2,
        &["endPort", "s.yaml:23"],
    );
}

#[test]
fn an_end_port_beside_a_name() {
    refused(&scenario(INGRESS, "ingress: [{ports: [{port: web, endPort: 80}]}]"), 2, &["endPort", "web"]);
}

#[test]
fn an_exception_outside_its_range() {
    refused(
        &scenario(INGRESS, "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [192.168.0.0/16]}}]}]"),
        2,
        &["192.168.0.0/16", "10.0.0.0/8"],
    );
}

#[test]
fn an_ip_block_beside_a_selector() {
    refused(
        &scenario(INGRESS, "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]"),
        2,
        &["ipBlock", "podSelector"],
    );
}

#[test]
fn a_pattern_that_matches_nothing() {
    refused(&scenario("x/b -> x/a:80/tcp", "x/b -> x/q:80/tcp"), 2, &["x/q", "matches no cell"]);
}

#[test]
fn contradictory_expectations() {
    refused(&scenario("        deny:", "        allow: [\"x/b -> x/a\"]\n        deny:"), 2, &["x/b -> x/a"]);
}

#[test]
fn a_hand_written_cell_against_the_oracle() {
    refused(&scenario("deny: [\"x/b -> x/a", "allow: [\"x/b -> x/a"), 2, &["x/b -> x/a", "isolates x/a"]);
}

#[test]
fn an_unknown_namespace_in_a_policy() {
    refused(&scenario("namespace: x}", "namespace: xx}"), 2, &["xx", "s.yaml:19"]);
}

#[test]
fn a_policy_for_a_namespace_of_others() {
    refused(&scenario("namespace: x}", "namespace: kube-system}"), 2, &["kube-system"]);
}

#[test]
fn an_empty_file() {
    refused("", 2, &["s.yaml"]);
    refused("# nothing\n", 2, &["s.yaml"]);
}

#[test]
fn a_scenario_without_pods() {
    let text = scenario(
        "        pods:\n          a: {labels: {app: a}}\n          b: {labels: {app: b}}",
        "        pods: {}",
    );
    refused(&text, 2, &["pod"]);
}

#[test]
fn a_file_of_fifty_megabytes() {
    let mut text = scenario("", "");
    text.push_str(&"# padding\n".repeat(5_300_000));
    let started = std::time::Instant::now();
    refused(&text, 2, &["s.yaml", "MiB"]);
    assert!(started.elapsed().as_secs() < 30, "it took {:?}", started.elapsed());
}

#[test]
fn an_alias_bomb() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let alias = format!("*a{}", n - 1);
        text.push_str(&format!("a{n}: &a{n} [{}]\n", vec![alias; 9].join(", ")));
    }
    refused(&text, 2, &["s.yaml"]);
}

#[test]
fn a_filter_that_selects_nothing() {
    let nothing = run(&["run", "no-such-scenario"]);
    assert_eq!(nothing.code, 4, "{}", nothing.stderr);
    assert!(nothing.stderr.contains("verdikt list"), "{}", nothing.stderr);
    assert_eq!(run(&["run", "-l", "feature=nosuch"]).code, 4);
    let unprobed = run(&["run", "basics/default-deny-ingress", "--cell", "nope/a -> nope/b"]);
    assert_eq!(unprobed.code, 4, "{}", unprobed.stderr);
    assert!(unprobed.stderr.contains("--cell"), "{}", unprobed.stderr);
    let missing = run(&["run", "nofolder/"]);
    assert_eq!(missing.code, 4, "{}", missing.stderr);
    assert!(missing.stderr.contains("there is no folder `nofolder/`"), "{}", missing.stderr);
    // A folder without its slash is a name, but a likely mistake.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("my-policies")).unwrap();
    let unclear = said(verdikt(&["run", "my-policies"]).current_dir(folder.path()).output().unwrap());
    assert_eq!(unclear.code, 4, "{}", unclear.stderr);
    assert!(unclear.stderr.contains("./my-policies"), "{}", unclear.stderr);
}

#[test]
fn an_unreachable_api_server() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was free a moment ago: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let kubeconfig = file(
        folder.path(),
        "config",
        &format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n\
             users: [{{name: u, user: {{token: t}}}}]\ncontexts: [{{name: far, context: {{cluster: c, user: u}}}}]\n"
        ),
    );
    let kubeconfig = kubeconfig.to_str().unwrap();
    let said = run(&["run", "--context", "far", "--kubeconfig", kubeconfig]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains(&format!("127.0.0.1:{port}")), "{}", said.stderr);

    let said = run(&["run", "--context", "near", "--kubeconfig", kubeconfig]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("near") && said.stderr.contains("far"), "{}", said.stderr);
}

#[test]
fn no_user_namespaces() {
    use std::os::unix::process::CommandExt;
    let mut command = verdikt(&["run", "basics/default-deny-ingress"]);
    // SAFETY: prctl and setrlimit-like calls only; nothing allocates between fork and exec.
    unsafe {
        command.pre_exec(|| {
            // An ordinary user that may not make user namespaces: a seccomp filter answers unshare(2) and
            // clone of namespaces with EPERM, as container runtimes do.
            deny_unshare()
        });
    }
    let said = said(command.output().unwrap());
    assert_eq!(said.code, 3, "stdout: {}\nstderr: {}", said.stdout, said.stderr);
    assert!(said.stderr.contains("namespaces are refused: Operation not permitted"), "{}", said.stderr);
    assert!(said.stderr.contains("seccomp") && said.stderr.contains("--privileged"), "{}", said.stderr);
}

/// Installs a seccomp filter that fails unshare(2) with EPERM.
fn deny_unshare() -> std::io::Result<()> {
    #[repr(C)]
    struct Filter {
        code: u16,
        jt: u8,
        jf: u8,
        k: u32,
    }
    #[repr(C)]
    struct Program {
        len: u16,
        filter: *const Filter,
    }
    const fn op(code: u16, jt: u8, jf: u8, k: u32) -> Filter {
        Filter { code, jt, jf, k }
    }
    let program = [
        op(0x20, 0, 0, 0),                                     // load the syscall number
        op(0x15, 0, 1, nix::libc::SYS_unshare as u32),         // unshare?
        op(0x06, 0, 0, 0x0005_0000 | nix::libc::EPERM as u32), // fail with EPERM
        op(0x06, 0, 0, 0x7fff_0000),                           // allow
    ];
    let program = Program { len: 4, filter: program.as_ptr() };
    // SAFETY: both calls take plain integers and one pointer to a structure that outlives the call.
    let done = unsafe {
        nix::libc::prctl(nix::libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && nix::libc::prctl(nix::libc::PR_SET_SECCOMP, 2, std::ptr::from_ref(&program)) == 0
    };
    if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[test]
fn a_missing_file_and_a_bad_flag() {
    let said = run(&["run", "-f", "/nonexistent/s.yaml"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("/nonexistent/s.yaml"), "{}", said.stderr);
    assert_eq!(run(&["run", "--lanes", "0"]).code, 2);
    assert_eq!(run(&["run", "--deadline", "soon"]).code, 2);
    assert_eq!(run(&["run", "--sandbox", "nosuch"]).code, 2);
    assert_eq!(run(&[]).code, 2);
}

#[test]
fn an_object_against_its_definition() {
    let folder = tempfile::tempdir().unwrap();
    let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.com}\n\
               spec:\n  group: example.com\n  names: {kind: Widget}\n  scope: Namespaced\n  versions:\n  - name: v1\n    \
               served: true\n    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, \
               properties: {action: {type: string, enum: [Allow, Deny]}}}}}}\n";
    let crd = file(folder.path(), "crd.yaml", crd);
    let other = file(folder.path(), "other.yaml", "apiVersion: v1\nkind: ConfigMap\n");
    let widget = |spec: &str| {
        let object = format!(
            "- {{apiVersion: example.com/v1, kind: Widget, metadata: {{name: w, namespace: x}}, spec: {spec}}}\n        \
             - apiVersion: networking"
        );
        let text = scenario("- apiVersion: networking", &object)
            .replace("  topology:", "  requires: {crd: widgets.example.com}\n  topology:");
        file(folder.path(), "s.yaml", &text).to_str().unwrap().to_owned()
    };
    let lint = |path: &str, crds: &std::path::Path| run(&["lint", path, "--crds", crds.to_str().unwrap()]);

    let wrong = widget("{acton: Allow}");
    let said = lint(&wrong, &crd);
    assert_eq!(said.code, 1, "{}\n{}", said.stdout, said.stderr);
    for word in ["scenario/against-crd", "s.yaml:18:", "spec.acton", "did you mean `action`?"] {
        assert!(said.stdout.contains(word), "no `{word}` in:\n{}", said.stdout);
    }
    assert_eq!(run(&["lint", &wrong]).code, 0, "without definitions there is nothing to check against");
    assert_eq!(lint(&widget("{action: Deny}"), &crd).code, 0);

    let said = lint(&wrong, &other);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(
        said.stderr.contains("--crds") && said.stderr.contains("no CustomResourceDefinition"),
        "{}",
        said.stderr
    );
    assert_eq!(lint(&wrong, &folder.path().join("nothing")).code, 2);
}

#[test]
fn lint_finds_and_exits_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "s.yaml", &scenario(INGRESS, "ingress: [{ports: [{port: 70000}]}]"));
    let said = run(&["lint", path.to_str().unwrap()]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stdout.contains("70000"), "{}", said.stdout);
    assert_eq!(run(&["lint"]).code, 0, "the catalogue is clean");
}

#[test]
fn a_bad_file_keeps_the_others_from_nothing_where_nothing_is_run() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "a.yaml", &scenario("", ""));
    file(folder.path(), "b.yaml", &scenario(INGRESS, "ingress: [{ports: [{port: 70000}]}]"));
    file(folder.path(), "c.yaml", &scenario("name: test/one", "name: test/two"));
    std::fs::write(folder.path().join("d.yaml"), b"a: \xe4\n").unwrap();
    let path = folder.path().to_str().unwrap();
    for args in [
        &["expect", "-f", path][..],
        &["list", "-f", path, "-o", "name"],
        &["explain", "-f", path, "--cell", "x/b -> x/a:80/tcp"],
    ] {
        let said = run(args);
        assert_eq!(said.code, 2, "{args:?}: {}", said.stderr);
        assert!(
            said.stdout.contains("test/one") && said.stdout.contains("test/two"),
            "{args:?}: {}",
            said.stdout
        );
        assert!(said.stderr.contains("70000") && said.stderr.contains("d.yaml: the file"), "{}", said.stderr);
        let last = said.stderr.lines().last().unwrap_or_default();
        assert!(last.contains("1 error(s) in ") && last.contains("b.yaml; 1 file(s)"), "{last}");
    }
    // A run that silently lacks a scenario would look like success.
    let said = run(&["run", "-f", path]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{}", said.stderr);
    assert!(said.stderr.contains("b.yaml") && said.stderr.contains("nothing was run"), "{}", said.stderr);
    // What was meant may be in the bad file.
    assert_eq!(run(&["expect", "-f", path, "test/three"]).code, 2);
}

#[test]
fn strict_makes_errors_of_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        folder.path(),
        "s.yaml",
        &scenario(INGRESS, "ingress: [{from: [{podSelector: {matchLabels: {app: c}}}]}]"),
    );
    let path = path.to_str().unwrap();
    let lint = run(&["lint", path]);
    assert_eq!(lint.code, 0, "{}", lint.stdout);
    assert!(lint.stdout.contains("scenario/peer-without-anybody"), "{}", lint.stdout);
    assert_eq!(run(&["lint", "--strict", path]).code, 1);
    let said = run(&["run", "--strict", "-f", path]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("which --strict makes errors"), "{}", said.stderr);
    assert_eq!(run(&["expect", "-f", path]).code, 0);
    assert_eq!(run(&["expect", "--strict", "-f", path]).code, 2);
    assert_eq!(run(&["lint", "--strict"]).code, 0, "the catalogue has no warnings");
}
