//! Sites of a model, found by their path.

use mquant::models::Model;
use mquant::nn::{Site, SiteId};

/// A copy of a site with `N` linears.
///
/// # Panics
/// If the model has no such site, or it has another number of linears.
pub fn site<const N: usize>(model: &Model, id: SiteId) -> Site<N> {
    let mut model = model.clone();
    let mut sites = model.parts().into_iter().flat_map(|part| part.sites());
    let site = sites.find(|site| site.id == id).unwrap_or_else(|| panic!("the model has no {id}"));
    let linears = site.linears.to_vec().try_into().unwrap_or_else(|_| panic!("{id} has another number of linears"));
    Site {
        id,
        norm: site.norm.clone(),
        gains: site.gains.clone(),
        rotation: site.rotation.clone(),
        split: site.split.clone(),
        branches: site.branches.clone(),
        input: site.input.clone(),
        linears,
    }
}
