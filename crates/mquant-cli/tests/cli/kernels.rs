//! `mquant kernels`, and the cap on instructions.

use serde_json::Value;

use crate::command::{golden, mquant, object, output, stderr, stdout};

fn kernels(arguments: &[&str]) -> Value {
    object(&output(&[&["kernels", "--json"], arguments].concat()), "mquant.kernels/1")
}

fn products(report: &Value) -> &Value {
    report["operations"].as_array().unwrap().iter().find(|o| o["name"] == "int4_gemm").unwrap()
}

/// Names of the kernels that the CPU running this test has.
fn present(operation: &Value) -> Vec<&str> {
    let kernels = operation["kernels"].as_array().unwrap().iter();
    kernels.filter(|k| k["present"] == true).map(|k| k["name"].as_str().unwrap()).collect()
}

#[test]
fn every_list_ends_with_scalar_and_the_best_present_is_picked() {
    let report = kernels(&[]);
    assert!(report["cap"].is_null() && report["threads"].is_null());
    for operation in report["operations"].as_array().unwrap() {
        assert_eq!(operation["kernels"].as_array().unwrap().last().unwrap()["name"], "scalar");
        assert_eq!(operation["pick"], present(operation)[0], "{operation}");
        assert!(operation["times"].is_null());
    }
    let text = stdout(&output(&["kernels"]));
    let marked = text.lines().filter(|line| line.ends_with("<-")).count();
    assert_eq!(marked, report["operations"].as_array().unwrap().len(), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn a_cap_lowers_the_pick_and_the_flag_goes_before_the_environment() {
    let by_flag = kernels(&["--cpu", "scalar"]);
    assert_eq!((&by_flag["cap"], &by_flag["level"]), (&"scalar".into(), &"scalar".into()));
    assert_eq!(products(&by_flag)["pick"], "scalar");
    let environment = |value: &str, arguments: &[&str]| {
        let mut command = mquant(&[&["kernels", "--json"], arguments].concat());
        object(&command.env("MQUANT_CPU", value).output().unwrap(), "mquant.kernels/1")
    };
    assert_eq!(products(&environment("scalar", &[]))["pick"], "scalar");
    assert_eq!(environment("", &[])["cap"], Value::Null, "empty is unset");
    assert_eq!(environment("avx9", &["--cpu", "scalar"])["cap"], "scalar");
}

#[test]
fn a_level_that_is_unknown_or_absent_is_refused() {
    let model = golden("qwen2_vl");
    let run = ["run", model.to_str().unwrap(), "--prompt", "x", "--max-tokens", "1"];
    for arguments in [&["kernels"][..], &run] {
        let unknown = mquant(arguments).env("MQUANT_CPU", "avx9").output().unwrap();
        assert_eq!(unknown.status.code(), Some(2));
        assert!(stderr(&unknown).contains("MQUANT_CPU") && stderr(&unknown).contains("[CPU_LEVEL]"));
        let flag = output(&[arguments, &["--cpu", "avx9"]].concat());
        assert_eq!(flag.status.code(), Some(2));
        assert!(stderr(&flag).contains("avx512vnni"), "{}", stderr(&flag));
    }
    if !present(products(&kernels(&[]))).contains(&"avx512vnni") {
        let absent = output(&["kernels", "--cpu", "avx512vnni"]);
        assert_eq!(absent.status.code(), Some(5));
        assert!(stderr(&absent).contains("[CPU_UNSUPPORTED]"));
    }
}

#[test]
fn answers_do_not_depend_on_a_cap_that_is_accepted() {
    let model = golden("qwen2_vl");
    let run = ["run", model.to_str().unwrap(), "--prompt", "hello", "--max-tokens", "4", "--temperature", "0"];
    let answer = |more: &[&str]| stdout(&output(&[&run[..], more].concat()));
    assert_eq!(answer(&["--cpu", "scalar"]), answer(&[]));
}

#[test]
fn times_are_of_every_kernel_present() {
    let report = kernels(&["--time", "--threads", "1", "rope", "quantize_static"]);
    assert_eq!(report["threads"], 1);
    let operations = report["operations"].as_array().unwrap();
    let names: Vec<&str> = operations.iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["rope", "quantize_static"], "as asked for");
    for operation in operations {
        for shape in operation["times"].as_array().unwrap() {
            let timed: Vec<&str> =
                shape["kernels"].as_array().unwrap().iter().map(|k| k["name"].as_str().unwrap()).collect();
            assert_eq!(timed, present(operation));
            assert!(timed.contains(&shape["fastest"].as_str().unwrap()));
            for kernel in shape["kernels"].as_array().unwrap() {
                let of = |key: &str| kernel[key].as_f64().unwrap();
                assert!(of("run_s") > 0.0 && of("ops_per_s") > 0.0 && of("bytes_per_s") > 0.0);
            }
        }
    }
    let wrong = output(&["kernels", "no_such_operation"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("int8_gemm"));
}
