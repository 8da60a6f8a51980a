//! Where the accuracy went, and what it would take to have it back.
//!
//! Enters: a bundle, the float model it was made of, its recipe, and reference answers. Leaves: what every group of sites
//! costs ([`Blame`]), found by giving one group at a time its floats back; or the groups that 8 bits are best spent on
//! ([`Afforded`]). Invariant: what is measured is the model that would run: everything that is not given back stays integer.

mod afford;
mod groups;
mod jury;

pub use afford::{Afforded, Budget, Choice};
pub use groups::{Group, by_kind, by_tower};

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{Likelihood, Referenced};
use groups::BLOCK_GROUPS;
use jury::Jury;
use mquant_model::bundle::Manifest;
use mquant_model::disk::RealDisk;
use mquant_model::error::Result;
use mquant_model::run::{EngineOptions, LoadedModel};
use mquant_quantize::pipeline::{PipelineError, Restored, sites};
use mquant_quantize::recipe::{Quantize, Recipe, SitePattern, SiteSelector, Step};

/// A remedy is worth its bytes if it takes away at least this part of what the group costs.
const WORTH: f64 = 0.5;
/// Nats a token below which nothing is worth mending as long as no token differs.
const LITTLE: f64 = 0.01;
/// What is tried on the costliest kind of site, the cheapest first.
const REMEDIES: [Restored; 3] = [Restored::PerToken, Restored::EightBits, Restored::EightBitsPerToken];

/// What a group costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupCost {
    /// As a recipe selects it.
    pub pattern: String,
    /// How many sites it is.
    pub sites: usize,
    /// Divergence from the float model with this group float and all else quantised, in nats a token.
    pub kl: f64,
    /// The part of the whole divergence that goes away with it; below 0 where it had cancelled others' errors.
    pub share: f64,
    /// Share of tokens where the model so mended and the float model find the same one most likely.
    pub top1_agreement: f64,
}

/// Something that would mend a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remedy {
    /// The group.
    pub pattern: String,
    /// What is done to it.
    pub change: Restored,
    /// Divergence from the float model then.
    pub kl: f64,
    /// Bytes the model grows by.
    pub bytes: u64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blame {
    /// Answers it was found on.
    pub samples: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Divergence of the quantised model from the float model, in nats a token.
    pub kl: f64,
    /// Share of tokens where both find the same one most likely.
    pub top1_agreement: f64,
    /// Towers, the costliest first.
    pub towers: Vec<GroupCost>,
    /// Kinds of sites in each tower, the costliest first.
    pub kinds: Vec<GroupCost>,
    /// Blocks of the costliest kind, in order.
    pub blocks: Vec<GroupCost>,
    /// What would mend the costliest kind, the cheapest first.
    pub remedies: Vec<Remedy>,
    /// The cheapest of them that takes most of the cost away, as the last step of a recipe; None if none does.
    pub advice: Option<String>,
    /// The whole recipe with that step.
    pub recipe: Option<String>,
}

/// A quantised model, what it was made of, and by what.
#[derive(Clone, Copy, Debug)]
pub struct Suspect<'a> {
    /// Before.
    pub float: &'a LoadedModel,
    /// After.
    pub quantised: &'a LoadedModel,
    /// By what.
    pub recipe: &'a Recipe,
    /// How to compute.
    pub engine: EngineOptions,
}

/// Is told of models judged and of all there are to judge, and may end it.
pub type Judging<'w> = dyn FnMut(usize, usize) -> ControlFlow<()> + 'w;

