//! The page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::costs::{Costs, costs};
use super::examples::{ExampleView, examples};
use super::heat_map::{HeatMap, heat_maps};
use super::numbers::count;
use super::origin::{Origin, origins};
use super::outliers::{Outliers, outliers};
use super::palette;
use super::ranges::{Ranges, ranges};
use super::scores::{Scores, scores};
use super::shown_text::visible_line;
use super::site_table::{SiteRow, site_table};
use super::verdict::{Verdict, verdict};
use super::{BlameRecord, BundleRecord, PAGE_BYTES, Report};

/// Names and texts of the templates; the first is the page.
const TEMPLATES: [(&str, &str); 10] = [
    ("page.html", include_str!("templates/page.html")),
    ("scores.html", include_str!("templates/scores.html")),
    ("heat_maps.html", include_str!("templates/heat_maps.html")),
    ("score_row.html", include_str!("templates/score_row.html")),
    ("costs.html", include_str!("templates/costs.html")),
    ("ranges.html", include_str!("templates/ranges.html")),
    ("outliers.html", include_str!("templates/outliers.html")),
    ("example.html", include_str!("templates/example.html")),
    ("examples.html", include_str!("templates/examples.html")),
    ("origins.html", include_str!("templates/origins.html")),
];
/// The style sheet, without colours.
const STYLE: &str = include_str!("templates/style.css");
/// Sites whose numbers are shown one by one; those of two towers of 80 blocks and more.
const SITES: usize = 1_024;

/// What is left out if a page would be too long, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    Everything,
    NoPictures,
    NoSites,
    Scores,
}

impl Detail {
    const ALL: [Self; 4] = [Detail::Everything, Detail::NoPictures, Detail::NoSites, Detail::Scores];

    /// What the page says of it.
    fn left_out(self) -> Option<&'static str> {
        match self {
            Detail::Everything => None,
            Detail::NoPictures => Some("Pictures are left out of this page, which would be too long with them."),
            Detail::NoSites => Some(
                "Pictures and single sites are left out of this page, which would be too long; report.json has the sites.",
            ),
            Detail::Scores => {
                Some("All but the scores is left out of this page, which would be too long; report.json has the rest.")
            }
        }
    }
}

/// What the page's template is given.
#[derive(Serialize)]
struct Page {
    title: String,
    version: String,
    policy: String,
    style: String,
    verdict: Verdict,
    scores: Scores,
    /// Of models that no bundle here is.
    costs: Vec<Costs>,
    bundles: Vec<BundleView>,
    /// Whether evaluations are of other models than the bundles.
    strangers: bool,
    evaluated: bool,
    examples: Vec<ExampleView>,
    origins: Vec<Origin>,
    left_out: Option<&'static str>,
    steps: Vec<usize>,
}

#[derive(Serialize)]
struct BundleView {
    name: String,
    heat_maps: Vec<HeatMap>,
    costs: Vec<Costs>,
    ranges: Option<Ranges>,
    outliers: Option<Outliers>,
    sites: Vec<SiteRow>,
    /// How many sites there are, where they are too many to show.
    too_many: Option<String>,
}

/// The page of a report, at most [`PAGE_BYTES`] long: where it would be longer, pictures, then sites, then all but the scores are
/// left out, which it says.
pub fn html(report: &Report) -> String {
    let mut page = Page::new(report);
    let mut text = String::new();
    for detail in Detail::ALL {
        page.reduce(detail);
        text = render(&page);
        if text.len() <= PAGE_BYTES {
            break;
        }
    }
    text
}

impl Page {
    fn new(report: &Report) -> Self {
        let style = format!("{STYLE}{}", palette::rules());
        let hash = STANDARD.encode(Sha256::digest(&style));
        let of = |wanted: &dyn Fn(&str) -> bool| -> Vec<Costs> {
            let all = report.blames.iter().filter(|blame: &&BlameRecord| wanted(&blame.identity));
            all.map(costs).collect()
        };
        let mut left = SITES;
        let bundles = report.bundles.iter().map(|bundle| {
            let sites = bundle.provenance.sites.len();
            let fits = sites <= left;
            left -= if fits { sites } else { 0 };
            let view = if fits { bundle_view(bundle) } else { BundleView::too_many(bundle) };
            BundleView { costs: of(&|identity| identity == bundle.identity), ..view }
        });
        let identities: Vec<&str> = report.bundles.iter().map(|bundle| bundle.identity.as_str()).collect();
        let is_stranger = |identity: &str| !identities.contains(&identity);
        Self {
            title: title(report),
            version: visible_line(&report.version),
            policy: format!(
                "default-src 'none'; img-src data:; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'"
            ),
            style,
            verdict: verdict(report),
            scores: scores(report),
            costs: of(&is_stranger),
            bundles: bundles.collect(),
            strangers: !identities.is_empty() && report.evaluations.iter().any(|e| is_stranger(&e.model.identity)),
            evaluated: !report.evaluations.is_empty(),
            examples: examples(report),
            origins: origins(report),
            left_out: None,
            steps: (0..palette::STEPS).collect(),
        }
    }

    fn reduce(&mut self, detail: Detail) {
        self.left_out = detail.left_out();
        match detail {
            Detail::Everything => {}
            Detail::NoPictures => self.examples.iter_mut().for_each(|example| example.picture = None),
            Detail::NoSites => self.costs.extend(self.bundles.drain(..).flat_map(|bundle| bundle.costs)),
            Detail::Scores => {
                self.costs.clear();
                self.examples.clear();
                self.origins.clear();
            }
        }
    }
}

fn render(page: &Page) -> String {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    templates.set_syntax(syntax.build().expect("the default delimiters are valid"));
    for (name, text) in TEMPLATES {
        templates.add_template(name, text).expect("every template is compiled in a test");
    }
    let template = templates.get_template(TEMPLATES[0].0).expect("it was added");
    template.render(Serde(page)).expect("templates name fields that every page has")
}

impl BundleView {
    fn too_many(bundle: &BundleRecord) -> Self {
        Self {
            name: visible_line(&bundle.name),
            heat_maps: Vec::new(),
            costs: Vec::new(),
            ranges: None,
            outliers: None,
            sites: Vec::new(),
            too_many: Some(count(bundle.provenance.sites.len() as u64)),
        }
    }
}

fn bundle_view(bundle: &BundleRecord) -> BundleView {
    BundleView {
        name: visible_line(&bundle.name),
        heat_maps: heat_maps(bundle),
        costs: Vec::new(),
        ranges: ranges(bundle),
        outliers: outliers(bundle),
        sites: site_table(bundle),
        too_many: None,
    }
}

/// What the page is called.
pub(super) fn title(report: &Report) -> String {
    let mut names: Vec<&String> = report.evaluations.iter().map(|e| &e.model.name).collect();
    if names.is_empty() {
        names.extend(report.bundles.iter().map(|bundle| &bundle.name));
    }
    match &names[..] {
        [] => "report".to_owned(),
        [name] => visible_line(name),
        [name, rest @ ..] => format!("{} and {} more", visible_line(name), rest.len()),
    }
}
