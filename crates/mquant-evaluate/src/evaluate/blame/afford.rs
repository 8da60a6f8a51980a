//! Where 8 bits are best spent: groups of sites in the order of what a byte mends there, as many as a budget asks for or allows.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Group, Judging, Jury, Steps, Suspect, agreement, by_kind, per_token};
use crate::evaluate::Referenced;
use mquant_model::error::Result;
use mquant_model::nn::SiteId;
use mquant_quantize::pipeline::{Restored, sites};
use mquant_quantize::recipe::Step;

/// What may be spent, or has to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// At most this share of the tokens of reference answers, in percent, may be others than the float model finds most
    /// likely. No score: an answer of several tokens is wrong with any of them.
    Drop(f64),
    /// The model may grow by at most so many bytes.
    Bytes(u64),
}

/// A group that was weighed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// As a recipe selects it.
    pub pattern: String,
    /// Divergence that 8 bits there take away, in nats a token; below 0 if they make it worse.
    pub gain: f64,
    /// Bytes they take.
    pub bytes: u64,
    /// Whether the group gets them.
    pub is_taken: bool,
}

/// How the budget is spent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Afforded {
    /// Groups with weights of 4 bits, in the order they are taken.
    pub choices: Vec<Choice>,
    /// Steps for the end of the recipe.
    #[serde(skip)]
    pub steps: Vec<Step>,
    /// Bytes the model grows by.
    pub bytes: u64,
    /// Tokens that differ from the float model's, in percent, before.
    pub drop_before: f64,
    /// The same with the budget spent, weights rounded to nearest: the method of the recipe may do better.
    pub drop: f64,
    /// Whether the drop asked for is reached; always, if bytes were asked for.
    pub is_reached: bool,
}

/// A group that could be taken.
struct Weighed {
    group: Group,
    gain: f64,
    bytes: u64,
}

impl<'a> Suspect<'a> {
    /// Spends a budget. None if it was ended early.
    ///
    /// # Errors
    /// As [`blame`](Self::blame).
    pub fn afford(
        &self,
        referenced: &'a [Referenced],
        budget: Budget,
        watch: &mut Judging<'_>,
    ) -> Result<Option<Afforded>> {
        let jury = Jury::new(*self, referenced)?;
        let groups: Vec<Group> = by_kind(&sites(&self.quantised.model)).iter().flat_map(Group::by_block).collect();
        let groups: Vec<(Group, u64)> = groups
            .into_iter()
            .map(|group| {
                let bytes = jury.bytes_for_eight_bits(&group.sites);
                (group, bytes)
            })
            .filter(|(_, bytes)| *bytes > 0)
            .collect();
        let mut steps = Steps { done: 0, of: groups.len() + groups.len().max(1).ilog2() as usize + 2, watch };
        let before = jury.measure(&BTreeSet::new(), Restored::EightBits)?;
        let mut weighed = Vec::new();
        for (group, bytes) in groups {
            if steps.step().is_break() {
                return Ok(None);
            }
            let gain = per_token(&before) - per_token(&jury.measure(&group.sites, Restored::EightBits)?);
            weighed.push(Weighed { group, gain, bytes });
        }
        let worth = |w: &Weighed| w.gain / w.bytes as f64;
        weighed.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
        let drop_of = |taken: &[Weighed]| -> Result<f64> {
            let sites: BTreeSet<SiteId> = taken.iter().flat_map(|w| w.group.sites.iter().copied()).collect();
            Ok(100.0 * (1.0 - agreement(&jury.measure(&sites, Restored::EightBits)?)))
        };
        let taken = match budget {
            Budget::Bytes(most) => {
                // A group that does not fit makes room for a smaller one after it.
                let mut left = most;
                weighed.retain(|w| w.gain > 0.0);
                let (taken, rest): (Vec<_>, Vec<_>) = weighed.into_iter().partition(|w| {
                    let fits = w.bytes <= left;
                    left -= if fits { w.bytes } else { 0 };
                    fits
                });
                let count = taken.len();
                weighed = taken.into_iter().chain(rest).collect();
                count
            }
            Budget::Drop(most) => {
                // More groups hardly ever make it worse: the fewest that suffice are between too few and all.
                let (mut too_few, mut enough) = (0, weighed.len());
                if 100.0 * (1.0 - agreement(&before)) <= most {
                    enough = 0;
                }
                while too_few + 1 < enough {
                    if steps.step().is_break() {
                        return Ok(None);
                    }
                    let middle = too_few.midpoint(enough);
                    if drop_of(&weighed[..middle])? <= most { enough = middle } else { too_few = middle }
                }
                enough
            }
        };
        let drop = drop_of(&weighed[..taken])?;
        let made = weighed[..taken].iter().map(|w| self.step(&w.group, Restored::EightBits));
        let made = made.collect::<Result<Vec<_>>>()?;
        Ok(Some(Afforded {
            steps: merged(made.into_iter().flatten()),
            bytes: weighed[..taken].iter().map(|w| w.bytes).sum(),
            drop_before: 100.0 * (1.0 - agreement(&before)),
            drop,
            is_reached: match budget {
                Budget::Drop(most) => drop <= most,
                Budget::Bytes(_) => true,
            },
            choices: weighed
                .into_iter()
                .enumerate()
                .map(|(i, Weighed { group, gain, bytes })| Choice {
                    pattern: group.pattern,
                    gain,
                    bytes,
                    is_taken: i < taken,
                })
                .collect(),
        }))
    }
}

/// One step for all groups that are decided alike.
fn merged(steps: impl Iterator<Item = Step>) -> Vec<Step> {
    use mquant_quantize::recipe::{Quantize, SiteSelector};
    let mut merged: Vec<Step> = Vec::new();
    for step in steps {
        let Step::Quantize(Quantize { sites: SiteSelector::AnyOf(more), target }) = &step else {
            merged.push(step);
            continue;
        };
        let same = merged.iter_mut().find_map(|step| match step {
            Step::Quantize(Quantize { sites: SiteSelector::AnyOf(patterns), target: t }) if t == target => {
                Some(patterns)
            }
            _ => None,
        });
        match same {
            Some(patterns) => patterns.extend(more.iter().copied()),
            None => merged.push(step),
        }
    }
    merged
}
