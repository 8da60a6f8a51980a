//! However much there is to show, the page stays short, and nothing makes it fail.

use mquant::evaluate::{Example, Total};
use mquant::report::{PAGE_BYTES, Report, html, markdown};

use crate::report::made::{LARGE, SMALL, Shape, blame, bundle, evaluation, report};
use crate::report::sources::gathered;

#[test]
fn a_large_model_is_shown_whole() {
    let page = html(&report(vec![evaluation(None)], vec![bundle(LARGE)]));
    assert!(page.len() < PAGE_BYTES / 2, "{}", page.len());
    // 32 blocks with 4 sites of one modality, 80 with 4 of two, 4 outside: in each of three maps.
    let cells = 32 * 4 + 80 * 4 * 2 + 4;
    assert!(page.matches("<td class=\"q").count() >= 3 * cells);
    assert!(!page.contains("left out of this page"));
}

#[test]
fn endless_answers_are_cut() {
    let mut judged = evaluation(None);
    for example in judged.benchmarks.iter_mut().flat_map(|b| &mut b.examples) {
        example.answer = "<\"'&> ".repeat(20_000);
        example.baseline_answer = Some("x".repeat(100_000));
        example.question = "?".repeat(100_000);
    }
    let report = gathered(&judged);
    assert!(report.to_json().len() < 300_000);
    let page = html(&report);
    assert!(page.len() < 600_000 && page.contains('…'), "{}", page.len());
    assert!(markdown(&report).len() < 300_000);
}

#[test]
fn too_much_is_left_out_and_said() {
    // More than fits: a very deep model, and examples that escaping makes six times as long.
    let mut judged = evaluation(None);
    let text = "'".repeat(1_000);
    let example =
        Example { answer: text.clone(), question: text.clone(), baseline_answer: Some(text), ..Example::default() };
    judged.benchmarks = (0..40)
        .map(|i| {
            let mut benchmark = judged.benchmarks[0].clone();
            benchmark.name = format!("benchmark {i}");
            benchmark.examples = vec![example.clone(); 12];
            benchmark
        })
        .collect();
    let deep = Shape { vision_blocks: 40, language_blocks: 200 };
    let page = html(&report(vec![judged], vec![bundle(deep), bundle(deep), bundle(SMALL)]));
    assert!(page.len() <= PAGE_BYTES, "{}", page.len());
    assert!(page.contains("left out of this page"));
    assert!(page.contains("<h2>Scores</h2>"));
}

#[test]
fn odd_numbers_do_no_harm() {
    let mut judged = evaluation(None);
    for (i, benchmark) in judged.benchmarks.iter_mut().enumerate() {
        let odd = [f64::NAN, f64::INFINITY, 0.0, -1e300][i];
        benchmark.model.totals = vec![Total { name: "score".to_owned(), value: odd, of: odd }];
        benchmark.model.interval = [odd, f64::NEG_INFINITY];
        benchmark.model.seconds = odd;
        (benchmark.model.prompt_tokens, benchmark.model.answer_tokens) = (usize::MAX, usize::MAX);
        let paired = benchmark.paired.as_mut().unwrap();
        (paired.difference, paired.interval, paired.mcnemar_p) = (odd, [f64::NAN, odd], odd);
        benchmark.tokens.as_mut().unwrap().tokens = usize::MAX;
        benchmark.tokens.as_mut().unwrap().top1_agreement = odd;
    }
    judged.model.bytes = u64::MAX;
    let mut made = bundle(SMALL);
    for (i, site) in made.provenance.sites.values_mut().enumerate() {
        let odd = [f32::NAN, f32::INFINITY, 0.0, -1.0, f32::MIN_POSITIVE, f32::MAX][i % 6];
        site.absmax.values_mut().for_each(|v| *v = odd);
        site.output_sqnr_db.values_mut().for_each(|v| *v = f64::from(odd));
        site.clipped.values_mut().for_each(|v| *v = f64::from(odd));
        site.weight_sqnr_db = Some(f64::from(odd));
        for stage in &mut site.stages {
            for spread in stage.activation.values_mut().chain([&mut stage.weight]) {
                (spread.max, spread.quantiles, spread.kurtosis) = (odd, [odd; 6], f64::from(odd));
            }
        }
    }
    made.files.values_mut().for_each(|file| file.bytes = u64::MAX);
    let mut found = blame();
    for (i, cost) in found.blame.kinds.iter_mut().chain(&mut found.blame.towers).enumerate() {
        let odd = [f64::NAN, f64::NEG_INFINITY, -1e300, 1e300, 0.0][i];
        (cost.kl, cost.share, cost.top1_agreement, cost.sites) = (odd, odd, odd, usize::MAX);
    }
    found.blame.kl = f64::NAN;
    found.blame.remedies[0].bytes = u64::MAX;
    judged.mean = Some(crate::report::made::mean(f64::NAN, [f64::INFINITY, f64::NAN]));
    let found = vec![found];
    let report = Report { blames: found, ..report(vec![judged.clone(), judged], vec![made.clone(), made]) };
    let page = html(&report);
    for wrong in ["NaN", "\"inf", " inf", ">inf"] {
        assert!(
            !page.contains(wrong),
            "{wrong}: {}",
            page.split(wrong).next().unwrap().chars().rev().take(80).collect::<String>()
        );
    }
    assert!(!markdown(&report).is_empty());
}
