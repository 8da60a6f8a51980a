//! Sites grouped as tables and drawings need them, and the words and forms for modalities and stages.

use super::BundleRecord;
use super::depth_plot::Mark;
use super::shown_text::visible_line;
use crate::nn::{BlockSite, SiteId, Tower};
use crate::pipeline::SiteReport;

/// The sites of one kind in a tower, by block.
#[derive(Clone, Debug)]
pub(super) struct Column<'a> {
    pub(super) tower: Tower,
    pub(super) kind: BlockSite,
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
    for tower in [Tower::Vision, Tower::Audio, Tower::Language] {
        for kind in [BlockSite::Qkv, BlockSite::Out, BlockSite::Up, BlockSite::Down] {
            let of_kind = sites.iter().filter_map(|(id, site)| match id {
                SiteId::Block(t, block, k) if (*t, *k) == (tower, kind) => Some((*block, *site)),
                _ => None,
            });
            let of_kind: Vec<_> = of_kind.collect();
            if !of_kind.is_empty() {
                columns.push(Column { tower, kind, sites: of_kind });
            }
        }
    }
    columns
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

/// A stage in words.
pub(super) fn stage_words(stage: &str) -> String {
    match stage {
        "published" => "as published".to_owned(),
        "fuse_norms" => "norms fused".to_owned(),
        "rotate_stream" => "stream rotated".to_owned(),
        "rotate_heads" => "heads rotated".to_owned(),
        "rotate_online" => "rotated online".to_owned(),
        "smooth" => "smoothed".to_owned(),
        "split_columns" => "columns split".to_owned(),
        other => visible_line(other),
    }
}
