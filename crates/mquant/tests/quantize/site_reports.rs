//! What is told of every site agrees with what can be seen otherwise.

use std::collections::BTreeMap;

use mquant::bundle::Manifest;
use mquant::pipeline::{SiteReport, Spread, StageReport};
use mquant::recipe::{Recipe, Step};

use crate::folder::{DEMO, GOLDEN, at, open, samples};
use crate::making::{Made, Making, preset};
use crate::transforms::recipe;

/// A trained model with outliers.
const STRESS: &str = "models/demo-stress";

/// Only the steps that change no function.
fn float_only(mut recipe: Recipe) -> Recipe {
    recipe.steps.retain(|step| !matches!(step, Step::Quantize(_)));
    recipe
}

fn stage<'a>(report: &'a SiteReport, name: &str) -> Option<&'a StageReport> {
    report.stages.iter().find(|stage| stage.stage == name)
}

fn names(report: &SiteReport) -> Vec<&str> {
    report.stages.iter().map(|stage| stage.stage.as_str()).collect()
}

fn made(model: &str, recipe: &Recipe, count: usize) -> Made {
    Making::new(&open(&at(model)), recipe, &samples(count)).made()
}

/// Alike but for noise: keys, values and tables are bf16 on the way, and it grows from block to block.
fn close(name: &str, found: &Spread, expected: &Spread, bound: f32) {
    let told = || format!("{name}: {found:?}, expected {expected:?}");
    assert!((found.max / expected.max - 1.0).abs() < bound, "{}", told());
    for (a, b) in found.quantiles.iter().zip(&expected.quantiles) {
        // Channels that reach little differ by more.
        assert!((a - b).abs() < bound * (b + 0.5 * expected.max), "{}", told());
    }
    assert!((found.kurtosis / expected.kurtosis - 1.0).abs() < 2.0 * f64::from(bound), "{}", told());
}

/// What was read as published is concluded from what is read in the end; a model that nothing was done to shows it.
fn published_is_what_an_untouched_model_reads(model: &str, bound: f32) {
    let untouched = made(model, &float_only(recipe(&[])), 4);
    let smooth = "do = \"smooth\"\nsites = [\"*.*.qkv\", \"*.*.up\"]\nalpha = 0.5\n";
    for changed in [preset("mquant-w4a8"), preset("quarot-static"), recipe(&[smooth])] {
        let changed = made(model, &float_only(changed), 4);
        for (site, report) in &changed.summary.sites {
            let expected = &untouched.site(&site.to_string()).stages;
            let [expected] = &expected[..] else { panic!("{site}: {expected:?}") };
            let found = &report.stages[0];
            assert_eq!((found.stage.as_str(), expected.stage.as_str()), ("published", "published"));
            assert_eq!(found.weight, expected.weight, "{site}");
            assert!(found.activation.len() == expected.activation.len() && !found.activation.is_empty());
            for (modality, found) in &found.activation {
                close(&format!("{model} {site} {modality}"), found, &expected.activation[modality], bound);
            }
        }
    }
}

#[test]
fn published_is_what_an_untouched_model_of_random_weights_reads() {
    published_is_what_an_untouched_model_reads(GOLDEN, 0.01);
}

#[test]
fn published_is_what_an_untouched_model_with_outliers_reads() {
    published_is_what_an_untouched_model_reads(STRESS, 0.06);
}

#[test]
fn ranges_agree_with_those_that_set_the_scales() {
    let made = made(GOLDEN, &preset("rtn-static"), 3);
    let mut compared = 0;
    for (site, report) in &made.summary.sites {
        assert_eq!(names(report), ["published"], "{site}");
        for (modality, rows) in &report.measured_rows {
            assert!(*rows <= 512 && *rows <= report.rows[modality]);
            let found = report.stages[0].activation[modality];
            if *rows == report.rows[modality] && report.absmax.contains_key(modality) {
                assert_eq!(found.max, report.absmax[modality], "{site} {modality}");
                compared += 1;
            }
            // Scales are the largest magnitudes: nothing is beyond.
            assert_eq!(report.clipped[modality], 0.0, "{site} {modality}");
        }
    }
    println!("{compared} ranges");
    assert!(compared > 10, "{compared}");
}

