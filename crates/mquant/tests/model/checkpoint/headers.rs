//! Rows A1 to A6 of the fault table: what a header can say wrongly.

use mquant::checkpoint::{DIM_CAP, HEADER_CAP, OFFSET_CAP, StoredDtype, header_len, read_header};

use crate::checkpoint::builder::{Model, f32s, raw, whole};

fn code(file: &[u8]) -> &'static str {
    read_header(file, file.len() as u64).map_or_else(|e| e.code(), |_| "accepted")
}

/// An entry `a` of f32 zeros with other text in place of one of its values.
fn entry(dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#"{{"a":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}}}"#)
}

#[test]
fn a_whole_file_is_accepted_and_read_back() {
    let file =
        whole(&[("b", "F32", &[2, 3], f32s(&[1.0; 6])), ("a", "BF16", &[], vec![0, 0]), ("c", "I8", &[3], vec![7; 3])]);
    let header = read_header(&file, file.len() as u64).unwrap();
    let start = file.len() as u64 - 29;
    let seen: Vec<_> =
        header.entries.iter().map(|e| (e.name.as_str(), e.dtype, e.shape.clone(), e.range.clone())).collect();
    assert_eq!(
        seen,
        [
            ("b", StoredDtype::F32, vec![2, 3], start..start + 24),
            ("a", StoredDtype::BF16, vec![], start + 24..start + 26),
            ("c", StoredDtype::I8, vec![3], start + 26..start + 29),
        ]
    );
}

#[test]
fn a1_header_length_is_checked_before_anything_is_read() {
    for file_len in [8u64, 1_000, 1 << 40] {
        for found in
            [0, 1, file_len - 7, file_len, file_len + 1, HEADER_CAP + 1, 1 << 32, 1 << 63, u64::MAX - 7, u64::MAX]
        {
            let error = header_len(&found.to_le_bytes(), file_len).unwrap_err();
            assert_eq!(error.code(), "ST_HEADER_LEN", "{found} in {file_len}");
        }
    }
    assert_eq!(header_len(&HEADER_CAP.to_le_bytes(), 1 << 40), Ok(HEADER_CAP as usize));
    assert_eq!(header_len(&992u64.to_le_bytes(), 1_000), Ok(992));
    for short in 0..8 {
        assert_eq!(header_len(&[0; 8][..short], 1_000).unwrap_err().code(), "ST_HEADER_LEN");
        assert_eq!(Model::of(vec![0; short]).refusal(), "ST_HEADER_LEN", "a file of {short} bytes");
    }
    // A prefix that does not reach the end of the header is no panic.
    let file = whole(&[("a", "F32", &[1], f32s(&[0.0]))]);
    assert_eq!(read_header(&file[..20], file.len() as u64).unwrap_err().code(), "ST_HEADER_LEN");
}

