//! Every line of code, comments too, fits a terminal.

use super::*;

const COLUMNS: usize = 100;

#[test]
fn no_line_of_code_is_longer_than_100_columns() {
    let files = project_files();
    let code: Vec<_> =
        files.iter().filter(|(path, _)| path.ends_with(".rs") || path.ends_with(".py")).collect();
    assert!(code.len() > 200, "{}", code.len());
    let mut long = Vec::new();
    for (path, text) in code {
        for (number, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS {
                long.push(format!("{path}:{}: {columns} columns", number + 1));
            }
        }
    }
    assert!(long.is_empty(), "wrap at {COLUMNS} columns:\n{}", long.join("\n"));
}
