//! A recipe against the sites of a model: what each step means, and whether the steps can follow each other.

use super::order::Done;
use super::place::Origin;
use super::{Depths, Place, Plan, Quantize, Recipe, RecipeError, SitePlan, SiteSelector, Step, Target, ranges};
use mquant_model::excerpt::excerpt;
use mquant_model::nn::{SiteId, SiteKind, Stage, Tower};

impl Recipe {
    /// Decides every one of `sites`: all sites of a model, in its order. Reads no weight.
    ///
    /// # Errors
    /// Values out of range; a pattern or tower that the model has not; steps in an order that would change what the model
    /// computes; a step that is done twice or without effect.
    pub fn check(&self, sites: &[SiteId]) -> Result<Plan, RecipeError> {
        ranges::check(self)?;
        let mut plan = Plan { sites: sites.iter().copied().map(SitePlan::untouched).collect(), steps: Vec::new() };
        let mut done = Done::default();
        for (i, step) in self.steps.iter().enumerate() {
            let place = self.place(i);
            let matched = matched(step, sites, &place)?;
            done.check(i, step, &matched, &place)?;
            for site in plan.sites.iter_mut().filter(|site| matched.contains(&site.id)) {
                decide(site, i, step);
            }
            plan.steps.push(matched);
        }
        self.refuse_without_effect(&plan)?;
        self.refuse_float_branches(&plan)?;
        Ok(plan)
    }

    /// The recipe with more steps at its end, without the quantising steps of which they leave nothing.
    ///
    /// # Errors
    /// A pattern or tower that the model has not.
    pub fn extended(&self, more: &[Step], sites: &[SiteId]) -> Result<Self, RecipeError> {
        let mut extended = Self { origin: Origin::default(), ..self.clone() };
        extended.steps.extend_from_slice(more);
        let mut decided_by = vec![None; sites.len()];
        for (i, step) in extended.steps.iter().enumerate().filter(|(_, step)| matches!(step, Step::Quantize(_))) {
            let matched = matched(step, sites, &extended.place(i))?;
            let of = decided_by.iter_mut().zip(sites).filter(|(_, site)| matched.contains(site));
            of.for_each(|(by, _)| *by = Some(i));
        }
        let mut index = 0;
        extended.steps.retain(|step| {
            let is_left = !matches!(step, Step::Quantize(_)) || decided_by.contains(&Some(index));
            index += 1;
            is_left
        });
        Ok(extended)
    }

    /// Where a step was written.
    pub(super) fn place(&self, step: usize) -> Place {
        let file = if self.origin.file.is_empty() { excerpt(&self.name) } else { self.origin.file.clone() };
        let numbered = self.steps.get(step).map(|found| (step + 1, found.name()));
        Place { file, at: self.origin.steps.get(step).copied(), step: numbered }
    }

    /// A branch makes good what codes lack: it has no effect where a weight stays float.
    fn refuse_float_branches(&self, plan: &Plan) -> Result<(), RecipeError> {
        let steps = self.steps.iter().zip(&plan.steps).enumerate();
        for (i, (_, sites)) in steps.filter(|(_, (step, _))| matches!(step, Step::Compensate(_))) {
            let is_float = |site: &&SiteId| plan.site(**site).is_some_and(|plan| plan.target == Target::Float);
            if let Some(site) = sites.iter().find(is_float) {
                let place = Box::new(self.place(i));
                let expected = "sites whose weights become codes";
                return Err(RecipeError::Site { place, expected, found: format!("{site}, which stays float") });
            }
        }
        Ok(())
    }

    /// A quantising step of which nothing is left is a mistake.
    fn refuse_without_effect(&self, plan: &Plan) -> Result<(), RecipeError> {
        for (i, step) in self.steps.iter().enumerate() {
            let Step::Quantize(_) = step else { continue };
            if plan.sites.iter().any(|site| site.decided_by == Some(i)) {
                continue;
            }
            let first = plan.steps[i].first().and_then(|site| plan.site(*site));
            if let Some(SitePlan { id, decided_by: Some(again), .. }) = first {
                let (place, subject) = (self.place(i), id.to_string());
                return Err(RecipeError::Duplicate { place: Box::new(place), subject, again: again + 1 });
            }
        }
        Ok(())
    }
}

