//! Calibration data from which little can be learnt, each with its documented result or error.

use std::path::Path;

use mquant::bundle::Manifest;
use mquant::calibrate::samples::{DataSource, Request, Visual, gather};
use mquant::input::Message;
use mquant::nn::InputQuant;
use mquant::recipe::{PRESETS, Quantize, Recipe, Step, Target, WeightMethod};
use mquant::run::LoadedModel;

use crate::folder::{GOLDEN, at, edit, golden_copy, held_out, open, plain_pictures, samples, scores, texts};
use crate::making::{Made, Making, preset};

/// Every static scale of a model is a positive number of normal size, and its scores are finite.
fn check_numbers(made: &Made) -> Manifest {
    let manifest = made.check();
    let loaded = open(&made.dir());
    let mut model = (*loaded.model).clone();
    let mut scales = 0;
    for part in model.parts() {
        for site in part.sites() {
            let found = match site.input {
                InputQuant::PerTensor(scale) => vec![*scale],
                InputQuant::PerModality(s) => vec![s.text, s.vision, s.audio],
                InputQuant::Float | InputQuant::PerToken | InputQuant::PerTokenSix => Vec::new(),
            };
            assert!(found.iter().all(|scale| scale.is_normal() && *scale > 0.0), "{}: {found:?}", site.id);
            scales += found.len();
        }
    }
    println!("{scales} static scales");
    // That there are scores says that all are finite.
    let asked: [Vec<Message>; 2] = [held_out(1).remove(0), vec![Message::plain("user", "What is this?")]];
    scores(&loaded, &asked);
    manifest
}

fn golden() -> LoadedModel {
    open(&at(GOLDEN))
}

#[test]
fn text_alone_leaves_the_tower_to_scales_found_while_running() {
    let float = golden();
    let asked = [("What is this?", Some("A sign.")), ("Say more.", None), ("And less?", Some("No."))];
    let shown = texts(&asked);
    for recipe in PRESETS.iter().map(|preset| preset.name).map(preset) {
        let made = Making::new(&float, &recipe, &shown).made();
        check_numbers(&made);
        for (site, report) in &made.summary.sites {
            let (name, is_float) = (site.to_string(), report.weight_bits == 16 || recipe.name.contains("a16"));
            if !name.starts_with("vision") && !name.starts_with("projector") {
                let is_text = report.rows.keys().all(|modality| modality == "text") && !report.rows.is_empty();
                assert!(is_float || is_text, "{} {name}: {report:?}", recipe.name);
                continue;
            }
            let expected = if is_float { "float" } else { "per_token" };
            assert_eq!(report.input, expected, "{} {name}", recipe.name);
            let is_static = !is_float && recipe.name != "w4a8-dynamic";
            let is_told = report.notes.iter().any(|note| note.contains("no activation was seen: scales are found"));
            assert_eq!(is_told, is_static, "{} {name}: {:?}", recipe.name, report.notes);
        }
    }
}

#[test]
fn a_vision_model_wants_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("texts.jsonl");
    std::fs::write(&path, "[{\"role\":\"user\",\"content\":\"Hello.\"}]\n").unwrap();
    let sources = vec![DataSource::JsonLines(path)];
    let error = gather(&Request { sources, count: 1, visual: Visual::Needed }).unwrap_err();
    let error = mquant::Error::from(error);
    assert_eq!((error.code(), error.class().exit_code()), ("CALIB_NO_VISUAL", 4));
}

#[test]
fn pictures_of_one_colour_and_a_prompt_of_a_space_will_do() {
    let float = golden();
    for (colours, prompt) in [
        (&[[0; 3]; 3][..], "What is this?"),
        (&[[255; 3], [0; 3]], " "),
        (&[[90, 90, 90]], "."),
        (&[[200, 10, 10]; 2], "What is this?"),
    ] {
        let (_pictures, shown) = plain_pictures(colours, prompt);
        for name in ["rtn-static", "mquant-w4a8"] {
            check_numbers(&Making::new(&float, &preset(name), &shown).made());
        }
    }
}

#[test]
fn activations_of_nothing_but_zeros_have_the_smallest_scale_and_are_told() {
    let model = golden_copy();
    for tensor in
        ["visual.blocks.0.norm1.weight", "visual.blocks.0.norm1.bias", "model.layers.1.input_layernorm.weight"]
    {
        edit(model.path(), tensor, |_, _| 0.0);
    }
    let float = open(model.path());
    // What is folded and rotated is another activation, so the sites are looked at where nothing is.
    let mut recipe = preset("mquant-w4a8");
    recipe.steps.retain(|step| matches!(step, Step::Quantize(_)));
    let made = Making::new(&float, &recipe, &samples(3)).made();
    check_numbers(&made);
    for name in ["vision.0.qkv", "language.1.qkv"] {
        let report = made.site(name);
        assert!(report.absmax.values().all(|largest| *largest == 0.0), "{name}: {report:?}");
        assert!(report.scales.values().all(|scale| *scale == 1e-8), "{name}: {report:?}");
        let helped = report.hessian.as_deref();
        assert_eq!(helped, Some("rounded to nearest: no activation other than 0 was seen"), "{name}");
    }
    let whole = preset("mquant-w4a8");
    check_numbers(&Making::new(&float, &whole, &samples(3)).made());
}

