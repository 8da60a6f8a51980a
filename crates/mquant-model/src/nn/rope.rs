//! Rotary positions with several axes: M-RoPE of a decoder (time, height, width) and 2-D RoPE of a vision tower.

use mquant_kernels::RopeTable;

/// A position on the axes time, height, width. Text has the same number on all three.
pub type Position = [u32; 3];

/// The frequency of each pair of features, and the axis its position is read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    inverse_frequency: Vec<f32>,
    axis: Vec<usize>,
}

impl Rope {
    /// M-RoPE (Qwen2-VL, section 2.1): angle j = position[axis of j] · base^(−2j/head_dim), the axes taking turns along
    /// `sections` (their sum is head_dim / 2).
    pub fn multimodal(head_dim: usize, base: f32, sections: &[usize]) -> Self {
        let axis = sections.iter().enumerate().flat_map(|(i, n)| std::iter::repeat_n(i % 3, *n)).collect();
        Self { inverse_frequency: frequencies(head_dim, base), axis }
    }

    /// Interleaved M-RoPE (Qwen3-VL): pairs take turns on time, height and width, height and width as long as their sections
    /// last; all other pairs turn with time.
    pub fn interleaved(head_dim: usize, base: f32, sections: &[usize]) -> Self {
        let axis_of = |pair: usize| match pair % 3 {
            axis @ (1 | 2) if pair < 3 * sections[axis] => axis,
            _ => 0,
        };
        Self { inverse_frequency: frequencies(head_dim, base), axis: (0..head_dim / 2).map(axis_of).collect() }
    }

    /// 2-D RoPE of a vision tower: the first half of the pairs turns with the row, the second with the column, both with
    /// the frequencies of a head half as wide.
    pub fn planar(head_dim: usize, base: f32) -> Self {
        let one = frequencies(head_dim / 2, base);
        let axis = [1, 2].into_iter().flat_map(|a| std::iter::repeat_n(a, one.len())).collect();
        Self { inverse_frequency: [one.clone(), one].concat(), axis }
    }

    /// Angles of some rows.
    pub fn table(&self, positions: &[Position]) -> RopeTable {
        let angles = positions
            .iter()
            .flat_map(|p| self.axis.iter().zip(&self.inverse_frequency).map(move |(axis, f)| p[*axis] as f32 * f));
        RopeTable::new(self.inverse_frequency.len(), angles)
    }
}

fn frequencies(dim: usize, base: f32) -> Vec<f32> {
    (0..dim / 2).map(|j| 1.0 / base.powf(2.0 * j as f32 / dim as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_take_turns_and_planar_halves_repeat_their_frequencies() {
        let m = Rope::multimodal(16, 10_000.0, &[2, 3, 3]);
        assert_eq!(m.axis, [0, 0, 1, 1, 1, 2, 2, 2]);
        assert!((m.inverse_frequency[4] - 0.01).abs() < 1e-6);
        assert_eq!(Rope::interleaved(16, 1e4, &[4, 2, 2]).axis, [0, 1, 2, 0, 1, 2, 0, 0]);
        assert_eq!(Rope::interleaved(16, 1e4, &[3, 3, 2]).axis, [0, 1, 2, 0, 1, 2, 0, 1]);
        let p = Rope::planar(16, 10_000.0);
        assert_eq!(p.axis, [1, 1, 1, 1, 2, 2, 2, 2]);
        assert_eq!(p.inverse_frequency[..4], p.inverse_frequency[4..]);
        assert!((p.inverse_frequency[1] - 0.1).abs() < 1e-6);
    }
}
