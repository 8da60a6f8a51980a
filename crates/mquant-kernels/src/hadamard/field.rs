//! Which elements of a finite field are squares: all that Paley's matrices need of it.

/// Characters of the differences in a field of `order` elements, each the number of its digits in base p.
#[derive(Debug)]
pub(super) struct Field {
    prime: usize,
    order: usize,
    /// 0 for zero, 1 for squares, −1 for others.
    character: Vec<i8>,
}

impl Field {
    /// The field of `order` elements, if that is the power of an odd prime.
    pub(super) fn new(order: usize) -> Option<Self> {
        let prime = (3..=order).step_by(2).find(|p| order.is_multiple_of(*p))?;
        let mut degree = 0;
        let mut rest = order;
        while rest.is_multiple_of(prime) {
            rest /= prime;
            degree += 1;
        }
        if rest != 1 {
            return None;
        }
        // Elements are polynomials in x, reduced by xᵈ = c with the first polynomial c that makes x a generator. The even
        // powers of x are the squares.
        let character = (1..order).find_map(|c| characters(prime, degree, order, c))?;
        Some(Self { prime, order, character })
    }

    /// The character of a − b.
    pub(super) fn of_difference(&self, a: usize, b: usize) -> i8 {
        let (mut difference, mut place, mut a, mut b) = (0, 1, a, b);
        while place < self.order {
            difference += (a % self.prime + self.prime - b % self.prime) % self.prime * place;
            (a, b, place) = (a / self.prime, b / self.prime, place * self.prime);
        }
        self.character[difference]
    }
}

/// Characters of all elements where xᵈ = `reduced` and x generates every element but 0; none where it does not.
fn characters(prime: usize, degree: usize, order: usize, reduced: usize) -> Option<Vec<i8>> {
    let mut character = vec![0i8; order];
    let top = order / prime;
    let mut power = 1;
    for exponent in 0..order - 1 {
        if character[power] != 0 {
            return None;
        }
        character[power] = if exponent % 2 == 0 { 1 } else { -1 };
        // Times x: digits move up, and the one that leaves comes back as that many times `reduced`.
        let (leaving, mut next, mut place) = (power / top, 0, 1);
        let moved = power % top * prime;
        for _ in 0..degree {
            let digit = moved / place % prime + leaving * (reduced / place % prime);
            next += digit % prime * place;
            place *= prime;
        }
        power = next;
    }
    (power == 1).then_some(character)
}
