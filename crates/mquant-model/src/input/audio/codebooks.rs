//! How much memory a Vorbis stream's codebooks unpack to.
//!
//! A codebook of a few bytes may declare 16 MiB of values, and a stream may have 256 codebooks. They are counted here before
//! the decoder unpacks the first one.

/// Values of all codebooks that are taken for honest. Those of the reference encoder have fewer than 2^18.
const VALUES: u64 = 1 << 21;

/// Entries and dimensions beyond which the decoder refuses a codebook.
const ENTRIES: u32 = 1 << 17;
const DIMENSIONS: u32 = 32;

/// Whether the codebooks of a setup packet stay within [`VALUES`]. What cannot be read is the decoder's to refuse: it stops at
/// the same place.
pub(super) fn are_honest(setup: &[u8]) -> bool {
    let mut bits = Bits { bytes: setup, at: 7 * 8 };
    let Some(count) = bits.take(8) else { return true };
    let mut values = 0;
    for _ in 0..=count {
        match codebook(&mut bits) {
            Some(more) => values += more,
            None => break,
        }
        if values > VALUES {
            return false;
        }
    }
    values <= VALUES
}

/// Values of the next codebook: its entries, and what they are looked up in.
fn codebook(bits: &mut Bits<'_>) -> Option<u64> {
    bits.take(24).filter(|&sync| sync == 0x56_4342)?;
    let dimensions = bits.take(16).filter(|n| (1..=DIMENSIONS).contains(n))?;
    let entries = bits.take(24).filter(|&n| n <= ENTRIES)?;
    if bits.take(1)? == 1 {
        bits.skip(5)?;
        let mut seen = 0;
        while seen < entries {
            seen += bits.take(u32::BITS - (entries - seen).leading_zeros())?;
        }
    } else if bits.take(1)? == 1 {
        for _ in 0..entries {
            if bits.take(1)? == 1 {
                bits.skip(5)?;
            }
        }
    } else {
        bits.skip(5 * u64::from(entries))?;
    }
    let vectors = u64::from(entries) * u64::from(dimensions);
    let stored = match bits.take(4)? {
        0 => return Some(u64::from(entries)),
        1 => u64::from(root(entries, dimensions)),
        2 => vectors,
        _ => return None,
    };
    bits.skip(64)?;
    let width = bits.take(4)? + 1;
    bits.skip(1 + stored * u64::from(width))?;
    Some(u64::from(entries) + vectors)
}

/// The largest number whose `power`th power is at most `n`.
fn root(n: u32, power: u32) -> u32 {
    let fits = |v: u32| v.checked_pow(power).is_some_and(|p| p <= n);
    let mut v = 0;
    while v < n && fits(v + 1) {
        v += 1;
    }
    v
}

/// Bits from the lowest of each byte.
struct Bits<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl Bits<'_> {
    /// At most 32 bits.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for i in 0..count {
            let byte = *self.bytes.get(usize::try_from(self.at / 8).ok()?)?;
            value |= u32::from(byte >> (self.at % 8) & 1) << i;
            self.at += 1;
        }
        Some(value)
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        self.at += count;
        (self.at <= self.bytes.len() as u64 * 8).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Writer(Vec<u8>, u32);

    impl Writer {
        fn put(&mut self, value: u32, count: u32) {
            for i in 0..count {
                if self.1.is_multiple_of(8) {
                    self.0.push(0);
                }
                *self.0.last_mut().unwrap() |= ((value >> i & 1) as u8) << (self.1 % 8);
                self.1 += 1;
            }
        }
    }

    fn setup(count: u32, entries: u32, dimensions: u32) -> Vec<u8> {
        let mut out = Writer(b"\x05vorbis".to_vec(), 56);
        out.put(count - 1, 8);
        for _ in 0..count {
            out.put(0x56_4342, 24);
            out.put(dimensions, 16);
            out.put(entries, 24);
            out.put(1, 1);
            out.put(16, 5);
            out.put(entries, u32::BITS - entries.leading_zeros());
            out.put(1, 4);
            out.put(0, 32);
            out.put(0, 32);
            out.put(0, 5);
            out.put(0, root(entries, dimensions));
        }
        out.0
    }

    #[test]
    fn codebooks_that_unpack_to_gigabytes_are_found() {
        let bomb = setup(256, 1 << 17, 32);
        assert!(bomb.len() < 8192, "{}", bomb.len());
        assert!(!are_honest(&bomb));
        assert!(are_honest(&setup(40, 625, 4)));
        assert!(are_honest(b"\x05vorbis"));
    }

    #[test]
    fn roots() {
        assert_eq!([root(625, 4), root(624, 4), root(1 << 17, 32), root(0, 3), root(7, 1)], [5, 4, 1, 0, 7]);
    }
}
