//! What the page says.

use mquant::report::html;

use crate::made::{SMALL, bundle, evaluation, report};

/// The text between two marks, the first time they occur.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap_or_else(|| panic!("no {from}")) + from.len();
    let end = text[start..].find(to).unwrap_or_else(|| panic!("no {to}"));
    &text[start..start + end]
}

#[test]
fn the_verdict_says_what_the_intervals_say() {
    let verdict = |loss| {
        let page = html(&report(vec![evaluation(loss)], Vec::new()));
        between(&page, "<p class=\"verdict ", "</p>").to_owned()
    };
    // By hand: (98.1 + 99.31 + 98.7 + 98.679) / 4 = 98.697, each 0.07 more; 8,421,376 / 2,709,788 = 3.11.
    let expected = "good\">demo-stress-w4a8 (mquant-w4a8) reaches 98.77 % on average of 4 benchmarks, the float model 98.70 %: \
                    no measurable loss; 3.1× smaller.";
    assert_eq!(verdict(None), expected);
    let lossy = verdict(Some("DemoDocVQA"));
    assert!(lossy.starts_with("bad\">") && lossy.contains(": a measurable loss on DemoDocVQA;"), "{lossy}");
    let page = html(&report(vec![evaluation(None)], Vec::new()));
    // The benchmark with the lowest end in shares of its points: 0.4 of 100, the first of them.
    let caution = between(&page, "<p class=\"caution\">", "</p>");
    assert!(
        caution.contains("a loss of up to 4.00 points on DemoOCRBench (600 samples, 95 % confidence)"),
        "{caution}"
    );
}

#[test]
fn without_a_paired_comparison_nothing_is_claimed() {
    let mut judged = evaluation(None);
    judged.benchmarks.iter_mut().for_each(|b| b.paired = None);
    let page = html(&report(vec![judged.clone()], Vec::new()));
    assert!(
        page.contains("not compared sample by sample") && !page.contains("no measurable"),
        "a claim without a reason"
    );
    judged.baseline = None;
    judged.benchmarks.iter_mut().for_each(|b| b.baseline = None);
    assert!(html(&report(vec![judged], Vec::new())).contains("It was not compared with another model."));
}

#[test]
fn several_evaluations_of_one_baseline_share_its_column() {
    let mut other = evaluation(Some("DemoDocVQA"));
    other.model.name = "rtn".to_owned();
    let headings = |report| {
        let page = html(&report);
        let head = between(&page, "<table class=\"scores\">", "</thead>").to_owned();
        head.matches("<bdi>").count()
    };
    assert_eq!(headings(report(vec![evaluation(None), other.clone()], Vec::new())), 3);
    // A baseline that reached something else is another column.
    other.benchmarks[0].baseline.as_mut().unwrap().totals[0].value -= 1.0;
    assert_eq!(headings(report(vec![evaluation(None), other], Vec::new())), 4);
}

#[test]
fn every_cell_of_the_map_is_a_number_with_its_colour() {
    let mut made = bundle(SMALL);
    for (name, site) in &mut made.provenance.sites {
        let db = if name == "language.3.up" { 5.0 } else { 40.0 };
        site.output_sqnr_db.values_mut().for_each(|value| *value = db);
        site.weight_sqnr_db = None;
    }
    let page = html(&report(Vec::new(), vec![made]));
    let map = between(&page, "Error of what a site computes", "</details>");
    // Two modalities of the one site are the worst step, the other 4·4 + 6·4·2 + 4 − 2 cells the best.
    assert_eq!(map.matches("<td class=\"q0 worst\">5.0</td>").count(), 2, "{map}");
    assert_eq!(map.matches("<td class=\"q11\">40.0</td>").count(), 66);
    // Blocks as a whole have numbers without a colour.
    assert_eq!(map.matches("<td class=\"plain\">").count(), 10);
    assert!(!page.contains("Error of rounding the weights"), "a map of nothing");
    assert!(
        page.contains("<dd class=\"value\">5.0 dB</dd><dd class=\"more\">signal to noise, at language.3.up, text</dd>")
    );
}

#[test]
fn drawings_show_before_and_after() {
    let page = html(&report(Vec::new(), vec![bundle(SMALL)]));
    let ranges = between(&page, "<h2>Activation ranges</h2>", "</section>");
    // Eight kinds: of vision two lines each, of language four; and four sites transform by transform.
    assert_eq!(ranges.matches("<figure>").count(), 8 + 4);
    assert_eq!(ranges.matches("<g class=\"s-vision was\">").count(), 8);
    assert_eq!(ranges.matches("<g class=\"s-text was\">").count(), 4);
    let outliers = between(&page, "<h2>Weight outliers</h2>", "</section>");
    assert_eq!(outliers.matches("<figure>").count(), 8 + 3);
    assert!(outliers.contains("11 channels are computed beside the main product, at 11 sites."));
    assert_eq!(page.matches("NaN").count() + page.matches(">inf").count(), 0);
}

#[test]
fn what_is_absent_is_left_out_with_a_sentence() {
    let mut bare = bundle(SMALL);
    for site in bare.provenance.sites.values_mut() {
        site.stages.clear();
        site.output_sqnr_db.clear();
        site.input_sqnr_db.clear();
        site.clipped.clear();
    }
    let page = html(&report(Vec::new(), vec![bare.clone()]));
    assert!(page.contains("does not tell what activations looked like before the transforms"));
    assert!(page.contains("does not tell what its weights looked like before"));
    assert!(page.contains("No evaluation was named") && page.contains("There are no samples to look at"));
    assert!(!page.contains("Clipped share"));
    // Without errors of sites, those of blocks have the colours.
    assert!(between(&page, "Error of what a block computes", "</details>").contains("<td class=\"q0"));
    bare.provenance = Default::default();
    let page = html(&report(Vec::new(), vec![bare]));
    assert!(page.contains("does not tell the errors of its sites") && page.contains("does not tell the ranges"));
    assert!(html(&report(vec![evaluation(None)], Vec::new())).contains("No bundle was named"));
    let mut stranger = evaluation(None);
    stranger.model.identity = "another".to_owned();
    assert!(html(&report(vec![stranger], vec![bundle(SMALL)])).contains("judged another model than the bundle"));
    assert!(!html(&report(vec![evaluation(None)], vec![bundle(SMALL)])).contains("judged another model"));
}

#[test]
fn answers_that_differ_come_first_and_are_marked() {
    let page = html(&report(vec![evaluation(None)], Vec::new()));
    let articles: Vec<&str> = page.split("<article").skip(1).collect();
    let differs: Vec<bool> = articles.iter().map(|article| article.contains("· differs")).collect();
    assert_eq!((differs.len(), differs.iter().filter(|d| **d).count()), (12, 8));
    assert!(differs.windows(2).all(|pair| pair[0] >= pair[1]), "{differs:?}");
    assert!(articles[0].contains("a red <del>car</del> in front of <del>the</del> house"), "{}", articles[0]);
    assert!(articles[0].contains("a red <ins>van</ins> in front of <ins>a</ins> house"));
    assert!(articles[0].contains("<img src=\"data:image&#x2f;png;base64,"));
}

#[test]
fn equal_reports_give_equal_bytes_and_every_tag_is_closed() {
    let report = report(vec![evaluation(None)], vec![bundle(SMALL)]);
    let page = html(&report);
    assert_eq!(page, html(&report.clone()));
    for tag in [
        "table", "thead", "tbody", "tr", "th", "td", "section", "details", "figure", "svg", "g", "dl", "dt", "dd", "p",
        "div",
    ] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}
