//! `mquant report`: evaluations and bundles as a page.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::failure::{Done, Failure};
use crate::output::Output;
use crate::report_page;

/// Arguments of `mquant report`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mquant report evaluation/
  mquant report evaluation/ path/to/bundle
  mquant report evaluation-a/ evaluation-b/ --output comparison

A folder holds what `mquant eval` wrote (evaluation.json, and blame.json of --blame) or is a bundle
(mquant.json); several are shown together. Written are report.html, a page that needs neither network nor scripts, report.md
and report.json: into --output, else into the first folder with an evaluation, else into
BUNDLE-report. Nothing is ever written into a bundle.")]
pub(crate) struct ReportArgs {
    /// Folders of evaluations and bundles
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Folder to write into
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// `mquant.report_files/1`.
#[derive(Debug, Serialize)]
struct Written {
    html: String,
    markdown: String,
    json: String,
    evaluations: usize,
    bundles: usize,
}

pub(crate) fn run(args: &ReportArgs, output: &Output) -> Result<Done, Failure> {
    let written = report_page::write(args.folders.iter().map(PathBuf::as_path), args.output.as_deref())?;
    let report = &written.report;
    let [html, markdown, json] =
        [&written.page, &written.markdown, &written.json].map(|path| path.display().to_string());
    if output.is_json() {
        let (evaluations, bundles) = (report.evaluations.len(), report.bundles.len());
        output.object("report_files/1", &Written { html, markdown, json, evaluations, bundles })?;
    } else {
        output.text(&format!("{html}\n{markdown}\n{json}\n"))?;
    }
    Ok(Done::Complete)
}
