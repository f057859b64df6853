//! What reaches the terminal, and what does not change with it: foreign text, closed pipes, full disks, interrupts.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{SigHandler, Signal, kill, signal},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};

use crate::binary::{Said, file, run, said, scenario, verdikt};

/// A path, a name, a message that poses as lines of verdikt's.
const HOSTILE: &str = "a\u{1b}[31m\u{1b}]0;b\u{7}\n        PASS c\u{202e}\n::error::d";

fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports/samples").join(name);
    path.to_str().unwrap().to_owned()
}

/// Nothing that acts on a terminal, hides, or poses as a line of verdikt's.
#[track_caller]
fn inert(what: &dyn std::fmt::Debug, Said { stdout, stderr, .. }: &Said) {
    for text in [stdout, stderr] {
        let harmful = text.chars().find(|c| *c != '\n' && verdikt_model::is_harmful(*c));
        assert_eq!(harmful, None, "{what:?}: {}", text.escape_default());
        let forged =
            text.lines().find(|line| line.trim_start().starts_with("PASS c") || line.starts_with("::"));
        assert_eq!(forged, None, "{what:?}: {text}");
        assert!(!text.contains("panicked"), "{what:?}: {text}");
    }
}

#[test]
fn no_error_obeys_a_path_a_record_or_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let missing = path(HOSTILE);
    let text = std::fs::read_to_string(sample("calico.json")).unwrap();
    let hostile = serde_json::to_string(HOSTILE).unwrap();
    file(folder.path(), "schema.json", &text.replacen("\"verdikt.dev/record/v1\"", &hostile, 1));
    file(
        folder.path(),
        "word.json",
        &text.replacen("\"level\":\"core\"", &format!("\"level\":{hostile}"), 1),
    );
    let config = "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: [{name: \"CTX\", context: {cluster: a, user: b}}]\n";
    let config = file(folder.path(), "config", &config.replace("\"CTX\"", &hostile));
    let config = config.to_str().unwrap();
    let good = sample("calico.json");
    let records = [path("schema.json"), path("word.json"), missing.clone()];
    let mut commands: Vec<Vec<&str>> = vec![
        vec!["run", "-f", &missing],
        vec!["run", HOSTILE],
        vec!["run", "--lanes", HOSTILE],
        vec!["run", "--cell", HOSTILE],
        vec!["run", "--known-deviations", &missing],
        vec!["run", "--external", HOSTILE],
        vec!["run", "--record", &missing, "--export-html", &missing],
        vec!["run", "--context", HOSTILE, "--kubeconfig", config],
        vec!["run", "--context", "near", "--kubeconfig", config],
        vec!["clean", "--context", "near", "--kubeconfig", config],
        vec!["doctor", "--context", "near", "--kubeconfig", &missing],
        vec!["lint", &missing],
        vec!["lint", "--crds", &missing],
        vec!["expect", "-f", &missing],
        vec!["explain", "--cell", HOSTILE],
        vec!["explain", "--cell", "x/nobody -> x/a", HOSTILE],
        vec!["list", HOSTILE],
        vec!["compare", "--trend", &missing],
        vec!["report", &good, "--format", HOSTILE],
        vec!["image", "save", "-o", "/dev/null", "--agent", "amd64=/nonexistent/\u{1b}[31m\nPASS c"],
        vec![HOSTILE],
    ];
    for record in &records {
        commands.push(vec!["report", record, "--format", "csv"]);
        commands.push(vec!["merge", record]);
        commands.push(vec!["compare", record, &good]);
        commands.push(vec!["run", "basics/", "--resume", record]);
    }
    for args in &commands {
        let said = run(args);
        assert!([2, 3, 4].contains(&said.code), "{args:?}: {}: {}{}", said.code, said.stdout, said.stderr);
        assert!(!said.stderr.is_empty() || args[0] == "doctor", "{args:?}");
        inert(args, &said);
    }
}

