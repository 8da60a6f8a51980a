//! Differential run of the header reader: seeded mutations of small files, judged by our reader and by the `safetensors`
//! crate. What we accept, the crate accepts with the same tensors; what only the crate accepts, we refuse for one of the
//! reasons in [`STRICTER`]. Neither a panic nor a third outcome is allowed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mquant::checkpoint::{Header, HeaderError, read_header};
use safetensors::SafeTensors;

/// Every reason for which we refuse a file that the crate accepts.
const STRICTER: [(&str, &str); 9] = [
    ("ST_DUPLICATE", "a key twice: the crate keeps the last"),
    ("ST_UNKNOWN_KEY", "a key of its own in an entry: the crate skips it"),
    ("ST_START", "white space in front of the object"),
    ("ST_END", "white space other than spaces behind the object"),
    ("ST_EMPTY", "a tensor without elements, which may share its offset with another"),
    ("ST_NAME", "a tensor without a name, or with one of more than a kilobyte"),
    ("ST_OVERFLOW", "more than eight dimensions"),
    ("ST_KIND", "an entry written as a list, or null as metadata"),
    ("ST_COUNT", "more than half a million tensors"),
];

const ROUNDS: usize = 400_000;

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

fn file(header: &[u8], data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header);
    file.extend((0..data).map(|i| i as u8));
    file
}

fn seeds() -> Vec<(Vec<u8>, usize)> {
    let seeds: [(&str, usize); 7] = [
        (
            r#"{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}}"#,
            19,
        ),
        (r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}}  "#, 8),
        (
            r#"{"x":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"y":{"dtype":"I8","shape":[1],"data_offsets":[1,2]},"z":{"dtype":"F4","shape":[2],"data_offsets":[2,3]}}"#,
            3,
        ),
        (r#"{"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]}}"#, 8),
        (
            r#"{"\u0061":{"shape":[0],"dtype":"U8","data_offsets":[0,0]},"b":{"data_offsets":[0,2],"dtype":"F16","shape":[1,1]}}"#,
            2,
        ),
        (r#"{"e":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}"#, 3),
        ("{}", 0),
    ];
    seeds.iter().map(|(header, data)| (header.as_bytes().to_vec(), *data)).collect()
}

const TOKENS: [&[u8]; 30] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b" ",
    b"\n",
    b"0",
    b"1",
    b"16",
    b"-1",
    b"1.0",
    b"1e3",
    b"18446744073709551615",
    b"9223372036854775807",
    b"\"a\":",
    b"\"b\"",
    b"\"x\":1,",
    b"null",
    b"\"dtype\":\"F32\",",
    b"\"shape\":[1],",
    b"\"U8\"",
    b"\"__metadata__\":{},",
    b"\"\\u0061\":",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\0",
    b"\\",
];

fn mutate(random: &mut Random, seeds: &[(Vec<u8>, usize)]) -> Vec<u8> {
    let (mut header, mut data) = seeds[random.below(seeds.len())].clone();
    for _ in 0..random.below(4) {
        let at = random.below(header.len() + 1);
        let end = (at + random.below(16)).min(header.len());
        match random.below(8) {
            0 => drop(header.splice(at..at, random.pick(&TOKENS).iter().copied())),
            1 => drop(header.splice(at..end, random.pick(&TOKENS).iter().copied())),
            2 => drop(header.splice(at..end, None)),
            3 => {
                let piece = header[at..end].to_vec();
                let to = random.below(header.len() + 1);
                header.splice(to..to, piece);
            }
            4 if at < header.len() => header[at] ^= 1 << random.below(8),
            5 => replace_number(random, &mut header),
            6 => data = (data + random.below(4)).saturating_sub(random.below(4)),
            _ => repeat_entry(random, &mut header),
        }
    }
    let mut file = file(&header, data);
    match random.below(20) {
        0 => file.truncate(random.below(file.len() + 1)),
        1 => file[random.below(8)] ^= 1 << random.below(8),
        2 => file.push(0),
        _ => {}
    }
    file
}

