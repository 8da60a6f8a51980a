//! What the time of a phase went to, and how much was computed and read in it.

/// Kinds of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Products of integer codes.
    IntegerProducts,
    /// Products with float activations.
    FloatProducts,
    /// Rows activated, normed, rotated and quantised.
    Prepare,
    /// Softmax attention.
    Attention,
    /// Rotary embedding.
    Rope,
    /// Everything that is no operation of a backend: embedding, residual sums, caches, the choice of a token.
    Other,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] =
        [Kind::IntegerProducts, Kind::FloatProducts, Kind::Prepare, Kind::Attention, Kind::Rope, Kind::Other];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::IntegerProducts => "integer products",
            Kind::FloatProducts => "float products",
            Kind::Prepare => "prepare",
            Kind::Attention => "attention",
            Kind::Rope => "rope",
            Kind::Other => "other",
        }
    }
}

/// What operations of one kind took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Wall time.
    pub seconds: f64,
    /// Multiplications and additions.
    pub ops: f64,
    /// Bytes of weights and of remembered keys and values, once for each operation that reads them. Activations are not
    /// counted.
    pub bytes: f64,
}

impl Spent {
    pub(super) fn add(&mut self, other: Spent) {
        self.seconds += other.seconds;
        self.ops += other.ops;
        self.bytes += other.bytes;
    }
}

/// A stretch of computing. The seconds of all kinds together are its seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Wall time.
    pub seconds: f64,
    /// In the order of [`Kind::ALL`].
    spent: [Spent; Kind::ALL.len()],
}

/// Which products a phase mainly consists of, and so which limit it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// 8-bit integers.
    Int8,
    /// f32.
    F32,
}

/// How fast a phase was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Which products count.
    pub arithmetic: Arithmetic,
    /// Their operations each second of the phase.
    pub ops_per_s: f64,
    /// Their operations each second that they took.
    pub product_ops_per_s: f64,
    /// Bytes of weights, keys and values each second of the phase.
    pub bytes_per_s: f64,
}

impl Phase {
    /// A phase of `seconds` in which the kinds but [`Kind::Other`] took what `spent` says; that one took the rest.
    pub(super) fn new(seconds: f64, mut spent: [Spent; Kind::ALL.len()]) -> Self {
        let known: f64 = spent.iter().map(|spent| spent.seconds).sum();
        spent[Kind::Other as usize].seconds += (seconds - known).max(0.0);
        Self { seconds, spent }
    }

    /// What operations of a kind took.
    pub fn spent(&self, kind: Kind) -> Spent {
        self.spent[kind as usize]
    }

    /// How fast it was. A phase with any integer products is one of integers.
    pub fn rates(&self) -> Rates {
        let (integer, float) = (self.spent(Kind::IntegerProducts), self.spent(Kind::FloatProducts));
        let (arithmetic, products) =
            if integer.ops > 0.0 { (Arithmetic::Int8, integer) } else { (Arithmetic::F32, float) };
        let bytes: f64 = self.spent.iter().map(|spent| spent.bytes).sum();
        Rates {
            arithmetic,
            ops_per_s: products.ops / self.seconds,
            product_ops_per_s: products.ops / products.seconds.max(1e-9),
            bytes_per_s: bytes / self.seconds,
        }
    }
}

/// The one in the middle by time.
pub(super) fn middle(mut phases: Vec<Phase>) -> Option<Phase> {
    phases.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let middle = phases.len().checked_sub(1)? / 2;
    Some(phases.swap_remove(middle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_lie_where_their_names_say() {
        for (i, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, i);
        }
    }

    #[test]
    fn the_rest_is_other_and_rates_are_of_the_phase_and_of_its_products() {
        let mut spent = [Spent::default(); Kind::ALL.len()];
        spent[Kind::IntegerProducts as usize] = Spent { seconds: 2.0, ops: 60.0, bytes: 30.0 };
        spent[Kind::Attention as usize] = Spent { seconds: 1.0, ops: 8.0, bytes: 10.0 };
        let phase = Phase::new(4.0, spent);
        assert_eq!(phase.spent(Kind::Other), Spent { seconds: 1.0, ..Spent::default() });
        let expected =
            Rates { arithmetic: Arithmetic::Int8, ops_per_s: 15.0, product_ops_per_s: 30.0, bytes_per_s: 10.0 };
        assert_eq!(phase.rates(), expected);
    }

    #[test]
    fn the_middle_is_one_that_was_measured() {
        let phase = |seconds| Phase::new(seconds, [Spent::default(); Kind::ALL.len()]);
        assert_eq!(middle(vec![phase(3.0), phase(1.0), phase(2.0)]), Some(phase(2.0)));
        assert_eq!(middle(vec![phase(3.0), phase(1.0)]), Some(phase(1.0)));
        assert_eq!(middle(Vec::new()), None);
    }
}
