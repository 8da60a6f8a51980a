//! A transform that reaches some parts and not others shows: with 8-bit weights and a scale a row nothing else moves scores far.

use mquant::kernels::Rows;
use mquant::recipe::Recipe;

use crate::folder::{DEMO, GOLDEN, PUBLISHED, at, held_out, noise, open, samples, scores};
use crate::making::Making;

/// Root mean squared difference in standard deviations of the float model's scores. One part that was left out gives about 1.
const CLOSE: f64 = 0.08;

const FUSE: &str = "do = \"fuse_norms\"\ntowers = [\"vision\", \"language\"]\n";
const STREAM: &str = "do = \"rotate_stream\"\ntowers = [\"vision\", \"language\"]\nkind = \"hadamard\"\n";
const LANGUAGE: &str = "do = \"rotate_stream\"\ntowers = [\"language\"]\nkind = \"hadamard\"\n";
const FUSE_LANGUAGE: &str = "do = \"fuse_norms\"\ntowers = [\"language\"]\n";
const ONES: &str = "do = \"rotate_stream\"\ntowers = [\"vision\"]\nkind = \"ones_preserving\"\n";
const HEADS: &str = "do = \"rotate_heads\"\ntowers = [\"vision\", \"language\"]\n";
const PAD: &str = "do = \"rotate_online\"\nsites = [\"*.*.down\"]\notherwise = \"pad\"\n";
const BLOCKS: &str = "do = \"rotate_online\"\nsites = [\"*.*.down\"]\notherwise = \"blocks\"\n";
const SMOOTH: &str = "do = \"smooth\"\nsites = [\"*.*.qkv\", \"*.*.up\"]\nalpha = 0.5\n";
const SPLIT: &str = "do = \"split_columns\"\nsites = [\"*.*.down\"]\nratio = 1.2\nat_most = 16\n";
const EIGHT: &str =
    "do = \"quantize\"\nsites = \"all\"\nweight_bits = 8\nmethod = \"rtn\"\nclip = \"none\"\ninput = \"per_token\"\n";

const COMBINATIONS: &[(&str, &[&str])] = &[
    ("none", &[]),
    ("fuse", &[FUSE]),
    ("stream", &[FUSE, STREAM]),
    ("language alone", &[FUSE_LANGUAGE, LANGUAGE]),
    ("ones", &[ONES]),
    ("heads", &[HEADS]),
    ("online", &[PAD]),
    ("blocks", &[BLOCKS]),
    ("smooth", &[SMOOTH]),
    ("split", &[SPLIT]),
    ("all", &[FUSE, STREAM, HEADS, PAD, SPLIT]),
];

pub(crate) fn recipe(steps: &[&str]) -> Recipe {
    let steps: String = steps.iter().chain([&EIGHT]).map(|step| format!("[[step]]\n{step}")).collect();
    let text = format!(
        "name = \"test\"\ndescription = \"\"\nkv_cache = \"int8\"\n[calibration]\nsamples = 4\ngenerated_tokens = 3\n{steps}"
    );
    Recipe::parse(&text, "test.toml").unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn transforms_keep_scores(model: &str, combinations: &[(&str, &[&str])]) {
    let float = open(&at(model));
    let (shown, asked) = (samples(4), held_out(3));
    let reference: Vec<Rows> = scores(&float, &asked);
    for (name, steps) in combinations {
        let recipe = recipe(steps);
        let made = Making::new(&float, &recipe, &shown).made();
        let found = noise(&scores(&open(&made.dir()), &asked), &reference);
        println!("{model}, {name}: {found:.4} of the scores' standard deviation");
        assert!(found < CLOSE, "{model}, {name}: {found}");
    }
}

#[test]
fn every_transform_keeps_the_scores_of_an_untied_model() {
    transforms_keep_scores(GOLDEN, COMBINATIONS);
}

#[test]
fn every_transform_keeps_the_scores_of_a_tied_model() {
    transforms_keep_scores(PUBLISHED, COMBINATIONS);
}

#[test]
fn all_transforms_keep_the_scores_of_the_trained_model() {
    transforms_keep_scores(DEMO, &[COMBINATIONS[0], COMBINATIONS[2], COMBINATIONS[10]]);
}
