//! Which sites a step means: patterns of the one name of a site, parsed once.
//!
//! | pattern | sites |
//! |---|---|
//! | `all` | all |
//! | `vision`, `language`, `audio` | of the tower: its patch embedding and its blocks |
//! | `encoders` | of every tower but the decoder: its patch embedding or convolutions and its blocks |
//! | `vision.patch`, `patch` | the patch embedding (or convolutions) of a tower, of every tower |
//! | `projector`, `projector.up`, `projector.down` | both sites of every projector (deepstack mergers too), one |
//! | `head` | the language model head |
//! | `TOWER.BLOCKS`, `TOWER.BLOCKS.KIND` | of a tower's blocks |
//!
//! TOWER is a tower or `*`, KIND is `qkv`, `out`, `up`, `down` or `*`. BLOCKS is `*`, a block, or a range without its end:
//! `0`, `0..4`, `4..`, `..4`; negative numbers count from the end, `-1` being the last block, `-4..` the last four.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use mquant_model::excerpt::quoted;
use mquant_model::nn::{PartId, SiteId, SiteKind, Stage, Tower};

/// Which sites a step means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteSelector {
    /// All of a model.
    All,
    /// Those that any of these match.
    AnyOf(Vec<SitePattern>),
}

/// Some sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SitePattern {
    /// A tower's patch embedding and blocks.
    Tower(Tower),
    /// Those of every tower but the decoder.
    Encoders,
    /// The patch embedding of a tower; None of every tower.
    Patch(Option<Tower>),
    /// Sites of blocks.
    Blocks(BlockPattern),
    /// A site of every projector; None both.
    Projector(Option<SiteKind>),
    /// The language model head.
    Head,
}

/// Some sites of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPattern {
    /// Of which tower; None of every tower.
    pub tower: Option<Tower>,
    /// Of which blocks.
    pub blocks: BlockRange,
    /// Which of a block's; None all four.
    pub kind: Option<SiteKind>,
}

/// Some blocks of a tower. Negative numbers count from the end: −1 is the last block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockRange {
    /// All.
    All,
    /// One.
    One(i32),
    /// From one, or the first, up to but without another, or to the end.
    Range(Option<i32>, Option<i32>),
}

/// How many blocks each tower has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// Of the vision tower.
    pub vision: usize,
    /// Of the audio tower.
    pub audio: usize,
    /// Of the decoder.
    pub language: usize,
}

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "expected a pattern such as \"vision\", \"patch\", \"projector\", \"head\", \"language.*\" or \"vision.0..4.down\", found {found}"
)]
pub struct PatternError {
    /// The text, in quotes.
    pub found: String,
}

impl Depths {
    /// Of a model with these sites.
    pub fn of(sites: &[SiteId]) -> Self {
        let mut depths = Self::default();
        for site in sites {
            if let Some(block) = site.block_index() {
                let depth = match site.tower() {
                    Tower::Vision => &mut depths.vision,
                    Tower::Audio => &mut depths.audio,
                    Tower::Language => &mut depths.language,
                };
                *depth = (*depth).max(block + 1);
            }
        }
        depths
    }

    /// Of a tower.
    pub fn of_tower(&self, tower: Tower) -> usize {
        match tower {
            Tower::Vision => self.vision,
            Tower::Audio => self.audio,
            Tower::Language => self.language,
        }
    }
}

impl SiteSelector {
    /// Whether it means a site of a model with towers of these depths.
    pub fn matches(&self, site: SiteId, depths: &Depths) -> bool {
        match self {
            SiteSelector::All => true,
            SiteSelector::AnyOf(patterns) => patterns.iter().any(|pattern| pattern.matches(site, depths)),
        }
    }
}

