//! Low-rank branches of the sites of a group: how large each is, and what is in it.

use std::collections::BTreeMap;

use super::report::BranchReport;
use super::result::{QuantizedBranch, QuantizedSite, QuantizedWeight};
use super::rounding::rounded;
use super::smoothing::{FloatRows, Lacking};
use crate::calibrate::statistics::SiteStatistics;
use crate::quantize::{IntFormat, LowRank, QuantizeError, Residual, WeightRows, energy, rtn};
use crate::recipe::{Plan, Rank};
use mquant_kernels::Bits;
use mquant_model::nn::{Modality, SiteId, SiteMut};

/// Singular values that a report tells at most.
const TOLD: usize = 64;

/// A branch that could be made.
struct Candidate {
    site: SiteId,
    modality: Modality,
    rank: Rank,
    inputs: usize,
    outputs: usize,
    /// Squared singular values in parts of the energy of what the outputs should be, descending.
    spectrum: Vec<f64>,
    /// The branch, where its rank does not depend on others.
    made: Option<LowRank>,
}

impl Candidate {
    /// The rank that was asked for; None where it is a share of a budget.
    fn fixed_rank(&self) -> Option<usize> {
        let rank = match self.rank {
            Rank::Ratio(ratio) => (ratio * self.inputs.min(self.outputs) as f64).ceil() as usize,
            Rank::Absolute(rank) => rank,
            Rank::Budget(_) => return None,
        };
        Some(rank.min(self.spectrum.len()))
    }

    /// Bytes of each rank.
    fn bytes(&self) -> usize {
        self.inputs + self.outputs
    }
}

/// Gives the quantised sites of a group the branches that their plan asks for.
pub(super) fn compensate(
    sites: &[SiteMut<'_>],
    made: &mut [QuantizedSite],
    seen: &BTreeMap<SiteId, SiteStatistics>,
    plan: &Plan,
) -> Result<(), (SiteId, QuantizeError)> {
    let mut candidates = Vec::new();
    for made in made.iter() {
        let Some(rank) = plan.site(made.id).and_then(|plan| plan.compensation) else { continue };
        let (Some(site), Some(seen)) = (sites.iter().find(|site| site.id == made.id), seen.get(&made.id)) else {
            continue;
        };
        for (modality, rows) in seen.modalities.iter().filter(|(modality, _)| **modality != Modality::Text) {
            let Some(moments) = &rows.moments else { continue };
            let lacking = lacking(site, made, *modality);
            let residual = Residual::new(moments, &lacking).map_err(|source| (made.id, source))?;
            let whole = energy(moments, &lacking.float, &lacking.float).max(f64::MIN_POSITIVE);
            let (outputs, inputs) = (lacking.outputs(), moments.columns());
            let spectrum = residual.spectrum()[..residual.largest_rank()].iter().map(|v| v / whole).collect();
            let mut candidate =
                Candidate { site: made.id, modality: *modality, rank, inputs, outputs, spectrum, made: None };
            // A budget is shared out once all spectra are known; a rank that is known needs no second decomposition.
            if let Some(rank @ 1..) = candidate.fixed_rank() {
                candidate.made = Some(residual.branch(rank).map_err(|source| (made.id, source))?);
            }
            candidates.push(candidate);
        }
    }
    let ranks = ranks(&candidates, made.iter().map(bytes).sum());
    for (mut candidate, rank) in candidates.into_iter().zip(ranks).filter(|(_, rank)| *rank > 0) {
        let made = made.iter_mut().find(|made| made.id == candidate.site).expect("found before");
        let branch = match candidate.made.take() {
            Some(branch) => Ok(branch),
            None => {
                let site = sites.iter().find(|site| site.id == candidate.site).expect("found before");
                let rows = &seen[&candidate.site].modalities[&candidate.modality];
                let lacking = lacking(site, made, candidate.modality);
                let moments = rows.moments.as_ref().expect("found before");
                Residual::new(moments, &lacking).and_then(|residual| residual.branch(rank))
            }
        };
        let attached = branch.and_then(|branch| attach(made, &candidate, branch));
        attached.map_err(|source| (candidate.site, source))?;
    }
    Ok(())
}

fn lacking<'a>(site: &'a SiteMut<'_>, made: &'a QuantizedSite, modality: Modality) -> Lacking<'a> {
    let factors = made.gains.as_ref().and_then(|gains| gains.factors().get(&modality));
    Lacking { float: FloatRows::of(site, factors.map(Vec::as_slice)), made }
}

