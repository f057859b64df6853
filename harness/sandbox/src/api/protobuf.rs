//! Kubernetes' protobuf encoding, for the few kinds that kubectl sends in it (`create namespace`, `auth can-i`, …).
//!
//! A table names each message's fields; a field with content that the table does not name is refused rather than lost.
//! Answers are always JSON, which those clients accept too.

use serde_json::{Map, Value, json};

/// What every encoded object begins with.
const MAGIC: &[u8] = b"k8s\0";

/// A field of a message.
struct Field(u64, &'static str, Type);

/// How a field's bytes are read.
enum Type {
    Text,
    Integer,
    Flag,
    Texts,
    /// Map of strings.
    Pairs,
    Message(&'static [Field]),
    Messages(&'static [Field]),
    IntOrString,
    /// Set by the server alone.
    Ignored,
}

use Type::{Flag, Ignored, IntOrString, Integer, Message, Messages, Pairs, Text, Texts};

const TYPE_META: &[Field] = &[Field(1, "apiVersion", Text), Field(2, "kind", Text)];

const METADATA: &[Field] = &[
    Field(1, "name", Text),
    Field(2, "generateName", Text),
    Field(3, "namespace", Text),
    Field(5, "uid", Text),
    Field(6, "resourceVersion", Text),
    Field(7, "generation", Ignored),
    Field(8, "creationTimestamp", Ignored),
    Field(11, "labels", Pairs),
    Field(12, "annotations", Pairs),
    Field(14, "finalizers", Texts),
];

const PORT: &[Field] = &[
    Field(1, "name", Text),
    Field(2, "protocol", Text),
    Field(3, "port", Integer),
    Field(4, "targetPort", IntOrString),
    Field(5, "nodePort", Integer),
    Field(6, "appProtocol", Text),
];

const SERVICE: &[Field] = &[
    Field(1, "ports", Messages(PORT)),
    Field(2, "selector", Pairs),
    Field(3, "clusterIP", Text),
    Field(4, "type", Text),
    Field(7, "sessionAffinity", Text),
    Field(8, "loadBalancerIP", Text),
    Field(10, "externalName", Text),
    Field(11, "externalTrafficPolicy", Text),
    Field(12, "healthCheckNodePort", Integer),
    Field(13, "publishNotReadyAddresses", Flag),
    Field(17, "ipFamilyPolicy", Text),
    Field(18, "clusterIPs", Texts),
    Field(19, "ipFamilies", Texts),
    Field(22, "internalTrafficPolicy", Text),
];

const RESOURCE_ATTRIBUTES: &[Field] = &[
    Field(1, "namespace", Text),
    Field(2, "verb", Text),
    Field(3, "group", Text),
    Field(4, "version", Text),
    Field(5, "resource", Text),
    Field(6, "subresource", Text),
    Field(7, "name", Text),
];

/// The kinds, with the fields beside `metadata`.
const KINDS: &[(&str, &[Field])] = &[
    (
        "Namespace",
        &[
            Field(1, "metadata", Message(METADATA)),
            Field(2, "spec", Message(&[Field(1, "finalizers", Texts)])),
            Field(3, "status", Ignored),
        ],
    ),
    (
        "ConfigMap",
        &[Field(1, "metadata", Message(METADATA)), Field(2, "data", Pairs), Field(4, "immutable", Flag)],
    ),
    (
        "ServiceAccount",
        &[Field(1, "metadata", Message(METADATA)), Field(4, "automountServiceAccountToken", Flag)],
    ),
    (
        "Service",
        &[
            Field(1, "metadata", Message(METADATA)),
            Field(2, "spec", Message(SERVICE)),
            Field(3, "status", Ignored),
        ],
    ),
    (
        "SelfSubjectAccessReview",
        &[
            Field(1, "metadata", Message(METADATA)),
            Field(
                2,
                "spec",
                Message(&[
                    Field(1, "resourceAttributes", Message(RESOURCE_ATTRIBUTES)),
                    Field(
                        2,
                        "nonResourceAttributes",
                        Message(&[Field(1, "path", Text), Field(2, "verb", Text)]),
                    ),
                ]),
            ),
            Field(3, "status", Ignored),
        ],
    ),
    (
        "SelfSubjectRulesReview",
        &[
            Field(1, "metadata", Message(METADATA)),
            Field(2, "spec", Message(&[Field(1, "namespace", Text)])),
            Field(3, "status", Ignored),
        ],
    ),
    ("SelfSubjectReview", &[Field(1, "metadata", Message(METADATA)), Field(2, "status", Ignored)]),
    (
        "DeleteOptions",
        &[
            Field(1, "gracePeriodSeconds", Integer),
            Field(2, "preconditions", Message(&[Field(1, "uid", Text), Field(2, "resourceVersion", Text)])),
            Field(4, "propagationPolicy", Text),
            Field(5, "dryRun", Texts),
        ],
    ),
];

/// Reads an object; `None` when it is malformed, or has a kind or a field that is not in the tables.
pub(super) fn read(body: &[u8]) -> Option<Value> {
    // The envelope: field 1 the type, field 2 the object.
    let (mut meta, mut raw) = (Value::Null, &[][..]);
    for part in Parts(body.strip_prefix(MAGIC)?) {
        match part? {
            (1, Content::Bytes(bytes)) => meta = message(bytes, TYPE_META)?,
            (2, Content::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let kind = meta.get("kind")?.as_str()?;
    let (_, fields) = KINDS.iter().find(|(name, _)| *name == kind)?;
    let mut object = message(raw, fields)?;
    object.as_object_mut()?.extend(meta.as_object()?.clone());
    Some(object)
}

/// What a field of a message holds on the wire.
enum Content<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, one after another; `None` inside when the bytes are malformed.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = Option<(u64, Content<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let part = self.part();
        if part.is_none() {
            self.0 = &[];
        }
        Some(part)
    }
}

impl<'a> Parts<'a> {
    fn part(&mut self) -> Option<(u64, Content<'a>)> {
        let key = self.number()?;
        let content = match key & 7 {
            0 => Content::Number(self.number()?),
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Content::Bytes(bytes)
            }
            // Fixed-width numbers occur in none of these messages.
            _ => return None,
        };
        Some((key >> 3, content))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

fn message(bytes: &[u8], fields: &[Field]) -> Option<Value> {
    let mut object = Map::new();
    for part in Parts(bytes) {
        let (number, content) = part?;
        let Some(Field(_, name, kind)) = fields.iter().find(|field| field.0 == number) else {
            // Empty structures and zeros are sent for what was not set.
            match content {
                Content::Bytes([]) | Content::Number(0) => continue,
                _ => return None,
            }
        };
        let name = (*name).to_owned();
        match (kind, content) {
            (Ignored, _) => {}
            (Text, Content::Bytes(bytes)) => {
                let text = std::str::from_utf8(bytes).ok()?;
                if !text.is_empty() {
                    object.insert(name, json!(text));
                }
            }
            (Integer, Content::Number(number)) => {
                // A delete's grace of zero differs from none; a zero port is none.
                if number != 0 || name == "gracePeriodSeconds" {
                    object.insert(name, json!(i64::from_ne_bytes(number.to_ne_bytes())));
                }
            }
            (Flag, Content::Number(flag)) => {
                object.insert(name, json!(flag != 0));
            }
            (Texts, Content::Bytes(bytes)) => {
                push(&mut object, name, json!(std::str::from_utf8(bytes).ok()?));
            }
            (Pairs, Content::Bytes(bytes)) => {
                let pair = message(bytes, &[Field(1, "key", Text), Field(2, "value", Text)])?;
                let part = |key: &str| pair.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                let map = object.entry(name).or_insert_with(|| json!({}));
                map.as_object_mut()?.insert(part("key"), json!(part("value")));
            }
            (Message(fields), Content::Bytes(bytes)) => {
                object.insert(name, message(bytes, fields)?);
            }
            (Messages(fields), Content::Bytes(bytes)) => push(&mut object, name, message(bytes, fields)?),
            (IntOrString, Content::Bytes(bytes)) => {
                let value = message(
                    bytes,
                    &[Field(1, "type", Integer), Field(2, "int", Integer), Field(3, "text", Text)],
                )?;
                let chosen = if value.get("type").is_some() { value.get("text") } else { value.get("int") };
                if let Some(chosen) = chosen {
                    object.insert(name, chosen.clone());
                }
            }
            _ => return None,
        }
    }
    Some(Value::Object(object))
}

fn push(object: &mut Map<String, Value>, name: String, value: Value) {
    if let Some(list) = object.entry(name).or_insert_with(|| json!([])).as_array_mut() {
        list.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `kubectl auth can-i create pods` sends it.
    const REVIEW: &[u8] = b"k8s\0\x0a\x32\x0a\x17authorization.k8s.io/v1\x12\x17SelfSubjectAccessReview\
        \x12\x3f\x0a\x10\x0a\x00\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00\x12\x21\x0a\x1f\
        \x0a\x07default\x12\x06create\x1a\x00\x22\x00\x2a\x04pods\x32\x00\x3a\x00\x1a\x08\x08\x00\x12\x00\x1a\x00\x20\x00\
        \x1a\x00\x22\x00";

    #[test]
    fn a_review_as_kubectl_sends_it() {
        let review = read(REVIEW).unwrap();
        assert_eq!(review["kind"], "SelfSubjectAccessReview");
        assert_eq!(
            review["spec"],
            json!({"resourceAttributes": {"namespace": "default", "verb": "create", "resource": "pods"}})
        );
    }

    #[test]
    fn a_service_with_its_ports_and_maps() {
        let port = b"\x0a\x0a\x0a\x00\x12\x03TCP\x18\x50\x22\x09\x08\x01\x10\x00\x1a\x03web\x28\x00";
        let spec = [&b"\x0a\x16"[..], &port[2..], b"\x12\x08\x0a\x01a\x12\x03b-c"].concat();
        let object = message(&spec, SERVICE).unwrap();
        assert_eq!(
            object,
            json!({"ports": [{"protocol": "TCP", "port": 80, "targetPort": "web"}], "selector": {"a": "b-c"}})
        );
    }

    #[test]
    fn nothing_is_lost_silently() {
        assert!(read(b"{}").is_none());
        assert!(read(&REVIEW[..REVIEW.len() - 3]).is_none());
        // Field 9 of the metadata has content, and is not in the table.
        assert!(message(b"\x4a\x01x", METADATA).is_none());
        assert!(read(b"k8s\0\x0a\x08\x0a\x02v1\x12\x02Xy").is_none());
    }
}
