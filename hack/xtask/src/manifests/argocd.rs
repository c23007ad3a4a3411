//! The health checks for Argo CD, run by the interpreter that it has.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{ROOT, read, tool};
use crate::Failure;

/// What is wrong with what the checks say of objects as Castoff writes them.
pub fn complaints() -> Result<Vec<String>, Failure> {
    let map = read(&Path::new(ROOT).join("argocd/argocd-cm.yaml"))?;
    let map: Value = serde_saphyr::from_str(&map).map_err(|error| error.to_string())?;
    let lua = tool("lua")?;
    let cases = cases();
    let mut wrong = Vec::new();
    for (kind, object, wanted) in &cases {
        let check = map["data"][format!("resource.customizations.health.castoff.dev_{kind}")].as_str();
        let said = said(&lua, check.unwrap_or_default(), object)?;
        if said != *wanted {
            wrong.push(format!("{kind} {object}: '{said}', not '{wanted}'"));
        }
    }
    println!("argocd: {} objects", cases.len());
    Ok(wrong)
}

/// What a check says of an object: its status and message.
fn said(lua: &str, check: &str, object: &Value) -> Result<String, Failure> {
    let script = format!(
        "obj = {}\nlocal health = (function()\n{check}\nend)()\nprint(health.status .. ': ' .. health.message)\n",
        literal(object)
    );
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("check.lua");
    std::fs::write(&path, script).map_err(|error| error.to_string())?;
    let run = Command::new(lua).arg(&path).output().map_err(|error| format!("{lua}: {error}"))?;
    Ok(String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).trim().to_owned())
}

/// A value as Lua writes it.
fn literal(value: &Value) -> String {
    let list = |items: Vec<String>| format!("{{{}}}", items.join(", "));
    match value {
        Value::Null => "nil".to_owned(),
        Value::Array(items) => list(items.iter().map(literal).collect()),
        Value::Object(fields) => {
            list(fields.iter().map(|(key, value)| format!("[{key:?}] = {}", literal(value))).collect())
        }
        other => other.to_string(),
    }
}

/// Objects by their kind, and what is to be said of them.
fn cases() -> Vec<(&'static str, Value, &'static str)> {
    let condition =
        |kind: &str, status: &str, message: &str| json!({"type": kind, "status": status, "message": message});
    let policy = |observed: u64, conditions: &[Value]| json!({"metadata": {"generation": 2}, "status": {"observedGeneration": observed, "conditions": conditions}});
    let drain = |phase: &str, conditions: &[Value]| json!({"status": {"phase": phase, "conditions": conditions}});
    let fine = [
        condition("Ready", "True", "guards 3 pods"),
        condition("NoPods", "False", "pods are selected"),
        condition("Stalled", "False", "guards 3 pods"),
    ];
    let early = [condition("Ready", "True", "nothing is guarded"), condition("NoPods", "True", "nothing is guarded")];
    let wrong = [condition("Ready", "False", "mend it"), condition("Stalled", "True", "mend it")];
    let silent = [condition("Ready", "False", "not called"), condition("Stalled", "False", "not called")];
    vec![
        ("DrainPolicy", json!({"metadata": {"generation": 1}}), "Progressing: Castoff has not looked at it yet"),
        ("DrainPolicy", policy(1, &fine), "Progressing: Castoff has not looked at it yet"),
        ("DrainPolicy", policy(2, &fine), "Healthy: guards 3 pods"),
        ("DrainPolicy", policy(2, &early), "Healthy: nothing is guarded"),
        ("DrainPolicy", policy(2, &wrong), "Degraded: mend it"),
        ("DrainPolicy", policy(2, &silent), "Progressing: not called"),
        ("PodDrain", json!({}), "Progressing: it was just asked for"),
        ("PodDrain", drain("Draining", &[condition("Stalled", "False", "")]), "Progressing: Draining"),
        (
            "PodDrain",
            drain("Draining", &[condition("Stalled", "True", "40 leaders left")]),
            "Degraded: 40 leaders left",
        ),
        ("PodDrain", drain("Draining", &[condition("Blocked", "True", "not now")]), "Suspended: not now"),
        ("PodDrain", drain("Completed", &[condition("Stalled", "True", "was")]), "Healthy: Completed"),
    ]
}
