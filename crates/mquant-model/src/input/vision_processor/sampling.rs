//! Which frames of a video a model is shown.

/// So many frames a second, within bounds, equally far apart from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampling {
    /// Frames a second.
    pub(super) fps: f64,
    pub(super) min_frames: usize,
    pub(super) max_frames: usize,
}

impl Sampling {
    /// Indices of the frames kept of `frames` that follow one another `fps` a second. As the reference: ⌊frames / fps · rate⌋
    /// within the bounds, at `round(linspace(0, frames − 1))`, halves to even.
    pub(super) fn indices(&self, frames: usize, fps: f64) -> Vec<usize> {
        let wanted = (frames as f64 / fps * self.fps) as usize;
        let count = wanted.max(self.min_frames).min(self.max_frames).min(frames);
        let step = frames.saturating_sub(1) as f64 / count.saturating_sub(1).max(1) as f64;
        (0..count).map(|i| (i as f64 * step).round_ties_even() as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_kept_at_the_rate_within_the_bounds() {
        let sampling = Sampling { fps: 2.0, min_frames: 4, max_frames: 6 };
        assert_eq!(sampling.indices(48, 24.0), [0, 16, 31, 47]);
        assert_eq!(sampling.indices(10, 4.0), [0, 2, 4, 7, 9]);
        assert_eq!(sampling.indices(1000, 10.0).len(), 6);
        assert_eq!(sampling.indices(3, 1.0), [0, 1, 2]);
        assert_eq!(sampling.indices(1, 1.0), [0]);
    }
}
