//! All objects, in memory: one version counter, a bounded history for watches, atomic writes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    kinds::{KINDS, Kind},
    object::{Object, Shared, json_length, map_at},
};

/// Changes of one kind that are remembered for watches; a watch that lags further gets 410.
const HISTORY: usize = 2048;

/// Most bytes, as JSON, that they may have together.
const HISTORY_BYTES: usize = 64 << 20;

/// The store.
pub(crate) struct Store {
    /// Whether the cluster has IPv6 beside IPv4.
    pub(crate) dual_stack: bool,
    inner: Mutex<Inner>,
    /// Version of the newest change of each kind.
    changed: Vec<watch::Sender<u64>>,
}

struct Inner {
    version: u64,
    tables: Vec<Table>,
}

#[derive(Default)]
struct Table {
    objects: BTreeMap<(String, String), Shared>,
    history: VecDeque<Change>,
    /// How many bytes the objects in `history` have as JSON.
    bytes: usize,
    /// Version of the newest change that is no longer in `history`.
    forgotten: u64,
}

/// One change.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The store's version after it.
    pub(crate) version: u64,
    /// The object before; `None` when it was created.
    pub(crate) before: Option<Shared>,
    /// The object after; when it was deleted its last state, with the version of the deletion.
    pub(crate) after: Shared,
    /// Whether it was deleted.
    pub(crate) deleted: bool,
    /// How many bytes `after` has as JSON.
    bytes: usize,
}

/// The history asked for is no longer there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Forgotten {
    /// Oldest version from which a watch can start.
    pub(crate) oldest: u64,
}

/// A write in progress; nobody else sees or changes anything meanwhile.
pub(crate) struct Transaction<'a> {
    /// Whether the cluster has IPv6 beside IPv4.
    pub(crate) dual_stack: bool,
    inner: &'a mut Inner,
    touched: [bool; KINDS.len()],
}

