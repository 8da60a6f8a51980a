//! Samples from files that a test writes.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::*;
use mquant_model::error::Explain;
use mquant_model::input::{Content, MediaSource};

fn picture(name: &str) -> Vec<u8> {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mquant/tests/goldens/qwen2_vl");
    std::fs::read(goldens.join(name)).unwrap()
}

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn sound() -> PathBuf {
    at("crates/mquant/tests/fixtures/audio/files/mono.flac").canonicalize().unwrap()
}

/// A folder that a test writes data into.
struct Data(TempDir);

impl Data {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A benchmark file of pictures with questions; a picture of None is no picture.
    fn tsv(&self, name: &str, rows: &[(Option<&str>, String)]) -> DataSource {
        let row = |(i, (image, question)): (usize, &(Option<&str>, String))| {
            let image = image.map_or("AQID".to_owned(), |name| STANDARD.encode(picture(name)));
            format!("{i}\t{image}\t{question}\t\"an \"\"answer\"\" {i}\"\n")
        };
        let rows: String = rows.iter().enumerate().map(row).collect();
        DataSource::Benchmark(self.write(name, format!("index\timage\tquestion\tanswer\n{rows}")))
    }
}

fn request(sources: Vec<DataSource>, count: usize) -> Request {
    Request { sources, count, visual: Visual::Needed }
}

fn questions(n: usize) -> Vec<(Option<&'static str>, String)> {
    (0..n).map(|i| (Some("one-0.png"), format!("Q{i}?"))).collect()
}

#[test]
fn rows_of_all_kinds_are_read_and_take_turns() {
    let data = Data::new();
    let tsv = data.tsv("Some.tsv", &questions(10));
    data.write("x/a.png", picture("two-1.png"));
    let lines = [
        r#"[{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]"#,
        "",
        r#"{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "image", "path": "x/a.png"}, {"type": "text", "text": "What?"}]}]}"#,
    ];
    let lines = DataSource::JsonLines(data.write("chat.jsonl", lines.join("\n")));
    let pictures = DataSource::Folder(data.0.path().join("x"), DEFAULT_PROMPT.to_owned());
    let gathered = gather(&request(vec![tsv, lines, pictures], 6)).unwrap();
    let origins: Vec<String> = gathered.samples.iter().map(|s| s.origin.to_string()).collect();
    let expected =
        ["Some.tsv: row 1", "chat.jsonl: row 1", "Some.tsv: row 4", "x: row 1", "Some.tsv: row 7", "chat.jsonl: row 3"];
    let mut sorted = (origins.clone(), expected.map(str::to_owned).to_vec());
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);
    assert_ne!(origins[0].split(':').next(), origins[1].split(':').next(), "files take turns: {origins:?}");
    let of = |origin: &str| gathered.samples.iter().find(|s| s.origin.to_string() == origin).unwrap();
    assert_eq!(of("Some.tsv: row 4").answer.as_deref(), Some("an \"answer\" 3"));
    assert_eq!(of("Some.tsv: row 4").messages[0].texts().collect::<Vec<_>>(), ["Q3?"]);
    let chat = of("chat.jsonl: row 1");
    assert_eq!(
        (chat.messages.as_slice(), chat.answer.as_deref()),
        (&[Message::plain("user", "Hi.")][..], Some("Hello."))
    );
    let seen = of("chat.jsonl: row 3");
    assert_eq!((seen.messages.len(), &seen.answer), (2, &None));
    assert_eq!(seen.media, of("x: row 1").media, "the same picture by two ways");
    assert_eq!(seen.media, [<MediaHash>::from(Sha256::digest(picture("two-1.png")))]);
    let image = Content::Image(MediaSource::Path(data.0.path().join("x/a.png")));
    let asked = Message::parts("user", vec![image, Content::Text("Describe this image.".to_owned())]);
    assert_eq!(of("x: row 1").messages, [asked]);
    assert!(gathered.skipped.is_empty());
}

