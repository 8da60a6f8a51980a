//! Parquet files with the columns of published benchmarks, written by another library.

use std::path::PathBuf;

use mquant::Explain;
use mquant::evaluate::Question;
use mquant::evaluate::benchmark::Benchmark;

use super::{Folder, colours, fixture};

fn open(name: &str) -> Benchmark {
    Benchmark::open(&fixture(name)).unwrap()
}

fn answers(question: &Question) -> Vec<&str> {
    question.answers.iter().map(String::as_str).collect()
}

fn options(question: &Question) -> String {
    question.options.iter().map(|(letter, text)| format!("{letter}:{text}")).collect::<Vec<_>>().join(" ")
}

fn all(benchmark: &Benchmark, what: impl Fn(&Question) -> String) -> Vec<String> {
    benchmark.questions().iter().map(what).collect()
}

#[test]
fn shards_are_one_benchmark() {
    let folder = fixture("textvqa");
    let paths = [
        folder.clone(),
        folder.join("data"),
        folder.join("data/validation-00000-of-00003.parquet"),
        folder.join("data/validation-00002-of-00003.parquet"),
    ];
    for path in paths {
        let read = Benchmark::open(&path).unwrap();
        assert_eq!((read.name(), read.questions().len()), ("textvqa_validation", 16));
        assert_eq!(read.rows(), (1..=16).collect::<Vec<_>>());
        let expected = ["image_id", "question_id", "question", "question_tokens", "image_width", "answers", "set_name"];
        assert_eq!(**read.columns(), expected.map(str::to_owned));
        for (i, question) in read.questions().iter().enumerate() {
            assert_eq!(
                (question.index.clone(), question.text.clone()),
                ((34602 + i).to_string(), format!("what is in {i}?"))
            );
            let first = format!("a{i}");
            let mut answers_ = vec![first.as_str(), "b"];
            answers_.extend(["c"; 7]);
            assert_eq!(answers(question), if i == 3 { Vec::new() } else { answers_ });
            assert_eq!(
                question.field(read.columns(), "question_tokens"),
                Some(format!("[\"what\",\"is\",\"{i}\"]").as_str())
            );
        }
        // Forwards, backwards, from place to place.
        for i in (0..16).chain((0..16).rev()).chain([2, 14, 3, 3, 8, 0, 15]) {
            assert_eq!(colours(&read, i), [[i as u8, 0, 77]], "question {i}");
        }
    }
}

#[test]
fn published_columns_are_understood() {
    let read = open("docvqa.parquet");
    let expected = [vec!["0.28"], vec!["a", "A"], vec![], vec![], vec!["1"], vec![""]];
    assert_eq!(read.questions().iter().map(answers).collect::<Vec<_>>(), expected);
    assert_eq!(
        (read.questions()[1].index.as_str(), read.questions()[5].text.as_str()),
        ("49154", "What is the ‘actual’ value, 5?")
    );
    let types: Vec<_> = read.questions().iter().map(|q| q.field(read.columns(), "question_types").unwrap()).collect();
    assert_eq!(types, ["[\"figure/diagram\"]", "[]", "[]", "[\"layout\",\"form\"]", "[\"x\"]", "[\"y\"]"]);
    assert_eq!(read.questions()[4].field(read.columns(), "data_split"), Some(""));
    assert_eq!(colours(&read, 5), [[5, 0, 77]]);

    let read = open("chartqa.parquet");
    assert_eq!(all(&read, |q| answers(q).join("|")), ["14", "[Gray, Orange]", "[1, 2]", "0.57", "Yes", "a|b"]);
    assert_eq!(all(&read, |q| q.category.clone().unwrap())[..2], ["human_test", "augmented_test"]);
    assert_eq!(all(&read, |q| q.index.clone()), ["0", "1", "2", "3", "4", "5"]);

    let read = open("ocrbench.parquet");
    assert_eq!(all(&read, |q| answers(q).join("|")), ["CENTRE", "x ^ 2", "a|b", "c", "d", "e"]);
    assert_eq!(read.questions()[5].category.as_deref(), Some("Handwritten Mathematical Expression Recognition"));
    assert_eq!(read.questions()[1].field(read.columns(), "dataset"), Some("HME100k"));
    assert_eq!(colours(&read, 3), [[3, 0, 77]]);

    let read = open("mme.parquet");
    assert_eq!((read.questions()[3].index.as_str(), read.repeated()), ("code_reasoning/0001.png", 3));
    assert_eq!(read.questions()[3].category.as_deref(), Some("code_reasoning"));
    assert_eq!(colours(&read, 3), [[1, 0, 77]]);

    let read = open("mmmu.parquet");
    assert_eq!(
        all(&read, options),
        ["A:$6 B:$7 C:$8", "", "A:It's B:a 'b'", "A:1", "A:<image 2> B:<image 3>", "A:x B:y"]
    );
    assert_eq!(all(&read, |q| answers(q).join("|")), ["B", "24/7|3.429", "A", "A", "?", "B"]);
    assert_eq!(colours(&read, 4), [[4, 10, 77], [4, 20, 77], [4, 30, 77]]);
    assert_eq!(colours(&read, 5), [[5, 10, 77]]);
    assert_eq!(read.questions()[0].index, "validation_Accounting_0");

    let read = open("mmbench.parquet");
    assert_eq!(options(&read.questions()[0]), "A:one B:two");
    assert_eq!(options(&read.questions()[1]), "A:one B:two C:None");
    assert_eq!(options(&read.questions()[5]), "A:one B:two C:x D:x");
    assert_eq!(read.questions()[..2].iter().map(|q| q.hint.as_deref()).collect::<Vec<_>>(), [None, Some("Look.")]);
    assert_eq!(read.questions()[2].index, "243");

    let read = open("scienceqa.parquet");
    assert_eq!(all(&read, |q| answers(q).join("|")), ["C", "A", "B", "B", "A", "A"]);
    assert_eq!(
        (options(&read.questions()[0]), read.questions()[1].hint.as_deref()),
        ("A:yes B:no C:perhaps".to_owned(), Some("Read."))
    );
    let pictures: Vec<usize> = (0..6).map(|i| read.pictures(i).unwrap().len()).collect();
    assert_eq!((pictures, colours(&read, 4)), (vec![1, 0, 1, 0, 1, 1], vec![[4, 0, 77]]));

    let read = open("vqav2.parquet");
    assert_eq!(all(&read, |q| answers(q).join("|")), ["", "x0", "x0|x1", "x0|x1|x2", "x0|x1|x2|x3", "x0|x1|x2|x3|x4"]);
    for i in 0..6u8 {
        let expected: Vec<[u8; 3]> = (0..1 + i % 3).map(|k| [i, 10 * k, 77]).collect();
        assert_eq!(colours(&read, usize::from(i)), expected);
    }
    assert_eq!(**read.columns(), ["question_id", "question", "answers", "score", "easy"].map(str::to_owned));
    assert_eq!(
        read.questions()[1].fields[2..],
        ["[{\"answer\":\"x0\",\"answer_confidence\":\"yes\",\"answer_id\":0}]", "1.5", "False"].map(str::to_owned)
    );
}

