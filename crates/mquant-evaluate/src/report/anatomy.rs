//! Sites grouped as tables and drawings need them, and the words and forms for modalities and stages.

use super::BundleRecord;
use super::depth_plot::Mark;
use super::shown_text::visible_line;
use mquant_model::nn::{SiteId, SiteKind, Tower};
use mquant_quantize::pipeline::SiteReport;

/// The sites of one kind in a tower, by block.
#[derive(Clone, Debug)]
pub(super) struct Column<'a> {
    pub(super) tower: Tower,
    pub(super) kind: SiteKind,
    pub(super) sites: Vec<(usize, &'a SiteReport)>,
}

impl Column<'_> {
    /// Such as `vision: qkv`.
    pub(super) fn title(&self) -> String {
        format!("{}: {}", self.tower, self.kind)
    }

    /// Modalities that any of its sites has a range of.
    pub(super) fn modalities(&self) -> Vec<Modality> {
        Modality::ALL.into_iter().filter(|m| self.sites.iter().any(|(_, site)| has(site, *m))).collect()
    }
}

fn has(site: &SiteReport, modality: Modality) -> bool {
    site.absmax.contains_key(modality.name) || site.stages.iter().any(|s| s.activation.contains_key(modality.name))
}

/// The columns of all towers, in order.
pub(super) fn columns(bundle: &BundleRecord) -> Vec<Column<'_>> {
    let sites = bundle.sites();
    let mut columns = Vec::new();
    for tower in Tower::ALL {
        for kind in SiteKind::OF_BLOCK {
            let of_kind = sites.iter().filter(|(id, _)| (id.tower(), id.kind) == (tower, kind));
            let of_kind: Vec<_> = of_kind.filter_map(|(id, site)| Some((id.block_index()?, *site))).collect();
            if !of_kind.is_empty() {
                columns.push(Column { tower, kind, sites: of_kind });
            }
        }
    }
    columns
}

/// A number of a site, and why the site that has the largest is worth a look.
pub(super) type Wish<'w> = (&'static str, &'w dyn Fn(&SiteReport) -> Option<f64>);

/// The sites that are the largest by some measure, each once, with a title that says by which.
pub(super) fn remarkable<'s>(sites: &[(SiteId, &'s SiteReport)], wishes: &[Wish<'_>]) -> Vec<(String, &'s SiteReport)> {
    let mut chosen: Vec<(SiteId, String, &SiteReport)> = Vec::new();
    for (why, measure) in wishes {
        let all = sites.iter().filter_map(|(id, site)| Some((*id, *site, measure(site)?)));
        let best = all.filter(|(.., size)| size.is_finite()).max_by(|a, b| a.2.total_cmp(&b.2));
        let Some((id, site, _)) = best else { continue };
        match chosen.iter_mut().find(|(other, ..)| *other == id) {
            Some((_, title, _)) => title.extend(["; ", why]),
            None => chosen.push((id, format!("{id}: {why}"), site)),
        }
    }
    chosen.into_iter().map(|(_, title, site)| (title, site)).collect()
}

/// How a modality is named and drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Modality {
    /// In records, and of its colour.
    pub(super) name: &'static str,
    pub(super) mark: Mark,
}

impl Modality {
    pub(super) const ALL: [Self; 3] = [
        Self { name: "text", mark: Mark::Circle },
        Self { name: "vision", mark: Mark::Square },
        Self { name: "audio", mark: Mark::Triangle },
    ];
}

/// Stages and their words, in the order in which recipes have them.
const STAGES: [(&str, &str); 7] = [
    ("published", "as published"),
    ("fuse_norms", "norms fused"),
    ("smooth", "smoothed"),
    ("rotate_stream", "stream rotated"),
    ("rotate_heads", "heads rotated"),
    ("rotate_online", "rotated online"),
    ("split_columns", "columns split"),
];

/// Where a stage stands among others; those without a name of ours are last.
pub(super) fn stage_place(stage: &str) -> usize {
    STAGES.iter().position(|(name, _)| *name == stage).unwrap_or(STAGES.len())
}

/// A stage in words.
pub(super) fn stage_words(stage: &str) -> String {
    STAGES.get(stage_place(stage)).map_or_else(|| visible_line(stage), |(_, words)| (*words).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_is_the_largest_twice_is_shown_once() {
        let bits = |weight_bits| SiteReport { weight_bits, ..SiteReport::default() };
        let reports = [bits(4), bits(8), bits(2)];
        let ids = ["vision.0.qkv", "vision.1.qkv", "head"].map(|name| SiteId::parse(name).unwrap());
        let sites: Vec<_> = ids.into_iter().zip(&reports).collect();
        let wishes: [Wish<'_>; 4] = [
            ("most bits", &|site| Some(f64::from(site.weight_bits))),
            ("fewest bits", &|site| Some(-f64::from(site.weight_bits))),
            ("most again", &|site| Some(f64::from(site.weight_bits * 2))),
            ("nothing", &|_| None),
        ];
        let titles: Vec<String> = remarkable(&sites, &wishes).into_iter().map(|(title, _)| title).collect();
        assert_eq!(titles, ["vision.1.qkv: most bits; most again", "head: fewest bits"]);
    }
}
