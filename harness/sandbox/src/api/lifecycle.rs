//! Create, change and delete an object inside a transaction: the rules that hold for every kind.

use serde_json::{Value, json};

use super::{
    decode::{FieldValidation, canonical},
    defaults,
    kinds::{Facts, Kind},
    limits::OBJECT,
    object::{
        Object, Shared, after, is_terminating, items, json_length, map_at, name_suffix, new_uid, now, text,
    },
    patch,
    status::ApiError,
    store::Transaction,
    validate,
};

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 2] = ["default", "kube-system"];

/// Which object, and how the client wants it written.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    /// Kind.
    pub(crate) facts: &'static Facts,
    /// Namespace; empty for a cluster-scoped kind.
    pub(crate) namespace: String,
    /// Name; empty when a create leaves it to the object.
    pub(crate) name: String,
    /// `status`, `finalize`, or empty.
    pub(crate) subresource: String,
    /// Who owns the changed fields from now on.
    pub(crate) manager: String,
    /// Unknown fields.
    pub(crate) validation: FieldValidation,
    /// Do everything but store.
    pub(crate) dry_run: bool,
}

/// What a client says when it deletes.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    /// Seconds until a pod that does not end when it is asked to is killed.
    pub(crate) grace: Option<i64>,
    /// The object must have this uid.
    pub(crate) uid: Option<String>,
    /// The object must have this version.
    pub(crate) version: Option<String>,
}

/// An object after a write, and warnings for the client.
pub(crate) type Written = (Shared, Vec<String>);

/// How a deletion stands.
pub(crate) enum Deleted {
    /// The object is gone.
    Gone(Shared),
    /// Its deletion has begun.
    Begun(Shared),
}

impl Write {
    /// Creates an object.
    ///
    /// # Errors
    /// 400, 403 (terminating namespace), 404 (no such namespace), 409, 422.
    pub(crate) fn create(&self, tx: &mut Transaction<'_>, object: Value) -> Result<Written, ApiError> {
        self.make(tx, object, false)
    }

    /// Creates an object that an apply has made; it carries its `managedFields` already.
    ///
    /// # Errors
    /// As [`Write::create`].
    pub(crate) fn create_applied(
        &self,
        tx: &mut Transaction<'_>,
        object: Value,
    ) -> Result<Written, ApiError> {
        self.make(tx, object, true)
    }

    fn make(&self, tx: &mut Transaction<'_>, object: Value, applied: bool) -> Result<Written, ApiError> {
        let (mut object, warnings) = canonical(self.facts, object, self.validation)?;
        self.place(&mut object)?;
        let generate = text(&object, "/metadata/generateName").to_owned();
        let metadata = map_at(&mut object, "metadata");
        if !metadata.contains_key("name") && !generate.is_empty() {
            metadata.insert("name".into(), json!(generate + &name_suffix()));
        }
        for key in ["deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink"] {
            metadata.remove(key);
        }
        metadata.insert("uid".into(), json!(new_uid()));
        metadata.insert("creationTimestamp".into(), json!(now()));
        if self.facts.id == Kind::NetworkPolicy {
            metadata.insert("generation".into(), json!(1));
        }
        if self.facts.has("status") && self.facts.id != Kind::Node {
            object.as_object_mut().map(|map| map.remove("status"));
        }
        let name = text(&object, "/metadata/name").to_owned();
        self.check_namespace(tx, &name)?;
        if tx.get(self.facts.id, &self.namespace, &name).is_some() {
            return Err(ApiError::already_exists(self.facts, &name));
        }
        defaults::fill(tx, self.facts.id, &mut object, None)?;
        self.check(&object, None)?;
        if !applied {
            map_at(&mut object, "metadata").remove("managedFields");
            patch::track(self.facts, None, &mut object, &self.manager, "");
        }
        Ok((self.store(tx, object), warnings))
    }

