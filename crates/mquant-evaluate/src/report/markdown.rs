//! The report as Markdown, for texts and change descriptions.

use std::fmt::Write;

use super::costs::{Costs, costs};
use super::examples::examples;
use super::heat_map::heat_maps;
use super::html::title;
use super::numbers::fixed;
use super::origin::origins;
use super::outliers::outliers;
use super::ranges::{StageTable, ranges};
use super::scores::{Cell, scores};
use super::shown_text::markdown as escaped;
use super::verdict::{Overview, verdict};
use super::{BundleRecord, Report};

/// Examples that are shown.
const EXAMPLES: usize = 10;
/// Sites that are listed, those with the largest errors.
const SITES: usize = 10;

/// The report as Markdown; pictures and drawings are on the page alone.
pub fn markdown(report: &Report) -> String {
    let verdict = verdict(report);
    let mut text = format!("# {}\n", escaped(&title(report)));
    for sentence in &verdict.sentences {
        // Writing to a string does not fail.
        let _ = write!(text, "\n**{}**\n", escaped(&sentence.text));
        if let Some(caution) = &sentence.caution {
            let _ = write!(text, "\n{}\n", escaped(caution));
        }
    }
    if !verdict.figures.is_empty() {
        text.push('\n');
    }
    for figure in &verdict.figures {
        let _ = writeln!(text, "- {}: **{}**, {}", figure.label, escaped(&figure.value), escaped(&figure.more));
    }
    write_overview(&mut text, verdict.overview);
    write_scores(&mut text, report);
    report.bundles.iter().for_each(|bundle| write_bundle(&mut text, bundle));
    report.blames.iter().for_each(|blame| write_costs(&mut text, &costs(blame)));
    write_examples(&mut text, report);
    write_origins(&mut text, report);
    text
}

fn row(text: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    text.push_str(&format!("| {} |\n", cells.join(" | ")));
}

fn heading(text: &mut String, cells: Vec<String>) {
    let rule = vec!["---".to_owned(); cells.len()];
    text.push('\n');
    row(text, cells);
    row(text, rule);
}

fn write_scores(text: &mut String, report: &Report) {
    let scores = scores(report);
    if scores.rows.is_empty() {
        return;
    }
    text.push_str("\n## Scores\n");
    let names = || {
        scores
            .columns
            .iter()
            .map(|column| format!("{} ({}, {})", escaped(&column.name), escaped(&column.form), column.size))
    };
    heading(text, [String::from("benchmark")].into_iter().chain(names()).collect());
    let cell = |cell: &Option<Cell>| {
        let Some(cell) = cell else { return "–".to_owned() };
        let mut words = format!("**{}**", cell.value);
        if let Some(interval) = &cell.more {
            words += &format!(" [{interval}]");
        }
        if let Some(d) = &cell.difference {
            let interval = d.interval.iter().map(|interval| format!(" [{interval}]"));
            let p = d.p.iter().map(|p| format!(", p {}", escaped(p)));
            words += &format!("; {}{}, {}", d.value, interval.chain(p).collect::<String>(), d.words);
        }
        words
    };
    for line in scores.means.iter().chain(&scores.rows) {
        let name = format!("{} ({})", escaped(&line.name), escaped(&line.more));
        row(text, [name].into_iter().chain(line.cells.iter().map(cell)));
    }
    for parts in &scores.parts {
        heading(text, [format!("parts of {}", escaped(&parts.benchmark))].into_iter().chain(names()).collect());
        for line in &parts.rows {
            let name = format!("{} ({})", escaped(&line.name), escaped(&line.more));
            row(text, [name].into_iter().chain(line.cells.iter().map(plain)));
        }
    }
    if !scores.tokens.is_empty() {
        let names = ["benchmark", "model", "tokens", "perplexity", "before", "KL", "largest KL", "same token"];
        heading(text, names.map(str::to_owned).to_vec());
        for t in &scores.tokens {
            let names = [escaped(&t.benchmark), escaped(&t.model)];
            let numbers = [&t.tokens, &t.perplexity, &t.baseline_perplexity, &t.kl, &t.kl_max, &t.top1];
            row(text, names.into_iter().chain(numbers.map(Clone::clone)));
        }
    }
    text.push_str("\n### Speed\n");
    heading(text, [String::from("benchmark")].into_iter().chain(names()).collect());
    for line in &scores.speeds {
        row(text, [escaped(&line.name)].into_iter().chain(line.cells.iter().map(plain)));
    }
}

fn plain(cell: &Option<Cell>) -> String {
    match cell {
        Some(Cell { value, more: Some(more), .. }) => format!("{value}, {more}"),
        Some(Cell { value, .. }) => value.clone(),
        None => "–".to_owned(),
    }
}

fn write_overview(text: &mut String, overview: Option<Overview>) {
    let Some(Overview { labels, rows }) = overview else { return };
    heading(text, [String::from("model")].into_iter().chain(labels).collect());
    for line in rows {
        let figures = line.figures.iter().map(|figure| match figure {
            Some(figure) => format!("**{}**, {}", escaped(&figure.value), escaped(&figure.more)),
            None => "–".to_owned(),
        });
        row(text, [escaped(&line.name)].into_iter().chain(figures));
    }
}

