//! Get, list, watch, create, update, patch, delete: from HTTP to the store and back.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Method, Response, request::Parts},
};
use serde_json::{Value, json};

use super::{
    cluster::Cluster,
    decode::{self, FieldValidation},
    exec,
    kinds::{Facts, Kind},
    lifecycle::{DeleteOptions, Deleted, Write, Written},
    logs,
    object::{Shared, text},
    patch,
    query::{Filter, Params, Target},
    render::{Form, Include, with_warnings},
    reviews,
    status::{ApiError, json_response},
    store::Transaction,
    watching,
};

type Answer = Result<Response<Body>, ApiError>;

/// A request on a resource.
struct Call<'a> {
    cluster: &'a Arc<Cluster>,
    facts: &'static Facts,
    target: &'a Target,
    params: &'a Params,
    headers: &'a HeaderMap,
}

/// Answers a request on a resource.
///
/// # Errors
/// As the API has them.
pub(crate) async fn respond(
    cluster: &Arc<Cluster>,
    target: &Target,
    parts: &mut Parts,
    body: Bytes,
) -> Answer {
    let params = Params::parse(&parts.uri)?;
    let Some(facts) = Facts::of(&target.group, &target.resource) else {
        return review(target, &parts.method, &parts.headers, &body);
    };
    if !facts.namespaced && target.namespace.is_some() {
        return Err(ApiError::no_such_path());
    }
    let namespace = target.namespace.clone().unwrap_or_default();
    if let (Some(name), Some(sub)) = (&target.name, &target.subresource) {
        match (&**sub, &parts.method) {
            ("exec", &Method::GET | &Method::POST) if facts.has(sub) => {
                let pod = exec::pod(cluster, &namespace, name)?;
                return exec::respond(cluster, &pod, &params, parts).await;
            }
            ("log", &Method::GET) if facts.has(sub) => {
                let pod = exec::pod(cluster, &namespace, name)?;
                return logs::respond(cluster, &pod, &params).await;
            }
            ("status" | "finalize", _) if facts.has(sub) => {}
            _ if facts.has(sub) => return Err(ApiError::method_not_allowed()),
            _ => return Err(ApiError::no_such_path()),
        }
    }
    let call = Call { cluster, facts, target, params: &params, headers: &parts.headers };
    match (&parts.method, &target.name) {
        (&Method::GET, Some(name)) if !params.flag("watch") => call.get(name),
        (&Method::GET, _) => call.list(),
        (&Method::POST, None) => call.create(&body),
        (&Method::PUT, Some(name)) => call.update(name, &body),
        (&Method::PATCH, Some(name)) => call.patch(name, &body),
        (&Method::DELETE, Some(name)) if target.subresource.is_none() => call.delete(name, &body),
        (&Method::DELETE, None) => call.delete_all(&body),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn review(target: &Target, method: &Method, headers: &HeaderMap, body: &Bytes) -> Answer {
    if *method != Method::POST {
        return Err(ApiError::no_such_path());
    }
    let body = if body.is_empty() { json!({}) } else { decode::read(headers, body)? };
    Ok(json_response(201, &reviews::respond(&target.group, &target.resource, &body)?))
}

impl Call<'_> {
    fn namespace(&self) -> &str {
        self.target.namespace.as_deref().unwrap_or_default()
    }

    fn form(&self) -> Result<(Form, Include), ApiError> {
        Ok((Form::accepted(self.headers)?, Include::parse(self.params.get("includeObject"))))
    }

    fn find(&self, tx: &Transaction<'_>, name: &str) -> Result<Shared, ApiError> {
        tx.get(self.facts.id, self.namespace(), name).ok_or_else(|| ApiError::not_found(self.facts, name))
    }

    fn get(&self, name: &str) -> Answer {
        let (form, include) = self.form()?;
        let object = self
            .cluster
            .store
            .get(self.facts.id, self.namespace(), name)
            .ok_or_else(|| ApiError::not_found(self.facts, name))?;
        Ok(with_warnings(200, form.object(self.facts, &object, include), &[]))
    }

    fn list(&self) -> Answer {
        let (form, include) = self.form()?;
        let filter = Filter::new(self.facts, self.target, self.params)?;
        if self.params.flag("watch") {
            return watching::respond(self.cluster, self.facts, filter, self.params, form);
        }
        let (mut objects, version) = self.cluster.store.list(self.facts.id, filter.namespace.as_deref());
        objects.retain(|object| filter.matches(object));
        Ok(with_warnings(200, form.list(self.facts, &objects, version, include), &[]))
    }

    fn write(&self, name: &str) -> Result<Write, ApiError> {
        let dry_run = match self.params.get("dryRun") {
            None | Some("") => false,
            Some("All") => true,
            Some(other) => {
                return Err(ApiError::unprocessable(format!(
                    "dryRun: Unsupported value: {other:?}: supported values: \"All\""
                )));
            }
        };
        let agent = self.headers.get("user-agent").and_then(|v| v.to_str().ok()).unwrap_or("unknown");
        let manager = self
            .params
            .get("fieldManager")
            .filter(|m| !m.is_empty())
            .unwrap_or_else(|| agent.split('/').next().unwrap_or_default());
        Ok(Write {
            facts: self.facts,
            namespace: self.namespace().to_owned(),
            name: name.to_owned(),
            subresource: self.target.subresource.clone().unwrap_or_default(),
            manager: manager.to_owned(),
            validation: FieldValidation::parse(self.params.get("fieldValidation"))?,
            dry_run,
        })
    }

    fn written(&self, code: u16, (object, warnings): &Written) -> Answer {
        let (form, include) = self.form()?;
        Ok(with_warnings(code, form.object(self.facts, object, include), warnings))
    }

    fn created(&self, write: &Write, object: &Shared) {
        if self.facts.id == Kind::Namespace && !write.dry_run {
            self.cluster.service_account(object.name());
        }
    }

    fn create(&self, body: &Bytes) -> Answer {
        self.form()?;
        let object = decode::read(self.headers, body)?;
        if self.facts.namespaced && self.target.namespace.is_none() {
            return Err(ApiError::method_not_allowed());
        }
        let write = self.write("")?;
        let written = self.cluster.store.write(|tx| write.create(tx, object))?;
        self.created(&write, &written.0);
        self.written(201, &written)
    }

    fn update(&self, name: &str, body: &Bytes) -> Answer {
        self.form()?;
        let object = decode::read(self.headers, body)?;
        let write = self.write(name)?;
        let written = self.cluster.store.write(|tx| {
            let old = self.find(tx, name)?;
            write.update(tx, &old, object, false)
        })?;
        self.written(200, &written)
    }

    fn patch(&self, name: &str, body: &Bytes) -> Answer {
        self.form()?;
        let content = self.headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let media = content.split(';').next().unwrap_or_default().trim();
        let write = self.write(name)?;
        if media == "application/apply-patch+yaml" {
            return self.apply(&write, name, &decode::yaml(body)?);
        }
        let change: fn(&mut Value, &Value) -> Result<(), ApiError> = match media {
            "application/merge-patch+json" => |object, patch| {
                patch::merge_patch(object, patch);
                Ok(())
            },
            "application/strategic-merge-patch+json" => patch::strategic_merge,
            "application/json-patch+json" => patch::json_patch,
            _ => {
                return Err(ApiError::unsupported_media_type(
                    "application/json-patch+json, application/merge-patch+json, \
                     application/strategic-merge-patch+json, application/apply-patch+yaml",
                ));
            }
        };
        let body = decode::json(body)?;
        let written = self.cluster.store.write(|tx| {
            let old = self.find(tx, name)?;
            let mut new = old.value.clone();
            change(&mut new, &body)?;
            write.update(tx, &old, new, false)
        })?;
        self.written(200, &written)
    }

    /// Server-side apply.
    fn apply(&self, write: &Write, name: &str, config: &Value) -> Answer {
        if self.params.get("fieldManager").is_none_or(str::is_empty) {
            return Err(ApiError::unprocessable(
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
            ));
        }
        if config
            .pointer("/metadata/managedFields")
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty())
        {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        // Checks types and unknown fields of what the client wrote, and drops nulls.
        let (config, warnings) = decode::canonical(self.facts, config.clone(), write.validation)?;
        let force = self.params.flag("force");
        let (code, written) = self.cluster.store.write(|tx| {
            let old = tx.get(self.facts.id, self.namespace(), name);
            let merged = patch::apply(
                self.facts,
                old.as_ref().map(|old| &old.value),
                &config,
                &write.manager,
                force,
                &write.subresource,
            )?;
            match &old {
                Some(old) => Ok((200, write.update(tx, old, merged, true)?)),
                None if write.subresource.is_empty() => Ok((201, write.create_applied(tx, merged)?)),
                None => Err(ApiError::not_found(self.facts, name)),
            }
        })?;
        if code == 201 {
            self.created(write, &written.0);
        }
        self.written(code, &(written.0, warnings))
    }

    fn delete_options(&self, body: &Bytes) -> Result<(DeleteOptions, bool), ApiError> {
        let options = if body.is_empty() { json!({}) } else { decode::read(self.headers, body)? };
        let optional =
            |pointer: &str| Some(text(&options, pointer)).filter(|t| !t.is_empty()).map(str::to_owned);
        let grace = options.get("gracePeriodSeconds").and_then(Value::as_i64);
        let grace = match self.params.number("gracePeriodSeconds")? {
            Some(grace) => i64::try_from(grace).ok(),
            None => grace,
        };
        let dry_run = options["dryRun"].as_array().is_some_and(|list| list.iter().any(|word| word == "All"));
        let options = DeleteOptions {
            grace,
            uid: optional("/preconditions/uid"),
            version: optional("/preconditions/resourceVersion"),
        };
        Ok((options, dry_run))
    }

    fn delete(&self, name: &str, body: &Bytes) -> Answer {
        let (form, include) = self.form()?;
        let (options, dry_run) = self.delete_options(body)?;
        let mut write = self.write(name)?;
        write.dry_run |= dry_run;
        let deleted = self.cluster.store.write(|tx| {
            let object = self.find(tx, name)?;
            write.delete(tx, &object, &options)
        })?;
        let object = match deleted {
            Deleted::Gone(object)
                if !matches!(self.facts.id, Kind::Pod | Kind::Service | Kind::ServiceAccount) =>
            {
                let mut details = json!({"name": name, "kind": self.facts.plural, "uid": object.uid()});
                if !self.facts.group.is_empty() {
                    details["group"] = json!(self.facts.group);
                }
                let status = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
                });
                return Ok(json_response(200, &status));
            }
            Deleted::Gone(object) | Deleted::Begun(object) => object,
        };
        Ok(with_warnings(200, form.object(self.facts, &object, include), &[]))
    }

    fn delete_all(&self, body: &Bytes) -> Answer {
        let (form, include) = self.form()?;
        if self.facts.namespaced && self.target.namespace.is_none() {
            return Err(ApiError::method_not_allowed());
        }
        let filter = Filter::new(self.facts, self.target, self.params)?;
        let (options, dry_run) = self.delete_options(body)?;
        let mut write = self.write("")?;
        write.dry_run |= dry_run;
        let (deleted, version) = self.cluster.store.write(|tx| -> Result<_, ApiError> {
            let mut deleted = vec![];
            for object in tx.list(self.facts.id, self.target.namespace.as_deref()) {
                if filter.matches(&object) {
                    deleted.push(match write.delete(tx, &object, &options)? {
                        Deleted::Gone(object) | Deleted::Begun(object) => object,
                    });
                }
            }
            Ok((deleted, tx.version()))
        })?;
        Ok(with_warnings(200, form.list(self.facts, &deleted, version, include), &[]))
    }
}