fn attach(made: &mut QuantizedSite, candidate: &Candidate, branch: LowRank) -> Result<(), QuantizeError> {
    let rank = branch.first.rows;
    let mut first = 0;
    for linear in &mut made.linears {
        let outputs = match &linear.weight {
            QuantizedWeight::Int(codes) => codes.rows,
            QuantizedWeight::Float(matrix) => matrix.rows(),
        };
        let second = branch.second.row_range(first..first + outputs);
        linear.branches.push(rtn(&second, IntFormat::per_channel(Bits::Eight))?);
        first += outputs;
    }
    made.branches.push(QuantizedBranch { modality: candidate.modality, weight: branch.first });
    let lacked: f64 = candidate.spectrum.iter().sum();
    let taken: f64 = candidate.spectrum.iter().take(rank).sum();
    let report = BranchReport {
        rank,
        bytes: (candidate.bytes() * rank + 4 * (rank + candidate.outputs)) as u64,
        lacked: rounded(lacked, 1e9),
        taken: rounded(taken / lacked.max(f64::MIN_POSITIVE), 1e6),
        spectrum: candidate.spectrum.iter().take(TOLD).map(|square| rounded(square.sqrt(), 1e9)).collect(),
    };
    made.report.branches.insert(candidate.modality.to_string(), report);
    Ok(())
}

/// Bytes of the integer weights of a site.
fn bytes(made: &QuantizedSite) -> usize {
    let of = |weight: &QuantizedWeight| match weight {
        QuantizedWeight::Int(codes) => codes.codes.as_ref().len() + 4 * codes.scales.len(),
        QuantizedWeight::Float(_) => 0,
    };
    made.linears.iter().map(|linear| of(&linear.weight)).sum()
}

/// The rank of each candidate, given the bytes of the group's integer weights. A budget goes, rank by rank, to the branch
/// that takes most error away for its bytes.
fn ranks(candidates: &[Candidate], weight_bytes: usize) -> Vec<usize> {
    let mut ranks: Vec<usize> = candidates.iter().map(|candidate| candidate.fixed_rank().unwrap_or(0)).collect();
    let share = |candidate: &Candidate| if let Rank::Budget(share) = candidate.rank { Some(share) } else { None };
    let Some(share) = candidates.iter().filter_map(share).reduce(f64::max) else { return ranks };
    let mut left = (share * weight_bytes as f64) as usize;
    loop {
        let gain = |(candidate, rank): (&Candidate, &usize)| {
            let square = candidate.spectrum.get(*rank)?;
            matches!(candidate.rank, Rank::Budget(_)).then(|| square / candidate.bytes() as f64)
        };
        let gains = candidates.iter().zip(&ranks).map(gain).enumerate();
        let fits = gains.filter_map(|(i, gain)| Some((i, gain?))).filter(|(i, _)| candidates[*i].bytes() <= left);
        let Some((best, _)) = fits.reduce(|best, other| if other.1 > best.1 { other } else { best }) else { break };
        ranks[best] += 1;
        left -= candidates[best].bytes();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(rank: Rank, inputs: usize, spectrum: &[f64]) -> Candidate {
        let (site, modality) = (SiteId::HEAD, Modality::Vision);
        Candidate { site, modality, rank, inputs, outputs: 10, spectrum: spectrum.to_vec(), made: None }
    }

    #[test]
    fn a_budget_goes_where_it_takes_most_away() {
        let budget = Rank::Budget(0.5);
        let of = [candidate(budget, 10, &[8.0, 1.0, 0.5]), candidate(budget, 30, &[9.0, 7.0, 0.1])];
        // 20 and 40 bytes a rank: 8/20, then 9/40, 7/40, 1/20, …
        assert_eq!(ranks(&of, 40), [1, 0]);
        assert_eq!(ranks(&of, 120), [1, 1]);
        assert_eq!(ranks(&of, 200), [1, 2]);
        assert_eq!(ranks(&of, 1000), [3, 3]);
        let fixed = [candidate(Rank::Ratio(0.25), 10, &[1.0; 8]), candidate(Rank::Absolute(9), 10, &[1.0; 8])];
        assert_eq!(ranks(&fixed, 0), [3, 8]);
    }
}
