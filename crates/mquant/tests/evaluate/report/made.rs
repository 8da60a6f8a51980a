//! Records as an evaluation and a quantisation leave them, made up but plausible.

use std::collections::BTreeMap;
use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, Rgb, RgbImage};
use mquant::bundle::FileHash;
use mquant::evaluate::{
    BenchmarkRecord, Blame, EvaluationRecord, Example, GroupCost, Mean, ModelRecord, Paired, Remedy, Sat, TokenRecord,
    Total,
};
use mquant::pipeline::{Restored, SiteReport, Spread, StageReport, UnitReport};
use mquant::report::{BlameRecord, BundleRecord, Provenance, Report, SCHEMA};
use serde_json::json;

/// A number from 0 to 1 that follows from another.
pub(crate) fn chance(seed: u64) -> f64 {
    let mut x = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x >> 11) as f64 / (1u64 << 53) as f64
}

/// A small picture as a `data:` address.
pub(crate) fn picture(seed: u64) -> String {
    let at = |x: u32, y: u32| {
        let inside = (x.abs_diff(80) + y.abs_diff(60)) < 30 + (seed % 3) as u32 * 10;
        if inside { Rgb([200, (seed * 40 % 256) as u8, 40]) } else { Rgb([230, 235, 240]) }
    };
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_fn(160, 120, at).write_to(&mut bytes, ImageFormat::Png).unwrap();
    format!("data:image/png;base64,{}", STANDARD.encode(bytes.into_inner()))
}

fn sat(value: f64, of: f64, seconds: f64) -> Sat {
    let total = |name: &str, value, of| Total { name: name.to_owned(), value, of };
    let mut totals = vec![total("score", value, of)];
    if of > 1000.0 {
        totals.extend([total("perception", value * 0.7, 2000.0), total("cognition", value * 0.3, 800.0)]);
    }
    let width = of * 0.012;
    Sat {
        totals,
        interval: [value - width, (value + width).min(of)],
        prompt_tokens: 12_345,
        answer_tokens: 1_400,
        seconds,
    }
}

fn paired(difference: f64, interval: [f64; 2]) -> Paired {
    Paired { difference, interval, model_only: 3, baseline_only: 4, mcnemar_p: 0.71 }
}

fn example(i: u64) -> Example {
    let (baseline, answer) = match i % 3 {
        0 => ("a red car in front of the house", "a red van in front of a house"),
        1 => ("42", "42"),
        _ => ("Total: 12.50 EUR", "Total: 12.60 EUR"),
    };
    Example {
        index: i.to_string(),
        question: ["What is in the picture?", "How many are there?", "What does the receipt say in its last line?"]
            [i as usize % 3]
            .to_owned(),
        expected: vec![baseline.to_owned()],
        answer: answer.to_owned(),
        score: if answer == baseline { 1.0 } else { 0.0 },
        baseline_answer: Some(baseline.to_owned()),
        baseline_score: Some(1.0),
        picture: Some(picture(i)),
        sounds: 0,
    }
}

fn benchmark(name: &str, of: f64, scores: [f64; 2], paired: Paired) -> BenchmarkRecord {
    let tokens = TokenRecord {
        tokens: 1_432,
        perplexity: 1.0923,
        baseline_perplexity: 1.0871,
        kl: 0.00213,
        kl_max: 0.481,
        top1_agreement: 0.9937,
    };
    BenchmarkRecord {
        name: name.to_owned(),
        metric: if of > 1000.0 { "mme" } else { "anls" }.to_owned(),
        lower_is_better: false,
        samples: 600,
        skipped: Vec::new(),
        model: sat(scores[0], of, 11.5),
        baseline: Some(sat(scores[1], of, 30.2)),
        paired: Some(paired),
        tokens: Some(tokens),
        examples: (0..3).map(example).collect(),
    }
}

/// An evaluation in which `loss` is the one benchmark with a measurable loss, if any.
pub(crate) fn evaluation(loss: Option<&str>) -> EvaluationRecord {
    let names = [
        ("DemoOCRBench", 1000.0, 981.0),
        ("DemoDocVQA", 100.0, 99.31),
        ("DemoTextVQA", 100.0, 98.7),
        ("DemoMME", 2800.0, 2763.0),
    ];
    let benchmarks = names.map(|(name, of, score)| {
        if loss == Some(name) {
            benchmark(name, of, [score - 0.08 * of, score], paired(-0.08 * of, [-0.1 * of, -0.06 * of]))
        } else {
            benchmark(name, of, [score + 0.0007 * of, score], paired(0.0007 * of, [-0.004 * of, 0.006 * of]))
        }
    });
    let model = |name: &str, form: &str, bytes, identity: &str| ModelRecord {
        name: name.to_owned(),
        form: form.to_owned(),
        bytes,
        identity: identity.to_owned(),
    };
    let settings = [("threads", "2"), ("instructions", "avx512vnni"), ("batch", "32"), ("seconds", "167.4")];
    EvaluationRecord {
        schema: "mquant.evaluation/1".to_owned(),
        model: model("demo-stress-w4a8", "mquant-w4a8", 2_709_788, &"ab".repeat(32)),
        baseline: Some(model("demo-stress", "float", 8_421_376, &"cd".repeat(32))),
        settings: settings.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
        mean: None,
        benchmarks: benchmarks.into(),
    }
}