fn with_damping(mut recipe: Recipe, asked: f64) -> Recipe {
    for step in &mut recipe.steps {
        if let Step::Quantize(Quantize {
            target: Target::Int { method: WeightMethod::Gptq { damping, .. }, .. }, ..
        }) = step
        {
            *damping = asked;
        }
    }
    recipe
}

#[test]
fn fewer_rows_than_columns_and_equal_samples_are_enough() {
    let float = golden();
    let once = [("?", Some("."))];
    let (few, equal) = (texts(&once), texts(&[once[0]; 24]));
    let helped =
        |made: &Made| made.summary.sites.iter().filter_map(|(_, report)| report.hessian.clone()).collect::<Vec<_>>();
    let recipe = preset("mquant-w4a8");
    let singular = with_damping(recipe.clone(), 1e-12);
    for shown in [&few, &equal] {
        let made = Making::new(&float, &recipe, shown).made();
        let rows = made.site("language.0.qkv").rows["text"];
        println!("{rows} rows of 128 columns");
        assert!(shown.samples.len() > 1 || rows < 128);
        check_numbers(&made);
        let notes = &made.site("language.0.qkv").notes;
        assert_eq!(notes.iter().any(|note| note.starts_with("only ")), rows < 32, "{notes:?}");
        let made = Making::new(&float, &singular, shown).made();
        check_numbers(&made);
        let told = helped(&made);
        assert!(!told.is_empty(), "a singular Hessian was factored with next to no damping");
        assert!(told.iter().all(|told| told.starts_with("damped by ")), "{told:?}");
    }
}

#[test]
fn long_samples_are_left_out_and_more_than_one_in_twenty_is_an_error() {
    let float = golden();
    let long = "a long question ".repeat(40);
    let lines = |of_long: usize| -> Vec<(&str, Option<&str>)> {
        (0..20).map(|i| (if i < of_long { long.as_str() } else { "Short?" }, Some("Yes."))).collect()
    };
    let mut recipe = preset("rtn-static");
    recipe.calibration.max_tokens = Some(60);
    let made = Making::new(&float, &recipe, &texts(&lines(1))).made();
    let manifest = check_numbers(&made);
    let [told] = &made.summary.skipped[..] else { panic!("{:?}", made.summary.skipped) };
    assert!(told.starts_with("texts.jsonl: row 1: ") && told.ends_with(" tokens, at most 60"), "{told}");
    assert_eq!(
        (&manifest.provenance["skipped"][0], &manifest.provenance["samples"]),
        (&told.as_str().into(), &19.into())
    );
    // The model's own context is a bound too.
    let error = Making { context: Some(60), ..Making::new(&float, &preset("rtn-static"), &texts(&lines(2))) }.refused();
    assert_eq!((error.code(), error.class().exit_code()), ("CALIB_SKIPPED", 4), "{error}");
    let message = error.to_string();
    assert!(message.contains("2 of 20 samples") && message.contains("texts.jsonl: row 2: "), "{message}");
    recipe.calibration.max_tokens = Some(1);
    let error = Making::new(&float, &recipe, &texts(&lines(0))).refused();
    assert!(error.code() == "CALIB_SKIPPED" && error.to_string().contains("20 of 20 samples"), "{error}");
}

#[test]
fn a_picture_that_cannot_be_decoded_is_left_out() {
    let float = golden();
    let colours: Vec<[u8; 3]> = (0..20).map(|i| [12 * i, 255 - 12 * i, 90]).collect();
    let (pictures, shown) = plain_pictures(&colours, "What is this?");
    let mut recipe = preset("rtn-static");
    recipe.calibration.generated_tokens = 1;
    let spoil = |name: &str| {
        let path = pictures.path().join(name);
        let bytes = std::fs::read(&path).unwrap();
        // The header stays: what follows is missing.
        std::fs::write(&path, &bytes[..60]).unwrap();
    };
    // In the order of names, 7.png is the eighteenth.
    spoil("7.png");
    let made = Making::new(&float, &recipe, &shown).made();
    check_numbers(&made);
    let [told] = &made.summary.skipped[..] else { panic!("{:?}", made.summary.skipped) };
    assert!(told.contains(": row 18: "), "{told}");
    spoil("8.png");
    let error = Making::new(&float, &recipe, &shown).refused();
    assert!(error.code() == "CALIB_SKIPPED" && error.to_string().contains("2 of 20 samples"), "{error}");
}

#[test]
fn recipes_that_fit_no_site_and_models_that_are_quantised_are_refused() {
    let float = golden();
    let shown = samples(1);
    let text = preset("rtn-static").to_toml().replacen("\"encoders\"", "\"audio\"", 1);
    let recipe = Recipe::parse(&text, "audio.toml").unwrap();
    let error = Making::new(&float, &recipe, &shown).refused();
    assert_eq!((error.code(), error.class().exit_code()), ("RECIPE_NO_MATCH", 4), "{error}");
    let plain = preset("rtn-static");
    let made = Making::new(&float, &plain, &shown).made();
    let bundle = open(&made.dir());
    let error = Making::new(&bundle, &plain, &shown).refused();
    assert_eq!((error.code(), error.class().exit_code()), ("QUANTIZE_FLOAT", 5), "{error}");
    assert!(error.to_string().contains(Path::new(&made.dir()).to_str().unwrap()), "{error}");
}
