//! From the one name of a site back to the site.

use super::{BlockSite, ProjectorSite, SiteId, Tower};

impl SiteId {
    /// The site of that name, as `Display` writes it and in no other spelling.
    pub fn parse(name: &str) -> Option<Self> {
        let site = match name.split('.').collect::<Vec<_>>()[..] {
            ["head"] => SiteId::Head,
            ["projector", "up"] => SiteId::Projector(ProjectorSite::Up),
            ["projector", "down"] => SiteId::Projector(ProjectorSite::Down),
            [tower, "patch"] => SiteId::Patch(tower_of(tower)?),
            [tower, block, site] => SiteId::Block(tower_of(tower)?, block.parse().ok()?, block_site(site)?),
            _ => return None,
        };
        // `+1` and `01` are numbers too.
        (site.to_string() == name).then_some(site)
    }
}

fn tower_of(name: &str) -> Option<Tower> {
    [Tower::Vision, Tower::Audio, Tower::Language].into_iter().find(|tower| tower.to_string() == name)
}

fn block_site(name: &str) -> Option<BlockSite> {
    let sites = [BlockSite::Qkv, BlockSite::Out, BlockSite::Up, BlockSite::Down];
    sites.into_iter().find(|site| site.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_and_no_other_does() {
        let mut sites =
            vec![SiteId::Head, SiteId::Projector(ProjectorSite::Up), SiteId::Projector(ProjectorSite::Down)];
        for tower in [Tower::Vision, Tower::Audio, Tower::Language] {
            sites.push(SiteId::Patch(tower));
            for site in [BlockSite::Qkv, BlockSite::Out, BlockSite::Up, BlockSite::Down] {
                sites.extend([0, 7, 79].map(|block| SiteId::Block(tower, block, site)));
            }
        }
        for site in sites {
            assert_eq!(SiteId::parse(&site.to_string()), Some(site));
        }
        for wrong in [
            "",
            "Head",
            "head.0",
            "vision",
            "vision.0",
            "vision.01.qkv",
            "vision.+1.qkv",
            "vision.-1.qkv",
            "vision.1.q",
            "visual.1.qkv",
            "vision.1.qkv.x",
            "projector",
            "projector.left",
            "language.99999999999999999999.up",
        ] {
            assert_eq!(SiteId::parse(wrong), None, "{wrong}");
        }
    }
}
