//! Comparisons as JSON.

use serde_json::json;

use super::Comparison;

/// All of it, with every cell: `{"schema": "verdikt.dev/compare/v1", "comparisons": […]}`, one for each other side.
pub fn compare_json(comparisons: &[Comparison]) -> String {
    let all = json!({"schema": "verdikt.dev/compare/v1", "comparisons": comparisons});
    let mut text = serde_json::to_string_pretty(&all).expect("strings and numbers always serialise");
    text.push('\n');
    text
}
