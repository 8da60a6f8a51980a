//! `mquant recipes`.

use crate::command::{object, output, stderr, stdout};

#[test]
fn recipes_are_listed_and_printed() {
    let text = stdout(&output(&["recipes"]));
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["name", "vision", "projector", "language", "head", "input", "description"]);
    let row = |name: &str| rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{name}: {text}"));
    assert_eq!(row("mquant-w8a8-w4a8")[1..6], ["8", "8", "4", "8", "per_modality"]);
    assert_eq!(row("rtn-static")[1..6], ["4", "4", "4", "8", "per_tensor"]);
    assert!(row("w4a16-g128")[1..3] == ["4", "g128"], "{text}");
    let listed = object(&output(&["recipes", "--json"]), "mquant.recipes/1");
    let recipes = listed["recipes"].as_array().unwrap();
    assert_eq!(recipes.len(), rows.len() - 1);
    for recipe in recipes {
        let name = recipe["name"].as_str().unwrap();
        let toml = stdout(&output(&["recipes", name]));
        assert!(toml.contains(&format!("name = \"{name}\"")), "{toml}");
        let one = object(&output(&["recipes", name, "--json"]), "mquant.recipe/1");
        assert_eq!((one["toml"].as_str().unwrap(), &one["head"]), (toml.as_str(), &recipe["head"]));
    }
}

#[test]
fn an_unknown_recipe_is_refused_with_the_known_ones() {
    let output = output(&["recipes", "w1a1"]);
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(told.contains("[RECIPE_UNKNOWN]") && told.contains("mquant-w4a8") && told.contains("hint: "), "{told}");
}
