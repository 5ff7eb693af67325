//! How much Lambda takes in a function's variables.

use serde_json::{Map, Value};

/// Bytes of all variables of a function (Lambda developer guide, "Lambda quotas": 4 KB).
pub const VARIABLES_LIMIT: usize = 4096;

/// Bytes of these variables as Lambda counts them: of one JSON object, so that a quote counts twice
/// (github-aws-runners/terraform-aws-github-runner#3594).
pub fn lambda_size<'a>(variables: impl IntoIterator<Item = &'a (&'a str, String)>) -> usize {
    let object: Map<String, Value> = variables
        .into_iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
        .collect();
    Value::Object(object).to_string().len()
}