fn decide(site: &mut SitePlan, index: usize, step: &Step) {
    match step {
        Step::FuseNorms(_) | Step::RotateStream(_) | Step::RotateHeads(_) => {}
        Step::RotateOnline(rotate) => site.rotation = Some(rotate.otherwise),
        Step::Smooth(smooth) => site.smoothing = Some(smooth.alpha),
        Step::SmoothModalities(smooth) => site.modalities = Some(smooth.vectors),
        Step::Compensate(compensate) => site.compensation = Some(compensate.rank),
        Step::SplitColumns(split) => site.split = Some(split.limits),
        Step::Quantize(Quantize { target, .. }) => {
            site.target = *target;
            site.decided_by = Some(index);
        }
    }
}

/// The sites that a step is about.
fn matched(step: &Step, sites: &[SiteId], place: &Place) -> Result<Vec<SiteId>, RecipeError> {
    let depths = Depths::of(sites);
    let none = |field, found: String| RecipeError::NoMatch {
        place: Box::new(place.clone()),
        field,
        found,
        known: known(sites),
    };
    for tower in step.towers() {
        if step.names_towers() && depths.of_tower(*tower) == 0 {
            return Err(none("towers", tower.to_string()));
        }
    }
    let Some(selector) = step.sites() else {
        let blocks = |site: &&SiteId| site.block_index().is_some() && step.towers().contains(&site.tower());
        return Ok(sites.iter().filter(blocks).copied().collect());
    };
    if let SiteSelector::AnyOf(patterns) = selector {
        let empty = patterns.iter().find(|pattern| !sites.iter().any(|site| pattern.matches(*site, &depths)));
        if let Some(pattern) = empty {
            return Err(none("sites", pattern.to_string()));
        }
    }
    let matched: Vec<SiteId> = sites.iter().filter(|site| selector.matches(**site, &depths)).copied().collect();
    if let Step::SmoothModalities(_) | Step::Compensate(_) = step {
        let is_of_decoder = |site: &SiteId| site.tower() == Tower::Language && site.block_index().is_some();
        if let Some(site) = matched.iter().find(|site| !is_of_decoder(site)) {
            let expected =
                "sites of the decoder's blocks, such as \"language.*.qkv\": all rows of others are of one modality";
            return Err(RecipeError::Site { place: Box::new(place.clone()), expected, found: site.to_string() });
        }
    }
    if let Step::Smooth(_) = step {
        let before = |site: &&SiteId| {
            matches!(
                (site.part.stage, site.kind),
                (Stage::Embed, _) | (Stage::Projector | Stage::Deepstack(_), SiteKind::Down)
            )
        };
        if let Some(site) = matched.iter().find(before) {
            let expected = "sites with a norm or a linear in front, which takes the scales";
            return Err(RecipeError::Site { place: Box::new(place.clone()), expected, found: site.to_string() });
        }
    }
    Ok(matched)
}

/// The parts of a model, for a message.
fn known(sites: &[SiteId]) -> String {
    let depths = Depths::of(sites);
    let mut known = Vec::new();
    for tower in Tower::ALL {
        if sites.contains(&SiteId::patch(tower)) {
            known.push(format!("{}", SiteId::patch(tower)));
        }
        match depths.of_tower(tower) {
            0 => {}
            depth => known.push(format!("{depth} {tower} blocks")),
        }
    }
    if sites.iter().any(|site| site.part.stage == Stage::Projector) {
        known.push("a projector".to_owned());
    }
    if sites.contains(&SiteId::HEAD) {
        known.push("a head".to_owned());
    }
    if known.is_empty() { "none at all".to_owned() } else { known.join(", ") }
}

/// Whether smoothing of a site changes the gain of a norm.
pub(super) fn has_norm(site: SiteId) -> bool {
    matches!(site.kind, SiteKind::Qkv | SiteKind::Up | SiteKind::Head)
}

/// The tower whose stream a site's norm reads.
pub(super) fn stream_of(site: SiteId) -> Tower {
    site.tower()
}
