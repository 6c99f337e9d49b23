//! The recipes of `examples/cluster`: Kubernetes reads what the chart becomes, and the command
//! takes the arguments that they give it.

use std::path::Path;
use std::process::Command;

use hearken_tests::command::{self, fine, hearken};
use serde_json::Value;

#[test]
fn kubernetes_reads_the_chart_and_the_command_its_arguments() {
    let mut folder = command::binary();
    folder.pop();
    let programs = folder.with_file_name("nats").join("bin");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut script = Command::new(programs.join("python"));
    script.arg(here.join("tests/cluster/recipes.py")).arg(programs.join("helm"));
    let printed = fine(&mut script);
    let containers: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(containers.len(), 6, "a gateway and a worker in each of three: {printed}");
    for container in &containers {
        let arguments = container["arguments"].as_array().expect("a list");
        let arguments: Vec<&str> = arguments.iter().map(|text| text.as_str().expect("text")).collect();
        // With `--help` the others are read, and nothing is done: an unknown one is an error, and
        // so is a wrong value.
        let help = fine(&mut hearken(&[&arguments[..], &["--help"]].concat()));
        for option in arguments.iter().filter(|argument| argument.starts_with("--")) {
            assert!(help.contains(option), "{container}: the command does not know {option}");
        }
    }
}
