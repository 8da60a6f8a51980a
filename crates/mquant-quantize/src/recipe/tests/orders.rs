//! Recipes against the sites of a model.

use super::{recipe, sites};
use crate::recipe::*;
use mquant_model::bundle::InputFormat;
use mquant_model::error::Explain;
use mquant_model::nn::SiteId;

/// One letter a step, as the papers order them.
fn step(letter: char) -> &'static str {
    match letter {
        'f' => "do = \"fuse_norms\"\ntowers = [\"vision\", \"language\"]",
        'l' => "do = \"fuse_norms\"\ntowers = [\"language\"]",
        'r' => "do = \"rotate_stream\"\ntowers = [\"language\"]\nkind = \"hadamard\"",
        'o' => "do = \"rotate_stream\"\ntowers = [\"language\"]\nkind = \"ones_preserving\"",
        'h' => "do = \"rotate_heads\"\ntowers = [\"language\"]",
        '4' => "do = \"rotate_online\"\nsites = [\"language.*.down\"]\notherwise = \"pad\"",
        's' => "do = \"smooth\"\nsites = [\"language.*.qkv\"]",
        'd' => "do = \"smooth\"\nsites = [\"language.*.down\"]",
        'p' => "do = \"smooth\"\nsites = [\"vision\"]",
        'c' => "do = \"split_columns\"\nsites = [\"language.*.down\"]",
        'q' => "do = \"quantize\"\nsites = \"all\"\nweight_bits = 4\ninput = \"per_tensor\"",
        'v' => "do = \"quantize\"\nsites = [\"vision\"]\nweight_bits = 8\ninput = \"per_token\"",
        'w' => "do = \"quantize\"\nsites = [\"vision.*\", \"patch\"]\nweight_bits = 16",
        'a' => "do = \"fuse_norms\"\ntowers = [\"audio\"]",
        'M' => "do = \"smooth_modalities\"\nsites = [\"language.*.qkv\", \"language.*.out\"]",
        'D' => "do = \"smooth_modalities\"\nsites = [\"language.*.down\"]",
        'V' => "do = \"smooth_modalities\"\nsites = [\"*.*.qkv\"]",
        'C' => "do = \"compensate\"\nsites = [\"language.*.down\"]\nbudget = 0.05",
        'm' => "do = \"quantize\"\nsites = [\"head\", \"vision.7\"]\nweight_bits = 16",
        other => panic!("{other}"),
    }
}

fn check(letters: &str) -> Result<Plan, RecipeError> {
    let steps: Vec<String> = letters.chars().map(|letter| format!("[[step]]\n{}\n", step(letter))).collect();
    recipe(&steps.concat()).unwrap().check(&sites(2, 3))
}

#[test]
fn orders_that_keep_the_model_are_accepted() {
    for letters in [
        "", "q", "frh4cq", "lrq", "sfr4cq", "oq", "fdr4cq", "hfr4q", "qv", "h4cfrq", "d4q", "so", "ds4c", "frhMq",
        "sMq", "DCq", "fr4Cq", "frhM4Ccq",
    ] {
        check(letters).unwrap_or_else(|error| panic!("{letters}: {error}"));
    }
}

