//! Text to recipe and back; what is wrong with a text.

use super::{Noise, recipe, sites};
use crate::recipe::*;
use mquant_model::error::{Class, Explain};
use mquant_model::nn::{CacheFormat, Tower};

#[test]
fn every_preset_is_read_checked_and_written_back() {
    let sites = sites(32, 28);
    for preset in PRESETS {
        let recipe = Recipe::preset(preset.name).unwrap();
        assert_eq!(recipe.name, preset.name);
        assert!(recipe.description.len() > 20 && preset.toml.starts_with("# "), "{}", preset.name);
        let plan = recipe.check(&sites).unwrap();
        assert!(plan.sites.iter().all(|site| site.decided_by.is_some()), "{}: an undecided site", preset.name);
        let text = recipe.to_toml();
        let again = Recipe::parse(&text, "written.toml").unwrap();
        assert_eq!(again, recipe);
        assert_eq!(again.to_toml(), text);
    }
    assert_eq!(PRESETS.len(), 14);
    let unknown = Recipe::preset("w2a2").unwrap_err();
    assert_eq!((unknown.code(), unknown.class()), ("RECIPE_UNKNOWN", Class::Usage));
    assert!(unknown.to_string().contains("mquant-w4a8"), "{unknown}");
}

#[test]
fn every_preset_file_is_in_the_list() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/recipe/presets");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let mut listed: Vec<_> = PRESETS.iter().map(|preset| format!("{}.toml", preset.name)).collect();
    listed.sort();
    assert_eq!(files, listed);
}

#[test]
fn what_is_not_said_is_the_default() {
    let read = recipe("").unwrap();
    assert_eq!(read, Recipe::new("x", Vec::new()));
    assert_eq!((read.seed, read.kv_cache), (0, CacheFormat::Codes));
    let Calibration { samples, sequential, observer, sinks, max_tokens, generated_tokens } = read.calibration;
    assert_eq!((samples, sequential, observer, sinks), (128, Sequential::Block, Observer::MinMax, Sinks::Keep));
    assert_eq!((max_tokens, generated_tokens), (None, 20));
    let text = "kv_cache = \"float\"\n[calibration]\nobserver = \"percentile\"\nsequential = \"site\"\nsinks = \"per_token\"\nmax_tokens = 9\n\
                [[step]]\ndo = \"smooth\"\nsites = \"head\"\n[[step]]\ndo = \"split_columns\"\nsites = [\"head\"]\n\
                [[step]]\ndo = \"quantize\"\nsites = \"all\"\nweight_bits = 8\nmethod = \"gptq\"\ninput = \"per_token\"";
    let read = recipe(text).unwrap();
    assert_eq!(read.calibration.observer, Observer::Percentile(0.99999));
    assert_eq!((read.calibration.sequential, read.calibration.max_tokens), (Sequential::Site, Some(9)));
    assert_eq!(read.calibration.sinks, Sinks::PerToken);
    assert_eq!(read.kv_cache, CacheFormat::Float);
    let only_head = SiteSelector::AnyOf(vec![SitePattern::Head]);
    assert_eq!(read.steps[0], Step::Smooth(Smooth { sites: only_head.clone(), alpha: 0.5 }));
    let limits = ColumnLimits { ratio: 1.5, at_most: 16 };
    assert_eq!(read.steps[1], Step::SplitColumns(SplitColumns { sites: only_head, limits }));
    let Step::Quantize(Quantize { sites: SiteSelector::All, target: Target::Int { method, clip, .. } }) = read.steps[2]
    else {
        panic!("{:?}", read.steps[2]);
    };
    assert_eq!(method, WeightMethod::Gptq { damping: 0.01, act_order: ActOrder::Descending });
    assert_eq!(clip, Clip::None);
}

#[test]
fn texts_and_numbers_survive_being_written() {
    let mut made = Recipe::new("x", Vec::new());
    made.description = "a \"b\" \\ \t\u{7f}\u{1b}[0m é\n[[step]]\n'''".to_owned();
    made.seed = i64::MAX as u64;
    made.calibration.observer = Observer::Percentile(1.0);
    made.steps.push(Step::Smooth(Smooth { sites: SiteSelector::All, alpha: 1e-7 }));
    made.steps.push(Step::Smooth(Smooth { sites: SiteSelector::All, alpha: 1.0 }));
    let text = made.to_toml();
    assert_eq!(Recipe::parse(&text, "x").unwrap(), made);
    assert!(text.contains("alpha = 1e-7") && text.contains("alpha = 1.0"), "{text}");
}

