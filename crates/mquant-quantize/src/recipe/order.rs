//! Which steps may follow which: everything after quantising, and transforms that would not leave the model's results alone.

use std::collections::BTreeMap;

use super::check::{has_norm, stream_of};
use super::{Place, RecipeError, RotationKind, Step};
use mquant_model::nn::{SiteId, SiteKind, Tower};

/// What earlier steps have done, by the index of the step.
#[derive(Default)]
pub(super) struct Done {
    fused: DoneTowers,
    rotated: DoneTowers,
    heads: DoneTowers,
    online: Sites,
    smoothed: Sites,
    modalities: Sites,
    compensated: Sites,
    split: Sites,
    quantised: Option<usize>,
}

type DoneTowers = BTreeMap<Tower, usize>;
type Sites = BTreeMap<SiteId, usize>;

/// A rule that a step breaks.
struct Broken {
    subject: String,
    expected: &'static str,
    found: String,
    hint: &'static str,
}

impl Done {
    /// Notes a step and the sites it is about.
    pub(super) fn check(
        &mut self,
        index: usize,
        step: &Step,
        sites: &[SiteId],
        place: &Place,
    ) -> Result<(), RecipeError> {
        self.refuse_twice(step, sites, place, index)?;
        if let Some(Broken { subject, expected, found, hint }) = self.broken(step, sites) {
            return Err(RecipeError::Order { place: Box::new(place.clone()), subject, expected, found, hint });
        }
        let towers = step.towers().iter().map(|tower| (*tower, index));
        let named = sites.iter().map(|site| (*site, index));
        match step {
            Step::FuseNorms(_) => self.fused.extend(towers),
            Step::RotateStream(_) => self.rotated.extend(towers),
            Step::RotateHeads(_) => self.heads.extend(towers),
            Step::RotateOnline(_) => self.online.extend(named),
            Step::Smooth(_) => self.smoothed.extend(named),
            Step::SmoothModalities(_) => self.modalities.extend(named),
            Step::Compensate(_) => self.compensated.extend(named),
            Step::SplitColumns(_) => self.split.extend(named),
            Step::Quantize(_) => self.quantised = Some(index),
        }
        Ok(())
    }

    /// A transform done twice to the same tower or site. `place` is told of the first, as the other is named.
    fn refuse_twice(&self, step: &Step, sites: &[SiteId], place: &Place, index: usize) -> Result<(), RecipeError> {
        let tower = |done: &DoneTowers| {
            step.towers().iter().find_map(|tower| done.get(tower).map(|first| (tower.to_string(), *first)))
        };
        let site = |done: &Sites| sites.iter().find_map(|site| done.get(site).map(|first| (site.to_string(), *first)));
        let twice = match step {
            Step::FuseNorms(_) => tower(&self.fused),
            Step::RotateStream(_) => tower(&self.rotated),
            Step::RotateHeads(_) => tower(&self.heads),
            Step::RotateOnline(_) => site(&self.online),
            Step::Smooth(_) => site(&self.smoothed),
            Step::SmoothModalities(_) => site(&self.modalities),
            Step::Compensate(_) => site(&self.compensated),
            Step::SplitColumns(_) => site(&self.split),
            Step::Quantize(_) => None,
        };
        match twice {
            Some((subject, first)) => {
                debug_assert!(first < index, "steps are noted in order");
                Err(RecipeError::Duplicate { place: Box::new(place.clone()), subject, again: first + 1 })
            }
            None => Ok(()),
        }
    }

