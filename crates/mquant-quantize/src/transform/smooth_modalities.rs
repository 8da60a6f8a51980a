//! Modality-aware smoothing (MASQuant, arXiv 2603.04800, sections 3.1 and 4.2): each modality has a vector of its own.
//!
//! The rows of modality m are divided by s_m, and the shared weight is multiplied by s_text. The text vector is folded into
//! whatever makes the activation, which leaves the function as it is. What is left for the other modalities is a factor
//! s_text / s_m for each channel, and a weight that is no longer the one they were divided for: a low-rank branch makes that good.
//!
//! At the start s_m = √(max|x_m| / max|w|) over the rows of the modality and all linears of the site (equation 12; the square
//! root is the code's and α = 0.5 here).

use std::collections::{BTreeMap, BTreeSet};

use super::fold_scales::{Sources, fold_scales, largest_activations, largest_weights};
use super::{ReadChanges, SeenChannels, TransformError};
use mquant_model::nn::{Modality, Part, SiteId};

/// Magnitudes and vectors below count as this much, as in the published code.
const LEAST: f64 = 1e-5;

/// One value a channel for each modality of each site.
pub type ModalityVectors = BTreeMap<SiteId, BTreeMap<Modality, Vec<f32>>>;

/// Whether modalities share a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SmoothingVectors {
    /// One for each modality.
    PerModality,
    /// One for all rows: what the paper calls uniform smoothing.
    Uniform,
}

/// The step.
#[derive(Clone, Debug)]
pub struct SmoothModalities {
    sites: BTreeSet<SiteId>,
    alpha: f64,
    vectors: SmoothingVectors,
}

impl SmoothModalities {
    /// For these sites; `alpha` from 0 (weights decide) to 1 (activations decide).
    pub fn new(sites: BTreeSet<SiteId>, alpha: f64, vectors: SmoothingVectors) -> Self {
        Self { sites, alpha, vectors }
    }

    /// Whether modalities share a vector.
    pub fn vectors(&self) -> SmoothingVectors {
        self.vectors
    }

    /// The vectors that learning begins with. Uniform vectors are those of all rows, under the modality `text`.
    ///
    /// # Errors
    /// A site that was not seen.
    pub fn initial(&self, part: &mut dyn Part, seen: &SeenChannels) -> Result<ModalityVectors, TransformError> {
        let mut vectors = ModalityVectors::new();
        for site in part.sites().into_iter().filter(|site| self.sites.contains(&site.id)) {
            let seen = seen.get(&site.id).ok_or(TransformError::NotSeen { site: site.id })?;
            let inputs: Vec<usize> = (0..seen.values().map(Vec::len).max().unwrap_or(0)).collect();
            let weights = largest_weights(site.linears, &inputs, inputs.len());
            let vector = |seen: &[f32]| -> Vec<f32> {
                let each = seen.iter().zip(&weights);
                let scale = |(x, w): (&f32, &f64)| {
                    let (x, w) = (f64::from(*x).max(LEAST), w.max(LEAST));
                    (x.powf(self.alpha) / w.powf(1.0 - self.alpha)).max(LEAST) as f32
                };
                each.map(scale).collect()
            };
            let mut of_site: BTreeMap<Modality, Vec<f32>> = match self.vectors {
                SmoothingVectors::PerModality => seen.iter().map(|(m, seen)| (*m, vector(seen))).collect(),
                SmoothingVectors::Uniform => BTreeMap::new(),
            };
            of_site.entry(Modality::Text).or_insert_with(|| vector(&super::largest(seen)));
            vectors.insert(site.id, of_site);
        }
        Ok(vectors)
    }

    /// Folds the text vectors, and says what is left to multiply the rows of the other modalities by. Where several inputs are
    /// made by one output, they take the largest of their text vectors.
    ///
    /// # Errors
    /// A site whose activation nothing in front can take a scale for.
    pub fn fold(
        &self,
        part: &mut dyn Part,
        vectors: &ModalityVectors,
    ) -> Result<(ReadChanges, ModalityVectors), TransformError> {
        let mut folded: BTreeMap<SiteId, Vec<f64>> = BTreeMap::new();
        let changes = fold_scales(part, &self.sites, &mut |Sources { site, of_input, count, .. }| {
            let text = vectors.get(&site).and_then(|of_site| of_site.get(&Modality::Text));
            let text = text.ok_or(TransformError::NotSeen { site })?;
            let scales = largest_activations(text, &of_input, count);
            folded.insert(site, of_input.iter().map(|source| scales[*source]).collect());
            Ok(scales)
        })?;
        let factors = vectors.iter().filter_map(|(site, of_site)| {
            let text = folded.get(site)?;
            let factor = |s: &Vec<f32>| text.iter().zip(s).map(|(text, s)| (text / f64::from(*s)) as f32).collect();
            let others = of_site.iter().filter(|(modality, _)| **modality != Modality::Text);
            Some((*site, others.map(|(modality, s)| (*modality, factor(s))).collect::<BTreeMap<_, _>>()))
        });
        let factors = factors.filter(|(_, of_site)| !of_site.is_empty()).collect();
        Ok((changes, factors))
    }
}