#[test]
fn orders_that_do_not_are_refused_with_step_and_line() {
    for (letters, code, expected) in [
        (
            "r",
            "RECIPE_ORDER",
            "x.toml:2:1: step 1 (rotate_stream): language: expected its norms to be fused before its stream is rotated by \"hadamard\", found no fuse_norms before",
        ),
        ("rl", "RECIPE_ORDER", "step 1 (rotate_stream)"),
        ("MMq", "RECIPE_DUPLICATE", "language.0.qkv"),
        (
            "Mf",
            "RECIPE_ORDER",
            "step 2 (fuse_norms): language.0.qkv: expected not to be smoothed by modality yet, found smoothed by step 1",
        ),
        ("fMr", "RECIPE_ORDER", "step 3 (rotate_stream): language.0.qkv: expected not to be smoothed by modality yet"),
        ("Mh", "RECIPE_ORDER", "step 2 (rotate_heads): language.0.out: expected not to be smoothed by modality yet"),
        ("Ms", "RECIPE_ORDER", "step 2 (smooth): language.0.qkv"),
        ("D4", "RECIPE_ORDER", "step 2 (rotate_online): language.0.down"),
        ("Dc", "RECIPE_ORDER", "step 2 (split_columns): language.0.down"),
        (
            "4D",
            "RECIPE_ORDER",
            "step 2 (smooth_modalities): language.0.down: expected its activation not to be rotated while running",
        ),
        ("V", "RECIPE_SITE", "step 1 (smooth_modalities): expected sites of the decoder's blocks"),
        ("C", "RECIPE_SITE", "step 1 (compensate): expected sites whose weights become codes, found language.0.down"),
        (
            "ol",
            "RECIPE_ORDER",
            "x.toml:6:1: step 2 (fuse_norms): language: expected its stream not to be rotated yet, found rotated by step 1",
        ),
        (
            "c4",
            "RECIPE_ORDER",
            "step 2 (rotate_online): language.0.down: expected its columns not to be split yet, found split by step 1",
        ),
        (
            "fs",
            "RECIPE_ORDER",
            "step 2 (smooth): language.0.qkv: expected its norm to have a gain that takes the scales, found fused by step 1",
        ),
        ("os", "RECIPE_ORDER", "step 2 (smooth): language.0.qkv: expected its stream not to be rotated yet"),
        (
            "4d",
            "RECIPE_ORDER",
            "step 2 (smooth): language.0.down: expected its activation not to be rotated yet, found done by step 1",
        ),
        ("cd", "RECIPE_ORDER", "step 2 (smooth): language.0.down: expected its columns not to be split yet"),
        ("qf", "RECIPE_ORDER", "step 2 (fuse_norms): weights: expected to be float still, found quantised by step 1"),
        ("qh", "RECIPE_ORDER", "step 2 (rotate_heads): weights"),
        ("q4", "RECIPE_ORDER", "weights"),
        ("vc", "RECIPE_ORDER", "weights"),
        ("qs", "RECIPE_ORDER", "weights"),
        ("fl", "RECIPE_DUPLICATE", "step 2 (fuse_norms): language: expected to be done once, found it again in step 1"),
        ("frr", "RECIPE_DUPLICATE", "step 3 (rotate_stream): language"),
        ("oo", "RECIPE_DUPLICATE", "rotate_stream"),
        ("hh", "RECIPE_DUPLICATE", "step 2 (rotate_heads)"),
        ("44", "RECIPE_DUPLICATE", "step 2 (rotate_online): language.0.down"),
        ("ss", "RECIPE_DUPLICATE", "step 2 (smooth): language.0.qkv"),
        ("cc", "RECIPE_DUPLICATE", "step 2 (split_columns)"),
        (
            "qq",
            "RECIPE_DUPLICATE",
            "step 1 (quantize): vision.patch: expected to be done once, found it again in step 2",
        ),
        ("vw", "RECIPE_DUPLICATE", "step 1 (quantize): vision.patch"),
        ("vq", "RECIPE_DUPLICATE", "step 1 (quantize)"),
        (
            "a",
            "RECIPE_NO_MATCH",
            "x.toml:2:1: step 1 (fuse_norms): towers: \"audio\" matches no site of the model, which has vision.patch, 2 vision blocks, 3 language blocks, a projector, a head",
        ),
        ("qm", "RECIPE_NO_MATCH", "step 2 (quantize): sites: \"vision.7\" matches no site"),
        (
            "p",
            "RECIPE_SITE",
            "step 1 (smooth): expected sites with a norm or a linear in front, which takes the scales, found vision.patch",
        ),
    ] {
        let error = check(letters).unwrap_err();
        assert_eq!(error.code(), code, "{letters}: {error}");
        assert!(error.to_string().contains(expected), "{letters}\n{error}\n{expected}");
        assert!(code == "RECIPE_SITE" || error.hint().is_some(), "{letters}");
    }
}

