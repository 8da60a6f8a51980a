//! Words that make numbers.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a word does to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// A digit 0.
    Zero,
    /// From 1 to 19, perhaps with an ending such as `th`, which ends the number.
    Small(u32, Ending),
    /// From 20 to 90.
    Tens(u32, Ending),
    /// 10 to this power.
    Power(usize, Ending),
    /// A sign before the number that follows.
    Before(char),
    /// A sign before the number that precedes.
    After(char),
    /// `percent`.
    Percent,
    /// `per`, before `cent`.
    Per,
    And,
    /// The next digit so many times.
    Repeat(usize),
    Point,
}

/// What is written after a number.
pub(super) type Ending = &'static str;

const SMALL: [&str; 19] = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const POWERS: [(&str, usize); 12] = [
    ("hundred", 2),
    ("thousand", 3),
    ("million", 6),
    ("billion", 9),
    ("trillion", 12),
    ("quadrillion", 15),
    ("quintillion", 18),
    ("sextillion", 21),
    ("septillion", 24),
    ("octillion", 27),
    ("nonillion", 30),
    ("decillion", 33),
];
const OTHERS: [(&str, Means); 26] = [
    ("o", Means::Zero),
    ("oh", Means::Zero),
    ("zero", Means::Zero),
    ("zeroth", Means::Small(0, "th")),
    ("first", Means::Small(1, "st")),
    ("second", Means::Small(2, "nd")),
    ("third", Means::Small(3, "rd")),
    ("fifth", Means::Small(5, "th")),
    ("twelfth", Means::Small(12, "th")),
    ("minus", Means::Before('-')),
    ("negative", Means::Before('-')),
    ("plus", Means::Before('+')),
    ("positive", Means::Before('+')),
    ("pound", Means::After('£')),
    ("pounds", Means::After('£')),
    ("euro", Means::After('€')),
    ("euros", Means::After('€')),
    ("dollar", Means::After('$')),
    ("dollars", Means::After('$')),
    ("cent", Means::After('¢')),
    ("cents", Means::After('¢')),
    ("per", Means::Per),
    ("percent", Means::Percent),
    ("and", Means::And),
    ("point", Means::Point),
    ("double", Means::Repeat(2)),
];

static MEANINGS: LazyLock<HashMap<String, Means>> = LazyLock::new(|| {
    let mut meanings = HashMap::from([("triple".to_owned(), Means::Repeat(3))]);
    for (value, name) in (1u32..).zip(SMALL) {
        meanings.insert(name.to_owned(), Means::Small(value, ""));
        let plural = if name == "six" { "sixes".to_owned() } else { format!("{name}s") };
        meanings.insert(plural, Means::Small(value, "s"));
        // Of nine the published list makes `nineth`.
        if value > 3 && value != 5 && value != 12 {
            let end = if name.ends_with('t') { "h" } else { "th" };
            meanings.insert(format!("{name}{end}"), Means::Small(value, "th"));
        }
    }
    for (value, name) in (20u32..).step_by(10).zip(TENS) {
        meanings.insert(name.to_owned(), Means::Tens(value, ""));
        meanings.insert(name.replace('y', "ies"), Means::Tens(value, "s"));
        meanings.insert(name.replace('y', "ieth"), Means::Tens(value, "th"));
    }
    for (name, power) in POWERS {
        for ending in ["", "s", "th"] {
            meanings.insert(format!("{name}{ending}"), Means::Power(power, ending));
        }
    }
    meanings.extend(OTHERS.map(|(word, means)| (word.to_owned(), means)));
    meanings
});

/// What a word does to a number; None of other words.
pub(super) fn means(word: &str) -> Option<Means> {
    MEANINGS.get(word).copied()
}
