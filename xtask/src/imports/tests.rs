use std::fs;
use std::path::Path;

use super::{CRATES, Imports};

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

#[test]
fn imports_follow_pipeline_order() {
    let imports = Imports::read(workspace()).expect("readable sources");
    assert_eq!(imports.faults(), Vec::<String>::new(), "\n{imports}");
}

/// Every crate of `crates/` has its place, but what only tests use.
#[test]
fn every_crate_has_a_place() {
    for entry in fs::read_dir(workspace().join("crates")).expect("a folder of crates") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(CRATES.contains(&name.as_str()) || name == "mquant-testkit", "{name} has no place in pipeline order");
    }
}

/// A workspace of empty crates, but for one with the given modules.
fn faults_of(lib: &str, modules: &[(&str, &str)], dependencies: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    for name in CRATES {
        let src = folder.path().join("crates").join(name).join("src");
        fs::create_dir_all(&src).expect("a folder");
        let is_it = name == "mquant-model";
        fs::write(src.join("lib.rs"), if is_it { lib } else { "" }).expect("a file");
        fs::write(src.with_file_name("Cargo.toml"), if is_it { dependencies } else { "" }).expect("a file");
        for (path, text) in modules.iter().filter(|_| is_it) {
            fs::create_dir_all(src.join(path).parent().expect("a folder")).expect("a folder");
            fs::write(src.join(path), text).expect("a file");
        }
    }
    Imports::read(folder.path()).expect("readable sources").faults()
}

#[test]
fn an_import_against_the_order_is_found_however_it_is_written() {
    let lib = "mod a; mod b; pub use b::Named;";
    for import in [
        "use crate::b::X;",
        "use crate::{b::{X, Y}};",
        "use super::b;",
        "use crate::Named;",
        "fn f() -> crate::b::X { todo!() }",
        "mod inner { use super::super::b::X; }",
    ] {
        let faults = faults_of(lib, &[("a.rs", import), ("b.rs", "")], "");
        assert_eq!(faults, ["mquant-model: a imports b, which is declared after it"], "{import}");
    }
    let deep = faults_of(lib, &[("a/mod.rs", "mod c;"), ("a/c.rs", "use super::super::b::X;"), ("b.rs", "")], "");
    assert_eq!(deep.len(), 1);
}

#[test]
fn imports_in_order_and_in_tests_are_free() {
    let lib = "mod a; mod b;";
    let modules = [("a.rs", "#[cfg(test)] mod tests { use crate::b::X; }"), ("b.rs", "use crate::a::X; use super::a;")];
    assert_eq!(faults_of(lib, &modules, ""), Vec::<String>::new());
}

#[test]
fn a_dependency_against_the_order_is_found() {
    let faults = faults_of("", &[], "[dependencies]\nmquant-quantize.workspace = true\n");
    assert_eq!(faults, ["crate mquant-model depends on mquant-quantize, which comes after it"]);
}