#[test]
fn steps_do_what_they_are_for_on_a_model_with_outliers() {
    let made = made(STRESS, &preset("mquant-w4a8"), 6);
    let (mut rotated, mut split) = (0, 0);
    for (site, report) in &made.summary.sites {
        let name = site.to_string();
        let places = ["published", "fuse_norms", "rotate_stream", "rotate_heads", "rotate_online", "split_columns"];
        let order: Vec<usize> =
            names(report).iter().map(|name| places.iter().position(|p| p == name).unwrap()).collect();
        assert!(order[0] == 0 && order.is_sorted() && report.stages.len() > 1, "{name}: {:?}", names(report));
        if name.starts_with("language") && (name.ends_with("qkv") || name.ends_with("up")) {
            let at = report.stages.iter().position(|stage| stage.stage == "rotate_stream").unwrap();
            for (modality, after) in &report.stages[at].activation {
                let before = &report.stages[at - 1].activation[modality];
                println!("{name} {modality}: {before:?}, rotated {after:?}");
                assert!(after.kurtosis < before.kurtosis && after.max < before.max, "{name} {modality}");
                rotated += 1;
            }
        }
        assert_eq!(stage(report, "split_columns").is_some(), !report.side_columns.is_empty(), "{name}");
        if let [.., before, after] = &report.stages[..]
            && after.stage == "split_columns"
        {
            assert!(name.ends_with("down"), "{name}");
            let spreads = |stage: &StageReport| {
                stage.activation.values().chain([&stage.weight]).map(|spread| spread.max).collect::<Vec<f32>>()
            };
            let (before, after) = (spreads(before), spreads(after));
            println!("{name}: largest {before:?}, without columns {:?} {after:?}", report.side_columns);
            assert!(before.iter().zip(&after).all(|(before, after)| after <= before), "{name}");
            assert!(before.iter().zip(&after).any(|(before, after)| 1.4 * after < *before), "{name}");
            split += 1;
        }
    }
    assert!(rotated > 4 && split > 0, "{rotated} {split}");
}

#[test]
fn fewer_bits_are_further_away() {
    let [eight, four] = ["mquant-w8a8", "mquant-w4a8"].map(|name| made(DEMO, &preset(name), 4));
    for (site, report) in &four.summary.sites {
        let other = eight.site(&site.to_string());
        for (modality, db) in &report.output_sqnr_db {
            let eight = other.output_sqnr_db[modality];
            assert!(*db > 5.0 && eight > 20.0, "{site} {modality}: {db} {eight}");
            assert!(report.weight_bits == 8 || *db < eight, "{site} {modality}: {db} {eight}");
        }
        let modalities: Vec<&String> = report.rows.keys().collect();
        let has_all = |map: &BTreeMap<String, f64>| map.keys().collect::<Vec<_>>() == modalities;
        assert!(
            has_all(&report.input_sqnr_db) && has_all(&report.clipped) && has_all(&report.output_sqnr_db),
            "{site}"
        );
    }
}

#[test]
fn a_bundle_tells_what_its_job_told() {
    let made = made(DEMO, &preset("mquant-w4a8"), 4);
    let manifest = made.check();
    for (site, report) in &made.summary.sites {
        let told: SiteReport = serde_json::from_value(manifest.provenance["sites"][site.to_string()].clone()).unwrap();
        assert_eq!(&told, report, "{site}");
    }
    let bytes = std::fs::read(made.dir().join("mquant.json")).unwrap();
    let sites = made.summary.sites.len();
    println!("{} bytes of manifest, {sites} sites, {} each", bytes.len(), bytes.len() / sites);
    let _: Manifest = Manifest::parse(&bytes).unwrap();
    assert!(bytes.len() < 3600 * sites, "{} bytes for {sites} sites", bytes.len());
}
