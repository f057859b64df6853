//! An object as the store keeps it, and small helpers on JSON objects.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use axum::body::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// An object; immutable, shared by store, watchers and controllers.
#[derive(Debug)]
pub(crate) struct Object {
    /// The object itself.
    pub(crate) value: Value,
    json: OnceLock<Bytes>,
}

/// What everybody holds.
pub(crate) type Shared = Arc<Object>;

impl Object {
    /// Wraps an object.
    pub(crate) fn new(value: Value) -> Shared {
        Arc::new(Self { value, json: OnceLock::new() })
    }

    /// Its JSON, made once.
    pub(crate) fn json(&self) -> &Bytes {
        self.json.get_or_init(|| self.value.to_string().into())
    }

    /// `metadata.resourceVersion` as a number.
    pub(crate) fn version(&self) -> u64 {
        text(&self.value, "/metadata/resourceVersion").parse().unwrap_or_default()
    }

    /// `metadata.namespace`, or empty.
    pub(crate) fn namespace(&self) -> &str {
        text(&self.value, "/metadata/namespace")
    }

    /// `metadata.name`
    pub(crate) fn name(&self) -> &str {
        text(&self.value, "/metadata/name")
    }

    /// `metadata.uid`
    pub(crate) fn uid(&self) -> &str {
        text(&self.value, "/metadata/uid")
    }

    /// Whether its deletion has begun.
    pub(crate) fn terminating(&self) -> bool {
        is_terminating(&self.value)
    }
}

/// A string inside an object, or empty.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// How many bytes a value has as JSON.
pub(crate) fn json_length(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Neither counting nor a JSON value can fail to be written.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// An array inside an object, or empty.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether `metadata.deletionTimestamp` is set.
pub(crate) fn is_terminating(value: &Value) -> bool {
    value.pointer("/metadata/deletionTimestamp").is_some_and(|v| !v.is_null())
}

/// A map of strings inside an object, or empty.
pub(crate) fn strings(value: &Value, pointer: &str) -> BTreeMap<String, String> {
    value
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
        .collect()
}

/// The member of an object, made an empty object when it is anything else.
pub(crate) fn map_at<'a>(value: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    as_map(as_map(value).entry(key.to_owned()).or_insert(Value::Null))
}

/// The value as an object, made an empty one when it is anything else.
pub(crate) fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was made an object above")
}

/// Now, as the API writes times: whole seconds, UTC.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A number of seconds from now, as the API writes times.
pub(crate) fn after(seconds: i64) -> String {
    let then = Timestamp::now().checked_add(jiff::SignedDuration::from_secs(seconds));
    then.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Now with microseconds, for events.
pub(crate) fn now_micros() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Random bytes from the kernel.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let rest = &mut bytes[filled..];
        // It needs no descriptor, and can only be interrupted.
        // SAFETY: the pointer and the length are those of a slice that is ours.
        let got = unsafe { nix::libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        filled += usize::try_from(got).unwrap_or(0);
    }
    bytes
}

/// A random identifier in the form of a version 4 UUID.
pub(crate) fn new_uid() -> String {
    let mut b = random::<16>();
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let n = u128::from_be_bytes(b);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        n >> 96,
        n >> 80 & 0xffff,
        n >> 64 & 0xffff,
        n >> 48 & 0xffff,
        n & 0xffff_ffff_ffff
    )
}

/// Five random letters and digits, for `generateName`; no vowels, so that no words come about.
pub(crate) fn name_suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    random::<5>().iter().map(|b| char::from(LETTERS[usize::from(*b) % LETTERS.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_have_the_form_of_a_uuid() {
        let uid = new_uid();
        assert_eq!(uid.len(), 36);
        assert_eq!(&uid[14..15], "4");
        assert_ne!(uid, new_uid());
    }
}
