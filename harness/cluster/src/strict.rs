//! Objects that the API server refuses when it does not know one of their fields. It would otherwise drop the field
//! without a word, and what is measured would be a weaker policy than the one that was written.

use kube::{
    Api, Client, Error, Result,
    api::{DynamicObject, PostParams},
    core::{Request, request},
};

/// Creates an object, or replaces the one of a name.
///
/// kube asks for strict validation only where it patches. API servers before 1.25 read over the parameter.
pub(crate) async fn write(
    client: &Client,
    api: &Api<DynamicObject>,
    replaced: Option<&str>,
    object: &DynamicObject,
) -> Result<DynamicObject> {
    let data = serde_json::to_vec(object).map_err(Error::SerdeError)?;
    let (target, params) = (Request::new(api.resource_url()), PostParams::default());
    let request = match replaced {
        None => target.create(&params, data),
        Some(name) => target.replace(name, &params, data),
    };
    let mut request = request.map_err(Error::BuildRequest)?;
    let uri = format!("{}?fieldValidation=Strict", request.uri().path());
    *request.uri_mut() = uri.parse().map_err(|error| {
        Error::BuildRequest(request::Error::Validation(format!("{uri} is no address: {error}")))
    })?;
    client.request(request).await
}
