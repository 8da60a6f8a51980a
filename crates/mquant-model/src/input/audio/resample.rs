//! From one sample rate to another.
//!
//! A band-limited resampler in the frequency domain (rubato): blocks of at least [`BLOCK`] samples at the lower of the two
//! rates, a sinc under a squared Blackman-Harris window, its delay taken off.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

use super::AudioError;
use crate::excerpt::excerpt;

/// Samples of a block at the lower rate. More would sharpen the edge of the passband and lengthen the ringing at onsets.
const BLOCK: u64 = 512;

/// `⌈samples · to / from⌉` samples.
pub(super) fn resample(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>, AudioError> {
    if from == to {
        return Ok(samples.to_vec());
    }
    process(samples, from, to).map_err(|reason| AudioError::Resample { from, to, reason: excerpt(&reason) })
}

fn process(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>, String> {
    let window = WindowFunction::BlackmanHarris2;
    let block = usize::try_from(block(from, to)).map_err(|e| e.to_string())?;
    let mut resampler = Fft::<f32>::new_custom(from as usize, to as usize, block, 1, 1, window, FixedSync::Both)
        .map_err(|e| e.to_string())?;
    let input = InterleavedSlice::new(samples, 1, samples.len()).map_err(|e| e.to_string())?;
    let output = resampler.process_all(&input, samples.len(), None).map_err(|e| e.to_string())?;
    Ok(output.take_data())
}

/// Samples of a block at the rate `from`: an even number of them at both rates, for the delay is half a block, and half a
/// sample of it could not be taken off.
fn block(from: u32, to: u32) -> u64 {
    let pair = 2 * u64::from(from / gcd(from, to));
    (BLOCK * u64::from(from)).div_ceil(u64::from(from.min(to))).next_multiple_of(pair)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::block;

    #[test]
    fn blocks_are_even_at_both_rates() {
        for from in (4_000..192_000).step_by(7) {
            let block = block(from, 16_000);
            let other = block * 16_000;
            assert!(block.is_multiple_of(2) && other.is_multiple_of(2 * u64::from(from)), "{from}: {block}");
        }
    }
}
