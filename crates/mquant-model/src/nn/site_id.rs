//! Paths of parts and sites: tower, stage, and the kind of a site.

use std::fmt;

/// A stack of layers with residual streams of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tower {
    /// Images and videos.
    Vision,
    /// Sound.
    Audio,
    /// The decoder.
    Language,
}

/// Where in its tower a part runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The patch embedding of an encoder, the token embedding of the decoder.
    Embed,
    /// A block, counted from 0.
    Block(usize),
    /// From an encoder's stream to the decoder's.
    Projector,
    /// From an encoder's stream, after one of its blocks, to what is added after a block of the decoder; counted from 0.
    Deepstack(usize),
    /// Final norm and language model head.
    Head,
}

/// The path of a part, the unit that is loaded, calibrated, quantised and written: `vision.patch`, `vision.3`, `projector`,
/// `vision.deepstack.0`, `embedding`, `language.3`, `head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId {
    /// The tower the part belongs to.
    pub tower: Tower,
    /// Its place in the tower.
    pub stage: Stage,
}

/// What a site is to its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SiteKind {
    /// The input of an encoder, read by its patch embedding.
    Patch,
    /// The input of an audio encoder, read by its first convolution.
    Conv1,
    /// What the first convolution gives, read by the second.
    Conv2,
    /// Read by the query, key and value projections.
    Qkv,
    /// The output of attention, read by the output projection.
    Out,
    /// Read by the first projections of an MLP or projector.
    Up,
    /// The output of the activation function, read by the last projection.
    Down,
    /// Read by the language model head.
    Head,
}

/// The path of a site, in recipes, reports and files: `vision.patch`, `vision.3.qkv`, `projector.up`, `head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId {
    /// The part that has the site.
    pub part: PartId,
    /// Which of the part's sites.
    pub kind: SiteKind,
}

impl Tower {
    /// Every tower.
    pub const ALL: [Tower; 3] = [Tower::Vision, Tower::Audio, Tower::Language];
}

impl SiteKind {
    /// The sites of a transformer block.
    pub const OF_BLOCK: [SiteKind; 4] = [SiteKind::Qkv, SiteKind::Out, SiteKind::Up, SiteKind::Down];
}

impl PartId {
    /// The token embedding.
    pub const EMBEDDING: Self = Self { tower: Tower::Language, stage: Stage::Embed };
    /// Final norm and language model head.
    pub const HEAD: Self = Self { tower: Tower::Language, stage: Stage::Head };

    /// The patch embedding of an encoder.
    pub const fn patch(tower: Tower) -> Self {
        Self { tower, stage: Stage::Embed }
    }

    /// A block of a tower.
    pub const fn block(tower: Tower, block: usize) -> Self {
        Self { tower, stage: Stage::Block(block) }
    }

    /// The projector of an encoder.
    pub const fn projector(tower: Tower) -> Self {
        Self { tower, stage: Stage::Projector }
    }

    /// A projector of an encoder for a block of the decoder.
    pub const fn deepstack(tower: Tower, level: usize) -> Self {
        Self { tower, stage: Stage::Deepstack(level) }
    }

    /// The part of that name, as `Display` writes it and in no other spelling.
    pub fn parse(name: &str) -> Option<Self> {
        let part = match name.split('.').collect::<Vec<_>>()[..] {
            ["head"] => PartId::HEAD,
            ["embedding"] => PartId::EMBEDDING,
            ["projector"] => PartId::projector(Tower::Vision),
            [tower, "deepstack", level] => PartId::deepstack(tower_of(tower)?, level.parse().ok()?),
            [tower, "projector"] => PartId::projector(tower_of(tower)?),
            [tower, "patch"] => PartId::patch(tower_of(tower)?),
            [tower, block] => PartId::block(tower_of(tower)?, block.parse().ok()?),
            _ => return None,
        };
        // `+1` and `01` are numbers too.
        (part.to_string() == name).then_some(part)
    }
}

impl SiteId {
    /// What the language model head reads.
    pub const HEAD: Self = Self { part: PartId::HEAD, kind: SiteKind::Head };

    /// The input of an encoder.
    pub const fn patch(tower: Tower) -> Self {
        Self { part: PartId::patch(tower), kind: SiteKind::Patch }
    }

    /// A site of a block.
    pub const fn block(tower: Tower, block: usize, kind: SiteKind) -> Self {
        Self { part: PartId::block(tower, block), kind }
    }

    /// A site of an encoder's projector.
    pub const fn projector(tower: Tower, kind: SiteKind) -> Self {
        Self { part: PartId::projector(tower), kind }
    }

    /// A site of a projector for a block of the decoder.
    pub const fn deepstack(tower: Tower, level: usize, kind: SiteKind) -> Self {
        Self { part: PartId::deepstack(tower, level), kind }
    }

    /// A convolution of an audio encoder.
    pub const fn conv(tower: Tower, kind: SiteKind) -> Self {
        Self { part: PartId::patch(tower), kind }
    }

    /// The tower the site belongs to.
    pub const fn tower(self) -> Tower {
        self.part.tower
    }

