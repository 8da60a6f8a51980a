//! VLMEvalKit's tables.

use std::fs::File;

use mquant::Explain;
use mquant::evaluate::BenchmarkError;
use mquant::evaluate::benchmark::{Benchmark, RECORD_CAP};

use super::{Folder, colours, encoded, picture};

fn open(text: impl AsRef<[u8]>) -> Result<(Folder, Benchmark), BenchmarkError> {
    let folder = Folder::new();
    let path = folder.write("Some.tsv", text);
    Benchmark::open(&path).map(|benchmark| (folder, benchmark))
}

/// A table of a heading and rows, in each of which `@` is a picture.
fn table(heading: &str, rows: &[&str]) -> String {
    let mut text = format!("{heading}\n");
    for (i, row) in rows.iter().enumerate() {
        text += &row.replace('@', &encoded([i as u8, 0, 0]));
        text.push('\n');
    }
    text
}

const HEADING: &str = "index\timage\tquestion\tanswer";

#[test]
fn columns_are_found_by_name_and_quotes_undone() {
    let (a, b) = (encoded([1, 2, 3]), encoded([4, 5, 6]));
    let text = format!(
        "\u{feff}answer\tcategory\tquestion\timage\tindex\r\n\
         \"a\tb\"\tx\t\"Say \"\"so\"\"?\nNow.\"\t{a}\t7\r\n\r\nné\tNone\tAn inch is 1\"?\t{b}\tb-2\n"
    );
    let (_folder, read) = open(text).unwrap();
    assert_eq!((read.name(), read.questions().len(), read.rows()), ("Some", 2, &[1, 2][..]));
    assert_eq!(**read.columns(), ["answer", "category", "question", "index"].map(str::to_owned));
    let [first, second] = read.questions() else { panic!("two") };
    assert_eq!(
        (first.index.as_str(), first.text.as_str(), &first.answers[..]),
        ("7", "Say \"so\"?\nNow.", &["a\tb".to_owned()][..])
    );
    assert_eq!(first.fields, ["a\tb", "x", "Say \"so\"?\nNow.", "7"]);
    assert_eq!(
        (first.category.as_deref(), second.category.as_deref()),
        (Some("x"), None),
        "a word that pandas takes for nothing"
    );
    assert_eq!((second.index.as_str(), second.field(read.columns(), "answer")), ("b-2", Some("né")));
    // In any order, and again.
    for i in [1, 0, 0, 1, 1] {
        assert_eq!(colours(&read, i), [[[1, 2, 3]], [[4, 5, 6]]][i]);
    }
    assert_eq!(read.pictures(2).unwrap_err().code(), "BENCHMARK_QUESTION");
}

#[test]
fn pictures_are_cells_lists_references_and_paths() {
    let (a, b, c) = (encoded([1, 0, 0]), encoded([2, 0, 0]), encoded([3, 0, 0]));
    let rows = [
        format!("10\t{a}\tq\tx"),
        "11\t10\tq\tx".to_owned(),
        // To a reference before, to one after, and to a row after.
        "12\t11\tq\tx".to_owned(),
        "13\t14\tq\tx".to_owned(),
        "14\t15\tq\tx".to_owned(),
        format!("15\t['{b}', \"{c}\"]\tq\tx"),
        format!("16\t['{c}', '10', '15']\tq\tx"),
        // Rows without a picture, as the kit reads them.
        "17\t\tq\tx".to_owned(),
        "18\tnan\tq\tx".to_owned(),
    ];
    let (_folder, read) = open(format!("{HEADING}\n{}\n", rows.join("\n"))).unwrap();
    let [a, b, c] = [[1, 0, 0], [2, 0, 0], [3, 0, 0]];
    let expected = [vec![a], vec![a], vec![a], vec![b, c], vec![b, c], vec![b, c], vec![c, a, b, c]];
    for (i, expected) in expected.iter().enumerate() {
        assert_eq!(colours(&read, i), *expected, "row {i}");
    }
    assert_eq!((read.questions().len(), read.without_media(), read.skipped().len()), (7, 2, 0));

    let folder = Folder::new();
    folder.write("bench/a b/1.png", picture([1, 0, 0]));
    folder.write("bench/images/Paths/2.png", picture([2, 0, 0]));
    folder.write("bench/images/Bad/2.png", picture([2, 0, 0]));
    folder.write("outside.png", picture([3, 0, 0]));
    let good = "0\ta b/1.png\tq\tx\n1\t['./a b/1.png', '2.png']\tq\tx\n";
    let read =
        Benchmark::open(&folder.write("bench/Paths_local.tsv", format!("index\timage_path\tquestion\tanswer\n{good}")))
            .unwrap();
    assert_eq!((colours(&read, 0), colours(&read, 1)), (vec![a], vec![a, b]));
    for bad in [
        "../outside.png",
        "/etc/hostname",
        "a b/../../outside.png",
        "none.png",
        "a b",
        "..\\x.png",
        "['a b/1.png', '../x']",
    ] {
        let path =
            folder.write("bench/Bad.tsv", format!("index\timage_path\tquestion\tanswer\n{good}2\t{bad}\tq\tx\n"));
        let read = Benchmark::open(&path).unwrap();
        let told = read.skipped()[0].to_string();
        assert!(told.starts_with("Bad.tsv: row 3: column \"image_path\": ") && told.len() < 400, "{told}");
        assert_eq!(
            told.contains("inside the benchmark's folder"),
            bad.contains("..") || bad.starts_with('/'),
            "{told}"
        );
    }
}

