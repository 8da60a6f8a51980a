//! Benchmarks with sounds, alone and beside pictures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mquant::Explain;
use mquant::evaluate::benchmark::Benchmark;
use mquant::evaluate::{MediumKind, recognise};
use mquant::input::audio::{AudioLimits, decode};
use mquant::input::{Body, Content};

use super::{Folder, encoded, fixture};

/// A WAV of 400 samples of one value at 16 kHz.
fn sound(value: i16) -> Vec<u8> {
    let mut wav =
        b"RIFF\x44\x03\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\x20\x03\0\0".to_vec();
    wav.extend([value; 400].iter().flat_map(|value| value.to_le_bytes()));
    wav
}

fn encoded_sound(value: i16) -> String {
    STANDARD.encode(sound(value))
}

/// What a question's media are: `picture`, or the first sample of a sound.
fn media(read: &Benchmark, question: usize) -> Vec<String> {
    let told = read.media(question).unwrap().into_iter().map(|medium| match medium.kind {
        MediumKind::Picture => "picture".to_owned(),
        MediumKind::Sound => {
            let sound = decode(&medium.bytes, &AudioLimits::default()).unwrap();
            format!("{:.0}", f64::from(sound.samples()[0]) * 32768.0)
        }
    });
    told.collect()
}

fn open(text: &str) -> (Folder, Result<Benchmark, mquant::evaluate::BenchmarkError>) {
    let folder = Folder::new();
    folder.write("beside.wav", sound(700));
    let path = folder.write("Some.tsv", text);
    let read = Benchmark::open(&path);
    (folder, read)
}

#[test]
fn tables_have_pictures_then_sounds_then_words() {
    let (picture, a, b) = (encoded([1, 2, 3]), encoded_sound(100), encoded_sound(-200));
    let rows = [
        format!("0\t{a}\t{picture}\tWhat is said?\tx"),
        // Several, a reference to another row's sound alone, none of one, none of both.
        format!("1\t['{a}', '{b}']\t\tq\tx"),
        format!("2\t0\t{picture}\tq\tx"),
        format!("3\t\t{picture}\tq\tx"),
        "4\tnan\t\tq\tx".to_owned(),
        format!("5\t{b}\t0\tq\tx"),
    ];
    let (_folder, read) = open(&format!("index\taudio\timage\tquestion\tanswer\n{}\n", rows.join("\n")));
    let read = read.unwrap();
    assert_eq!((read.questions().len(), read.without_media(), read.skipped().len()), (5, 1, 0));
    assert!(read.has_sounds());
    assert_eq!(**read.columns(), ["index", "question", "answer"].map(str::to_owned), "no media among the words");
    let expected: [&[&str]; 5] =
        [&["picture", "100"], &["100", "-200"], &["picture", "100"], &["picture"], &["picture", "-200"]];
    for i in [4, 0, 1, 2, 3, 4] {
        assert_eq!(media(&read, i), expected[i], "row {i}");
    }
    assert_eq!(read.pictures(0).unwrap().len(), 1);
    let messages = read.messages(0).unwrap();
    let Body::Parts(parts) = &messages[0].body else { panic!("parts") };
    assert!(
        matches!(&parts[..], [Content::Image(_), Content::Audio(_), Content::Text(text)] if text == "What is said?")
    );
}

#[test]
fn paths_and_columns_with_numbers_are_sounds() {
    let (_folder, read) =
        open("index\taudio_path\tquestion\tanswer\n0\tbeside.wav\tq\tx\n1\t['./beside.wav', 'beside.wav']\tq\tx\n");
    let read = read.unwrap();
    assert_eq!([media(&read, 0), media(&read, 1)], [vec!["700"], vec!["700", "700"]]);
    let (a, b) = (encoded_sound(100), encoded_sound(200));
    let (_folder, read) = open(&format!("audio_2\taudio_1\tquestion\tanswer\n{b}\t{a}\tq\tx\n"));
    assert_eq!(media(&read.unwrap(), 0), ["100", "200"]);
}

