//! Sites that are judged together.

use std::collections::BTreeSet;

use mquant_model::nn::{SiteId, Stage};

/// Most groups that the blocks of a kind are taken together in.
pub(super) const BLOCK_GROUPS: usize = 8;

/// Sites that are judged together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// As a recipe selects them.
    pub pattern: String,
    /// Which.
    pub sites: BTreeSet<SiteId>,
}

/// Vision tower, projector, language model, head.
pub fn by_tower(sites: &[SiteId]) -> Vec<Group> {
    grouped(sites, |site| match site.part.stage {
        Stage::Embed | Stage::Block(_) => site.tower().to_string(),
        Stage::Projector | Stage::Deepstack(_) | Stage::Head => site.part.to_string(),
    })
}

/// Each kind of site in each tower.
pub fn by_kind(sites: &[SiteId]) -> Vec<Group> {
    grouped(sites, |site| match site.part.stage {
        Stage::Block(_) => format!("{}.*.{}", site.tower(), site.kind),
        _ => site.to_string(),
    })
}

impl Group {
    /// Its blocks, several together where there are many; itself if it is not of blocks.
    pub fn by_block(&self) -> Vec<Group> {
        let sites: Vec<SiteId> = self.sites.iter().copied().collect();
        let together = sites.len().div_ceil(BLOCK_GROUPS).max(1);
        let pattern = |some: &[SiteId]| {
            let site = some.first()?;
            let (first, last) = (site.block_index()?, some.last()?.block_index()?);
            let blocks = if first == last { first.to_string() } else { format!("{first}..{}", last + 1) };
            Some(format!("{}.{blocks}.{}", site.tower(), site.kind))
        };
        let group = |some: &[SiteId]| Some(Group { pattern: pattern(some)?, sites: some.iter().copied().collect() });
        sites.chunks(together).map(group).collect::<Option<_>>().unwrap_or_else(|| vec![self.clone()])
    }
}

fn grouped(sites: &[SiteId], pattern: impl Fn(&SiteId) -> String) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for site in sites {
        let pattern = pattern(site);
        match groups.iter_mut().find(|group| group.pattern == pattern) {
            Some(group) => {
                group.sites.insert(*site);
            }
            None => groups.push(Group { pattern, sites: BTreeSet::from([*site]) }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use mquant_model::nn::{SiteKind, Tower};
    use mquant_quantize::recipe::{Depths, SitePattern};

    #[test]
    fn patterns_select_the_sites_they_stand_for() {
        let kinds = [SiteKind::Qkv, SiteKind::Out, SiteKind::Up, SiteKind::Down];
        let mut sites = vec![SiteId::patch(Tower::Vision)];
        for (tower, depth) in [(Tower::Vision, 3), (Tower::Language, 21)] {
            sites.extend((0..depth).flat_map(|block| kinds.map(|kind| SiteId::block(tower, block, kind))));
        }
        sites.push(SiteId::HEAD);
        let depths = Depths::of(&sites);
        let kinds = by_kind(&sites);
        assert_eq!(kinds.len(), 10);
        let blocks: Vec<Group> = kinds.iter().flat_map(Group::by_block).collect();
        for groups in [&by_tower(&sites), &kinds, &blocks] {
            assert_eq!(groups.iter().map(|group| group.sites.len()).sum::<usize>(), sites.len());
            for Group { pattern, sites: of } in groups {
                let parsed: SitePattern = pattern.parse().unwrap();
                let matched: BTreeSet<SiteId> = sites.iter().copied().filter(|s| parsed.matches(*s, &depths)).collect();
                assert_eq!(matched, *of, "{pattern}");
            }
        }
        assert!(blocks.iter().any(|group| group.pattern == "language.18..21.down"));
        assert!(blocks.iter().any(|group| group.pattern == "vision.2.qkv"));
    }
}