/// An API server that answers whatever it is asked with this head and body. Gives a kubeconfig for it.
fn api_server(folder: &Path, head: &'static str, body: impl Fn(&mut dyn Write) + Send + 'static) -> PathBuf {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            if client.read(&mut [0; 8192]).is_ok_and(|n| n > 0) && client.write_all(head.as_bytes()).is_ok() {
                body(&mut client);
            }
        }
    });
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
         users: [{{name: u, user: {{token: t}}}}]\ncontexts: [{{name: far, context: {{cluster: c, user: u}}}}]\n"
    );
    file(folder, &format!("config-{}", address.port()), &text)
}

#[test]
fn no_error_obeys_an_api_server_and_no_answer_is_endless() {
    let folder = tempfile::tempdir().unwrap();
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": HOSTILE,
    })
    .to_string();
    let refuses =
        api_server(folder.path(), "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n", move |client| {
            let _ = client.write_all(status.as_bytes());
        });
    let foreign =
        api_server(folder.path(), "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n", |client| {
            let _ = client.write_all(HOSTILE.as_bytes());
        });
    let endless = |client: &mut dyn Write| {
        let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
        while client.write_all(&chunk).is_ok() {}
    };
    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let talks = api_server(folder.path(), chunked, endless);
    let chunked = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n";
    let refuses_at_length = api_server(folder.path(), chunked, endless);
    for (config, words) in [
        (&refuses, r"a\u{1b}[31m"),
        (&foreign, r"a\u{1b}[31m"),
        (&talks, "answers more than 128 MiB to: read the API server's version"),
        (&refuses_at_length, "HTTP 403"),
    ] {
        for verb in ["run", "clean", "doctor", "bench"] {
            let args = [verb, "--context", "far", "--kubeconfig", config.to_str().unwrap()];
            let said = run(&args);
            assert_eq!(said.code, 3, "{args:?}: {}{}", said.stdout, said.stderr);
            let text = format!("{}{}", said.stdout, said.stderr);
            assert!(text.contains(words), "{args:?}: no `{words}` in {text}");
            inert(&args, &said);
        }
    }
}

/// The end of a pipe that nobody reads.
fn unread() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

#[test]
fn a_reader_that_has_gone_changes_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "good.yaml", &scenario("", ""));
    let bad =
        file(folder.path(), "bad.yaml", &scenario("ingress: []", "ingress: [{ports: [{port: 70000}]}]"));
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    let (calico, none) = (sample("calico.json"), sample("none.json"));
    let man = folder.path().join("man");
    for (args, code) in [
        (vec!["--help"], 0),
        (vec!["--version"], 0),
        (vec!["nonsense"], 2),
        (vec!["lint", bad], 1),
        (vec!["lint", bad, "-o", "json"], 1),
        (vec!["lint", "/nonexistent"], 2),
        (vec!["lint"], 0),
        (vec!["run", "-f", bad], 2),
        (vec!["run", "no-such-scenario"], 4),
        (vec!["list"], 0),
        (vec!["list", "-o", "json"], 0),
        (vec!["list", "--coverage", "basics", "-o", "name"], 1),
        (vec!["list", "--known"], 0),
        (vec!["expect"], 0),
        (vec!["expect", "-f", good, "-o", "json"], 0),
        (vec!["explain", "-f", good, "--cell", "x/b -> x/a:80/tcp"], 0),
        (vec!["explain", "-f", good, "--cell", "x/q -> x/a:80/tcp"], 4),
        (vec!["schema", "scenario"], 0),
        (vec!["completions", "bash"], 0),
        (vec!["man", man.to_str().unwrap()], 0),
        (vec!["doctor", "--print-rbac"], 0),
        (vec!["sandbox", "profiles"], 0),
        (vec!["sandbox", "profiles", "-o", "json"], 0),
        (vec!["image", "list"], 0),
        (vec!["compare", &calico, &none], 1),
        (vec!["compare", &calico, &none, "-o", "html"], 1),
        (vec!["report", &none, "--format", "html"], 0),
        (vec!["merge", &none], 1),
        (vec!["merge", &none, "-o", "jsonl"], 1),
        (vec!["merge", &calico, "-q"], 0),
    ] {
        let mut child = verdikt(&args).stdout(unread()).stderr(unread()).spawn().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{args:?}");
    }
}

