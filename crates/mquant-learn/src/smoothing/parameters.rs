//! The vectors of a site as what is learned: logarithms, so that they stay positive and a step is a share of the value.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use mquant_model::nn::{Modality, SiteId};

use super::Vectors;
use crate::LearnError;
use crate::tensor::{TensorResult, indices, tensor, with_values};

/// One vector: log s = θ, or θ at the index of each channel where channels share a value.
#[derive(Debug)]
pub(crate) struct Vector {
    pub(crate) log: Var,
    shared: Option<Tensor>,
}

impl Vector {
    /// s, one value a channel.
    pub(crate) fn value(&self) -> TensorResult<Tensor> {
        let s = self.log.exp()?;
        match &self.shared {
            Some(shared) => s.index_select(shared, 0),
            None => Ok(s),
        }
    }
}

/// The vectors of a site: one set for all its linears, or one for each.
#[derive(Debug)]
pub(crate) struct SiteParameters {
    /// The modality of each vector; one entry where all modalities share a vector.
    pub(crate) modalities: Vec<Modality>,
    /// Whether all rows belong to the first vector.
    uniform: bool,
    /// Of each set, one vector for each modality.
    pub(crate) sets: Vec<Vec<Vector>>,
}

/// How the vectors of a site hang together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ties<'a> {
    pub(crate) sets: usize,
    /// One vector for all modalities: of several, the largest value of each channel, which is what the largest magnitude of all
    /// rows gives.
    pub(crate) uniform: bool,
    /// Which channels of the text vector share a value: of each channel, the index of its value.
    pub(crate) text: Option<&'a [u32]>,
}

impl SiteParameters {
    /// Parameters that start at `vectors`, each of `channels` positive values.
    pub(crate) fn new(
        site: SiteId,
        vectors: &Vectors,
        channels: usize,
        floor: f32,
        ties: Ties<'_>,
    ) -> Result<Self, LearnError> {
        for (modality, values) in vectors {
            let modality = *modality;
            if values.len() != channels {
                return Err(LearnError::Length { site, modality, expected: channels, found: values.len() });
            }
            if let Some(channel) = values.iter().position(|v| !(*v > 0.0 && v.is_finite())) {
                return Err(LearnError::NotPositive { site, modality, channel, found: values[channel] });
            }
        }
        let mut start: BTreeMap<Modality, Vec<f32>> = vectors.clone();
        if ties.uniform {
            let largest = (0..channels).map(|i| vectors.values().fold(0f32, |most, v| most.max(v[i]))).collect();
            start = vectors.keys().take(1).map(|modality| (*modality, Vec::clone(&largest))).collect();
        }
        let vector = |modality: Modality, values: &[f32]| {
            let shared = ties.text.filter(|_| modality == Modality::Text || ties.uniform);
            let mut log: Vec<f32> = values.iter().map(|v| v.max(floor).ln()).collect();
            if let Some(shared) = shared {
                let mut values = vec![f32::MIN; shared.iter().max().map_or(0, |most| *most as usize + 1)];
                shared.iter().zip(&log).for_each(|(at, v)| values[*at as usize] = values[*at as usize].max(*v));
                log = values;
            }
            let len = log.len();
            let shared = shared.map(|shared| indices(shared.to_vec())).transpose()?;
            Ok(Vector { log: Var::from_tensor(&tensor(log, len)?)?, shared })
        };
        let set = || start.iter().map(|(modality, values)| vector(*modality, values)).collect::<TensorResult<Vec<_>>>();
        Ok(Self {
            modalities: start.keys().copied().collect(),
            uniform: ties.uniform,
            sets: (0..ties.sets).map(|_| set()).collect::<TensorResult<_>>()?,
        })
    }

    /// The place of the vector for rows of a modality.
    pub(crate) fn slot(&self, modality: Modality) -> Option<usize> {
        if self.uniform { Some(0) } else { self.modalities.iter().position(|known| *known == modality) }
    }

    /// The vectors of each set, for `asked` where all modalities share one.
    pub(crate) fn vectors(&self, asked: &[Modality]) -> TensorResult<Vec<Vectors>> {
        let of = |set: &Vec<Vector>| {
            let modalities = if self.uniform { asked } else { &self.modalities };
            let values = modalities.iter().map(|modality| {
                let at = if self.uniform { 0 } else { self.slot(*modality).unwrap_or(0) };
                Ok((*modality, with_values(&set[at].value()?, |v| Ok(v.to_vec()))?))
            });
            values.collect::<TensorResult<Vectors>>()
        };
        self.sets.iter().map(of).collect()
    }

    /// All that is learned.
    pub(crate) fn vars(&self) -> impl Iterator<Item = &Var> {
        self.sets.iter().flatten().map(|vector| &vector.log)
    }
}