/// Puts another number where one is: most such files are whole JSON with a wrong meaning.
fn replace_number(random: &mut Random, header: &mut Vec<u8>) {
    let starts: Vec<usize> =
        (1..header.len()).filter(|i| header[*i].is_ascii_digit() && matches!(header[i - 1], b'[' | b',')).collect();
    if starts.is_empty() {
        return;
    }
    let at = starts[random.below(starts.len())];
    let end = (at..header.len()).find(|i| !header[*i].is_ascii_digit()).unwrap_or(header.len());
    let numbers: [&[u8]; 12] = [
        b"0",
        b"1",
        b"2",
        b"3",
        b"8",
        b"16",
        b"19",
        b"4294967296",
        b"281474976710657",
        b"72057594037927937",
        b"18446744073709551615",
        b"18446744073709551608",
    ];
    header.splice(at..end, random.pick(&numbers).iter().copied());
}

/// Writes an entry a second time: under its name, under another, or under its name in escapes.
fn repeat_entry(random: &mut Random, header: &mut Vec<u8>) {
    let Some(open) = header.iter().skip(1).position(|b| *b == b'{').map(|i| i + 1) else { return };
    let Some(close) = header[open..].iter().position(|b| *b == b'}').map(|i| open + i + 1) else { return };
    let name: &[u8] = random.pick(&[b"\"a\":" as &[u8], b"\"\\u0061\":", b"\"q\":", b"\"w\":", b"\"__metadata__\":"]);
    let copy = [name, &header[open..close], b","].concat();
    header.splice(1..1, copy);
}

/// Name to type, dimensions and data.
type Contents<'f> = BTreeMap<String, (String, Vec<usize>, &'f [u8])>;

fn ours<'f>(file: &'f [u8], header: &Header) -> Contents<'f> {
    let entries = header.entries.iter().map(|e| {
        let data = &file[e.range.start as usize..e.range.end as usize];
        (e.name.clone(), (e.dtype.name().to_owned(), e.shape.clone(), data))
    });
    entries.collect()
}

fn theirs<'f>(tensors: &SafeTensors<'f>) -> Contents<'f> {
    let entries = tensors
        .tensors()
        .into_iter()
        .map(|(name, t)| (name, (format!("{:?}", t.dtype()), t.shape().to_vec(), t.data())));
    entries.collect()
}

#[test]
fn mutated_headers_are_judged_as_the_reference_reader_judges_them_or_more_strictly() {
    let seeds = seeds();
    let mut random = Random(0x6d71_7561_6e74);
    let (mut accepted, mut refused, mut crate_panics) = (0usize, BTreeMap::new(), 0usize);
    let mut stricter: BTreeMap<&str, usize> = BTreeMap::new();
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for round in 0..ROUNDS {
        let file = mutate(&mut random, &seeds);
        let verdict = catch_unwind(|| read_header(&file, file.len() as u64));
        let reference = catch_unwind(AssertUnwindSafe(|| SafeTensors::deserialize(&file).ok()));
        crate_panics += usize::from(reference.is_err());
        let reference = reference.unwrap_or(None);
        let shown = || format!("round {round}: {}", String::from_utf8_lossy(&file));
        let verdict: Result<Header, HeaderError> = verdict.unwrap_or_else(|_| panic!("panic in {}", shown()));
        match (verdict, reference) {
            (Ok(header), Some(tensors)) => {
                assert_eq!(ours(&file, &header), theirs(&tensors), "{}", shown());
                accepted += 1;
            }
            (Ok(_), None) => panic!("only we accept {}", shown()),
            (Err(error), Some(_)) => {
                assert!(
                    STRICTER.iter().any(|(code, _)| *code == error.code()),
                    "{error} is no listed reason: {}",
                    shown()
                );
                *stricter.entry(error.code()).or_default() += 1;
            }
            (Err(error), None) => *refused.entry(error.code()).or_insert(0usize) += 1,
        }
    }
    std::panic::set_hook(quiet);
    println!(
        "accepted {accepted}; only the crate accepts {stricter:?}; both refuse {refused:?}; crate panics {crate_panics}"
    );
    // A mutator that only makes rubbish, or only whole files, would prove nothing.
    assert!(accepted > ROUNDS / 50, "{accepted} accepted");
    assert!(refused.len() >= 14, "only {refused:?}");
    for code in ["ST_DUPLICATE", "ST_UNKNOWN_KEY", "ST_EMPTY", "ST_START"] {
        assert!(stricter.contains_key(code), "{code} never made the difference: {stricter:?}");
    }
}