#[test]
fn results_that_cannot_be_written_are_told_and_hide_no_difference() {
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    for (args, code) in [(["merge", &sample("none.json")], 1), (["list", "basics/"], 3)] {
        let said = said(verdikt(&args).stdout(full()).output().unwrap());
        assert_eq!(said.code, code, "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains("cannot write to standard output: No space left"), "{}", said.stderr);
    }
    // Whoever does not hear the talk has the results all the same.
    let calico = sample("calico.json");
    let mut child = verdikt(&["merge", &calico]).stdout(Stdio::null()).stderr(full()).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Lets a command write no file that is larger than this.
fn limited(command: &mut Command, bytes: u64) -> &mut Command {
    // SAFETY: two calls that take integers; nothing allocates between fork and exec.
    unsafe {
        command.pre_exec(move || {
            let limit = nix::libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            signal(Signal::SIGXFSZ, SigHandler::SigIgn)?;
            match nix::libc::setrlimit(nix::libc::RLIMIT_FSIZE, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        })
    }
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn a_report_that_cannot_be_written_hides_no_difference_and_leaves_no_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (html, junit, record) = (path("r.html"), path("r.xml"), path("r.json"));
    file(folder.path(), "r.html", "of yesterday");
    // Enough to be tried, and for the JUnit report; too little for the others.
    for (of, code) in [("none.json", 1), ("calico.json", 2)] {
        let of = sample(of);
        let args =
            ["merge", &of, "--export-html", &html, "--export-junit", &junit, "--record", &record, "-q"];
        let said = said(limited(&mut verdikt(&args), 66 << 10).output().unwrap());
        assert_eq!(said.code, code, "{}{}", said.stdout, said.stderr);
        for path in [&html, &record] {
            let told = format!("cannot write {path}: File too large");
            assert_eq!(said.stderr.matches(&told).count(), 1, "{path}: {}", said.stderr);
        }
        // The record is whole as far as there was room.
        let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
        let all: serde_json::Value = serde_json::from_slice(&std::fs::read(&of).unwrap()).unwrap();
        let count = |record: &serde_json::Value| record["scenarios"].as_array().unwrap().len();
        assert!(count(&kept) > 0 && count(&kept) < count(&all));
        assert_eq!(files(folder.path()), ["r.html", "r.json", "r.xml"]);
        assert_eq!(std::fs::read_to_string(&html).unwrap(), "of yesterday");
    }
    let args = ["report", &sample("none.json"), "--format", "html", "-o", &path("new.html")];
    let said = said(limited(&mut verdikt(&args), 66 << 10).output().unwrap());
    assert_eq!((said.code, files(folder.path()).len()), (2, 3), "{}", said.stderr);
}

#[test]
fn what_cannot_be_written_is_told_before_a_run_and_no_two_outputs_are_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::os::unix::fs::symlink("later.json", path("link")).unwrap();
    std::os::unix::fs::symlink("no/such/folder", path("astray")).unwrap();
    let scenario = file(folder.path(), "s.yaml", &scenario("", "")).to_str().unwrap().to_owned();
    let later = path("later.json");
    let dotted = format!("{}/./later.json", folder.path().display());
    for (args, words) in [
        (vec!["--record", "/dev/full"], "cannot write /dev/full: No space left"),
        (vec!["--export-junit", "/dev/full"], "cannot write /dev/full: No space left"),
        (vec!["--export-markdown", "/nonexistent/m.md"], "cannot write /nonexistent/m.md"),
        (vec!["--record", &path("astray")], "astray: No such file"),
        (vec!["--record", &later, "--export-html", &later], "are one file"),
        (vec!["--record", &later, "--export-html", &dotted], "are one file"),
        (vec!["--record", &path("link"), "--export-junit", &later], "are one file"),
        (vec!["--export-html", &scenario], "which is read"),
        (vec!["--record", &scenario], "which is read"),
    ] {
        let said = run(&[&["run", "-f", &scenario], &args[..]].concat());
        assert_eq!(said.code, 2, "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{args:?}: no `{words}` in {}", said.stderr);
        assert_eq!(files(folder.path()), ["astray", "link", "s.yaml"], "{args:?}");
    }
    let record = file(folder.path(), "r.json", &std::fs::read_to_string(sample("calico.json")).unwrap());
    let record = record.to_str().unwrap();
    let said = run(&["report", record, "--format", "html", "-o", record]);
    assert_eq!((said.code, said.stderr.contains("which is read")), (2, true), "{}", said.stderr);
    // A link that leads to nothing yet is followed.
    let said = run(&["report", record, "--format", "csv", "-o", &path("link")]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(folder.path().join("link").is_symlink() && folder.path().join("later.json").is_file());
}

#[test]
fn no_input_is_endless() {
    for (args, words) in [
        (&["report", "/dev/zero", "--format", "csv"][..], "512 MiB that a record may have"),
        (&["run", "--context", "a", "--kubeconfig", "/dev/zero"], "/dev/zero: it is larger than 4 MiB"),
        (&["run", "--known-deviations", "/dev/zero"], "/dev/zero: the file is larger than"),
        (&["run", "-f", "/dev/zero"], "/dev/zero: the file is larger than"),
        (&["lint", "--crds", "/dev/zero"], "/dev/zero: the file is larger than"),
        (&["image", "save", "-o", "/dev/null", "--agent", "amd64=/dev/zero"], "larger than 64 MiB"),
    ] {
        let said = run(args);
        assert!([2, 3].contains(&said.code), "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{args:?}: no `{words}` in {}", said.stderr);
    }
}

/// Waits until a process watches for SIGTERM.
fn watches(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    caught & (1 << (Signal::SIGTERM as u32 - 1)) != 0
}

#[test]
fn a_pipe_without_another_end_obeys_an_interrupt() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let sink = folder.path().join("sink");
    mkfifo(&sink, Mode::S_IRWXU).unwrap();
    let (pipe, sink) = (pipe.to_str().unwrap(), sink.to_str().unwrap());
    let agent = format!("amd64={pipe}");
    let calico = sample("calico.json");
    let commands: [&[&str]; 19] = [
        &["lint", pipe],
        &["lint", "--crds", pipe],
        &["list", "-f", pipe],
        &["expect", "-f", pipe],
        &["explain", "-f", pipe, "--cell", "x/a -> x/b"],
        &["report", pipe, "--format", "csv"],
        &["report", &calico, "--format", "csv", "-o", sink],
        &["merge", pipe],
        &["merge", &calico, "--record", sink],
        &["compare", pipe, pipe],
        &["run", "-f", pipe],
        &["run", "basics/", "--resume", pipe],
        &["run", "basics/", "--known-deviations", pipe],
        &["run", "basics/", "--record", sink],
        &["run", "basics/", "--context", "a", "--kubeconfig", pipe],
        &["clean", "--context", "a", "--kubeconfig", pipe],
        &["doctor", "--context", "a", "--kubeconfig", pipe],
        &["bench", "--context", "a", "--kubeconfig", pipe],
        &["image", "save", "-o", "/dev/null", "--agent", &agent],
    ];
    let mut children: Vec<(&[&str], Child)> = commands
        .into_iter()
        .map(|args| (args, verdikt(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()))
        .collect();
    let limit = Instant::now() + Duration::from_secs(30);
    for (args, child) in &mut children {
        while !watches(child) {
            assert!(Instant::now() < limit, "{args:?} watches for no signal");
            std::thread::sleep(Duration::from_millis(5));
        }
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    }
    for (args, child) in &mut children {
        let code = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.code();
            }
            if Instant::now() > limit {
                child.kill().unwrap();
                panic!("{args:?} does not end");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(code, Some(130), "{args:?}");
    }
}
