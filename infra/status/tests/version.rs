//! The program's version is the project's.

use std::process::Command;

#[test]
fn the_program_tells_the_version_that_the_function_tells() {
    let output = Command::new(env!("CARGO_BIN_EXE_status"))
        .arg("--version")
        .output()
        .expect("the program runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("status {}\n", base::VERSION));
}
