//! Scenario files: YAML to model, diagnostics that point at the line, lint, JSON Schema, the built-in catalogue.
