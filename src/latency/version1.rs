//! Results of version 1: the same, but for the names and places of what the header says.

use serde_json::{Map, Value};
use std::time::{Duration, UNIX_EPOCH};

/// The result with today's names. What is not as version 1 had it stays, and is refused as a field
/// that is not known.
pub fn raised(mut result: Map<String, Value>) -> Map<String, Value> {
    result.insert("schema_version".into(), super::SCHEMA_VERSION.into());
    if let Some(Value::Object(mut machine)) = result.remove("machine") {
        for (old, new) in [
            ("kernel_release", "kernel"),
            ("kernel_version", "kernel_version"),
            ("arch", "arch"),
            ("page_bytes", "page_size"),
        ] {
            if let Some(fact) = machine.remove(old) {
                result.insert(new.into(), fact);
            }
        }
        result.insert("machine".into(), machine.into());
    }
    if let Some(seed) = result.get("seed").and_then(Value::as_u64) {
        result.insert("seed".into(), format!("{seed:#x}").into());
    }
    if let Some(seconds) = result.remove("started_unix_s") {
        let since = seconds.as_u64().map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        let started = since.map(|time| humantime::format_rfc3339_seconds(time).to_string());
        result.insert("started".into(), started.into());
    }
    result
}