fn write_costs(text: &mut String, costs: &Costs) {
    let _ = write!(text, "\n## What costs the accuracy of {}\n", escaped(&costs.model));
    for sentence in &costs.sentences {
        let _ = write!(text, "\n{}\n", escaped(sentence));
    }
    for table in &costs.tables {
        heading(text, vec![escaped(&table.name), "sites".into(), "share".into(), "KL".into(), "same token".into()]);
        for line in &table.rows {
            let numbers = [&line.sites, &line.share, &line.kl, &line.top1].map(|text| escaped(text));
            row(text, [escaped(&line.pattern)].into_iter().chain(numbers));
        }
    }
    if !costs.remedies.is_empty() {
        let title = format!("{}, instead", escaped(&costs.mended));
        heading(text, vec![title, "KL".into(), "share".into(), "grows by".into()]);
        for line in &costs.remedies {
            row(text, [&line.change, &line.kl, &line.share, &line.bytes].map(|text| escaped(text)));
        }
    }
    if let Some(advice) = &costs.advice {
        text.push_str("\nTo be added at the end of the recipe:\n");
        write_toml(text, advice);
    }
}

/// TOML in a fence that nothing in it can close.
fn write_toml(text: &mut String, toml: &str) {
    let longest = toml.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let _ = write!(text, "\n{fence}toml\n{}\n{fence}\n", toml.trim_end());
}

fn write_bundle(text: &mut String, bundle: &BundleRecord) {
    let _ = write!(text, "\n## Sites of {}\n", escaped(&bundle.name));
    for map in heat_maps(bundle) {
        if map.tables.is_empty() {
            let _ = write!(text, "\n{}\n", map.title);
            continue;
        }
        let _ = write!(
            text,
            "\n{}: worst {}, median {}, best {}\n",
            map.title, map.legend[0], map.legend[1], map.legend[2]
        );
    }
    let mut errors: Vec<(String, f64)> = Vec::new();
    for (id, site) in bundle.sites() {
        errors.extend(
            site.output_sqnr_db.iter().filter(|(_, db)| db.is_finite()).map(|(m, db)| (format!("{id}, {m}"), *db)),
        );
    }
    errors.sort_by(|a, b| a.1.total_cmp(&b.1));
    errors.truncate(SITES);
    if !errors.is_empty() {
        heading(text, vec!["largest errors".to_owned(), "SQNR, dB".to_owned()]);
        errors.into_iter().for_each(|(place, db)| row(text, [place, fixed(db, 1)]));
    }
    let ranges = ranges(bundle);
    for sentence in ranges.iter().flat_map(|r| &r.sentences) {
        let _ = write!(text, "\n{}\n", escaped(sentence));
    }
    let outliers = outliers(bundle);
    for sentence in outliers.iter().flat_map(|o| &o.sentences) {
        let _ = write!(text, "\n{}\n", escaped(sentence));
    }
    let ranges = ranges.map(|r| r.table).unwrap_or_default();
    write_stages(text, "largest activation", &ranges);
}

/// The first rows of a table of stages.
fn write_stages(text: &mut String, title: &str, table: &StageTable) {
    if table.rows.is_empty() {
        return;
    }
    heading(
        text,
        [title.to_owned(), String::new()].into_iter().chain(table.stages.iter().map(|s| escaped(s))).collect(),
    );
    for line in table.rows.iter().take(SITES) {
        row(text, [line.site.clone(), line.of.clone()].into_iter().chain(line.cells.iter().cloned()));
    }
    if table.rows.len() > SITES {
        let _ = write!(text, "\nand {} more rows in report.json\n", table.rows.len() - SITES);
    }
}

fn write_examples(text: &mut String, report: &Report) {
    let examples = examples(report);
    if examples.is_empty() {
        return;
    }
    text.push_str("\n## Answers\n");
    heading(text, ["sample", "question", "answers", "expected"].map(str::to_owned).to_vec());
    for example in examples.iter().take(EXAMPLES) {
        let answers = example.answers.iter().map(|answer| {
            let said: String = answer.stretches.iter().map(|stretch| stretch.text.as_str()).collect();
            format!("{}: {} ({})", escaped(&answer.who), escaped(&said), answer.judged)
        });
        let answers = answers.collect::<Vec<_>>().join("<br>");
        let sample = format!("{} {}", escaped(&example.benchmark), escaped(&example.index));
        row(text, [sample, escaped(&example.question), answers, escaped(&example.expected)]);
    }
}

fn write_origins(text: &mut String, report: &Report) {
    text.push_str("\n## Recipe and provenance\n");
    for origin in origins(report) {
        let _ = write!(text, "\n### {}\n\n", escaped(&origin.title));
        for fact in &origin.facts {
            let _ = writeln!(text, "- {}: {}", escaped(&fact.name), escaped(&fact.text));
        }
        if let Some(recipe) = &origin.recipe {
            write_toml(text, recipe);
        }
    }
}
