//! Text and pictures of strangers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mquant::report::{Report, html, markdown};
use sha2::{Digest, Sha256};

use crate::report::made::{SMALL, blame, bundle, evaluation, picture, report};
use crate::report::sources::gathered;

const SCRIPT: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{202e}evil\u{0}&lt;`|";

/// The hostile text in every field that holds text.
fn hostile() -> Report {
    let mut judged = evaluation(None);
    for model in [&mut judged.model, judged.baseline.as_mut().unwrap()] {
        (model.name, model.form) = (SCRIPT.to_owned(), SCRIPT.to_owned());
    }
    judged.settings.insert(SCRIPT.to_owned(), SCRIPT.to_owned());
    for benchmark in &mut judged.benchmarks {
        (benchmark.name, benchmark.metric) = (SCRIPT.to_owned(), SCRIPT.to_owned());
        benchmark.skipped = vec![SCRIPT.to_owned()];
        benchmark.model.totals.iter_mut().for_each(|total| total.name = SCRIPT.to_owned());
        for example in &mut benchmark.examples {
            for text in [&mut example.index, &mut example.question, &mut example.answer] {
                *text = SCRIPT.to_owned();
            }
            example.expected = vec![SCRIPT.to_owned()];
            example.baseline_answer = Some(format!("other {SCRIPT}"));
        }
    }
    let mut made = bundle(SMALL);
    made.name = SCRIPT.to_owned();
    made.fingerprint.insert(SCRIPT.to_owned(), SCRIPT.to_owned());
    let told = &mut made.provenance;
    told.recipe = format!("{SCRIPT}\n```\n# heading\n</pre>");
    told.skipped = vec![SCRIPT.to_owned()];
    told.given = serde_json::json!({SCRIPT: [SCRIPT]});
    told.units[0].unit = SCRIPT.to_owned();
    for site in told.sites.values_mut() {
        (site.input, site.hessian, site.notes) = (SCRIPT.to_owned(), Some(SCRIPT.to_owned()), vec![SCRIPT.to_owned()]);
        site.stages[1].stage = SCRIPT.to_owned();
    }
    let mut found = blame();
    found.model = SCRIPT.to_owned();
    for cost in found.blame.towers.iter_mut().chain(&mut found.blame.kinds).chain(&mut found.blame.blocks) {
        cost.pattern = SCRIPT.to_owned();
    }
    found.blame.remedies.iter_mut().for_each(|remedy| remedy.pattern = SCRIPT.to_owned());
    for text in [&mut found.blame.advice, &mut found.blame.recipe] {
        *text = Some(format!("{SCRIPT}\n```\n# heading\n</pre>"));
    }
    Report { blames: vec![found], ..report(vec![judged], vec![made]) }
}

#[test]
fn markup_of_strangers_is_text() {
    let page = html(&hostile());
    let harmless = html(&report(vec![evaluation(None)], vec![bundle(SMALL)]));
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert_eq!(page.matches("<script").count(), 0);
    // As many elements with sources as in a harmless page, and no more places for code.
    assert_eq!(page.matches("<img ").count(), harmless.matches("<img ").count());
    for wrong in ["onerror=alert(2)>", "\u{202e}", "\u{0}", "javascript:", "<link rel=\"s"] {
        assert!(!page.contains(wrong), "{wrong:?}");
    }
    assert!(page.contains("[U+202E]evil[U+0000]"));
    // The bundle's recipe, the advice, and the recipe with it.
    assert_eq!(page.matches("</pre>").count(), 3);
}

#[test]
fn markdown_has_no_markup_of_strangers() {
    let text = markdown(&hostile());
    // Recipe and advice have three backticks, so their fences have four.
    let parts: Vec<&str> = text.split("\n````").collect();
    assert_eq!(parts.len(), 5);
    for fenced in [parts[1], parts[3]] {
        assert!(fenced.starts_with("toml\n") && fenced.contains("<script") && !fenced.contains('\u{202e}'));
    }
    let text = format!("{}{}{}", parts[0], parts[2], parts[4]);
    for wrong in ["<script", "<img", "\u{202e}", "\u{0}", "\n```", "\n# heading"] {
        assert!(!text.contains(wrong), "{wrong:?}");
    }
    // Every row of a table has as many cells as its heading.
    let mut cells = 0;
    for line in text.lines() {
        let bars = line.replace("\\|", "").matches('|').count();
        match line.starts_with('|') {
            true if cells == 0 => cells = bars,
            true => assert_eq!(bars, cells, "{line}"),
            false => cells = 0,
        }
    }
}

#[test]
fn the_policy_allows_the_style_sheet_and_nothing_else() {
    let page = html(&hostile());
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let hash = STANDARD.encode(Sha256::digest(style));
    let policy = page.split("Content-Security-Policy\" content=\"").nth(1).unwrap().split('"').next().unwrap();
    let policy = policy.replace("&#x27;", "'").replace("&#x2f;", "/").replace("&#x2b;", "+");
    assert_eq!(
        policy,
        format!("default-src 'none'; img-src data:; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
    );
    // Neither style attributes, which the policy forbids, nor addresses of others.
    assert!(!page.contains("style=\"") && !page.contains("http://") && !page.contains("https://"));
    assert!(!style.contains("url(") && !style.contains("@import"));
}

#[test]
fn only_harmless_pictures_are_shown() {
    let mut judged = evaluation(None);
    let addresses = [
        "javascript:alert(1)".to_owned(),
        "https://example.org/a.png".to_owned(),
        format!("{}\" onload=\"x", picture(1)),
        "data:image/svg+xml;base64,PHN2Zz4=".to_owned(),
        picture(1),
    ];
    judged.benchmarks.truncate(1);
    let example = judged.benchmarks[0].examples[0].clone();
    judged.benchmarks[0].examples =
        addresses.map(|address| mquant::evaluate::Example { picture: Some(address), ..example.clone() }).into();
    let page = html(&gathered(&judged));
    assert_eq!(page.matches("<img ").count(), 1);
}