    fn broken(&self, step: &Step, sites: &[SiteId]) -> Option<Broken> {
        if let (Some(first), false) = (self.quantised, matches!(step, Step::Quantize(_))) {
            return Some(Broken {
                subject: "weights".to_owned(),
                expected: "to be float still",
                found: format!("quantised by step {}", first + 1),
                hint: "put steps that quantize after all others",
            });
        }
        if let Some(broken) = self.mixes_smoothed_channels(step, sites) {
            return Some(broken);
        }
        match step {
            Step::FuseNorms(_) => step.towers().iter().find_map(|tower| self.fuse(*tower)),
            Step::RotateStream(rotate) => {
                step.towers().iter().find_map(|tower| self.rotate_stream(*tower, rotate.kind))
            }
            Step::RotateOnline(_) => sites.iter().find_map(|site| {
                Some(Broken {
                    subject: site.to_string(),
                    expected: "its columns not to be split yet",
                    found: format!("split by step {}", self.split.get(site)? + 1),
                    hint: "put rotate_online before split_columns: the columns split are those of the rotated weight",
                })
            }),
            Step::Smooth(_) => sites.iter().find_map(|site| self.smooth(*site)),
            Step::SmoothModalities(_) => sites.iter().find_map(|site| {
                let (expected, first) = match (self.online.get(site), self.split.get(site)) {
                    (Some(first), _) => ("its activation not to be rotated while running", first),
                    (None, first) => ("its columns not to be split yet", first?),
                };
                let (subject, found) = (site.to_string(), format!("done by step {}", first + 1));
                let hint = "smooth by modality what is not rotated online: the text vector is folded into what makes the activation";
                Some(Broken { subject, expected, found, hint })
            }),
            Step::Compensate(_) | Step::RotateHeads(_) | Step::SplitColumns(_) | Step::Quantize(_) => None,
        }
    }

    /// A step that would mix or scale anew the channels that each modality divides by its own vector.
    fn mixes_smoothed_channels(&self, step: &Step, sites: &[SiteId]) -> Option<Broken> {
        let is_mixed = |site: &SiteId| match step {
            Step::FuseNorms(_) | Step::RotateStream(_) => step.towers().contains(&site.tower()) && has_norm(*site),
            Step::RotateHeads(_) => step.towers().contains(&site.tower()) && site.kind == SiteKind::Out,
            Step::RotateOnline(_) | Step::Smooth(_) | Step::SplitColumns(_) => sites.contains(site),
            _ => false,
        };
        let (site, first) = self.modalities.iter().find(|(site, _)| is_mixed(site))?;
        Some(Broken {
            subject: site.to_string(),
            expected: "not to be smoothed by modality yet",
            found: format!("smoothed by step {}", first + 1),
            hint: "put smooth_modalities after rotations, fused norms and other smoothing: its vectors are of single channels",
        })
    }

    fn fuse(&self, tower: Tower) -> Option<Broken> {
        Some(Broken {
            subject: tower.to_string(),
            expected: "its stream not to be rotated yet",
            found: format!("rotated by step {}", self.rotated.get(&tower)? + 1),
            hint: "put fuse_norms before rotate_stream: gains and biases are of the stream as it was",
        })
    }

    fn rotate_stream(&self, tower: Tower, kind: RotationKind) -> Option<Broken> {
        (kind == RotationKind::Hadamard && !self.fused.contains_key(&tower)).then(|| Broken {
            subject: tower.to_string(),
            expected: "its norms to be fused before its stream is rotated by \"hadamard\"",
            found: "no fuse_norms before".to_owned(),
            hint: "put a step fuse_norms with this tower in front, or rotate by \"ones_preserving\"",
        })
    }

    /// A norm-fed site needs a gain to take its scales; an online rotation mixes the channels that have scales.
    fn smooth(&self, site: SiteId) -> Option<Broken> {
        let stream = stream_of(site);
        let fed = has_norm(site);
        let (subject, put_before) = (site.to_string(), "put smooth before it: scales are of single channels");
        if let Some(first) = self.fused.get(&stream).filter(|_| fed) {
            return Some(Broken {
                subject,
                expected: "its norm to have a gain that takes the scales",
                found: format!("fused by step {}", first + 1),
                hint: put_before,
            });
        }
        if let Some(first) = self.rotated.get(&stream).filter(|_| fed) {
            return Some(Broken {
                subject,
                expected: "its stream not to be rotated yet",
                found: format!("rotated by step {}", first + 1),
                hint: put_before,
            });
        }
        let (expected, first) = match (self.online.get(&site), self.split.get(&site)) {
            (Some(first), _) => ("its activation not to be rotated yet", first),
            (None, Some(first)) => ("its columns not to be split yet", first),
            (None, None) => return None,
        };
        Some(Broken { subject, expected, found: format!("done by step {}", first + 1), hint: put_before })
    }
}
