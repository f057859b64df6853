//! Watches.

use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::{core::v1::Namespace, networking::v1::NetworkPolicy};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};

use super::fake::{Lab, POLICIES, policy};

/// The first events of a watch: type and name.
async fn events(lab: &Lab, path: &str, count: usize) -> Vec<(String, String)> {
    let request = axum::http::Request::get(path).body(vec![]).unwrap();
    let lines = lab.client.request_stream(request).await.unwrap().lines();
    let read = lines.take(count).map_ok(|line| {
        let event: Value = serde_json::from_str(&line).unwrap();
        let text = |pointer| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        (text("/type"), text("/object/metadata/name"))
    });
    tokio::time::timeout(std::time::Duration::from_secs(10), read.try_collect()).await.unwrap().unwrap()
}

fn pair(event: &str, name: &str) -> (String, String) {
    (event.into(), name.into())
}

#[tokio::test]
async fn history_is_replayed_and_objects_enter_and_leave_the_view() {
    let lab = Lab::new().await;
    let (_, list) = lab.get(POLICIES).await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    lab.post(POLICIES, policy("p", json!({}))).await;
    for app in ["a", "a2", "b"] {
        lab.patch("merge", &format!("{POLICIES}/p"), json!({"metadata": {"labels": {"app": app}}})).await;
    }
    lab.delete(&format!("{POLICIES}/p")).await;
    let path = format!("{POLICIES}?watch=true&resourceVersion={version}");
    assert_eq!(
        events(&lab, &path, 5).await,
        [
            pair("ADDED", "p"),
            pair("MODIFIED", "p"),
            pair("MODIFIED", "p"),
            pair("MODIFIED", "p"),
            pair("DELETED", "p")
        ]
    );
    let path = format!("{path}&labelSelector=app%20in%20(a,a2)");
    assert_eq!(
        events(&lab, &path, 3).await,
        [pair("ADDED", "p"), pair("MODIFIED", "p"), pair("DELETED", "p")]
    );
}

#[tokio::test]
async fn a_watch_from_nothing_begins_with_what_is_there() {
    let lab = Lab::new().await;
    let path = "/api/v1/namespaces?watch=1";
    assert_eq!(events(&lab, path, 2).await, [pair("ADDED", "default"), pair("ADDED", "kube-system")]);
    let path =
        format!("{path}&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan");
    assert_eq!(events(&lab, &path, 3).await[2], pair("BOOKMARK", ""));
    assert_eq!(events(&lab, "/api/v1/namespaces?watch=1&timeoutSeconds=1", 9).await.len(), 2);
}

#[tokio::test]
async fn a_lagging_watch_is_told_so() {
    let lab = Lab::new().await;
    for i in 0..2100 {
        let store = &lab.sandbox.cluster().store;
        store.write(|tx| {
            tx.put(
                crate::api::kinds::Kind::ConfigMap,
                json!({"metadata": {"namespace": "default", "name": "c"}, "data": {"i": i.to_string()}}),
            )
        });
    }
    let path = "/api/v1/configmaps?watch=1&resourceVersion=5";
    assert_eq!(events(&lab, path, 1).await, [pair("ERROR", "")]);
}

#[tokio::test]
async fn kube_runtimes_watcher_follows() {
    let lab = Lab::new().await;
    let api: Api<NetworkPolicy> = Api::namespaced(lab.client.clone(), "default");
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut seen = Box::pin(watcher(api.clone(), config).touched_objects());
        let made: NetworkPolicy = serde_json::from_value(policy("p", json!({"podSelector": {}}))).unwrap();
        let feed = async {
            api.create(&PostParams::default(), &made).await.unwrap();
            api.delete("p", &DeleteParams::default()).await.unwrap();
        };
        let look = async {
            for _ in 0..2 {
                assert_eq!(seen.next().await.unwrap().unwrap().name_any(), "p");
            }
        };
        // The watcher needs to be there first; it lists at its first poll.
        let both = async {
            tokio::join!(look, async {
                tokio::task::yield_now().await;
                feed.await
            })
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), both).await.unwrap();
    }
}

#[tokio::test]
async fn kube_waits_for_a_namespace_to_go() {
    let lab = Lab::new().await;
    lab.namespace("x").await;
    let api: Api<Namespace> = Api::all(lab.client.clone());
    kube::runtime::wait::delete::delete_and_finalize(api.clone(), "x", &DeleteParams::default())
        .await
        .unwrap();
    assert!(api.get_opt("x").await.unwrap().is_none());
}

/// Bytes of memory that this process has.
fn memory() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn watches_that_nobody_reads_hold_little() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let lab = Lab::new().await;
    let text = "x".repeat(40 << 10);
    let put = |n: usize| {
        lab.sandbox.cluster().store.write(|tx| {
            tx.put(
                crate::api::kinds::Kind::ConfigMap,
                json!({"metadata": {"namespace": "default", "name": format!("c{n}")}, "data": {"t": text}}),
            )
        });
    };
    (0..400).for_each(put);
    // Rendered once, these are there for all.
    lab.get("/api/v1/configmaps").await;
    let address = lab.sandbox.url().strip_prefix("http://").unwrap().to_owned();
    let open = async |query: &str| {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let path = format!("/token/a-token-for-tests/api/v1/configmaps{query}");
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        // The beginning of the answer is there: the rest waits.
        stream.read_exact(&mut [0; 100]).await.unwrap();
        stream
    };
    let before = memory();
    let mut unread = vec![];
    for _ in 0..40 {
        unread.push(open("?watch=1").await);
    }
    let held = memory().saturating_sub(before);
    // As text they are 640 MB.
    assert!(held < 64 << 20, "40 watches of 16 MB hold {} MB", held >> 20);
    drop(unread);
    assert_eq!(lab.get("/api/v1/namespaces/default/configmaps/c7").await.0, 200);
}