#[test]
fn answers_options_and_hints_are_read_as_the_kit_reads_them() {
    let heading = "index\timage\tquestion\tanswer\thint\tB\tA\tC\tcategory\tl2-category\tsplit";
    let rows = [
        "1\t@\tq\t['a', \"b'c\"]\tlook\ttwo\tone\tnan\tx\ty\tdev",
        "2\t@\tq\t[Gray, Orange]\t\tNone\t1.0\tthree\t\t\t",
        "3\t@\tq\t[1, 2]\tN/A\tb\ta\tc\t\t\t",
        "4\t@\tq\t\t\tb\ta\t\t\t\t",
        "5\t@\tq\tnan\t\t\t\t\t\t\t",
    ];
    let (_folder, read) = open(table(heading, &rows)).unwrap();
    let q = read.questions();
    let answers: Vec<Vec<&str>> = q.iter().map(|q| q.answers.iter().map(String::as_str).collect()).collect();
    assert_eq!(answers, [vec!["a", "b'c"], vec!["[Gray, Orange]"], vec!["[1, 2]"], vec![], vec!["nan"]]);
    let options =
        |i: usize| q[i].options.iter().map(|(letter, text)| format!("{letter}{text}")).collect::<Vec<_>>().join(" ");
    assert_eq!(
        [options(0), options(1), options(2), options(3), options(4)],
        ["Aone Btwo", "A1.0 Cthree", "Aa Bb Cc", "Aa Bb", ""]
    );
    assert_eq!(q.iter().map(|q| q.hint.as_deref()).collect::<Vec<_>>(), [Some("look"), None, None, None, None]);
    assert_eq!(q[0].category.as_deref(), Some("x"));
    assert_eq!(q[0].field(read.columns(), "l2-category"), Some("y"));

    // A list of options, no index and no answers: a test split.
    let rows = ["q\t@\t['x', 2, 1e3, None]", "r\t@\t[]"];
    let (_folder, read) = open(table("question\timage\toptions", &rows)).unwrap();
    let q = &read.questions()[0];
    assert_eq!(
        q.options,
        [('A', "x"), ('B', "2"), ('C', "1000.0"), ('D', "None")].map(|(c, text)| (c, text.to_owned()))
    );
    assert!(
        q.index == "0"
            && read.questions()[1].index == "1"
            && q.answers.is_empty()
            && read.questions()[1].options.is_empty()
    );
    let (_folder, read) = open(table(HEADING, &["x\t@\tq\ta", "x\t@\tr\tb", "y\tx\tr\tb"])).unwrap();
    assert_eq!((read.repeated(), colours(&read, 2)), (1, vec![[1, 0, 0]]), "of rows with one index the last");
}

