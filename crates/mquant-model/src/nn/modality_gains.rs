//! What the channels of a site's activation are multiplied by, for rows of some modalities.

use std::collections::BTreeMap;

use super::{Modality, ModalitySpans, Norm};

/// Modality-aware smoothing (MASQuant, section 4.2) as it is computed: the activation of a site is divided by a vector of the
/// row's modality. The text vector is folded into whatever makes the activation, so other modalities multiply what text reads by
/// s_text / s_modality; behind an RMSNorm this is a gain of their own, and costs nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct ModalityGains {
    /// s_text / s_modality, one value a channel.
    factors: BTreeMap<Modality, Vec<f32>>,
    /// What rows are multiplied by: the factors, or behind a norm its gain times the factors.
    applied: BTreeMap<Modality, Vec<f32>>,
}

/// Every modality, in the order of their indices.
const MODALITIES: [Modality; 3] = [Modality::Text, Modality::Vision, Modality::Audio];

impl ModalityGains {
    /// Factors of a site behind this norm, if there is one.
    ///
    /// # Panics
    /// If there are not as many factors as the norm has features.
    pub fn new(factors: BTreeMap<Modality, Vec<f32>>, norm: Option<&Norm>) -> Self {
        let applied = |(modality, factors): (&Modality, &Vec<f32>)| {
            let mut applied = factors.clone();
            if let Some(norm) = norm {
                assert_eq!(norm.gain.len(), applied.len(), "features of a norm and of gains");
                applied.iter_mut().zip(&norm.gain).for_each(|(factor, gain)| *factor *= gain);
            }
            (*modality, applied)
        };
        let applied = factors.iter().map(applied).collect();
        Self { factors, applied }
    }

    /// s_text / s_modality, one value a channel, for each modality that has its own.
    pub fn factors(&self) -> &BTreeMap<Modality, Vec<f32>> {
        &self.factors
    }

    /// What the rows of each modality are multiplied by, by the modality's index.
    pub(super) fn vectors(&self) -> [Option<&[f32]>; MODALITIES.len()] {
        MODALITIES.map(|modality| self.applied.get(&modality).map(Vec::as_slice))
    }

    /// The index of each row's modality.
    pub(super) fn fill(spans: &ModalitySpans, out: &mut Vec<u8>) {
        out.clear();
        for (modality, rows) in spans.iter() {
            let index = MODALITIES.iter().position(|m| *m == modality).expect("every modality is listed");
            out.resize(rows.end, index as u8);
        }
    }

    /// Whether some rows are multiplied.
    pub(super) fn has_some(&self, spans: &ModalitySpans) -> bool {
        spans.iter().any(|(modality, _)| self.applied.contains_key(&modality))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::NormKind;

    #[test]
    fn factors_are_folded_into_the_gain() {
        let factors = BTreeMap::from([(Modality::Audio, vec![2.0, 0.5])]);
        let norm = Norm { kind: NormKind::Rms, gain: vec![3.0, 4.0], eps: 1e-6, repeat: 1 };
        let gains = ModalityGains::new(factors.clone(), Some(&norm));
        assert_eq!(gains.factors(), &factors);
        assert_eq!(gains.vectors(), [None, None, Some(&[6.0, 2.0][..])]);
        assert_eq!(ModalityGains::new(factors, None).vectors()[2], Some(&[2.0, 0.5][..]));
        let mut spans = ModalitySpans::uniform(Modality::Text, 2);
        assert!(!gains.has_some(&spans));
        spans.push(Modality::Audio, 1);
        let mut of_row = vec![9; 7];
        ModalityGains::fill(&spans, &mut of_row);
        assert_eq!((of_row, gains.has_some(&spans)), (vec![0, 0, 2], true));
    }
}