#[test]
fn what_is_wrong_is_told_with_line_and_column() {
    let q = "[[step]]\ndo = \"quantize\"\nsites = \"all\"\n";
    for (steps, code, expected) in [
        ("seed = ", "RECIPE_SYNTAX", "x.toml:2:8: "),
        ("seed = -1", "RECIPE_SYNTAX", "x.toml:2:8: invalid value: integer `-1`, expected u64"),
        ("sed = 1", "RECIPE_SYNTAX", "x.toml:2:1: unknown field `sed`"),
        ("kv_cache = \"int4\"", "RECIPE_SYNTAX", "x.toml:2:12: expected one of \"int8\", \"float\", found \"int4\""),
        ("[calibration]\nsample = 1", "RECIPE_SYNTAX", "x.toml:3:1: unknown field `sample`, expected one of"),
        ("[calibration]\nsamples = 1.5", "RECIPE_SYNTAX", "x.toml:3:11: invalid type: floating point `1.5`"),
        (
            "[calibration]\npercentile = 0.9",
            "RECIPE_CONFLICT",
            "calibration.percentile: expected absent where observer is \"min_max\", found 0.9",
        ),
        ("[calibration]\nsamples = 0", "RECIPE_RANGE", "x.toml: calibration.samples: expected 1 to 65536, found 0"),
        (
            "[calibration]\nobserver = \"percentile\"\npercentile = nan",
            "RECIPE_RANGE",
            "calibration.percentile: expected above 0.5, at most 1, found NaN",
        ),
        ("step = 3", "RECIPE_SYNTAX", "x.toml:2:8: expected tables [[step]]"),
        ("step = [3]", "RECIPE_SYNTAX", "x.toml:2:9: step 1 (?): expected a table"),
        (
            "[[step]]\nsites = \"all\"",
            "RECIPE_SYNTAX",
            "x.toml:2:1: step 1 (?): expected a field `do`, one of \"fuse_norms\"",
        ),
        ("[[step]]\ndo = \"quantise\"", "RECIPE_SYNTAX", "x.toml:3:6: step 1 (?): do: expected one of \"fuse_norms\""),
        (
            "[[step]]\ndo = \"fuse_norms\"\ntower = []",
            "RECIPE_SYNTAX",
            "x.toml:4:1: step 1 (fuse_norms): unknown field `tower`, expected `towers`",
        ),
        (
            "[[step]]\ndo = \"rotate_stream\"",
            "RECIPE_SYNTAX",
            "x.toml:2:1: step 1 (rotate_stream): missing field `kind`",
        ),
        (
            "[[step]]\ndo = \"fuse_norms\"\ntowers = []",
            "RECIPE_RANGE",
            "x.toml:2:1: step 1 (fuse_norms): towers: expected at least one tower, each once, found []",
        ),
        ("[[step]]\ndo = \"fuse_norms\"\ntowers = [\"vision\", \"vision\"]", "RECIPE_RANGE", "found [vision, vision]"),
        (
            "[[step]]\ndo = \"fuse_norms\"\ntowers = [\"visual\"]",
            "RECIPE_SYNTAX",
            "x.toml:4:11: step 1 (fuse_norms): expected one of \"vision\", \"audio\", \"language\", found \"visual\"",
        ),
        (
            "[[step]]\ndo = \"smooth\"\nsites = [\"head\", \"lm_head\"]",
            "RECIPE_SYNTAX",
            "x.toml:4:18: step 1 (smooth): expected a pattern such as",
        ),
        ("[[step]]\ndo = \"smooth\"\nsites = []", "RECIPE_RANGE", "sites: expected at least one pattern, found none"),
        (
            "[[step]]\ndo = \"smooth\"\nsites = 3",
            "RECIPE_SYNTAX",
            "x.toml:4:9: step 1 (smooth): invalid type: integer `3`, expected \"all\", a pattern of sites, or a list of patterns",
        ),
        (
            "[[step]]\ndo = \"smooth\"\nsites = \"head\"\nalpha = 1.5",
            "RECIPE_RANGE",
            "x.toml:2:1: step 1 (smooth): alpha: expected 0 to 1, found 1.5",
        ),
        (
            "[[step]]\ndo = \"compensate\"\nsites = \"language\"",
            "RECIPE_CONFLICT",
            "rank_ratio: expected one of rank_ratio, rank and budget, found none of them",
        ),
        (
            "[[step]]\ndo = \"compensate\"\nsites = \"language\"\nrank = 8\nbudget = 0.1",
            "RECIPE_CONFLICT",
            "budget: expected one of rank_ratio, rank and budget, found 0.1 too",
        ),
        (
            "[[step]]\ndo = \"compensate\"\nsites = \"language\"\nrank = 0",
            "RECIPE_RANGE",
            "rank: expected 1 to 65536, found 0",
        ),
        (
            "[[step]]\ndo = \"compensate\"\nsites = \"language\"\nrank_ratio = 1.5",
            "RECIPE_RANGE",
            "rank_ratio: expected above 0, at most 1, found 1.5",
        ),
        (
            "[[step]]\ndo = \"smooth_modalities\"\nsites = \"language\"\nform = \"deployed\"",
            "RECIPE_CONFLICT",
            "form: expected absent where epochs is 0, found \"deployed\"",
        ),
        (
            "[[step]]\ndo = \"smooth_modalities\"\nsites = \"language\"\nepochs = 2\nloss_weights = { smell = 1.0 }",
            "RECIPE_CONFLICT",
            "loss_weights: expected the names of modalities: text, vision, audio, found \"smell\"",
        ),
        (
            "[[step]]\ndo = \"smooth_modalities\"\nsites = \"language\"\nepochs = 2\nlearning_rate = 0.0",
            "RECIPE_RANGE",
            "learning_rate: expected above 0, at most 1, found 0",
        ),
        (
            &format!("{q}weight_bits = 4\ninput = \"per_token\"\ninput_bits = 7"),
            "RECIPE_RANGE",
            "input_bits: expected 6 or 8, found 7",
        ),
        (
            &format!("{q}weight_bits = 4\ninput = \"float\"\ninput_bits = 6"),
            "RECIPE_CONFLICT",
            "input_bits: expected absent where input is \"float\", found 6",
        ),
        (
            "[[step]]\ndo = \"split_columns\"\nsites = \"head\"\nratio = 0.5",
            "RECIPE_RANGE",
            "ratio: expected 1 to 1000000, found 0.5",
        ),
        (
            "[[step]]\ndo = \"split_columns\"\nsites = \"head\"\nat_most = 0",
            "RECIPE_RANGE",
            "at_most: expected 1 to 256, found 0",
        ),
        (
            &format!("{q}weight_bits = 3\ninput = \"float\""),
            "RECIPE_RANGE",
            "weight_bits: expected 4, 8 or 16, found 3",
        ),
        (
            &format!("{q}weight_bits = 4"),
            "RECIPE_CONFLICT",
            "input: expected one of \"float\", \"per_tensor\", \"per_modality\", \"per_token\" where weight_bits is 4, found nothing",
        ),
        (
            &format!("{q}weight_bits = 16\ninput = \"per_token\""),
            "RECIPE_CONFLICT",
            "input: expected \"float\" where weight_bits is 16, found \"per_token\"",
        ),
        (
            &format!("{q}weight_bits = 16\nmethod = \"gptq\""),
            "RECIPE_CONFLICT",
            "method: expected absent where weight_bits is 16, found \"gptq\"",
        ),
        (
            &format!("{q}weight_bits = 16\ngroup_size = 32"),
            "RECIPE_CONFLICT",
            "group_size: expected absent where weight_bits is 16, found 32",
        ),
        (
            &format!("{q}weight_bits = 4\ninput = \"float\"\ndamping = 0.1"),
            "RECIPE_CONFLICT",
            "damping: expected absent where method is \"rtn\", found 0.1",
        ),
        (
            &format!("{q}weight_bits = 4\ninput = \"float\"\ngroup_size = 48"),
            "RECIPE_RANGE",
            "group_size: expected 32, 64 or 128, found 48",
        ),
        (
            &format!("{q}weight_bits = 4\ninput = \"float\"\nmethod = \"gptq\"\ndamping = 0"),
            "RECIPE_RANGE",
            "damping: expected above 0, at most 1, found 0",
        ),
    ] {
        let error = recipe(steps).unwrap_err();
        assert_eq!((error.code(), error.class()), (code, Class::Input), "{steps}: {error}");
        assert!(error.to_string().contains(expected), "{steps}\n{error}\n{expected}");
    }
    // Without towers a step is about all that there are.
    let all = recipe("[[step]]\ndo = \"fuse_norms\"").unwrap();
    assert_eq!(all.steps[0].towers(), Tower::ALL);
    assert!(!all.steps[0].names_towers() && !all.to_toml().contains("towers"), "{}", all.to_toml());
    let missing = Recipe::parse("seed = 1", "y.toml").unwrap_err();
    assert!(missing.to_string().contains("y.toml:1:1: missing field `name`"), "{missing}");
    for name in ["", "A", "a b", "-a", &"a".repeat(65)] {
        let error = Recipe::parse(&format!("name = \"{name}\""), "y.toml").unwrap_err();
        assert_eq!(error.code(), "RECIPE_RANGE", "{name}");
    }
}