/// A benchmark whose score counts errors: 4.2 % of the baseline's words, and as many more of the model's.
pub(crate) fn error_rate(more: f64, interval: [f64; 2]) -> BenchmarkRecord {
    let metric = "wer".to_owned();
    BenchmarkRecord {
        metric,
        lower_is_better: true,
        ..benchmark("DemoSpeech", 100.0, [4.2 + more, 4.2], paired(more, interval))
    }
}

/// A mean that is `difference` points from the baseline's.
pub(crate) fn mean(difference: f64, interval: [f64; 2]) -> Mean {
    let baseline = 98.7;
    Mean {
        model: baseline + difference,
        interval: [98.0, 99.2],
        baseline: Some(baseline),
        difference: Some(difference),
        difference_interval: Some(interval),
    }
}

/// What costs the accuracy of the model that [`evaluation`] judges.
pub(crate) fn blame() -> BlameRecord {
    let whole = 0.02;
    let cost = |pattern: &str, sites, share: f64| GroupCost {
        pattern: pattern.to_owned(),
        sites,
        kl: whole * (1.0 - share),
        share,
        top1_agreement: 0.99 + 0.005 * share,
    };
    let remedy = |change, kl, bytes| Remedy { pattern: "language.*.down".to_owned(), change, kl, bytes };
    let evaluated = evaluation(None).model;
    BlameRecord {
        model: evaluated.name,
        identity: evaluated.identity,
        blame: Blame {
            samples: 32,
            tokens: 1_234,
            kl: whole,
            top1_agreement: 0.9912,
            towers: vec![cost("language", 24, 0.8), cost("head", 1, 0.01), cost("vision", 17, -0.25)],
            kinds: vec![cost("language.*.down", 6, 0.75), cost("vision.*.qkv", 4, -0.1)],
            blocks: (0..6)
                .map(|block| cost(&format!("language.{block}.down"), 1, 0.1 + 0.01 * f64::from(block)))
                .collect(),
            remedies: vec![
                remedy(Restored::PerToken, 0.018, 0),
                remedy(Restored::EightBits, 0.006, 245_760),
                remedy(Restored::EightBitsPerToken, 0.0055, 245_760),
            ],
            advice: Some("[[step]]\ndo = \"quantize\"\nsites = [\"language.*.down\"]\nbits = 8\n".to_owned()),
            recipe: Some("name = \"mended\"\n".to_owned()),
        },
    }
}

/// How large a model is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) vision_blocks: usize,
    pub(crate) language_blocks: usize,
}

pub(crate) const SMALL: Shape = Shape { vision_blocks: 4, language_blocks: 6 };
pub(crate) const LARGE: Shape = Shape { vision_blocks: 32, language_blocks: 80 };

const STAGES: [&str; 6] =
    ["published", "fuse_norms", "rotate_stream", "rotate_heads", "rotate_online", "split_columns"];

fn spread(middle: f64, peak: f64, seed: u64) -> Spread {
    let jitter = 0.9 + 0.2 * chance(seed);
    let quantiles = [0.4, 0.8, 1.0, 1.3, 1.0 + 0.2 * peak, 1.0 + 0.6 * peak];
    Spread {
        max: (middle * peak * jitter) as f32,
        quantiles: quantiles.map(|q| (middle * q.min(peak)) as f32),
        kurtosis: 3.0 + peak * peak / 8.0,
        channel: (seed % 97) as u32,
    }
}