#[test]
fn every_bad_row_is_named() {
    let mut rows: Vec<String> = (0..100).map(|i| format!("{i}\t@\tq{i}\ta")).collect();
    for (bad, reason) in [
        ("1\t@\tq", "expected 4 fields, found 3"),
        ("1\t@\tq\ta\tb", "expected 4 fields, found 5"),
        ("1\t@\t \ta", "column \"question\": expected something, found nothing"),
        ("\t@\tq\ta", "column \"index\": expected something, found nothing"),
        (
            "1\tAQ*D\tq\ta",
            "column \"image\": expected a picture in base64 or the index of a row that has one, found \"AQ*D\"",
        ),
        (
            "1\t1\tq\ta",
            "column \"image\": expected a picture in base64 or the index of a row that has one, found \"1\": these rows refer to one another",
        ),
        ("1\t@\tq\0\ta", "column \"question\": expected text, found a NUL at 1"),
    ] {
        rows[50] = bad.to_owned();
        let (_folder, read) = open(table(HEADING, &rows.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
        assert_eq!(
            read.skipped().iter().map(ToString::to_string).collect::<Vec<_>>(),
            [format!("Some.tsv: row 51: {reason}")]
        );
        assert_eq!((read.questions().len(), read.rows()[50]), (99, 52));
        assert_eq!((read.questions()[50].text.as_str(), colours(&read, 50)), ("q51", vec![[51, 0, 0]]));
    }
    for (i, cell) in
        [(50, "iVBO*".repeat(20)), (51, "AAAA".repeat(30)), (52, encoded([1; 3])[..30].to_owned() + &"A".repeat(40))]
    {
        rows[i] = format!("{i}\t{cell}\tq\ta");
    }
    let mut bytes = table(HEADING, &rows.iter().map(String::as_str).collect::<Vec<_>>()).into_bytes();
    bytes.extend(b"999\t@\tq\xff\ta\n");
    let (_folder, read) = open(&bytes).unwrap();
    let told: Vec<String> = read.skipped().iter().map(ToString::to_string).collect();
    assert!(told.iter().all(|told| told.len() < 400), "{told:?}");
    assert!(
        told[0].starts_with("Some.tsv: row 51: column \"image\": expected a picture in base64, found \"iVBO*iVBO"),
        "{told:?}"
    );
    assert!(told[1].starts_with("Some.tsv: row 52: column \"image\": "), "{told:?}");
    assert_eq!(
        told.last().unwrap(),
        "Some.tsv: row 101: column \"question\": expected UTF-8 text, found another byte at 1"
    );
    assert_eq!(told.len(), 4);
    bytes.extend(b"x\n".repeat(3));
    let error = open(&bytes).unwrap_err();
    assert_eq!(error.code(), "BENCHMARK_ROWS");
    assert!(
        error
            .to_string()
            .starts_with("Some.tsv: expected at most 5 % of 104 rows to be unusable, found 7:\n  Some.tsv: row 51: "),
        "{error}"
    );
    // One of two is borne, one of one is not.
    assert!(open(table(HEADING, &["1\t@\tq\ta", "2"])).is_ok());
    assert_eq!(open(table(HEADING, &["2"])).unwrap_err().code(), "BENCHMARK_ROWS");
}

#[test]
fn files_that_are_none_are_refused() {
    for (text, code, told) in [
        ("", "BENCHMARK_EMPTY", "Some.tsv: expected at least one sample, found none"),
        ("index\timage\tquestion\tanswer\n", "BENCHMARK_EMPTY", "Some.tsv: expected at least one sample, found none"),
        (
            "index\timage\tquestion\tanswer\n1\t\tq\ta\n",
            "BENCHMARK_EMPTY",
            "Some.tsv: expected at least one sample, found none",
        ),
        (
            "index\timage\tprompt\n",
            "BENCHMARK_COLUMN",
            "Some.tsv: expected a column \"question\", found \"index, image, prompt\"",
        ),
        ("index\tquestion\n", "BENCHMARK_COLUMN", "Some.tsv: expected a column \"image\", found \"index, question\""),
        (
            "image\tquestion\tanswer\tanswer\n",
            "BENCHMARK_COLUMN",
            "Some.tsv: expected one column \"answer\", found two",
        ),
    ] {
        let error = open(text).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (code, told));
    }
    let folder = Folder::new();
    let error = |name: &str| Benchmark::open(&folder.0.path().join(name)).unwrap_err();
    assert_eq!(error("Such.tsv").to_string(), "Such.tsv: cannot be read");
    folder.write("a.csv", "index");
    assert_eq!(error("a.csv").code(), "BENCHMARK_KIND");
    assert_eq!(error(".").code(), "BENCHMARK_KIND");
    // A quote that never ends, and nothing but NULs after it.
    let path = folder.write("Endless.tsv", table(HEADING, &["0\t@\tq\ta", "1\t\"@"]));
    File::options().write(true).open(&path).unwrap().set_len(3 * RECORD_CAP).unwrap();
    let found = Benchmark::open(&path).unwrap_err();
    assert!(matches!(found, BenchmarkError::TooLong { row: 2, limit: RECORD_CAP, .. }), "{found:?}");
}