#[test]
fn files_are_named_and_long_ones_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    let code = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Recipe::read(&path).unwrap_err()
    };
    assert_eq!(Recipe::read(&path).unwrap_err().to_string(), "mine.toml: cannot be read");
    assert_eq!(code(b"name = \"\xff\"").to_string(), "mine.toml: expected UTF-8 text, found another byte at 8");
    assert_eq!(code(&vec![b'#'; MAX_BYTES as usize + 1]).code(), "RECIPE_LENGTH");
    std::fs::write(&path, PRESETS[0].toml).unwrap();
    assert_eq!(Recipe::read(&path).unwrap(), Recipe::preset(PRESETS[0].name).unwrap());
}

#[test]
fn no_text_is_repeated_at_length_and_none_panics() {
    let long = "x".repeat(5000);
    for text in [
        format!("{long} = 1"),
        format!("name = \"{long}"),
        format!("name = \"{long}\""),
        format!("seed = \"{long}\""),
        format!("name = \"x\"\n[[step]]\ndo = \"{long}\""),
        format!("name = \"x\"\n[[step]]\ndo = \"smooth\"\nsites = \"{long}\""),
        format!("name = \"x\"\n[[step]]\ndo = \"smooth\"\n{long} = 1"),
        format!("name = \"x\"\n[[step]]\ndo = \"smooth\"\nsites = {}1", "[".repeat(5000)),
        "[[step]]\n".repeat(1000),
        format!("name = \"x\"\n{}", "[[step]]\ndo = \"smooth\"\nsites = \"all\"\n".repeat(300)),
    ] {
        let error = Recipe::parse(&text, "x.toml").unwrap_err().to_string();
        assert!(error.len() < 500, "{} bytes: {error}", error.len());
    }
    let mut noise = Noise(11);
    let (mut refused, sites) = (0, sites(2, 2));
    for round in 0..4000 {
        let mut bytes = PRESETS[round % PRESETS.len()].toml.as_bytes().to_vec();
        for _ in 0..1 + noise.below(4) {
            let at = noise.below(bytes.len());
            match noise.below(3) {
                0 => bytes[at] = b"\"[]=.#\n-0923eabi{}"[noise.below(18)],
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let Ok(text) = std::str::from_utf8(&bytes) else { continue };
        match Recipe::parse(text, "x.toml").and_then(|recipe| recipe.check(&sites).map(|_| recipe)) {
            Ok(recipe) => assert_eq!(Recipe::parse(&recipe.to_toml(), "x.toml").unwrap(), recipe),
            Err(error) => {
                refused += 1;
                assert!(error.to_string().len() < 800, "{error}");
            }
        }
    }
    assert!(refused > 1000, "{refused} of the mutations were refused");
}