    /// Replaces `old` by `new`; both are the same object.
    ///
    /// # Errors
    /// 400, 409, 422.
    pub(crate) fn update(
        &self,
        tx: &mut Transaction<'_>,
        old: &Shared,
        new: Value,
        applied: bool,
    ) -> Result<Written, ApiError> {
        let (mut new, warnings) = canonical(self.facts, new, self.validation)?;
        self.place(&mut new)?;
        self.keep(old, &mut new)?;
        defaults::fill(tx, self.facts.id, &mut new, Some(&old.value))?;
        self.check(&new, Some(&old.value))?;
        if !applied {
            patch::track(self.facts, Some(&old.value), &mut new, &self.manager, &self.subresource);
        }
        if same(&old.value, &new) {
            return Ok((old.clone(), warnings));
        }
        if old.value.pointer("/metadata/generation").is_some() && old.value.get("spec") != new.get("spec") {
            let generation = old.value["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
            new["metadata"]["generation"] = json!(generation);
        }
        let object = self.store(tx, new);
        if self.is_over(&object.value) && !self.dry_run {
            tx.remove(self.facts.id, &self.namespace, object.name());
        }
        Ok((object, warnings))
    }

    /// Deletes an object, or begins to.
    ///
    /// # Errors
    /// 403 for namespaces that cannot be deleted, 409 when a precondition does not hold.
    pub(crate) fn delete(
        &self,
        tx: &mut Transaction<'_>,
        object: &Shared,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        let name = object.name();
        if self.facts.id == Kind::Namespace && IMMORTAL.contains(&name) {
            return Err(ApiError::forbidden(self.facts, name, "this namespace may not be deleted"));
        }
        let version = object.version().to_string();
        for (wanted, found, what) in
            [(&options.uid, object.uid(), "UID"), (&options.version, &version, "ResourceVersion")]
        {
            if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != found) {
                let why = format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
                );
                return Err(ApiError::conflict(self.facts, name, &why));
            }
        }
        let mut changed = object.value.clone();
        let grace = match self.facts.id {
            Kind::Pod => self.grace(&changed, options),
            _ => 0,
        };
        let waits = match self.facts.id {
            Kind::Pod => grace > 0,
            Kind::Namespace => true,
            _ => false,
        } || !items(&changed, "/metadata/finalizers").is_empty();
        if !waits {
            if !self.dry_run {
                tx.remove(self.facts.id, &self.namespace, name);
            }
            return Ok(Deleted::Gone(object.clone()));
        }
        let before = changed.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
        // A second deletion can only shorten the time that a pod is given.
        let sooner = options.grace.is_some() && before.is_some_and(|before| grace < before);
        if object.terminating() && !(self.facts.id == Kind::Pod && sooner) {
            return Ok(Deleted::Begun(object.clone()));
        }
        let metadata = map_at(&mut changed, "metadata");
        metadata.insert("deletionTimestamp".into(), json!(after(grace)));
        metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
        if self.facts.id == Kind::Namespace {
            metadata.remove("deletionGracePeriodSeconds");
            map_at(&mut changed, "status").insert("phase".into(), json!("Terminating"));
        }
        Ok(Deleted::Begun(self.store(tx, changed)))
    }

    /// Seconds that a pod gets; none when it has not been given to a node.
    fn grace(&self, pod: &Value, options: &DeleteOptions) -> i64 {
        if text(pod, "/spec/nodeName").is_empty()
            || matches!(text(pod, "/status/phase"), "Failed" | "Succeeded")
        {
            return 0;
        }
        let own = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
        options.grace.or(own).unwrap_or(30).max(0)
    }

    fn store(&self, tx: &mut Transaction<'_>, object: Value) -> Shared {
        if self.dry_run { Object::new(object) } else { tx.put(self.facts.id, object) }
    }

    fn check(&self, new: &Value, old: Option<&Value>) -> Result<(), ApiError> {
        if json_length(new) > OBJECT {
            let name = text(new, "/metadata/name");
            return Err(ApiError::object_too_large(self.facts, name, OBJECT));
        }
        let causes = validate::check(self.facts, new, old);
        if causes.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(self.facts, text(new, "/metadata/name"), &causes))
    }

    /// Name and namespace of the object must be those of the URL.
    fn place(&self, object: &mut Value) -> Result<(), ApiError> {
        let facts = self.facts;
        let metadata = map_at(object, "metadata");
        let found = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default();
        if !facts.namespaced {
            metadata.remove("namespace");
        } else if found.is_empty() {
            metadata.insert("namespace".into(), json!(self.namespace));
        } else if found != self.namespace {
            return Err(ApiError::bad_request(format!(
                "the namespace of the provided object does not match the namespace sent on the request: {found} and {}",
                self.namespace
            )));
        }
        let found = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
        if !self.name.is_empty() && found.is_empty() {
            metadata.insert("name".into(), json!(self.name));
        } else if !self.name.is_empty() && found != self.name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({found}) does not match the name on the URL ({})",
                self.name
            )));
        }
        Ok(())
    }

    fn check_namespace(&self, tx: &Transaction<'_>, name: &str) -> Result<(), ApiError> {
        if !self.facts.namespaced {
            return Ok(());
        }
        match tx.get(Kind::Namespace, "", &self.namespace) {
            None => Err(ApiError::not_found(Kind::Namespace.facts(), &self.namespace)),
            Some(namespace) if namespace.terminating() => {
                Err(ApiError::terminating(self.facts, name, &self.namespace))
            }
            Some(_) => Ok(()),
        }
    }

    /// Takes over from the old object what a client cannot change through this (sub)resource.
    fn keep(&self, old: &Shared, new: &mut Value) -> Result<(), ApiError> {
        let facts = self.facts;
        let given = text(new, "/metadata/resourceVersion");
        if !given.is_empty() && given != text(&old.value, "/metadata/resourceVersion") {
            return Err(ApiError::stale(facts, old.name()));
        }
        let uid = text(new, "/metadata/uid");
        if !uid.is_empty() && uid != old.uid() {
            let why =
                format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", old.uid());
            return Err(ApiError::conflict(facts, old.name(), &why));
        }
        let before = &old.value;
        match &*self.subresource {
            "" if facts.has("status") => carry(before, new, "status"),
            "status" => {
                let status = new.get("status").cloned();
                let managed = new.pointer("/metadata/managedFields").cloned();
                *new = before.clone();
                if let Some(status) = status {
                    new["status"] = status;
                }
                if let Some(managed) = managed {
                    new["metadata"]["managedFields"] = managed;
                }
            }
            "finalize" => {
                let finalizers = new.pointer("/spec/finalizers").cloned();
                *new = before.clone();
                match finalizers {
                    Some(list) => new["spec"]["finalizers"] = list,
                    None => {
                        map_at(new, "spec").remove("finalizers");
                    }
                }
            }
            _ => {}
        }
        if facts.id == Kind::Namespace && self.subresource.is_empty() {
            carry(before, new, "spec");
        }
        if facts.id == Kind::Pod
            && text(new, "/spec/nodeName").is_empty()
            && !text(before, "/spec/nodeName").is_empty()
        {
            // A client that applies a manifest again does not know where its pod runs.
            new["spec"]["nodeName"] = before["spec"]["nodeName"].clone();
        }
        let (Some(before), Some(metadata)) = (before.get("metadata"), new.get_mut("metadata")) else {
            return Ok(());
        };
        for key in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "generateName",
            "resourceVersion",
        ] {
            carry(before, metadata, key);
        }
        if metadata.get("managedFields").is_none() {
            carry(before, metadata, "managedFields");
        }
        Ok(())
    }

    /// Whether a terminating object waits for nothing any more. Pods are removed by their node's controller.
    fn is_over(&self, object: &Value) -> bool {
        is_terminating(object)
            && items(object, "/metadata/finalizers").is_empty()
            && match self.facts.id {
                Kind::Pod => false,
                Kind::Namespace => items(object, "/spec/finalizers").is_empty(),
                _ => true,
            }
    }
}

fn carry(from: &Value, to: &mut Value, key: &str) {
    let Some(to) = to.as_object_mut() else { return };
    match from.get(key) {
        Some(value) => to.insert(key.to_owned(), value.clone()),
        None => to.remove(key),
    };
}

/// Whether two states differ in nothing but the times in `managedFields`.
fn same(old: &Value, new: &Value) -> bool {
    let timeless = |value: &Value| {
        let mut value = value.clone();
        for entry in
            value.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut).into_iter().flatten()
        {
            entry.as_object_mut().map(|entry| entry.remove("time"));
        }
        value
    };
    timeless(old) == timeless(new)
}