#[test]
fn a2_no_prefix_of_a_file_is_accepted() {
    let metadata = raw(br#"{"__metadata__":{"format":"pt"},"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]}}"#, 5);
    let many: Vec<_> = (0..40).map(|i| (format!("layer.{i}"), f32s(&[i as f32; 4]))).collect();
    let many: Vec<_> = many.iter().map(|(n, d)| (n.as_str(), "F32", &[4usize][..], d.clone())).collect();
    let mut cuts = 0;
    for file in [metadata, whole(&many), raw(b"{}  ", 0)] {
        assert_eq!(code(&file), "accepted");
        for len in 0..file.len() {
            assert_ne!(code(&file[..len]), "accepted", "{len} of {} bytes", file.len());
            cuts += 1;
        }
        let longer = [file.as_slice(), &[0]].concat();
        assert_eq!(code(&longer), "ST_TRAILING");
    }
    assert!(cuts > 3_000, "{cuts} cuts");
}

#[test]
fn a3_every_byte_of_data_belongs_to_one_tensor() {
    let two = |a: [u64; 2], b: [u64; 2]| {
        let one = |name: &str, [begin, end]: [u64; 2]| {
            let len = end.saturating_sub(begin);
            format!(r#""{name}":{{"dtype":"U8","shape":[{len}],"data_offsets":[{begin},{end}]}}"#)
        };
        raw(format!("{{{},{}}}", one("first", a), one("second", b)).as_bytes(), 12)
    };
    let cases = [
        ("side by side", [0, 4], [4, 12], "accepted"),
        ("in the other order", [4, 12], [0, 4], "accepted"),
        ("overlap", [0, 6], [4, 12], "ST_OVERLAP"),
        ("inside", [0, 12], [4, 8], "ST_OVERLAP"),
        ("the same place", [0, 12], [0, 12], "ST_OVERLAP"),
        ("hole between", [0, 4], [5, 12], "ST_HOLE"),
        ("hole in front", [2, 4], [4, 12], "ST_HOLE"),
        ("trailing", [0, 4], [4, 11], "ST_TRAILING"),
        ("past the end", [0, 4], [4, 13], "ST_TRUNCATED"),
        ("reversed", [0, 12], [12, 4], "ST_EMPTY"),
        ("empty", [0, 12], [12, 12], "ST_EMPTY"),
    ];
    for (case, a, b, expected) in cases {
        let file = two(a, b);
        assert_eq!(code(&file), expected, "{case}");
        if let (Err(error), "ST_OVERLAP" | "ST_HOLE") = (read_header(&file, file.len() as u64), expected) {
            assert!(error.to_string().contains("second") || error.to_string().contains("first"), "{case}: {error}");
        }
    }
    assert_eq!(code(&raw(entry(r#""U8""#, "[8]", "[12,4]").as_bytes(), 12)), "ST_REVERSED");
    assert_eq!(code(&raw(entry(r#""U8""#, "[0,7]", "[0,0]").as_bytes(), 0)), "ST_EMPTY");
}

#[test]
fn a3_random_layouts_with_one_fault_are_refused() {
    let mut state = 7u64;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    for round in 0..2_000 {
        let mut spans = vec![(0u64, 0u64); 2 + below(8) as usize];
        let mut end = 0;
        for span in &mut spans {
            *span = (end, end + 2 + below(30));
            end = span.1;
        }
        let file = |spans: &[(u64, u64)]| {
            let entry = |(i, (b, e)): (usize, &(u64, u64))| {
                format!(r#""t{i}":{{"dtype":"U8","shape":[{}],"data_offsets":[{b},{e}]}}"#, e.saturating_sub(*b))
            };
            let entries: Vec<String> = spans.iter().enumerate().map(entry).collect();
            raw(format!("{{{}}}", entries.join(",")).as_bytes(), end as usize)
        };
        assert_eq!(code(&file(&spans)), "accepted");
        let i = below(spans.len() as u64) as usize;
        let (begin, finish) = spans[i];
        spans[i] = match round % 6 {
            0 => (begin + 1, finish),
            1 => (begin, finish - 1),
            2 => (begin, finish + 1),
            3 => (begin + 1, finish + 1),
            4 => (begin + 1_000, finish + 1_000),
            _ => (finish, begin),
        };
        assert_ne!(code(&file(&spans)), "accepted", "round {round}: {spans:?}");
    }
}

#[test]
fn a4_sizes_past_any_file_are_refused_without_overflow() {
    let max = u64::MAX;
    let cases = [
        ("elements", "F32", format!("[{DIM_CAP},{DIM_CAP}]"), "[0,4]".to_owned()),
        ("elements wrap to zero", "U8", "[4294967296,4294967296]".to_owned(), "[0,0]".to_owned()),
        ("bits", "F64", format!("[{DIM_CAP},8192]"), "[0,8]".to_owned()),
        ("a dimension", "U8", format!("[{}]", DIM_CAP + 1), "[0,1]".to_owned()),
        ("a dimension of 2^64-1", "U8", format!("[{max}]"), "[0,1]".to_owned()),
        ("a dimension of 2^64", "U8", "[18446744073709551616]".to_owned(), "[0,1]".to_owned()),
        ("zero does not hide the rest", "U8", format!("[{max},0]"), "[0,0]".to_owned()),
        ("the end", "U8", "[4]".to_owned(), format!("[0,{max}]")),
        ("both ends", "U8", "[8]".to_owned(), format!("[{},{max}]", max - 8)),
        ("just past the cap", "U8", "[1]".to_owned(), format!("[{OFFSET_CAP},{}]", OFFSET_CAP + 1)),
        ("nine dimensions", "U8", "[1,1,1,1,1,1,1,1,1]".to_owned(), "[0,1]".to_owned()),
        ("an offset of 1e30", "U8", "[1]".to_owned(), "[0,1e30]".to_owned()),
    ];
    for (case, dtype, shape, offsets) in cases {
        let file = raw(entry(&format!("\"{dtype}\""), &shape, &offsets).as_bytes(), 8);
        assert_eq!(code(&file), "ST_OVERFLOW", "{case}");
        let claimed = read_header(&file, u64::MAX);
        assert_eq!(claimed.unwrap_err().code(), "ST_OVERFLOW", "{case}, in a file of any length");
    }
    // Two sizes that add up to 2^64 - 1.
    let sum = format!(
        r#"{{"a":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}},"b":{{"dtype":"U8","shape":[{1}],"data_offsets":[{0},{2}]}}}}"#,
        max / 2,
        max - max / 2,
        max
    );
    assert_eq!(code(&raw(sum.as_bytes(), 0)), "ST_OVERFLOW");
    let eight = raw(entry(r#""U8""#, "[1,1,1,1,1,1,1,4]", "[0,4]").as_bytes(), 4);
    assert_eq!(code(&eight), "accepted");
}

#[test]
fn a5_no_key_occurs_twice() {
    let e = |n: usize| format!(r#"{{"dtype":"U8","shape":[1],"data_offsets":[{n},{}]}}"#, n + 1);
    let cases = [
        format!(r#"{{"a":{},"a":{}}}"#, e(0), e(1)),
        format!(r#"{{"w":{},"\u0077":{}}}"#, e(0), e(1)),
        format!(r#"{{"\u0077":{},"w":{}}}"#, e(0), e(1)),
        format!(r#"{{"\ud83d\ude00":{},"😀":{}}}"#, e(0), e(1)),
        format!(r#"{{"a/b":{},"a\/b":{}}}"#, e(0), e(1)),
        format!(r#"{{"a":{},"b":{},"a":{}}}"#, e(0), e(1), e(0)),
        format!(r#"{{"__metadata__":{{}},"a":{},"__metadata__":{{}}}}"#, e(0)),
        format!(r#"{{"__metadata__":{{}},"a":{},"\u005f_metadata__":{{}}}}"#, e(0)),
        format!(r#"{{"__metadata__":{{"k":"1","k":"2"}},"a":{}}}"#, e(0)),
        format!(r#"{{"__metadata__":{{"k":"1","\u006b":"1"}},"a":{}}}"#, e(0)),
        r#"{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#.to_owned(),
        r#"{"a":{"dtype":"U8","shape":[1],"shape":[2],"data_offsets":[0,1]}}"#.to_owned(),
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"data_offsets":[0,2]}}"#.to_owned(),
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"d\u0074ype":"I8"}}"#.to_owned(),
    ];
    for header in cases {
        for data in [1, 2] {
            assert_eq!(code(&raw(header.as_bytes(), data)), "ST_DUPLICATE", "{header}");
        }
    }
    let named = raw(format!(r#"{{"w":{},"\u0077":{}}}"#, e(0), e(1)).as_bytes(), 2);
    assert!(read_header(&named, named.len() as u64).unwrap_err().to_string().contains("key w "));
}

#[test]
fn a6_only_plain_json_of_the_known_form_is_read() {
    let good = entry(r#""U8""#, "[4]", "[0,4]");
    let with = |dtype: &str, shape: &str, offsets: &str| entry(dtype, shape, offsets);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("good", good.clone().into(), "accepted"),
        ("padded behind", format!("{good}    ").into(), "accepted"),
        ("space inside", good.replace(':', " : ").into(), "accepted"),
        ("leading space", format!(" {good}").into(), "ST_START"),
        ("leading newline", format!("\n{good}").into(), "ST_START"),
        ("byte order mark", format!("\u{feff}{good}").into(), "ST_START"),
        ("a list", b"[]".to_vec(), "ST_START"),
        ("a NUL in front", format!("\0{good}").into(), "ST_START"),
        ("a NUL behind", format!("{good}\0").into(), "ST_END"),
        ("a newline behind", format!("{good}\n").into(), "ST_END"),
        ("a second value", format!("{good}{{}}").into(), "ST_JSON"),
        ("a comma behind", format!("{good},}}").into(), "ST_JSON"),
        ("a NUL inside", good.replace("\"U8\"", "\0\"U8\"").into(), "ST_JSON"),
        ("a raw control character in a name", good.replace("\"a\"", "\"a\u{1}\"").into(), "ST_JSON"),
        ("a comment", good.replace("\"U8\"", "/* */\"U8\"").into(), "ST_JSON"),
        ("single quotes", good.replace('"', "'").into(), "ST_JSON"),
        ("a lone surrogate", good.replace("\"a\"", r#""\ud800""#).into(), "ST_JSON"),
        ("an unclosed object", good[..good.len() - 1].to_owned().into(), "ST_JSON"),
        ("not UTF-8", good.bytes().map(|b| if b == b'a' { 0xff } else { b }).collect(), "ST_UTF8"),
        ("overlong UTF-8", [b"{\"\xc0\xaf\":", &good.as_bytes()[5..]].concat(), "ST_UTF8"),
        ("dtype unknown", with(r#""U7""#, "[4]", "[0,4]").into(), "ST_DTYPE"),
        ("dtype in lower case", with(r#""u8""#, "[4]", "[0,4]").into(), "ST_DTYPE"),
        ("dtype empty", with(r#""""#, "[4]", "[0,4]").into(), "ST_DTYPE"),
        ("dtype a number", with("8", "[4]", "[0,4]").into(), "ST_KIND"),
        ("dtype an object", with(r#"{"U8":null}"#, "[4]", "[0,4]").into(), "ST_KIND"),
        ("shape a number", with(r#""U8""#, "4", "[0,4]").into(), "ST_KIND"),
        ("shape null", with(r#""U8""#, "null", "[0,4]").into(), "ST_KIND"),
        ("a dimension a string", with(r#""U8""#, r#"["4"]"#, "[0,4]").into(), "ST_KIND"),
        ("a dimension a list", with(r#""U8""#, "[[4]]", "[0,4]").into(), "ST_KIND"),
        ("a dimension with a fraction", with(r#""U8""#, "[4.0]", "[0,4]").into(), "ST_NUMBER"),
        ("a dimension below zero", with(r#""U8""#, "[-4]", "[0,4]").into(), "ST_NUMBER"),
        ("minus zero", with(r#""U8""#, "[4]", "[-0,4]").into(), "ST_NUMBER"),
        ("an exponent", with(r#""U8""#, "[4e0]", "[0,4]").into(), "ST_NUMBER"),
        ("a number past floats", with(r#""U8""#, "[1e400]", "[0,4]").into(), "ST_JSON"),
        ("a leading zero", with(r#""U8""#, "[04]", "[0,4]").into(), "ST_JSON"),
        ("NaN", with(r#""U8""#, "[NaN]", "[0,4]").into(), "ST_JSON"),
        ("one offset", with(r#""U8""#, "[4]", "[4]").into(), "ST_KIND"),
        ("three offsets", with(r#""U8""#, "[4]", "[0,4,4]").into(), "ST_KIND"),
        ("no offsets", br#"{"a":{"dtype":"U8","shape":[4]}}"#.to_vec(), "ST_MISSING_KEY"),
        ("no shape", br#"{"a":{"dtype":"U8","data_offsets":[0,4]}}"#.to_vec(), "ST_MISSING_KEY"),
        ("no dtype", br#"{"a":{"shape":[4],"data_offsets":[0,4]}}"#.to_vec(), "ST_MISSING_KEY"),
        ("an entry's own key", good.replace("\"shape\"", "\"x\":1,\"shape\"").into(), "ST_UNKNOWN_KEY"),
        ("an entry that is a list", br#"{"a":["U8",[4],[0,4]]}"#.to_vec(), "ST_KIND"),
        ("an entry that is null", br#"{"a":null}"#.to_vec(), "ST_KIND"),
        ("an empty name", good.replace("\"a\"", "\"\"").into(), "ST_NAME"),
        ("a long name", good.replace("\"a\"", &format!("\"{}\"", "n".repeat(1025))).into(), "ST_NAME"),
        ("metadata null", br#"{"__metadata__":null}"#.to_vec(), "ST_KIND"),
        ("metadata a string", br#"{"__metadata__":"pt"}"#.to_vec(), "ST_KIND"),
        ("a number in the metadata", br#"{"__metadata__":{"v":1}}"#.to_vec(), "ST_KIND"),
        ("an object in the metadata", br#"{"__metadata__":{"v":{}}}"#.to_vec(), "ST_KIND"),
        ("too small for its shape", with(r#""F32""#, "[4]", "[0,4]").into(), "ST_SIZE"),
        ("too large for its shape", with(r#""U8""#, "[3]", "[0,4]").into(), "ST_SIZE"),
        ("half a byte over", with(r#""F4""#, "[7]", "[0,4]").into(), "ST_SIZE"),
        ("six bits, not whole bytes", with(r#""F6_E2M3""#, "[5]", "[0,4]").into(), "ST_SIZE"),
        (
            "nested 100 000 deep",
            format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000)).into(),
            "ST_UNKNOWN_KEY",
        ),
        ("lists 100 000 deep", format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)).into(), "ST_KIND"),
    ];
    for (case, header, expected) in cases {
        let found = code(&raw(&header, 4));
        let bytes_short = if case.contains("metadata") { code(&raw(&header, 0)) } else { found };
        assert_eq!(bytes_short, expected, "{case}: {}", String::from_utf8_lossy(&header[..header.len().min(120)]));
    }
}

#[test]
fn a6_a_header_of_too_many_tensors_is_refused() {
    let entry = |i: usize| format!(r#""{i}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{}]}}"#, i + 1);
    let count = mquant::checkpoint::TENSORS_CAP;
    let mut text = String::from("{");
    for i in 0..=count {
        text.push_str(&entry(i));
        text.push(if i == count { '}' } else { ',' });
    }
    assert_eq!(code(&raw(text.as_bytes(), count + 1)), "ST_COUNT");
}

#[test]
fn a7_every_element_type_has_the_size_of_the_format() {
    let bits = |name: &str| match name {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" => 8,
        "C64" => 64,
        _ => name[1..].split('_').next().unwrap().trim_start_matches('F').parse::<usize>().unwrap(),
    };
    for dtype in StoredDtype::ALL {
        let expected = if dtype.name() == "BF16" { 16 } else { bits(dtype.name()) };
        assert_eq!(dtype.bits(), expected as u64, "{dtype}");
        let header = entry(&format!("\"{dtype}\""), "[8]", &format!("[0,{expected}]"));
        assert_eq!(code(&raw(header.as_bytes(), expected)), "accepted", "{dtype}");
    }
}
