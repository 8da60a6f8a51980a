//! Activations that overflow end the job with their site and sample, before anything of that unit is written.

use std::fs;
use std::ops::ControlFlow;

use mquant::calibrate::samples::Gathered;
use mquant::kernels::Rows;
use mquant::nn::{CacheFormat, SiteId, SiteObserver, SiteRows};
use mquant::recipe::Recipe;

use crate::folder::{GOLDEN, at, edit, engine, golden_copy, open, prompt, samples, texts};
use crate::making::{Making, names, preset};

/// The largest f32.
const LARGEST: f64 = f32::MAX as f64;

#[test]
fn the_site_and_sample_of_an_overflow_are_named() {
    for (tensor, site, units) in [
        ("visual.blocks.0.norm1.weight", "vision.0.qkv", &["vision.patch"][..]),
        ("visual.merger.ln_q.weight", "projector.up", &["vision.0", "vision.1", "vision.patch"]),
        (
            "model.layers.1.post_attention_layernorm.weight",
            "language.1.up",
            &["embedding", "language.0", "projector", "vision.0", "vision.1", "vision.patch"],
        ),
    ] {
        let model = golden_copy();
        edit(model.path(), tensor, |_, _| f32::MAX);
        let float = open(model.path());
        let shown = samples(2);
        let sample = shown.samples[0].origin.to_string();
        for name in ["rtn-static", "smoothquant-static"] {
            let recipe = preset(name);
            let root = tempfile::tempdir().unwrap();
            let making = Making::new(&float, &recipe, &shown);
            let error = making.run(&root.path().join("out"), &mut |_| ControlFlow::Continue(())).unwrap_err();
            assert_eq!((error.code(), error.class().exit_code()), ("CALIB_NOT_FINITE", 7), "{name} {site}: {error}");
            let expected = format!("{site}: the activation of {sample} is not finite in row ");
            assert!(error.to_string().starts_with(&expected), "{name} {site}: {error}");
            assert!(error.hint().is_some());
            // Only whole units are left, and no output.
            assert_eq!(names(root.path()), ["out.partial"], "{name} {site}");
            let work = root.path().join("out.partial");
            assert_eq!(names(&work), ["job.json", "journal.jsonl", "lock", "units"], "{name} {site}");
            assert_eq!(names(&work.join("units")), units, "{name} {site}");
            let lines = fs::read_to_string(work.join("journal.jsonl")).unwrap();
            assert_eq!(lines.lines().count(), units.len(), "{name} {site}");
        }
    }
}

#[test]
fn a_model_that_cannot_answer_itself_is_told_the_same_way() {
    let model = golden_copy();
    edit(model.path(), "model.layers.0.input_layernorm.weight", |_, _| f32::MAX);
    let float = open(model.path());
    let error = Making::new(&float, &preset("rtn-static"), &texts(&[("Say something.", None)])).refused();
    assert_eq!((error.code(), error.class().exit_code()), ("CALIB_NOT_FINITE", 7), "{error}");
    assert!(error.to_string().starts_with("language.0.qkv: the activation of texts.jsonl: row 1 is"), "{error}");
}

/// Weights, activations, keys and values stay float.
fn floats() -> Recipe {
    let mut recipe = Recipe::parse(
        "name = \"floats\"\ndescription = \"\"\nkv_cache = \"float\"\n[calibration]\nsamples = 2\n\
         [[step]]\ndo = \"quantize\"\nsites = \"all\"\nweight_bits = 16\n",
        "floats.toml",
    )
    .unwrap();
    recipe.kv_cache = CacheFormat::Float;
    recipe
}

/// Rows that enter the head.
#[derive(Default)]
struct AtHead(Vec<Rows>);

impl SiteObserver for AtHead {
    fn observe(&mut self, site: SiteId, x: &Rows, _: SiteRows<'_>) {
        if site == SiteId::HEAD {
            self.0.push(x.clone());
        }
    }
}

/// The largest magnitude of every channel in rows whose scores an answer depends on.
fn largest(shown: &Gathered, sample: usize) -> Vec<f64> {
    let float = open(&at(GOLDEN));
    let sample = &shown.samples[sample];
    let mut prompt = prompt(&float, &sample.messages);
    let asked = prompt.ids.len();
    let answer = float.tokenizer.encode_text(sample.answer.as_ref().unwrap()).unwrap();
    prompt.extend_text(&answer);
    let mut seen = AtHead::default();
    engine(&float).all_logits_batch(&[&prompt], Some(&mut seen)).unwrap();
    let rows: Vec<&[f32]> = seen.0.iter().flat_map(|rows| (0..rows.rows()).map(|row| rows.row(row))).collect();
    let rows = &rows[asked - 1..];
    (0..rows[0].len()).map(|c| rows.iter().map(|row| f64::from(row[c].abs())).fold(0.0, f64::max)).collect()
}

#[test]
fn the_head_names_the_sample_though_samples_enter_it_together() {
    let shown = texts(&[("Is this it?", Some("Yes it is.")), ("What else is there to see?", Some("A tree, 7 cats."))]);
    let (first, second) = (largest(&shown, 0), largest(&shown, 1));
    let channel =
        (0..first.len()).max_by(|a, b| (second[*a] / first[*a]).total_cmp(&(second[*b] / first[*b]))).unwrap();
    let (low, high) = (first[channel], second[channel]);
    assert!(high > 1.5 * low, "the samples are too much alike: {low} {high}");
    // Overflows for activations above the middle between them.
    let model = golden_copy();
    let times = LARGEST / (low * high).sqrt();
    edit(model.path(), "model.norm.weight", |i, v| if i == channel { (f64::from(v) * times) as f32 } else { v });
    let float = open(model.path());
    let error = Making::new(&float, &floats(), &shown).refused();
    assert_eq!(error.code(), "CALIB_NOT_FINITE", "{error}");
    let message = error.to_string();
    let row = message.strip_prefix("head: the activation of texts.jsonl: row 2 is not finite in row ");
    let row: usize = row.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or_else(|| panic!("{message}"));
    let asked = prompt(&float, &shown.samples[1].messages).ids.len();
    assert!((asked - 1..asked + 20).contains(&row), "{message}, {asked} rows ask");
}