    /// The block the site belongs to, if its part is a block.
    pub const fn block_index(self) -> Option<usize> {
        match self.part.stage {
            Stage::Block(block) => Some(block),
            _ => None,
        }
    }

    /// The site of that name, as `Display` writes it and in no other spelling.
    pub fn parse(name: &str) -> Option<Self> {
        let site = match name.rsplit_once('.') {
            None => (name == "head").then_some(SiteId::HEAD)?,
            Some((tower, "patch")) => SiteId::patch(tower_of(tower)?),
            Some((tower, "conv1")) => SiteId::conv(tower_of(tower)?, SiteKind::Conv1),
            Some((tower, "conv2")) => SiteId::conv(tower_of(tower)?, SiteKind::Conv2),
            Some((part, kind)) => SiteId { part: PartId::parse(part)?, kind: kind_of(kind)? },
        };
        (site.to_string() == name).then_some(site)
    }
}

fn tower_of(name: &str) -> Option<Tower> {
    Tower::ALL.into_iter().find(|tower| tower.to_string() == name)
}

fn kind_of(name: &str) -> Option<SiteKind> {
    SiteKind::OF_BLOCK.into_iter().find(|kind| kind.to_string() == name)
}

impl fmt::Display for Tower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tower::Vision => "vision",
            Tower::Audio => "audio",
            Tower::Language => "language",
        })
    }
}

impl fmt::Display for SiteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SiteKind::Patch => "patch",
            SiteKind::Conv1 => "conv1",
            SiteKind::Conv2 => "conv2",
            SiteKind::Qkv => "qkv",
            SiteKind::Out => "out",
            SiteKind::Up => "up",
            SiteKind::Down => "down",
            SiteKind::Head => "head",
        })
    }
}

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tower = self.tower;
        match (tower, self.stage) {
            (Tower::Language, Stage::Embed) => f.write_str("embedding"),
            (_, Stage::Embed) => write!(f, "{tower}.patch"),
            (_, Stage::Block(block)) => write!(f, "{tower}.{block}"),
            // The only projector of format version 1.
            (Tower::Vision, Stage::Projector) => f.write_str("projector"),
            (_, Stage::Projector) => write!(f, "{tower}.projector"),
            (_, Stage::Deepstack(level)) => write!(f, "{tower}.deepstack.{level}"),
            (_, Stage::Head) => f.write_str("head"),
        }
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part.stage {
            Stage::Embed if self.kind != SiteKind::Patch => write!(f, "{}.{}", self.part.tower, self.kind),
            Stage::Embed | Stage::Head => self.part.fmt(f),
            Stage::Block(_) | Stage::Projector | Stage::Deepstack(_) => write!(f, "{}.{}", self.part, self.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_and_parts_have_the_documented_names() {
        let names = [
            (SiteId::patch(Tower::Vision), "vision.patch"),
            (SiteId::block(Tower::Vision, 3, SiteKind::Qkv), "vision.3.qkv"),
            (SiteId::block(Tower::Language, 27, SiteKind::Down), "language.27.down"),
            (SiteId::projector(Tower::Vision, SiteKind::Up), "projector.up"),
            (SiteId::projector(Tower::Audio, SiteKind::Down), "audio.projector.down"),
            (SiteId::deepstack(Tower::Vision, 2, SiteKind::Up), "vision.deepstack.2.up"),
            (SiteId::conv(Tower::Audio, SiteKind::Conv2), "audio.conv2"),
            (SiteId::HEAD, "head"),
        ];
        for (id, name) in names {
            assert_eq!(id.to_string(), name);
        }
        assert_eq!(PartId::EMBEDDING.to_string(), "embedding");
        assert_eq!(PartId::block(Tower::Language, 2).to_string(), "language.2");
    }

    #[test]
    fn every_name_leads_back_and_no_other_does() {
        let mut sites = vec![SiteId::HEAD];
        for tower in Tower::ALL {
            if tower != Tower::Language {
                sites.push(SiteId::patch(tower));
                sites.extend([SiteKind::Conv1, SiteKind::Conv2].map(|kind| SiteId::conv(tower, kind)));
            }
            for kind in SiteKind::OF_BLOCK {
                sites.extend([0, 7, 79].map(|block| SiteId::block(tower, block, kind)));
                sites.push(SiteId::projector(tower, kind));
                sites.push(SiteId::deepstack(tower, 1, kind));
            }
        }
        for site in sites {
            assert_eq!(SiteId::parse(&site.to_string()), Some(site), "{site}");
            assert_eq!(PartId::parse(&site.part.to_string()), Some(site.part), "{}", site.part);
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
            "vision.projector.up",
            "vision.deepstack.up",
            "vision.deepstack.0",
            "vision.deepstack.00.up",
            "audio.conv3",
            "audio.patch.conv1",
            "embedding",
            "embedding.up",
            "head.up",
            "language.99999999999999999999.up",
        ] {
            assert_eq!(SiteId::parse(wrong), None, "{wrong}");
        }
    }
}
