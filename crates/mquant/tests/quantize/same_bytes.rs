//! The same inputs give the same bytes, whatever the number of threads; other inputs give others.

use mquant::calibrate::samples::{DataSource, Gathered, Request, Visual, gather};
use mquant::recipe::{Observer, Recipe, Sequential};
use tempfile::TempDir;

use crate::folder::{DEMO, GOLDEN, at, held_out, noise, open, samples, scores};
use crate::making::{Made, Making, differing, preset};

/// Pictures without answers: the model answers itself, in float. They are read again while a job runs.
fn pictures() -> (TempDir, Gathered) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["one-0.png", "turns-1.png", "wide-0.png"] {
        std::fs::copy(at(GOLDEN).join(name), dir.path().join(name)).unwrap();
    }
    let sources = vec![DataSource::Folder(dir.path().to_owned(), "What is this?".to_owned())];
    let found = gather(&Request { sources, count: 3, visual: Visual::Needed }).unwrap();
    (dir, found)
}

fn same_for_any_threads(model: &str, recipe: &Recipe, shown: &Gathered) {
    let float = open(&at(model));
    let made: Vec<Made> =
        [1, 2, 3].into_iter().map(|threads| Making { threads, ..Making::new(&float, recipe, shown) }.made()).collect();
    let first = made[0].files();
    assert!(first.len() >= 8 && first.contains_key("mquant.json"), "{:?}", first.keys());
    for other in &made[1..] {
        assert_eq!(differing(&first, &other.files()), Vec::<String>::new(), "{model}, {}", recipe.name);
    }
}

#[test]
fn threads_do_not_show_in_the_bytes() {
    same_for_any_threads(GOLDEN, &preset("mquant-w4a8"), &samples(4));
    same_for_any_threads(DEMO, &preset("mquant-w8a8-w4a8"), &samples(6));
}

#[test]
fn threads_do_not_show_where_the_model_answers_itself() {
    let mut recipe = preset("smoothquant-static");
    recipe.calibration.observer = Observer::Mse;
    let (_pictures, shown) = pictures();
    same_for_any_threads(GOLDEN, &recipe, &shown);
}

#[test]
fn another_seed_gives_another_bundle_as_good_as_the_first() {
    let float = open(&at(GOLDEN));
    let (shown, asked) = (samples(4), held_out(2));
    let reference = scores(&float, &asked);
    let mut recipe = preset("mquant-w8a8");
    let mut made = Vec::new();
    for seed in [0, 1] {
        recipe.seed = seed;
        let one = Making::new(&float, &recipe, &shown).made();
        let found = noise(&scores(&open(&one.dir()), &asked), &reference);
        assert!(found < 0.1, "seed {seed}: {found}");
        made.push(one.files());
    }
    let differ = differing(&made[0], &made[1]);
    assert!(differ.contains(&"model.safetensors".to_owned()), "{differ:?}");
}

#[test]
fn sequences_and_observers_do_what_they_say() {
    let float = open(&at(GOLDEN));
    let (shown, asked) = (samples(4), held_out(2));
    let reference = scores(&float, &asked);
    let plain = preset("mquant-w8a8");
    let make = |name: &str, change: &dyn Fn(&mut Recipe)| {
        let mut recipe = plain.clone();
        change(&mut recipe);
        let made = Making::new(&float, &recipe, &shown).made();
        let found = noise(&scores(&open(&made.dir()), &asked), &reference);
        println!("{name}: {found:.4} of the scores' standard deviation");
        assert!(found < 0.15, "{name}: {found}");
        made
    };
    let block = make("block", &|_| {});
    let site = make("site", &|recipe| recipe.calibration.sequential = Sequential::Site);
    let percentile = make("percentile", &|recipe| recipe.calibration.observer = Observer::Percentile(0.999));
    let mse = make("mse", &|recipe| recipe.calibration.observer = Observer::Mse);
    for other in [&site, &percentile, &mse] {
        assert!(differing(&block.files(), &other.files()).contains(&"model.safetensors".to_owned()));
    }
    let mut smaller = 0;
    for (id, report) in &block.summary.sites {
        let name = id.to_string();
        // The first site of a unit reads what the units before gave, whatever the sequence.
        if name == "vision.patch" || name == "vision.0.qkv" {
            assert_eq!(report.scales, site.site(&name).scales, "{name}");
        }
        for (modality, scale) in &report.scales {
            let scales = [&percentile, &mse].map(|made| made.site(&name).scales[modality]);
            for found in scales {
                // Ranges after the first site are of other activations, since what was before was quantised otherwise.
                assert!(
                    found > 0.0 && f64::from(found) < 1.25 * f64::from(*scale),
                    "{name} {modality}: {found} {scale}"
                );
            }
            smaller += usize::from(scales[0] < *scale) + usize::from(scales[1] < *scale);
        }
    }
    assert!(smaller > 20, "only {smaller} scales are smaller than the largest magnitude's");
}
