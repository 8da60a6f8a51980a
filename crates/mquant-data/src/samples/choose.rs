//! Which rows of several files are taken.

/// A row by its file and its index among the usable rows of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) file: usize,
    pub(super) row: usize,
}

/// `count` rows, or all there are. Files share the count as evenly as their `lengths` allow, the rows of a file lie evenly over
/// all of it, and files take turns.
pub(super) fn choose(lengths: &[usize], count: usize) -> Vec<At> {
    let shares = shares(lengths, count);
    let mut chosen: Vec<(u64, u64, At)> = Vec::new();
    for (file, (length, share)) in lengths.iter().zip(&shares).enumerate() {
        for i in 0..*share {
            // The row's place in its file's turn, as a fraction: the middle of its share.
            let at = At { file, row: i * length / share };
            chosen.push((2 * i as u64 + 1, 2 * *share as u64, at));
        }
    }
    chosen.sort_by(|(a, of_a, at), (b, of_b, other)| {
        (a * of_b).cmp(&(b * of_a)).then(at.file.cmp(&other.file)).then(at.row.cmp(&other.row))
    });
    chosen.into_iter().map(|(_, _, at)| at).collect()
}

/// How many rows each file gives: the same number, but for files that have fewer and earlier ones that take what remains.
fn shares(lengths: &[usize], count: usize) -> Vec<usize> {
    let mut shares = vec![0; lengths.len()];
    let mut left = count.min(lengths.iter().sum());
    while left > 0 {
        let open: Vec<usize> = (0..lengths.len()).filter(|file| shares[*file] < lengths[*file]).collect();
        let each = (left / open.len().max(1)).max(1);
        for file in open {
            let more = each.min(lengths[file] - shares[file]).min(left);
            shares[file] += more;
            left -= more;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(chosen: &[At], file: usize) -> Vec<usize> {
        chosen.iter().filter(|at| at.file == file).map(|at| at.row).collect()
    }

    #[test]
    fn files_share_evenly_and_the_short_ones_give_all() {
        assert_eq!(shares(&[100, 100, 100], 9), [3, 3, 3]);
        assert_eq!(shares(&[100, 100, 100], 10), [4, 3, 3]);
        assert_eq!(shares(&[100, 2, 100], 10), [4, 2, 4]);
        assert_eq!(shares(&[3, 2], 10), [3, 2]);
        assert_eq!(shares(&[1, 1, 50], 20), [1, 1, 18]);
        assert_eq!(shares(&[5], 0), [0]);
    }

    #[test]
    fn rows_lie_evenly_over_the_whole_file() {
        assert_eq!(rows(&choose(&[10], 5), 0), [0, 2, 4, 6, 8]);
        assert_eq!(rows(&choose(&[10], 4), 0), [0, 2, 5, 7]);
        assert_eq!(rows(&choose(&[5000], 256), 0).len(), 256, "a stride rounded up alone would give 250");
        for (length, count) in [(5000, 256), (5349, 128), (7, 7), (1000, 999)] {
            let rows = rows(&choose(&[length], count), 0);
            let (floor, ceil) = (length / count, length.div_ceil(count));
            assert!(rows.windows(2).all(|pair| [floor, ceil].contains(&(pair[1] - pair[0]))), "{length} {count}");
        }
    }

    #[test]
    fn files_take_turns() {
        let files = |chosen: Vec<At>| chosen.iter().map(|at| at.file).collect::<Vec<_>>();
        assert_eq!(files(choose(&[9, 9, 9], 6)), [0, 1, 2, 0, 1, 2]);
        assert_eq!(files(choose(&[2, 90], 8)), [1, 0, 1, 1, 1, 0, 1, 1]);
    }
}
