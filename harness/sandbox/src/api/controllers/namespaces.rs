//! Empties a namespace that is being deleted, then takes its `kubernetes` finaliser away, then the namespace itself.

use std::{collections::HashSet, sync::Arc};

use serde_json::Value;

use crate::api::{
    cluster::Cluster,
    decode::FieldValidation,
    kinds::{KINDS, Kind},
    lifecycle::{DeleteOptions, Write},
    object::{Shared, items, map_at},
    store::Transaction,
};

/// The finaliser that stands for a namespace's contents.
const FINALIZER: &str = "kubernetes";

/// Runs until the cluster stops.
pub(super) async fn run(cluster: Arc<Cluster>) {
    let mut namespaces = cluster.store.subscribe(Kind::Namespace);
    let mut ending: HashSet<String> = HashSet::new();
    loop {
        namespaces.borrow_and_update();
        let (all, _) = cluster.store.list(Kind::Namespace, None);
        ending.retain(|uid| all.iter().any(|ns| ns.uid() == uid));
        for namespace in all.into_iter().filter(|ns| ns.terminating()) {
            if ending.insert(namespace.uid().to_owned()) {
                tokio::spawn(end(cluster.clone(), namespace));
            }
        }
        tokio::select! {
            _ = namespaces.changed() => {}
            () = cluster.stop.cancelled() => return,
        }
    }
}

async fn end(cluster: Arc<Cluster>, namespace: Shared) {
    let name = namespace.name().to_owned();
    let mut changes: Vec<_> =
        KINDS.iter().filter(|f| f.namespaced).map(|f| cluster.store.subscribe(f.id)).collect();
    loop {
        for change in &mut changes {
            change.borrow_and_update();
        }
        if cluster.store.write(|tx| empty(tx, &name)) {
            cluster.store.write(|tx| finish(tx, &namespace));
            return;
        }
        let any = futures::future::select_all(changes.iter_mut().map(|change| Box::pin(change.changed())));
        tokio::select! {
            _ = any => {}
            () = cluster.stop.cancelled() => return,
        }
    }
}

/// Deletes what can be deleted; whether nothing is left.
fn empty(tx: &mut Transaction<'_>, namespace: &str) -> bool {
    let mut left = 0;
    // Policies stay until the pods are gone, so that nothing opens while they end.
    let mut kinds: Vec<_> = KINDS.iter().filter(|f| f.namespaced).collect();
    kinds.sort_by_key(|f| f.id != Kind::Pod);
    for facts in kinds {
        if facts.id == Kind::NetworkPolicy && left > 0 {
            left += 1;
            continue;
        }
        for object in tx.list(facts.id, Some(namespace)) {
            let write = Write {
                facts,
                namespace: namespace.to_owned(),
                name: object.name().to_owned(),
                subresource: String::new(),
                manager: String::new(),
                validation: FieldValidation::Ignore,
                dry_run: false,
            };
            // Only namespaces and preconditions are ever refused; neither is at hand.
            let _ = write.delete(tx, &object, &DeleteOptions::default());
        }
        left += tx.list(facts.id, Some(namespace)).len();
    }
    left == 0
}

/// Takes the finaliser away and removes the namespace, unless others still hold it.
fn finish(tx: &mut Transaction<'_>, namespace: &Shared) {
    let name = namespace.name();
    if tx.get(Kind::Namespace, "", name).is_none_or(|now| now.uid() != namespace.uid()) {
        return;
    }
    let after = tx.modify(Kind::Namespace, "", name, |value| {
        match map_at(value, "spec").get_mut("finalizers").and_then(Value::as_array_mut) {
            Some(list) => {
                let before = list.len();
                list.retain(|f| f != FINALIZER);
                list.len() != before
            }
            None => false,
        }
    });
    let now = after.or_else(|| tx.get(Kind::Namespace, "", name));
    if now.is_some_and(|now| {
        items(&now.value, "/spec/finalizers").is_empty()
            && items(&now.value, "/metadata/finalizers").is_empty()
    }) {
        tx.remove(Kind::Namespace, "", name);
    }
}