impl<'a> Suspect<'a> {
    /// Finds out what each group costs on some reference answers. None if it was ended early.
    ///
    /// # Errors
    /// The recipe changes floats by what it saw; models that do not fit each other; scores that are not finite.
    pub fn blame(&self, referenced: &'a [Referenced], watch: &mut Judging<'_>) -> Result<Option<Blame>> {
        self.check_origin()?;
        let all = sites(&self.quantised.model);
        let (towers, kinds) = (by_tower(&all), by_kind(&all));
        let mut steps = Steps { done: 0, of: 2 + towers.len() + kinds.len() + BLOCK_GROUPS + REMEDIES.len(), watch };
        let jury = Jury::new(*self, referenced)?;
        if steps.step().is_break() {
            return Ok(None);
        }
        let whole = jury.measure(&BTreeSet::new(), Restored::Float)?;
        let Some(mut tower_costs) = costs(&jury, &towers, &whole, &mut steps)? else { return Ok(None) };
        let Some(mut kind_costs) = costs(&jury, &kinds, &whole, &mut steps)? else { return Ok(None) };
        let by_cost = |a: &GroupCost, b: &GroupCost| a.kl.total_cmp(&b.kl);
        tower_costs.sort_by(by_cost);
        kind_costs.sort_by(by_cost);
        let worst = kind_costs.first().and_then(|cost| Some((cost, kinds.iter().find(|k| k.pattern == cost.pattern)?)));
        let Some((cost, worst)) = worst else { return Ok(None) };
        let blocks = worst.by_block();
        steps.of = steps.of - BLOCK_GROUPS + blocks.len();
        let Some(block_costs) = costs(&jury, &blocks, &whole, &mut steps)? else { return Ok(None) };
        let mut remedies = Vec::new();
        for change in REMEDIES {
            if steps.step().is_break() {
                return Ok(None);
            }
            let kl = per_token(&jury.measure(&worst.sites, change)?);
            let bytes = if change == Restored::PerToken { 0 } else { jury.bytes_for_eight_bits(&worst.sites) };
            remedies.push(Remedy { pattern: worst.pattern.clone(), change, kl, bytes });
        }
        let kl = per_token(&whole);
        let lost = kl - cost.kl;
        let is_lost = lost > 0.0 && (kl >= LITTLE || agreement(&whole) < 1.0);
        let mends = remedies.iter().find(|remedy| is_lost && kl - remedy.kl >= WORTH * lost);
        let advice = mends.map(|remedy| self.step(worst, remedy.change)).transpose()?.flatten();
        let mended = advice.as_ref().map(|step| self.recipe.extended(std::slice::from_ref(step), &all)).transpose()?;
        Ok(Some(Blame {
            samples: referenced.len(),
            tokens: whole.tokens,
            kl,
            top1_agreement: agreement(&whole),
            towers: tower_costs,
            kinds: kind_costs,
            blocks: block_costs,
            remedies,
            advice: advice.map(|step| step.to_toml()),
            recipe: mended.map(|mut recipe| {
                recipe.name += "-mended";
                recipe.to_toml()
            }),
        }))
    }

    /// Whether the float model is the one that the bundle was made of, as far as the bundle says.
    fn check_origin(&self) -> Result<()> {
        let manifest = Manifest::read(&*RealDisk::shared(), self.quantised.checkpoint.dir())?;
        let Some(made_of) = manifest.and_then(|manifest| manifest.fingerprint.get("model").cloned()) else {
            return Ok(());
        };
        let found: String = self.float.checkpoint.fingerprint().iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = made_of;
        if expected == found { Ok(()) } else { Err(PipelineError::Origin { expected, found }.into()) }
    }

    /// The step that decides a group again; None of a pattern that no recipe has.
    fn step(&self, group: &Group, change: Restored) -> Result<Option<Step>> {
        let plan = self.recipe.check(&sites(&self.quantised.model))?;
        let target = group.sites.first().and_then(|site| plan.site(*site)).map(|site| site.target);
        let pattern = group.pattern.parse::<SitePattern>().ok();
        Ok(target.zip(pattern).map(|(target, pattern)| {
            let sites = SiteSelector::AnyOf(vec![pattern]);
            Step::Quantize(Quantize { sites, target: change.of(target) })
        }))
    }
}

/// What groups cost; None if it was ended early.
fn costs(
    jury: &Jury<'_>,
    groups: &[Group],
    whole: &Likelihood,
    steps: &mut Steps<'_, '_>,
) -> Result<Option<Vec<GroupCost>>> {
    let mut costs = Vec::new();
    for group in groups {
        if steps.step().is_break() {
            return Ok(None);
        }
        let mended = jury.measure(&group.sites, Restored::Float)?;
        costs.push(GroupCost {
            pattern: group.pattern.clone(),
            sites: group.sites.len(),
            kl: per_token(&mended),
            share: if whole.kl > 0.0 { (whole.kl - mended.kl) / whole.kl } else { 0.0 },
            top1_agreement: agreement(&mended),
        });
    }
    Ok(Some(costs))
}

/// Models judged.
struct Steps<'s, 'w> {
    done: usize,
    of: usize,
    watch: &'s mut Judging<'w>,
}

impl Steps<'_, '_> {
    fn step(&mut self) -> ControlFlow<()> {
        self.done += 1;
        (self.watch)(self.done, self.of)
    }
}

fn per_token(sum: &Likelihood) -> f64 {
    sum.kl / sum.tokens.max(1) as f64
}

fn agreement(sum: &Likelihood) -> f64 {
    sum.top1_equal as f64 / sum.tokens.max(1) as f64
}