#[test]
fn all_are_taken_where_there_are_fewer_and_the_same_ones_every_time() {
    let data = Data::new();
    let (a, b) = (data.tsv("A.tsv", &questions(3)), data.tsv("B.tsv", &questions(40)));
    let all = gather(&request(vec![a.clone(), b.clone()], 1000)).unwrap();
    assert_eq!(all.samples.len(), 43);
    let some = gather(&request(vec![a.clone(), b.clone()], 16)).unwrap();
    assert_eq!(some, gather(&request(vec![a.clone(), b.clone()], 16)).unwrap());
    assert_eq!(some.samples.iter().filter(|s| s.origin.file == "A.tsv").count(), 3);
    let hashes = [all.hash, some.hash.clone(), gather(&request(vec![b, a], 16)).unwrap().hash];
    assert!(hashes[0].len() == 64 && hashes[0] != hashes[1] && hashes[1] != hashes[2], "{hashes:?}");
}

#[test]
fn the_hash_knows_every_byte_that_matters_and_no_other() {
    let data = Data::new();
    let hash = |rows: &[(Option<&str>, String)]| gather(&request(vec![data.tsv("A.tsv", rows)], 4)).unwrap().hash;
    let base = vec![(Some("one-0.png"), "q".to_owned()), (Some("two-0.png"), "r".to_owned())];
    let mut seen = vec![hash(&base)];
    assert_eq!(seen[0], hash(&base));
    for (i, question, image) in [(0, "qq", "one-0.png"), (1, "q", "two-0.png"), (1, "r", "two-1.png")] {
        let mut changed = base.clone();
        changed[i] = (Some(image), question.to_owned());
        seen.push(hash(&changed));
    }
    seen.push(hash(&base[..1]));
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len());
    let lines = |text: &str| {
        let source = DataSource::JsonLines(data.write("a.jsonl", text));
        gather(&Request { visual: Visual::TextOnly, ..request(vec![source], 9) }).unwrap().hash
    };
    let plain = lines(r#"[{"role":"user","content":"ab"}]"#);
    assert_eq!(plain, lines(r#"[ {"content": "ab", "role": "user"} ]"#));
    assert_ne!(plain, lines(r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]"#));
    assert_ne!(plain, lines(r#"[{"role":"user","content":"ab"},{"role":"assistant","content":"c"}]"#));
}

#[test]
fn a_few_bad_rows_are_told_and_many_are_an_error() {
    let data = Data::new();
    let mut rows = questions(40);
    rows[7].0 = None;
    rows[20].1 = " ".to_owned();
    let gathered = gather(&request(vec![data.tsv("A.tsv", &rows)], 1000)).unwrap();
    assert_eq!((gathered.samples.len(), gathered.skipped.len()), (38, 2));
    assert!(gathered.skipped[0].to_string().starts_with("A.tsv: row 8: "), "{}", gathered.skipped[0]);
    let expected = "A.tsv: row 21: column \"question\": expected something, found nothing";
    assert_eq!(gathered.skipped[1].to_string(), expected);
    assert!(gathered.samples.iter().all(|s| s.origin.row != 8 && s.origin.row != 21));
    let few = gather(&request(vec![data.tsv("A.tsv", &rows)], 19)).unwrap();
    let numbers: Vec<usize> = few.samples.iter().map(|s| s.origin.row).collect();
    assert_eq!(numbers[..6], [1, 3, 5, 7, 10, 12], "every second usable row");
    rows[30].0 = None;
    let error = gather(&request(vec![data.tsv("B.tsv", &rows)], 4)).unwrap_err();
    assert_eq!(error.code(), "CALIB_SKIPPED");
    let told = error.to_string();
    assert!(
        told.starts_with("B.tsv: expected at most 5 % of 40 rows to be unusable, found 3:\n  B.tsv: row 8: "),
        "{told}"
    );
}

#[test]
fn every_fault_of_a_line_has_its_reason() {
    let data = Data::new();
    data.write("no.png", b"text");
    let good = r#"[{"role": "user", "content": "Hi."}]"#;
    for (line, expected) in [
        ("{", "is not JSON"),
        ("[]", "expected a list of at least one message"),
        (
            r#"[{"role": "assistant", "content": "Hello."}]"#,
            "expected something asked before the answer, found nothing",
        ),
        (
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":" "}]"#,
            "expected an answer of text, found nothing",
        ),
        (
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"assistant","content":"c"}]"#,
            "found another answer",
        ),
        (r#"[{"role":"user","content":[{"type":"image","path":"none.png"}]}]"#, "none.png"),
        (r#"[{"role":"user","content":[{"type":"image","path":"no.png"}]}]"#, "no.png: "),
        (r#"[{"role":"user","content":[{"type":"audio","path":"none.wav"}]}]"#, "none.wav"),
        (r#"[{"role":"user","content":[{"type":"audio","path":"no.png"}]}]"#, "no.png: expected WAV"),
        (r#"[{"role":"user","content":[{"type":"image","url":"http://a/b.png"}]}]"#, "remote media are never fetched"),
    ] {
        let text = format!("{}\n{line}\n", vec![good; 30].join("\n"));
        let source = DataSource::JsonLines(data.write("a.jsonl", text));
        let gathered = gather(&Request { visual: Visual::TextOnly, ..request(vec![source], 99) }).unwrap();
        let told: Vec<String> = gathered.skipped.iter().map(ToString::to_string).collect();
        assert!(
            told.len() == 1 && told[0].starts_with("a.jsonl: row 31: ") && told[0].contains(expected),
            "{line}: {told:?}"
        );
    }
}

#[test]
fn a_sound_track_is_part_of_the_hash_of_its_video() {
    let data = Data::new();
    let picture = data.write("a.png", picture("one-0.png"));
    let media = |part: serde_json::Value| {
        let line = serde_json::json!([{"role": "user", "content": [part]}]).to_string();
        let source = DataSource::JsonLines(data.write("a.jsonl", line));
        gather(&Request { visual: Visual::TextOnly, ..request(vec![source], 1) }).unwrap().samples[0].media.clone()
    };
    let silent = media(serde_json::json!({"type": "video", "path": picture}));
    let heard = media(serde_json::json!({"type": "video", "path": picture, "audio": sound()}));
    let alone = media(serde_json::json!({"type": "audio", "path": sound()}));
    assert_eq!(alone, [<MediaHash>::from(Sha256::digest(std::fs::read(sound()).unwrap()))]);
    let both = Sha256::digest([silent[0], alone[0]].concat());
    assert_eq!(heard, [<MediaHash>::from(both)]);
}

#[test]
fn what_cannot_be_sampled_is_refused() {
    let data = Data::new();
    let text = DataSource::JsonLines(data.write("a.jsonl", r#"[{"role": "user", "content": "Hi."}]"#));
    let refused = |request: &Request| gather(request).unwrap_err();
    let blind = refused(&request(vec![text.clone()], 3));
    assert_eq!(blind.code(), "CALIB_NO_VISUAL");
    assert!(gather(&Request { visual: Visual::TextOnly, ..request(vec![text.clone()], 3) }).is_ok());
    let heard = format!(r#"[{{"role":"user","content":[{{"type":"audio","path":"{}"}}]}}]"#, sound().display());
    let heard = DataSource::JsonLines(data.write("sounds.jsonl", heard));
    assert_eq!(refused(&request(vec![heard.clone()], 3)).code(), "CALIB_NO_VISUAL");
    assert!(gather(&Request { visual: Visual::TextOnly, ..request(vec![heard], 3) }).is_ok());
    assert_eq!(refused(&request(vec![], 3)).code(), "CALIB_COUNT");
    assert_eq!(refused(&request(vec![text.clone(), text], 1)).code(), "CALIB_COUNT");
    for (name, bytes, code) in [
        ("a.tsv", &b""[..], "CALIB_EMPTY"),
        ("b.tsv", b"index\timage\tquestion\tanswer\n", "CALIB_EMPTY"),
        ("c.tsv", b"index\tquestion\tanswer\n1\t2\t3\n", "CALIB_COLUMN"),
        ("d.jsonl", b"\n\n", "CALIB_EMPTY"),
        ("e.jsonl", b"{\n", "CALIB_SKIPPED"),
    ] {
        let source = DataSource::at(&data.write(name, bytes), None).unwrap();
        let error = refused(&request(vec![source], 3));
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert_eq!(DataSource::at(&data.write("a.csv", b""), None).unwrap_err().code(), "CALIB_KIND");
    assert_eq!(DataSource::at(&data.0.path().join("none.tsv"), None).unwrap_err().code(), "CALIB_IO");
    let folder = DataSource::at(data.0.path(), Some("Read.")).unwrap();
    assert_eq!(folder, DataSource::Folder(data.0.path().to_owned(), "Read.".to_owned()));
    let parquet = at("crates/mquant/tests/fixtures/benchmarks/mme.parquet");
    assert_eq!(DataSource::at(&parquet, None).unwrap(), DataSource::Benchmark(parquet));
    let shards = at("crates/mquant/tests/fixtures/benchmarks/textvqa");
    assert_eq!(DataSource::at(&shards, None).unwrap(), DataSource::Benchmark(shards));
}

#[test]
fn parquet_gives_samples_too() {
    let sources = vec![DataSource::Benchmark(at("crates/mquant/tests/fixtures/benchmarks/textvqa"))];
    let gathered = gather(&request(sources, 4)).unwrap();
    let rows: Vec<usize> = gathered.samples.iter().map(|sample| sample.origin.row).collect();
    assert_eq!(rows, [1, 5, 9, 13], "rows of all shards are counted together");
    let third = &gathered.samples[2];
    assert_eq!(third.messages[0].texts().collect::<Vec<_>>(), ["what is in 8?"]);
    assert_eq!(third.answer.as_deref(), Some("c"), "what most people say");
    assert_eq!(third.media.len(), 1);
}

#[test]
fn overlaps_name_the_rows_that_share_a_picture() {
    let data = Data::new();
    let rows = [("one-0.png", "What  is it?\n"), ("two-0.png", "Where?"), ("two-1.png", "Who?")];
    let mine = data.tsv("Mine.tsv", &rows.map(|(image, question)| (Some(image), question.trim().to_owned())));
    let samples = gather(&request(vec![mine], 9)).unwrap().samples;
    let theirs = [("two-0.png", "Why?"), ("one-0.png", "Why?"), ("one-0.png", "What is it?"), ("wide-0.png", "Who?")];
    let mut theirs = theirs.map(|(image, question)| (Some(image), question.to_owned())).to_vec();
    theirs.push((None, "Who?".to_owned()));
    data.tsv("Theirs.tsv", &theirs);
    data.tsv("Other.tsv", &[(Some("wide-0.png"), "What is it?".to_owned())]);
    let (their, other) = (data.0.path().join("Theirs.tsv"), data.0.path().join("Other.tsv"));
    let found = overlap(&samples, &[&other, &their]).unwrap();
    let benchmark = "Theirs.tsv".to_owned();
    let expected = [
        Overlap { sample: 0, benchmark: benchmark.clone(), row: 3, shared: Shared::MediaAndQuestion },
        Overlap { sample: 1, benchmark, row: 1, shared: Shared::Media },
    ];
    assert_eq!(found, expected);
    assert_eq!(overlap(&samples, &[Path::new("none.tsv")]).unwrap_err().code(), "CALIB_IO");
}

#[test]
fn the_demo_s_calibration_files_are_all_represented() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo/calibration");
    let mut sources: Vec<DataSource> =
        std::fs::read_dir(folder).unwrap().map(|entry| DataSource::at(&entry.unwrap().path(), None).unwrap()).collect();
    sources.sort_by_key(ToString::to_string);
    let files = sources.len();
    let gathered = gather(&request(sources, 32)).unwrap();
    let named: std::collections::BTreeSet<_> = gathered.samples.iter().map(|s| &s.origin.file).collect();
    assert_eq!((gathered.samples.len(), named.len(), gathered.skipped.len()), (32, files, 0));
}
