//! `mquant verify`: what it says of bundles whole and spoilt.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::command::{object, output, stderr, stdout};

/// A bundle with one file, whose manifest was made by hand: hashes from the definition of SHA-256 by other tools.
fn bundle() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("abc.txt"), "abc").unwrap();
    fs::write(dir.path().join("mquant.json"), MANIFEST).unwrap();
    dir
}

const MANIFEST: &str = "\
{
  \"schema\": \"mquant/1\",
  \"sha256\": \"05e5e15be0270f458a916fc58e441c12c87b0d8dd4a471f3b076567d8a8f1c1d\",
  \"fingerprint\": {
    \"recipe\": \"r\"
  },
  \"provenance\": null,
  \"files\": {
    \"abc.txt\": {
      \"bytes\": 3,
      \"sha256\": \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"
    }
  }
}
";

fn verify(dir: &Path) -> (Option<i32>, Value) {
    let output = output(&["verify", dir.to_str().unwrap(), "--json"]);
    (output.status.code(), object(&output, "mquant.verify/1"))
}

#[test]
fn a_whole_bundle_is_0() {
    let dir = bundle();
    fs::write(dir.path().join(".mquant-packed-v1-x"), "a cache").unwrap();
    let (code, report) = verify(dir.path());
    assert_eq!((code, &report["intact"]), (Some(0), &true.into()));
    assert_eq!((&report["files"][0]["state"], &report["fingerprint"]["recipe"]), (&"intact".into(), &"r".into()));
    let plain = output(&["verify", dir.path().to_str().unwrap()]);
    assert_eq!(stdout(&plain), "file     bytes  state\nabc.txt  3      intact\n");
    assert_eq!((plain.status.code(), stderr(&plain).as_str()), (Some(0), ""));
}

#[test]
fn whatever_differs_is_3() {
    let dir = bundle();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("abc.txt"), "abd").unwrap();
    fs::write(at("new.txt"), "").unwrap();
    let (code, report) = verify(dir.path());
    assert_eq!((code, &report["intact"]), (Some(3), &false.into()));
    let states: Vec<&Value> = report["files"].as_array().unwrap().iter().map(|file| &file["state"]).collect();
    assert_eq!(states, ["changed", "extra"]);
    fs::remove_file(at("abc.txt")).unwrap();
    let plain = output(&["verify", dir.path().to_str().unwrap()]);
    assert_eq!(plain.status.code(), Some(3));
    assert_eq!(stdout(&plain), "file     bytes  state\nabc.txt  3      missing\nnew.txt  -      extra\n");
    assert_eq!(stderr(&plain), "2 of 2 files are not as they were written\n");
}

#[test]
fn a_manifest_that_cannot_be_believed_is_3_too() {
    let dir = bundle();
    for (manifest, code) in [(MANIFEST.replace("null", "1"), "MANIFEST_CHANGED"), ("{".to_owned(), "MANIFEST_FORM")] {
        fs::write(dir.path().join("mquant.json"), manifest).unwrap();
        let output = output(&["verify", dir.path().to_str().unwrap(), "--json"]);
        assert_eq!((output.status.code(), &object(&output, "mquant.error/1")["code"]), (Some(3), &code.into()));
    }
    fs::remove_file(dir.path().join("mquant.json")).unwrap();
    let output = output(&["verify", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("has no mquant.json") && stderr(&output).contains("[MANIFEST_MISSING]"));
}