impl SitePattern {
    /// Whether it means a site of a model with towers of these depths.
    pub fn matches(&self, site: SiteId, depths: &Depths) -> bool {
        let SiteId { part: PartId { tower, stage }, kind } = site;
        match (self, stage) {
            (SitePattern::Tower(ours), Stage::Embed | Stage::Block(_)) => *ours == tower,
            (SitePattern::Encoders, Stage::Embed | Stage::Block(_)) => tower != Tower::Language,
            (SitePattern::Patch(ours), Stage::Embed) => ours.is_none_or(|ours| ours == tower),
            (SitePattern::Blocks(ours), Stage::Block(block)) => {
                ours.tower.is_none_or(|ours| ours == tower)
                    && ours.kind.is_none_or(|ours| ours == kind)
                    && ours.blocks.contains(block, depths.of_tower(tower))
            }
            (SitePattern::Projector(ours), Stage::Projector | Stage::Deepstack(_)) => {
                ours.is_none_or(|ours| ours == kind)
            }
            (SitePattern::Head, Stage::Head) => true,
            _ => false,
        }
    }
}

impl BlockRange {
    /// Whether a block of a tower of that depth is meant.
    pub fn contains(&self, block: usize, depth: usize) -> bool {
        let (block, depth) = (block as i128, depth as i128);
        let from_start = |i: i32| if i < 0 { depth + i128::from(i) } else { i128::from(i) };
        match self {
            BlockRange::All => true,
            BlockRange::One(one) => from_start(*one) == block,
            BlockRange::Range(from, to) => {
                from.is_none_or(|from| from_start(from) <= block) && to.is_none_or(|to| block < from_start(to))
            }
        }
    }
}

impl FromStr for SitePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let pattern = match text {
            "head" => Some(SitePattern::Head),
            "patch" => Some(SitePattern::Patch(None)),
            "encoders" => Some(SitePattern::Encoders),
            "projector" => Some(SitePattern::Projector(None)),
            "projector.up" => Some(SitePattern::Projector(Some(SiteKind::Up))),
            "projector.down" => Some(SitePattern::Projector(Some(SiteKind::Down))),
            _ => match text.split_once('.') {
                None => tower(text).map(SitePattern::Tower),
                Some((name, "patch")) => tower(name).map(|tower| SitePattern::Patch(Some(tower))),
                Some(("*", rest)) => blocks(None, rest),
                Some((name, rest)) => tower(name).and_then(|tower| blocks(Some(tower), rest)),
            },
        };
        pattern.ok_or_else(|| PatternError { found: quoted(text) })
    }
}

fn tower(name: &str) -> Option<Tower> {
    Tower::ALL.into_iter().find(|tower| tower.to_string() == name)
}

/// `BLOCKS` or `BLOCKS.KIND`.
fn blocks(tower: Option<Tower>, text: &str) -> Option<SitePattern> {
    let named =
        SiteKind::OF_BLOCK.into_iter().find_map(|kind| Some((text.strip_suffix(&format!(".{kind}"))?, Some(kind))));
    let (range, kind) = named.or_else(|| Some((text.strip_suffix(".*")?, None))).unwrap_or((text, None));
    let blocks = match range.split_once("..") {
        _ if range == "*" => BlockRange::All,
        None => BlockRange::One(number(range)?),
        Some((from, to)) => BlockRange::Range(end(from)?, end(to)?),
    };
    Some(SitePattern::Blocks(BlockPattern { tower, blocks, kind }))
}

/// A number, or nothing.
fn end(text: &str) -> Option<Option<i32>> {
    if text.is_empty() { Some(None) } else { number(text).map(Some) }
}

/// A number in the one way it is written: `+1`, `01` and `-0` are others.
fn number(text: &str) -> Option<i32> {
    text.parse().ok().filter(|n: &i32| n.to_string() == text)
}

impl fmt::Display for SitePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SitePattern::Tower(tower) => tower.fmt(f),
            SitePattern::Encoders => f.write_str("encoders"),
            SitePattern::Patch(None) => f.write_str("patch"),
            SitePattern::Patch(Some(tower)) => SiteId::patch(*tower).fmt(f),
            SitePattern::Projector(None) => f.write_str("projector"),
            SitePattern::Projector(Some(site)) => SiteId::projector(Tower::Vision, *site).fmt(f),
            SitePattern::Head => f.write_str("head"),
            SitePattern::Blocks(BlockPattern { tower, blocks, kind }) => {
                match tower {
                    Some(tower) => write!(f, "{tower}.{blocks}")?,
                    None => write!(f, "*.{blocks}")?,
                }
                kind.map_or(Ok(()), |kind| write!(f, ".{kind}"))
            }
        }
    }
}

