//! Comparisons as JSON.

use serde_json::json;

use super::Comparison;
use crate::json_text::json_text;

/// All of it, with every cell: `{"schema": "verdikt.dev/compare/v1", "comparisons": […]}`, one for each other side.
pub fn compare_json(comparisons: &[Comparison]) -> String {
    let all = json!({"schema": "verdikt.dev/compare/v1", "comparisons": comparisons});
    let mut text = json_text(&all);
    text.push('\n');
    text
}