#[test]
fn a_transcript_needs_no_question() {
    let a = encoded_sound(100);
    let (_folder, read) = open(&format!("id\taudio\ttext\nx-1\t{a}\tHELLO\n"));
    let read = read.unwrap();
    let question = &read.questions()[0];
    assert_eq!((question.index.as_str(), question.text.as_str()), ("x-1", ""));
    assert_eq!(question.answers, ["HELLO"]);
    let messages = read.messages(0).unwrap();
    assert!(matches!(&messages[0].body, Body::Parts(parts) if matches!(&parts[..], [Content::Audio(_)])));
    let (_folder, refused) = open(&format!("id\timage\ttext\nx-1\t{}\tHELLO\n", encoded([1, 2, 3])));
    let error = refused.unwrap_err();
    assert_eq!(error.to_string(), "Some.tsv: expected a column \"question\", found \"id, image, text\"");
    let (_folder, refused) = open("id\tquestion\nx-1\tHELLO\n");
    assert!(refused.unwrap_err().hint().unwrap().contains("audio_path"));
}

#[test]
fn what_is_wrong_is_told_with_row_and_column() {
    let a = encoded_sound(100);
    let long = "A".repeat(99);
    let text = STANDARD.encode("no sound at all, but a text that is long enough to be taken for one");
    let one_zero =
        STANDARD.encode(sound(1).iter().enumerate().map(|(i, b)| if i == 22 { 0 } else { *b }).collect::<Vec<u8>>());
    for (column, cell, expected) in [
        ("audio", "7", "expected a sound in base64 or the index of a row that has one, found \"7\""),
        ("audio", &format!("!{long}"), "expected a sound in base64, found \"!AAAA"),
        ("audio", &text, "expected WAV, FLAC, MP3, OGG/Vorbis, M4A or AAC, found text"),
        ("audio", &one_zero, "channel"),
        ("audio_path", "../beside.wav", "expected a path inside the benchmark's folder, found \"../beside.wav\""),
        ("audio_path", "absent.wav", "absent.wav"),
    ] {
        let good = if column == "audio" { a.as_str() } else { "beside.wav" };
        let (_folder, read) = open(&format!("index\t{column}\tquestion\tanswer\n0\t{good}\tq\tx\n1\t{cell}\tq\tx\n"));
        let read = read.unwrap();
        let [skipped] = read.skipped() else { panic!("{cell}: {:?}", read.skipped()) };
        let told = skipped.to_string();
        assert!(told.starts_with(&format!("Some.tsv: row 2: column \"{column}\": ")), "{told}");
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn the_hubs_audio_feature_is_read() {
    let folder = Folder::new();
    folder.write("beside.wav", sound(700));
    let path = folder
        .write("librispeech_test_clean.parquet", std::fs::read(fixture("librispeech_test_clean.parquet")).unwrap());
    let read = Benchmark::open(&path).unwrap();
    let [skipped] = read.skipped() else { panic!("{:?}", read.skipped()) };
    let told = skipped.to_string();
    assert!(told.starts_with("librispeech_test_clean.parquet: row 6: column \"audio\": expected"), "{told}");
    assert_eq!((read.questions().len(), read.has_sounds()), (23, true));
    for i in (0..23).chain([20, 3, 7]) {
        let row = read.rows()[i] - 1;
        assert_eq!(media(&read, i), [(100 * row).to_string()], "row {row}");
        let question = &read.questions()[i];
        assert_eq!((question.text.as_str(), question.index.clone()), ("", format!("6930-75918-{row:04}")));
        assert_eq!(question.answers, [format!("MISTER {row} IS THE APOSTLE")]);
    }
    assert_eq!(recognise(read.name()).unwrap().metric.name(), "wer");
    // Without the file that a row names.
    let read = Benchmark::open(&fixture("librispeech_test_clean.parquet"));
    let told = read.unwrap_err().to_string();
    assert!(told.contains("beside.wav") && told.contains("row 8"), "{told}");
}