fn site(seed: u64, kind: &str, modalities: &[&str]) -> SiteReport {
    let stages = STAGES.iter().enumerate().map(|(i, stage)| {
        // Rotation evens channels out, but the online one gathers means in one channel until it is split off.
        let peak = match i {
            0 | 1 => 8.0 + 60.0 * chance(seed).powi(3),
            4 if kind == "down" => 12.0 + 5.0 * chance(seed + 1),
            _ => 1.6 + 0.5 * chance(seed + 2),
        };
        let of = |(m, modality): (usize, &&str)| {
            let size = if *modality == "vision" { 9.0 } else { 0.7 } * (1.0 + chance(seed + 3));
            ((*modality).to_owned(), spread(size, peak, seed * 31 + i as u64 * 7 + m as u64))
        };
        let activation = modalities.iter().enumerate().map(of).collect();
        StageReport { stage: (*stage).to_owned(), activation, weight: spread(0.02, peak, seed * 17 + i as u64) }
    });
    let stages: Vec<StageReport> = stages.collect();
    let last = &stages[stages.len() - 1];
    let of = |f: &dyn Fn(u64) -> f64| -> BTreeMap<String, f64> {
        modalities.iter().enumerate().map(|(m, modality)| ((*modality).to_owned(), f(seed * 5 + m as u64))).collect()
    };
    let absmax: BTreeMap<String, f32> = last.activation.iter().map(|(m, spread)| (m.clone(), spread.max)).collect();
    let rows: BTreeMap<String, u64> = modalities.iter().map(|m| ((*m).to_owned(), 1115)).collect();
    SiteReport {
        weight_bits: 4,
        input: "per_modality".to_owned(),
        scales: absmax.iter().map(|(m, max)| (m.clone(), max / 127.0)).collect(),
        absmax,
        rows: rows.clone(),
        side_columns: if kind == "down" { vec![0] } else { Vec::new() },
        weight_sqnr_db: Some(16.0 + 4.0 * chance(seed + 9)),
        hessian: None,
        notes: if seed.is_multiple_of(11) { vec!["2 rows of the weights are nothing".to_owned()] } else { Vec::new() },
        stages,
        input_sqnr_db: of(&|s| 30.0 + 12.0 * chance(s)),
        clipped: of(&|s| if s.is_multiple_of(3) { 0.0 } else { 1e-5 * 10f64.powf(3.0 * chance(s + 4)) }),
        output_sqnr_db: of(&|s| 17.0 + 14.0 * chance(s + 5)),
        measured_rows: rows,
        ..SiteReport::default()
    }
}

/// A bundle of that shape, with everything it can tell.
pub(crate) fn bundle(shape: Shape) -> BundleRecord {
    let mut sites = BTreeMap::new();
    let mut units = Vec::new();
    let mut add = |name: String, kind: &str, modalities: &[&str]| {
        let seed = sites.len() as u64;
        sites.insert(name, site(seed, kind, modalities));
    };
    add("vision.patch".to_owned(), "patch", &["vision"]);
    add("head".to_owned(), "head", &["text"]);
    for kind in ["up", "down"] {
        add(format!("projector.{kind}"), kind, &["vision"]);
    }
    for (tower, blocks, modalities) in
        [("vision", shape.vision_blocks, &["vision"][..]), ("language", shape.language_blocks, &["text", "vision"][..])]
    {
        for block in 0..blocks {
            for kind in ["qkv", "out", "up", "down"] {
                add(format!("{tower}.{block}.{kind}"), kind, modalities);
            }
            let db = 44.0 - 0.1 * block as f64 - 8.0 * chance(block as u64);
            units.push(UnitReport { unit: format!("{tower}.{block}"), output_sqnr_db: Some(db), learning: None });
        }
    }
    let hash = |bytes| FileHash { bytes, sha256: "0f".repeat(32) };
    BundleRecord {
        name: "demo-stress-w4a8".to_owned(),
        identity: "ab".repeat(32),
        fingerprint: [("recipe", "mquant-w4a8 d0b3056e"), ("level", "avx512vnni"), ("samples", "72 de343ae0")]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
        files: [("model.safetensors".to_owned(), hash(2_709_788)), ("config.json".to_owned(), hash(10_797))].into(),
        provenance: Provenance {
            recipe: "name = \"mquant-w4a8\"\nseed = 0\n\n[calibration]\nsamples = 128\n\n[[step]]\ndo = \"fuse_norms\"\ntowers = [\"vision\", \"language\"]\n"
                .to_owned(),
            samples: 72,
            skipped: vec!["DemoMME.tsv, row 3: the picture is cut off".to_owned()],
            sites,
            units,
            given: json!({"model": "/home/someone/models/demo-stress", "calibration": ["/home/someone/cal.tsv"]}),
        },
    }
}

/// A report of both.
pub(crate) fn report(evaluations: Vec<EvaluationRecord>, bundles: Vec<BundleRecord>) -> Report {
    Report { schema: SCHEMA.to_owned(), version: "0.0.0".to_owned(), evaluations, bundles, blames: Vec::new() }
}
