//! What the page says.

use mquant::evaluate::Paired;
use mquant::report::{Report, html};

use crate::report::made::{SMALL, blame, bundle, evaluation, mean, report};

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
fn the_mean_over_benchmarks_has_an_interval_where_it_is_known() {
    let page = |difference, interval, loss| {
        let judged = mquant::evaluate::EvaluationRecord { mean: Some(mean(difference, interval)), ..evaluation(loss) };
        html(&report(vec![judged], Vec::new()))
    };
    let verdict = |page: &str| between(page, "<p class=\"verdict ", "</p>").to_owned();
    let unclear = page(-0.29, [-0.6, 0.0], None);
    let expected = "reaches 98.41 % on average of 4 benchmarks, the float model 98.70 %: −0.29 points (−0.60 to 0.00), \
                    no measurable loss; 3.1× smaller.";
    assert!(verdict(&unclear).starts_with("good") && verdict(&unclear).ends_with(expected), "{}", verdict(&unclear));
    let clear = verdict(&page(-0.29, [-0.6, -0.1], None));
    assert!(
        clear.starts_with("bad") && clear.contains(": −0.29 points (−0.60 to −0.10), a measurable loss on average;")
    );
    let on_one = verdict(&page(-0.29, [-0.6, 0.1], Some("DemoDocVQA")));
    assert!(
        on_one.starts_with("bad") && on_one.contains("−0.29 points (−0.60 to +0.10), a measurable loss on DemoDocVQA;"),
        "{on_one}"
    );
    // The first row of the table: the baseline's mean has no interval, and McNemar's test has nothing to say.
    let row = between(&unclear, "<tr class=\"mean\">", "</tr>");
    assert!(row.contains("<bdi>Mean of 4 benchmarks</bdi>") && row.contains("<b>98.70</b></td>"), "{row}");
    assert!(
        row.contains("<b>98.41</b>") && row.contains("98.00 to 99.20") && row.contains("(−0.60 to 0.00)</span>"),
        "{row}"
    );
    assert_eq!((row.matches("<svg").count(), row.matches(", p").count()), (1, 0));
    assert!(unclear.find("Mean of 4").unwrap() < unclear.find("<bdi>DemoOCRBench").unwrap());
    assert!(!html(&report(vec![evaluation(None)], Vec::new())).contains("Mean of"));
}

#[test]
fn means_over_other_benchmarks_have_rows_of_their_own() {
    let mut both = [evaluation(None), evaluation(None)];
    both.iter_mut().for_each(|judged| judged.mean = Some(mean(0.0, [-0.1, 0.1])));
    let rows = |both: &[_; 2]| html(&report(both.to_vec(), Vec::new())).matches("<tr class=\"mean\">").count();
    assert_eq!(rows(&both), 1);
    both[1].benchmarks.pop();
    assert_eq!(rows(&both), 2);
    both[0].benchmarks.truncate(1);
    // A mean of one benchmark is its score.
    assert_eq!(rows(&both), 1);
}

#[test]
fn equal_scores_are_called_so() {
    let mut judged = evaluation(None);
    judged.benchmarks[1].paired = Some(Paired { mcnemar_p: 1.0, ..Paired::default() });
    let page = html(&report(vec![judged], Vec::new()));
    let row = between(&page, "<bdi>DemoDocVQA</bdi>", "</tr>");
    assert!(row.contains("±0.00<br>the same score</span>"), "{row}");
    assert!(!page.contains("to ±0") && !page.contains("(±0"));
}

#[test]
fn parts_of_a_score_are_folded() {
    let page = html(&report(vec![evaluation(None)], Vec::new()));
    let parts = between(&page, "<summary>Parts of <bdi>DemoMME</bdi></summary>", "</details>");
    assert_eq!(page.matches("<summary>Parts of").count(), 1);
    // 0.7 of 2763 points, and of 1.96 more; the float model is the left one.
    let row = between(parts, "<bdi>perception</bdi>", "</tr>");
    assert!(row.contains("of 2000"), "{row}");
    let (float, own) = row.split_once("</td><td>").unwrap();
    assert!(float.contains("1934.1") && !float.contains('+'), "{float}");
    assert!(own.contains("1935.5<br><span class=\"soft\">+1.4</span>"), "{own}");
}