impl Store {
    /// An empty store.
    pub(crate) fn new(dual_stack: bool) -> Self {
        let tables = KINDS.iter().map(|_| Table::default()).collect();
        let changed = KINDS.iter().map(|_| watch::Sender::new(0)).collect();
        // Version 0 means "any" in the API, so counting starts above it.
        Self { dual_stack, inner: Mutex::new(Inner { version: 1, tables }), changed }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in a writer leaves whole objects behind: every step inserts a finished one.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and writes, atomically.
    pub(crate) fn write<T>(&self, f: impl FnOnce(&mut Transaction<'_>) -> T) -> T {
        let mut inner = self.lock();
        let mut transaction =
            Transaction { dual_stack: self.dual_stack, inner: &mut inner, touched: [false; KINDS.len()] };
        let result = f(&mut transaction);
        let touched = transaction.touched;
        let version = inner.version;
        drop(inner);
        for (sender, _) in self.changed.iter().zip(touched).filter(|(_, touched)| *touched) {
            sender.send_replace(version);
        }
        result
    }

    /// One object.
    pub(crate) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Shared> {
        self.lock().get(kind, namespace, name)
    }

    /// All objects of a kind, by namespace and name, and the store's version.
    pub(crate) fn list(&self, kind: Kind, namespace: Option<&str>) -> (Vec<Shared>, u64) {
        let inner = self.lock();
        (inner.list(kind, namespace), inner.version)
    }

    /// The store's version.
    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    /// Several kinds at one moment, and the version of that moment.
    pub(crate) fn snapshot<const N: usize>(&self, kinds: [Kind; N]) -> ([Vec<Shared>; N], u64) {
        let inner = self.lock();
        (kinds.map(|kind| inner.list(kind, None)), inner.version)
    }

    /// The first changes of a kind after a version, at most so many, oldest first.
    ///
    /// # Errors
    /// When some of them have been forgotten.
    pub(crate) fn changes(&self, kind: Kind, after: u64, most: usize) -> Result<Vec<Change>, Forgotten> {
        let inner = self.lock();
        let table = &inner.tables[kind as usize];
        if after < table.forgotten {
            return Err(Forgotten { oldest: table.forgotten });
        }
        let from = table.history.partition_point(|change| change.version <= after);
        Ok(table.history.range(from..).take(most).cloned().collect())
    }

    /// Tells of changes of a kind: the value is the version of the newest.
    pub(crate) fn subscribe(&self, kind: Kind) -> watch::Receiver<u64> {
        self.changed[kind as usize].subscribe()
    }
}

impl Inner {
    fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Shared> {
        self.tables[kind as usize].objects.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Shared> {
        let objects = &self.tables[kind as usize].objects;
        match namespace {
            None => objects.values().cloned().collect(),
            Some(namespace) => objects
                .range((namespace.to_owned(), String::new())..)
                .take_while(|((ns, _), _)| ns == namespace)
                .map(|(_, object)| object.clone())
                .collect(),
        }
    }

    fn log(&mut self, kind: Kind, before: Option<Shared>, after: Shared, deleted: bool) {
        let table = &mut self.tables[kind as usize];
        let bytes = json_length(&after.value);
        table.history.push_back(Change { version: self.version, before, after, deleted, bytes });
        table.bytes += bytes;
        while table.history.len() > HISTORY || table.bytes > HISTORY_BYTES {
            let Some(oldest) = table.history.pop_front() else { break };
            table.bytes -= oldest.bytes;
            table.forgotten = oldest.version;
        }
    }
}

impl Transaction<'_> {
    /// One object.
    pub(crate) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Shared> {
        self.inner.get(kind, namespace, name)
    }

    /// All objects of a kind.
    pub(crate) fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Shared> {
        self.inner.list(kind, namespace)
    }

    /// The store's version.
    pub(crate) fn version(&self) -> u64 {
        self.inner.version
    }

    /// Creates or replaces an object; sets its `resourceVersion`.
    pub(crate) fn put(&mut self, kind: Kind, mut value: Value) -> Shared {
        self.inner.version += 1;
        let version = self.inner.version;
        map_at(&mut value, "metadata").insert("resourceVersion".into(), json!(version.to_string()));
        let after = Object::new(value);
        let key = (after.namespace().to_owned(), after.name().to_owned());
        let before = self.inner.tables[kind as usize].objects.insert(key, after.clone());
        self.inner.log(kind, before, after.clone(), false);
        self.touched[kind as usize] = true;
        after
    }

    /// Removes an object, if it is there.
    pub(crate) fn remove(&mut self, kind: Kind, namespace: &str, name: &str) -> Option<Shared> {
        let before =
            self.inner.tables[kind as usize].objects.remove(&(namespace.to_owned(), name.to_owned()))?;
        self.inner.version += 1;
        let version = self.inner.version;
        let mut value = before.value.clone();
        map_at(&mut value, "metadata").insert("resourceVersion".into(), json!(version.to_string()));
        let after = Object::new(value);
        self.inner.log(kind, Some(before), after.clone(), true);
        self.touched[kind as usize] = true;
        Some(after)
    }

    /// Changes an object that is there; `None` when it is not, or `f` says that there is nothing to do.
    pub(crate) fn modify(
        &mut self,
        kind: Kind,
        namespace: &str,
        name: &str,
        f: impl FnOnce(&mut Value) -> bool,
    ) -> Option<Shared> {
        let mut value = self.get(kind, namespace, name)?.value.clone();
        f(&mut value).then(|| self.put(kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str) -> Value {
        json!({"metadata": {"namespace": "x", "name": name}})
    }

    #[test]
    fn versions_grow_and_changes_are_told_in_order() {
        let store = Store::new(true);
        let first = store.write(|tx| tx.put(Kind::ConfigMap, config("a")));
        store.write(|tx| tx.put(Kind::ConfigMap, config("a")));
        store.write(|tx| tx.remove(Kind::ConfigMap, "x", "a"));
        let changes = store.changes(Kind::ConfigMap, 0, usize::MAX).unwrap();
        assert_eq!(changes.len(), 3);
        assert!(changes[0].before.is_none() && changes[1].before.is_some() && changes[2].deleted);
        assert_eq!(store.changes(Kind::ConfigMap, first.version(), usize::MAX).unwrap().len(), 2);
        assert_eq!(changes[2].after.version(), changes[2].version);
        assert!(store.get(Kind::ConfigMap, "x", "a").is_none());
    }

    #[test]
    fn forgotten_history_is_an_error_not_a_gap() {
        let store = Store::new(true);
        for _ in 0..=HISTORY {
            store.write(|tx| tx.put(Kind::ConfigMap, config("a")));
        }
        assert!(store.changes(Kind::ConfigMap, 1, usize::MAX).is_err());
        assert_eq!(store.changes(Kind::ConfigMap, 2, usize::MAX).unwrap().len(), HISTORY);
    }

    #[test]
    fn a_namespace_is_listed_without_its_neighbours() {
        let store = Store::new(true);
        for ns in ["x", "x-2", "y"] {
            store.write(|tx| tx.put(Kind::ConfigMap, json!({"metadata": {"namespace": ns, "name": "a"}})));
        }
        assert_eq!(store.list(Kind::ConfigMap, Some("x")).0.len(), 1);
        assert_eq!(store.list(Kind::ConfigMap, None).0.len(), 3);
    }
}
