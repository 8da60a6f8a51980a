//! Help and version.

use crate::command::{output, stderr, stdout};

#[test]
fn every_command_shows_examples() {
    let help = stdout(&output(&["--help"]));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    for expected in ["run", "inspect", "logits", "bench", "kernels"] {
        assert!(commands.contains(&expected), "{commands:?}");
    }
    for command in commands.iter().filter(|command| **command != "help") {
        for flag in ["--help", "-h"] {
            let output = output(&[command, flag]);
            assert_eq!(output.status.code(), Some(0), "{command}");
            let help = stdout(&output);
            assert!(help.contains(&format!("Examples:\n  mquant {command}")), "{help}");
            for global in ["--json", "--threads", "--min-pixels", "--max-pixels", "--context", "--cpu", "--row-order"] {
                assert!(help.contains(global), "{command} {global}");
            }
            assert_eq!(stderr(&output), "");
        }
    }
}

#[test]
fn version_is_that_of_the_package() {
    let output = output(&["--version"]);
    assert_eq!(stdout(&output), format!("mquant {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn without_a_command_help_is_shown_and_it_is_a_usage_error() {
    let output = output(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("Usage: mquant"));
}
