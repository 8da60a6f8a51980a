//! What a site's weights were, and what they read, as published and after every step.
//!
//! Weights are looked at as the steps go by. What is read is looked at once, where all steps are done: taking back what each
//! did to it, the last first, tells what was read before.

use std::collections::BTreeMap;

use mquant_kernels::Cpu;

use super::report::{Spread, StageReport};
use super::sampled_rows::SampledByModality;
use super::spread::spread_of;
use crate::transform::{ReadChange, ReadChanges};
use mquant_model::nn::{Part, SiteId, SiteMut};

/// The stage before all steps.
const PUBLISHED: &str = "published";
/// The stage after all steps, without the channels that are split off.
const SPLIT: &str = "split_columns";

/// The steps that a unit went through.
#[derive(Debug, Default)]
pub(super) struct History(Vec<Stage>);

#[derive(Debug)]
struct Stage {
    name: &'static str,
    weights: BTreeMap<SiteId, Spread>,
    /// What led here from the stage before.
    changes: BTreeMap<SiteId, Vec<ReadChange>>,
}

impl History {
    /// Of a part as it was published.
    pub(super) fn of(part: &mut dyn Part) -> Self {
        let mut history = Self::default();
        history.note(PUBLISHED, part, ReadChanges::new());
        history
    }

    /// Notes a step that was done just now.
    pub(super) fn note(&mut self, name: &'static str, part: &mut dyn Part, changes: ReadChanges) {
        let weights = part.sites().iter().map(|site| (site.id, spread_of(&*site.linears, &[]))).collect();
        let mut by_site: BTreeMap<SiteId, Vec<ReadChange>> = BTreeMap::new();
        for (site, change) in changes {
            by_site.entry(site).or_default().push(change);
        }
        self.0.push(Stage { name, weights, changes: by_site });
    }

    /// The stages of a site where anything changed, given what its linears read now and the channels that are split off.
    pub(super) fn stages(
        &self,
        cpu: Cpu,
        site: &SiteMut<'_>,
        rows: &SampledByModality,
        side: &[u32],
    ) -> Vec<StageReport> {
        let mut activations = vec![BTreeMap::new(); self.0.len()];
        for (modality, rows) in rows {
            let mut spread = spread_of(rows, &[]);
            let mut before = None;
            for (at, stage) in self.0.iter().enumerate().rev() {
                activations[at].insert(modality.to_string(), spread);
                let changes = stage.changes.get(&site.id).map_or(&[][..], Vec::as_slice);
                for change in changes.iter().rev() {
                    before = Some(change.undo(cpu, before.as_ref().unwrap_or(rows)));
                }
                if let (false, Some(before)) = (changes.is_empty(), &before) {
                    spread = spread_of(before, &[]);
                }
            }
        }
        let mut stages: Vec<StageReport> = Vec::new();
        for (stage, activation) in self.0.iter().zip(activations) {
            let weight = stage.weights.get(&site.id).copied().unwrap_or_default();
            if stages.last().is_none_or(|last| (last.weight, &last.activation) != (weight, &activation)) {
                stages.push(StageReport { stage: stage.name.to_owned(), activation, weight });
            }
        }
        if !side.is_empty() {
            let activation =
                rows.iter().map(|(modality, rows)| (modality.to_string(), spread_of(rows, side))).collect();
            let weight = spread_of(&*site.linears, side);
            stages.push(StageReport { stage: SPLIT.to_owned(), activation, weight });
        }
        stages
    }
}

#[cfg(test)]
mod tests {
    use mquant_kernels::{Matrix, Rows};

    use super::*;
    use mquant_model::input::Modality;
    use mquant_model::nn::{Head, Linear, Site, Weight};

    /// Two outputs that read three channels.
    fn head(weights: [f32; 6]) -> Head {
        let weight = Weight::Float(Matrix::from_f32(weights.to_vec(), 2, 3));
        Head(Site::float(SiteId::HEAD, None, [Linear::plain(weight, None)]))
    }

    /// A step: its name, the weights it leaves, what it divided the channels read by.
    type Done = (&'static str, [f32; 6], Option<[f64; 3]>);

    fn stages(steps: &[Done], side: &[u32]) -> Vec<StageReport> {
        let mut history = History::of(&mut head([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        let mut last = head([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        for (name, weights, scale) in steps {
            last = head(*weights);
            let change = scale.map(|scale| ReadChange::Channels { scale: scale.to_vec(), shift: None });
            history.note(name, &mut last, change.into_iter().map(|change| (SiteId::HEAD, change)).collect());
        }
        let rows = SampledByModality::from([
            (Modality::Text, Rows::from_vec(vec![1.0, -2.0, 3.0, 0.5, 0.25, -1.0], 3)),
            (Modality::Vision, Rows::from_vec(vec![8.0, 9.0, 7.0], 3)),
        ]);
        history.stages(Cpu::detect(), &last.sites()[0], &rows, side)
    }

    #[test]
    fn what_was_read_before_a_step_is_told() {
        // The step divided what is read by 100, 1 and 10, and multiplied the weights by as much.
        let smoothed = [100.0, 2.0, 30.0, 400.0, 5.0, 60.0];
        let found = stages(&[("smooth", smoothed, Some([100.0, 1.0, 10.0]))], &[0]);
        let names: Vec<&str> = found.iter().map(|stage| stage.stage.as_str()).collect();
        assert_eq!(names, ["published", "smooth", "split_columns"]);
        let told = |stage: usize, of: &str| {
            let spread = if of == "weight" { found[stage].weight } else { found[stage].activation[of] };
            (spread.max, spread.channel)
        };
        assert_eq!([told(0, "text"), told(1, "text"), told(2, "text")], [(100.0, 0), (3.0, 2), (3.0, 2)]);
        assert_eq!([told(0, "vision"), told(1, "vision"), told(2, "vision")], [(800.0, 0), (9.0, 1), (9.0, 1)]);
        assert_eq!([told(0, "weight"), told(1, "weight"), told(2, "weight")], [(6.0, 2), (400.0, 0), (60.0, 2)]);
        assert_eq!(found[0].activation["text"].quantiles, [2.0, 30.0, 30.0, 100.0, 100.0, 100.0]);
    }

    #[test]
    fn a_step_that_changed_nothing_here_is_left_out() {
        let weights = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let found = stages(&[("fuse_norms", weights, None), ("rotate_heads", [9.0; 6], None)], &[]);
        let names: Vec<&str> = found.iter().map(|stage| stage.stage.as_str()).collect();
        assert_eq!(names, ["published", "rotate_heads"]);
        assert_eq!(found[0].activation, found[1].activation);
    }
}