#[test]
fn figures_of_several_models_stand_side_by_side() {
    let mut other = evaluation(Some("DemoDocVQA"));
    (other.model.name, other.model.identity) = ("rtn".to_owned(), "ef".repeat(32));
    let page = html(&report(vec![other, evaluation(None)], vec![bundle(SMALL)]));
    assert!(!page.contains("<dl class=\"figures\">") && page.contains("<h1>rtn and 1 more</h1>"));
    let table = between(&page, "<table class=\"overview\">", "</table>");
    let rows: Vec<&str> = table.split("<tr>").skip(2).collect();
    assert_eq!(rows.len(), 2);
    // The bundle is the second model's: nothing is known of the sites of the first.
    assert!(rows[0].contains("rtn (mquant-w4a8)") && rows[0].contains("<td>–</td></tr>"), "{}", rows[0]);
    assert!(rows[1].contains(" dB</b>") && !rows[1].contains('–'), "{}", rows[1]);
}

#[test]
fn what_costs_the_accuracy_is_told_with_a_remedy() {
    let page = |bundles| html(&Report { blames: vec![blame()], ..report(vec![evaluation(None)], bundles) });
    let shown = page(vec![bundle(SMALL)]);
    let section = between(&shown, "<h2>What costs the accuracy</h2>", "</section>");
    let place = |text: &str| shown.find(text).unwrap_or_else(|| panic!("no {text}"));
    assert!(
        place("<h2>Where the error is") < place("<h2>What costs") && place("<h2>What costs") < place("<h2>Activation")
    );
    assert!(section.contains("language.*.down: with its floats, 75.0 % of that distance goes away."), "{section}");
    // Of eleven groups two had cancelled errors of others.
    assert_eq!((section.matches("class=\"cost\"").count(), section.matches("class=\"gain\"").count()), (9, 2));
    assert!(section.contains("−25.0 %") && section.contains("<caption>Blocks of language.*.down</caption>"));
    // As it is, three remedies, and floats: 0.02 to 0.018 is a tenth.
    let remedies = between(section, "<caption>Other formats for language.*.down</caption>", "</table>");
    assert_eq!(remedies.matches("<tr>").count(), 1 + 5);
    assert!(
        remedies.contains("a scale for each token</th><td>0.0180</td><td>10.0 %</td><td>nothing</td>"),
        "{remedies}"
    );
    assert!(remedies.contains("<td>245.8 kB</td>") && section.contains("do = &quot;quantize&quot;"));
    // Without the bundle it is there as well, and without blame not at all.
    assert!(page(Vec::new()).contains("<h2>What costs the accuracy</h2>"));
    assert!(!html(&report(vec![evaluation(None)], vec![bundle(SMALL)])).contains("What costs"));
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
fn nothing_clipped_is_said_without_a_map() {
    let mut made = bundle(SMALL);
    let clipped = |page: &str| between(page, "<summary>Clipped share", "</details>").matches("<td class=\"q").count();
    assert_eq!(clipped(&html(&report(Vec::new(), vec![made.clone()]))), 68);
    made.provenance.sites.values_mut().flat_map(|site| site.clipped.values_mut()).for_each(|share| *share = 0.0);
    let page = html(&report(Vec::new(), vec![made]));
    assert!(page.contains("Clipped share: nothing was clipped</summary>"));
    assert_eq!(clipped(&page), 0);
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
fn a_model_without_transforms_is_not_called_unknown() {
    let mut made = bundle(SMALL);
    for site in made.provenance.sites.values_mut() {
        site.stages.truncate(1);
        site.side_columns.clear();
    }
    let page = html(&report(Vec::new(), vec![made]));
    assert!(page.contains("No transform changed this model") && !page.contains("does not tell"));
    let outliers = between(&page, "<h2>Weight outliers</h2>", "</section>");
    let legend = between(outliers, "<p class=\"legend\">", "</p>");
    assert!(legend.contains("as published") && !legend.contains("rotated") && !legend.contains("split"), "{legend}");
    assert!(outliers.contains("the median one.</b>") && !outliers.contains("as it is quantised"));
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
    let one = report(vec![evaluation(None)], vec![bundle(SMALL)]);
    let judged = mquant::evaluate::EvaluationRecord { mean: Some(mean(0.1, [0.0, 0.2])), ..evaluation(None) };
    let several = report(vec![evaluation(None), judged], vec![bundle(SMALL), bundle(SMALL)]);
    for report in [one, several] {
        whole_and_the_same(&Report { blames: vec![blame()], ..report });
    }
}

fn whole_and_the_same(report: &Report) {
    let page = html(report);
    assert_eq!(page, html(&report.clone()));
    for tag in [
        "table", "thead", "tbody", "tr", "th", "td", "section", "details", "figure", "svg", "g", "dl", "dt", "dd", "p",
        "div",
    ] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}
