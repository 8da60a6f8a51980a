//! Law 4: rows may be computed in any order; positions, masks and caches follow the original index.

use mquant::input::{Modality, ModalitySpans};
use mquant::kernels::{Cpu, CpuBackend, Rows};
use mquant::nn::{Cx, Pass};

use super::{distance, prepare};
use crate::golden::GoldenFolder;

/// Permuting the rows of a pass with their positions permutes what the decoder gives, and nothing else.
///
/// # Panics
/// Where it does not.
pub fn row_order_is_free(folder: &GoldenFolder, case: &str) {
    let loaded = folder.load();
    let decoder = &loaded.model.decoder;
    let prompt = prepare(&loaded, &folder.messages(case));
    let n = prompt.ids.len();
    let embedded = decoder.embedding.forward(&prompt.ids);
    let run = |order: &[u32]| {
        let picked: Vec<f32> = order.iter().flat_map(|i| embedded.row(*i as usize)).copied().collect();
        let positions: Vec<_> = order.iter().map(|i| prompt.positions[*i as usize]).collect();
        let pass = Pass {
            sequences: std::iter::once(0..n).collect(),
            order: order.to_vec(),
            spans: ModalitySpans::uniform(Modality::Text, n),
            rope: decoder.rope.table(&positions),
        };
        let backend = CpuBackend::new(Cpu::detect());
        let mut cache = decoder.new_cache();
        let mut cx = Cx::new(&backend, &pass).caching(vec![&mut cache]);
        decoder.forward(Rows::from_vec(picked, embedded.features()), &mut cx)
    };
    let identity: Vec<u32> = (0..n as u32).collect();
    let straight = run(&identity);
    let is_media = |i: u32| prompt.media.iter().any(|m| m.rows.contains(&(i as usize)));
    let (mut media_first, text): (Vec<u32>, Vec<u32>) = identity.iter().partition(|i| is_media(**i));
    media_first.extend(text);
    let reversed: Vec<u32> = identity.iter().rev().copied().collect();
    for order in [media_first, reversed] {
        let permuted = run(&order);
        let mut back = Rows::zeros(n, straight.features());
        for (row, i) in order.iter().enumerate() {
            back.row_mut(*i as usize).copy_from_slice(permuted.row(row));
        }
        let distance = distance(&back, &straight);
        assert!(distance < 1e-5, "{case}: another row order is {distance:e} away");
    }
}