#[test]
fn bad_rows_are_named() {
    let read = open("bytes.parquet");
    let told: Vec<String> = read.skipped().iter().map(ToString::to_string).collect();
    assert!(told.len() == 1 && told[0].starts_with("bytes.parquet: row 31: column \"image\": "), "{told:?}");
    assert_eq!(
        (read.questions().len(), colours(&read, 30), colours(&read, 29)),
        (39, vec![[31, 0, 77]], vec![[29, 0, 77]])
    );
    assert_eq!(answers(&read.questions()[30]), ["31"]);
}

#[test]
fn what_is_no_parquet_or_not_whole_is_refused() {
    let folder = Folder::new();
    let good = std::fs::read(fixture("chartqa.parquet")).unwrap();
    let code = |bytes: &[u8]| {
        let error = Benchmark::open(&folder.write("x.parquet", bytes)).unwrap_err();
        assert!(error.to_string().starts_with("x.parquet: ") && error.to_string().len() < 400, "{error}");
        error.code()
    };
    assert_eq!(code(b""), "BENCHMARK_PARQUET");
    assert_eq!(code(b"PAR1 and no more"), "BENCHMARK_PARQUET");
    assert_eq!(code(&good[..good.len() - 1]), "BENCHMARK_PARQUET");
    assert_eq!(code(&good[1..]), "BENCHMARK_PARQUET");
    let mut wrong = good.clone();
    let end = wrong.len();
    wrong[end - 8..end - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(code(&wrong), "BENCHMARK_PARQUET");
    // The first page's header.
    let mut wrong = good.clone();
    wrong[4..12].fill(0xff);
    assert_eq!(code(&wrong), "BENCHMARK_PAGE");
    assert!(Benchmark::open(&folder.write("x.parquet", &good)).is_ok());

    let shards = fixture("textvqa/data");
    let copy = |to: &str, from: PathBuf| drop(folder.write(to, std::fs::read(from).unwrap()));
    copy("part/validation-00000-of-00003.parquet", shards.join("validation-00000-of-00003.parquet"));
    let error = |name: &str| Benchmark::open(&folder.0.path().join(name)).unwrap_err();
    let missing = "validation-00000-of-00003.parquet: expected 3 shards beside one another, found no number 1";
    assert_eq!(error("part").to_string(), missing);
    copy("part/validation-00001-of-00003.parquet", shards.join("validation-00001-of-00003.parquet"));
    copy("part/validation-00002-of-00003.parquet", fixture("mme.parquet"));
    let other =
        "validation-00002-of-00003.parquet: expected the columns of validation-00000-of-00003.parquet, found others";
    assert_eq!(error("part").to_string(), other);
    copy("part/test-00000-of-00001.parquet", fixture("mme.parquet"));
    let several = error("part");
    assert_eq!(
        (several.code(), several.to_string().contains("\"test, validation\"")),
        ("BENCHMARK_SHARDS", true),
        "{several}"
    );
    assert_eq!(Benchmark::open(&folder.0.path().join("part/test-00000-of-00001.parquet")).unwrap().name(), "part_test");
}