#[test]
fn a_program_s_recipe_is_checked_too_and_names_steps() {
    let smooth = |alpha| Step::Smooth(Smooth { sites: SiteSelector::All, alpha });
    let error = Recipe::new("made", vec![smooth(f64::NAN)]).check(&sites(1, 1)).unwrap_err();
    assert_eq!(error.to_string(), "made: step 1 (smooth): alpha: expected 0 to 1, found NaN");
    let none = SiteSelector::AnyOf(vec![SitePattern::Head]);
    let error = Recipe::new("made", vec![Step::Smooth(Smooth { sites: none, alpha: 0.5 })]).check(&[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "made: step 1 (smooth): sites: \"head\" matches no site of the model, which has none at all"
    );
}

#[test]
fn later_steps_decide_again_and_the_rest_stays_float() {
    let plan = check("f4cqvw").unwrap_err();
    assert_eq!(plan.code(), "RECIPE_DUPLICATE", "the vision step is decided again by the next");
    let plan = check("fr4cqv").unwrap();
    let all = sites(2, 3);
    assert_eq!(plan.sites.iter().map(|site| site.id).collect::<Vec<_>>(), all);
    let site = |name: &str| plan.site(SiteId::parse(name).unwrap()).unwrap();
    assert_eq!((site("vision.1.up").target.bits(), site("vision.1.up").target.input()), (8, InputFormat::PerToken));
    assert_eq!((site("vision.patch").decided_by, site("head").decided_by), (Some(5), Some(4)));
    assert_eq!((site("head").target.bits(), site("projector.up").target.input()), (4, InputFormat::PerTensor));
    let down = site("language.2.down");
    assert_eq!((down.rotation, down.split), (Some(HadamardFallback::Pad), Some(ColumnLimits::default())));
    assert_eq!(
        (site("vision.0.down").rotation, site("language.2.up").split, site("head").smoothing),
        (None, None, None)
    );
    assert_eq!(plan.steps[0].len(), 4 * 5, "blocks of both towers");
    assert_eq!(
        plan.steps[2].iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["language.0.down", "language.1.down", "language.2.down"]
    );
    let partly = check("v").unwrap();
    let head = partly.site(SiteId::HEAD).unwrap();
    assert_eq!((head.target, head.decided_by), (Target::Float, None));
    assert_eq!(partly.site(SiteId::parse("language.3.up").unwrap()), None);
}

#[test]
fn presets_decide_what_their_names_say() {
    let sites = sites(2, 2);
    let named = ["vision.patch", "vision.0.qkv", "projector.up", "language.1.down", "head"];
    use InputFormat::{Float, PerModality, PerTensor, PerToken};
    for (name, expected) in [
        ("rtn-static", [(8, PerTensor), (4, PerTensor), (4, PerTensor), (4, PerTensor), (8, PerTensor)]),
        ("smoothquant-static", [(8, PerTensor), (4, PerTensor), (4, PerTensor), (4, PerTensor), (8, PerTensor)]),
        ("quarot-static", [(8, PerTensor), (4, PerTensor), (4, PerTensor), (4, PerTensor), (8, PerTensor)]),
        ("w4a8-dynamic", [(8, PerToken), (4, PerToken), (4, PerToken), (4, PerToken), (8, PerToken)]),
        ("w4a16-g128", [(16, Float), (4, Float), (4, Float), (4, Float), (8, Float)]),
        ("mquant-w8a8", [(8, PerTensor), (8, PerTensor), (8, PerTensor), (8, PerModality), (8, PerToken)]),
        ("mquant-w8a8-w4a8", [(8, PerTensor), (8, PerTensor), (8, PerTensor), (4, PerModality), (8, PerToken)]),
        ("mquant-w4a8", [(8, PerTensor), (4, PerTensor), (4, PerTensor), (4, PerModality), (8, PerToken)]),
    ] {
        let plan = Recipe::preset(name).unwrap().check(&sites).unwrap();
        let found = named.map(|site| {
            let target = plan.site(SiteId::parse(site).unwrap()).unwrap().target;
            (target.bits(), target.input())
        });
        assert_eq!(found, expected, "{name}");
        let down = plan.site(SiteId::parse("vision.0.down").unwrap()).unwrap();
        let rotates = name.starts_with("mquant") || ["quarot-static", "w4a8-dynamic"].contains(&name);
        assert_eq!(
            (down.rotation.is_some(), down.split.is_some()),
            (rotates, rotates && name != "quarot-static"),
            "{name}"
        );
    }
}
