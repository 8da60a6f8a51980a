//! The vectors that smoothing folded, kept beside a bundle's tensors: no model needs them to run, but with them the float sites
//! can be made again from the float model and the recipe.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use mquant_model::nn::SiteId;

/// The file of a bundle.
pub(super) const FILE: &str = "smoothing.safetensors";

/// What each input of a site was divided by, in f64, by the step of the recipe (from 0) and the site.
pub(super) type Smoothing = BTreeMap<(usize, SiteId), Vec<f64>>;

/// The file; its tensors are called `STEP/SITE`, steps counted from 0.
pub(super) fn to_bytes(smoothing: &Smoothing) -> Vec<u8> {
    let named: Vec<(String, &[f64])> =
        smoothing.iter().map(|((step, site), scales)| (format!("{step}/{site}"), &scales[..])).collect();
    let views = named.iter().map(|(name, scales)| {
        let bytes = bytemuck::cast_slice(scales);
        (name, TensorView::new(Dtype::F64, vec![scales.len()], bytes).expect("as many bytes as the shape says"))
    });
    safetensors::serialize(views, None::<HashMap<String, String>>).expect("distinct names")
}

/// What [`to_bytes`] wrote; None of other bytes.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<Smoothing> {
    let file = SafeTensors::deserialize(bytes).ok()?;
    let vector = |(name, tensor): (String, TensorView<'_>)| {
        let (step, site) = name.split_once('/')?;
        let key = (step.parse().ok()?, SiteId::parse(site)?);
        let scales: Vec<f64> = (tensor.dtype() == Dtype::F64).then(|| bytemuck::pod_collect_to_vec(tensor.data()))?;
        scales.iter().all(|scale| scale.is_finite() && *scale > 0.0).then_some((key, scales))
    };
    file.tensors().into_iter().map(vector).collect()
}

/// The vectors of the bundle in `dir`; None without such a file, or with a damaged one.
pub(super) fn read(dir: &Path) -> Option<Smoothing> {
    from_bytes(&std::fs::read(dir.join(FILE)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_whole() {
        let scales = vec![0.1, 1.0 / 3.0, 7e5];
        let smoothing = Smoothing::from([((0, SiteId::HEAD), scales.clone()), ((12, SiteId::HEAD), scales)]);
        let bytes = to_bytes(&smoothing);
        assert_eq!(from_bytes(&bytes), Some(smoothing));
        assert_eq!(from_bytes(&bytes[..bytes.len() - 1]), None);
        let spoilt = Smoothing::from([((0, SiteId::HEAD), vec![f64::NAN])]);
        assert_eq!(from_bytes(&to_bytes(&spoilt)), None);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), None);
    }
}