impl fmt::Display for BlockRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |end: &Option<i32>| end.map_or_else(String::new, |n| n.to_string());
        match self {
            BlockRange::All => f.write_str("*"),
            BlockRange::One(one) => one.fmt(f),
            BlockRange::Range(from, to) => write!(f, "{}..{}", end(from), end(to)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites() -> Vec<SiteId> {
        let block = |tower, n| SiteKind::OF_BLOCK.map(|kind| SiteId::block(tower, n, kind));
        let mut sites = vec![SiteId::patch(Tower::Vision)];
        sites.extend((0..3).flat_map(|n| block(Tower::Vision, n)));
        sites.extend([SiteKind::Up, SiteKind::Down].map(|kind| SiteId::projector(Tower::Vision, kind)));
        sites.extend((0..12).flat_map(|n| block(Tower::Language, n)));
        sites.push(SiteId::HEAD);
        sites
    }

    fn matched(pattern: &str) -> Vec<String> {
        let (sites, pattern) = (sites(), pattern.parse::<SitePattern>().unwrap());
        let depths = Depths::of(&sites);
        assert_eq!((depths.vision, depths.audio, depths.language), (3, 0, 12));
        sites.into_iter().filter(|site| pattern.matches(*site, &depths)).map(|site| site.to_string()).collect()
    }

    #[test]
    fn patterns_mean_the_sites_that_their_names_say() {
        assert_eq!(matched("head"), ["head"]);
        assert_eq!(matched("patch"), ["vision.patch"]);
        assert_eq!(matched("vision.patch"), ["vision.patch"]);
        assert_eq!(matched("projector"), ["projector.up", "projector.down"]);
        assert_eq!(matched("projector.down"), ["projector.down"]);
        assert_eq!((matched("vision").len(), matched("vision.*").len(), matched("vision.*.*").len()), (13, 12, 12));
        assert_eq!(matched("vision.1"), ["vision.1.qkv", "vision.1.out", "vision.1.up", "vision.1.down"]);
        assert_eq!(matched("vision.*.down"), ["vision.0.down", "vision.1.down", "vision.2.down"]);
        assert_eq!(matched("language.0..2.qkv"), ["language.0.qkv", "language.1.qkv"]);
        assert_eq!(matched("language.-1.up"), ["language.11.up"]);
        assert_eq!(matched("language.-2...up"), ["language.10.up", "language.11.up"]);
        assert_eq!(matched("language...1.out"), ["language.0.out"]);
        assert_eq!(matched("language.9..-1.out"), ["language.9.out", "language.10.out"]);
        assert_eq!(matched("language.1.out"), ["language.1.out"], "not 10 and 11");
        assert_eq!(matched("*.-1.down"), ["vision.2.down", "language.11.down"]);
        for none in ["audio", "vision.3", "language.-13", "language.4..4", "language.12..", "audio.patch"] {
            assert_eq!(matched(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn a_pattern_is_written_as_it_is_read_and_in_no_other_spelling() {
        for text in [
            "vision",
            "audio",
            "language",
            "encoders",
            "patch",
            "audio.patch",
            "projector",
            "projector.up",
            "head",
            "vision.*",
            "*.*",
            "*.*.down",
            "language.0..4.qkv",
            "language.-4...up",
            "vision.3",
            "vision.-1.out",
            "language...2",
        ] {
            assert_eq!(text.parse::<SitePattern>().unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "*",
            "all",
            "Vision",
            "vision.",
            "vision.q",
            "vision.1.q",
            "vision.01",
            "vision.+1",
            "vision.-0",
            "vision.1.5",
            "vision.1..2..3",
            "vision.patch.x",
            "head.0",
            "projector.left",
            "model.layers.0",
            "vision.*.*.up",
            "language.99999999999",
            "vision. 1",
            "vision.1..x",
        ] {
            let error = wrong.parse::<SitePattern>().unwrap_err();
            assert_eq!(error.found, format!("\"{wrong}\""));
        }
        let long = "x".repeat(9999).parse::<SitePattern>().unwrap_err();
        assert!(long.found.len() < 200);
    }
}
