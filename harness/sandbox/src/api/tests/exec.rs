//! exec and logs, with kube's own client at the other end.

use std::time::{Duration, Instant};

use futures::{AsyncBufReadExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{AttachParams, AttachedProcess},
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fake::{Lab, pod};

async fn lab() -> (Lab, Api<Pod>) {
    let lab = Lab::new().await;
    lab.pod("default", pod("a", json!({}))).await;
    let api = Api::namespaced(lab.client.clone(), "default");
    (lab, api)
}

fn params() -> AttachParams {
    AttachParams::default().stdin(false).stdout(true).stderr(true).max_stdout_buf_size(1 << 16)
}

/// Output, errors and exit status (reason, exit code).
async fn finish(mut process: AttachedProcess) -> (String, String, Option<(String, String)>) {
    let (mut out, mut err) = (String::new(), String::new());
    let status = process.take_status().unwrap();
    let (mut stdout, mut stderr) = (process.stdout().unwrap(), process.stderr().unwrap());
    let (_, _, status) =
        tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err), status);
    let status = status.unwrap();
    let failed = status.reason.filter(|_| status.status.as_deref() == Some("Failure")).map(|reason| {
        let causes = status.details.and_then(|d| d.causes).unwrap_or_default();
        (reason, causes.first().and_then(|c| c.message.clone()).unwrap_or_default())
    });
    (out, err, failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn output_errors_and_exit_code_arrive_apart() {
    let (_lab, api) = lab().await;
    let process = api.exec("a", ["sh", "-c", "echo out; echo err >&2; exit 3"], &params()).await.unwrap();
    let failed = Some(("NonZeroExitCode".to_owned(), "3".to_owned()));
    assert_eq!(finish(process).await, ("out\n".into(), "err\n".into(), failed));
    let process = api.exec("a", ["sh", "-c", ":"], &params()).await.unwrap();
    assert_eq!(finish(process).await, (String::new(), String::new(), None));
    let process = api.exec("a", ["/no/such/command"], &params()).await.unwrap();
    assert_eq!(finish(process).await.2.unwrap().0, "InternalError");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_output_comes_before_the_status() {
    let (_lab, api) = lab().await;
    let count = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); echo $i; done";
    let process = api.exec("a", ["sh", "-c", count], &params()).await.unwrap();
    let (out, _, failed) = finish(process).await;
    assert!(out.ends_with("\n200000\n") && out.lines().count() == 200_000);
    assert_eq!(failed, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn stdin_goes_both_ways_at_once_and_ends() {
    let (_lab, api) = lab().await;
    let mut process = api.exec("a", ["cat"], &params().stdin(true)).await.unwrap();
    let mut stdin = process.stdin().unwrap();
    let mut stdout = process.stdout().unwrap();
    let status = process.take_status().unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let write = async {
        stdin.write_all(&sent).await.unwrap();
        // On v5 this closes the command's stdin, and nothing else.
        stdin.shutdown().await.unwrap();
        drop(stdin);
    };
    let mut received = vec![];
    let (_, read) = tokio::join!(write, stdout.read_to_end(&mut received));
    read.unwrap();
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    assert_eq!(status.await.unwrap().status.as_deref(), Some("Success"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_ends_the_command() {
    let (_lab, api) = lab().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display();
    // `exec`, so that the command that is killed is the one that holds the file.
    let script = format!("echo $$ > {path}; exec sleep 60");
    let process = api.exec("a", ["sh".to_owned(), "-c".into(), script], &params()).await.unwrap();
    let begun = Instant::now();
    let pid = loop {
        match std::fs::read_to_string(file.path()).unwrap().trim().parse::<u32>() {
            Ok(pid) => break pid,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
    };
    drop(process);
    // A killed child that has not been reaped yet still has a directory, but no command line.
    let alive = || std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
    while alive() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the command outlived its client");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn bad_execs_are_refused_with_a_status() {
    let (lab, _) = lab().await;
    let path = "/api/v1/namespaces/default/pods";
    assert_eq!(lab.get(&format!("{path}/a/exec?command=true")).await.0, 400);
    assert_eq!(lab.get(&format!("{path}/a/exec")).await.0, 400);
    assert_eq!(lab.get(&format!("{path}/b/exec?command=true")).await.0, 404);
    let (code, status) = lab.get(&format!("{path}/a/exec?command=true&container=x")).await;
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")));
}

#[tokio::test]
async fn logs_are_served_from_the_pods_file() {
    let (lab, api) = lab().await;
    let uid = api.get("a").await.unwrap().metadata.uid.unwrap();
    let file = lab.sandbox.cluster().logs.join(crate::wire::log_name(&uid, "c"));
    std::fs::write(&file, "one\ntwo\nthree\n").unwrap();
    let path = "/api/v1/namespaces/default/pods/a/log";
    assert_eq!(lab.get(path).await.1, "one\ntwo\nthree\n");
    assert_eq!(lab.get(&format!("{path}?tailLines=1")).await.1, "three\n");
    assert_eq!(lab.get(&format!("{path}?previous=true")).await.0, 400);
    let request = axum::http::Request::get(format!("{path}?follow=true&tailLines=1")).body(vec![]).unwrap();
    let mut lines = lab.client.request_stream(request).await.unwrap().lines();
    assert_eq!(lines.next().await.unwrap().unwrap(), "three");
    {
        use std::io::Write as _;
        std::fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"four\n").unwrap();
    }
    lab.node.exit(&uid, "c", 0);
    assert_eq!(lines.next().await.unwrap().unwrap(), "four");
    assert!(lines.next().await.is_none());
}
