//! The Markdown text.

use mquant::report::{Report, markdown};

use crate::report::made::{SMALL, blame, bundle, error_rate, evaluation, mean, report};

/// Without the escapes of Markdown that these tests meet.
fn plain(text: &str) -> String {
    text.replace("&#58;", ":").replace("\\(", "(").replace("\\)", ")")
}

#[test]
fn it_says_what_the_page_says() {
    let text = markdown(&report(vec![evaluation(None)], vec![bundle(SMALL)]));
    assert!(
        text.starts_with("# demo-stress-w4a8\n\n**demo-stress-w4a8 \\(mquant-w4a8\\) reaches 98.77 %"),
        "{}",
        &text[..200]
    );
    for expected in [
        "| DemoDocVQA (anls, of 100, 600 samples) | **99.31** [98.11 to 100.00] | **99.38** [98.18 to 100.00]; +0.07 [−0.40 to +0.60], p 0.710, no measurable difference |",
        "| DemoDocVQA | demo-stress-w4a8 | 1\u{202f}432 | 1.0923 | 1.0871 | 2.1e−3 | 0.481 | 99.4 % |",
        "11 channels are computed beside the main product, at 11 sites.",
        "float: a red car in front of the house (right)<br>mquant-w4a8: a red van in front of a house (wrong)",
        "- calibration: cal.tsv\n",
        "\n```toml\nname = \"mquant-w4a8\"\n",
    ] {
        let text = plain(&text);
        assert!(text.contains(expected), "no {expected} in\n{text}");
    }
}

#[test]
fn it_has_means_parts_and_costs() {
    let mut judged = evaluation(None);
    judged.mean = Some(mean(-0.29, [-0.6, 0.0]));
    let text = markdown(&Report { blames: vec![blame()], ..report(vec![judged], vec![bundle(SMALL)]) });
    for expected in [
        "| Mean of 4 benchmarks (in percent, each weighs the same) | **98.70** | **98.41** [98.00 to 99.20]; −0.29 [−0.60 to 0.00], no measurable difference |",
        "| perception (of 2000) | 1934.1 | 1935.5, +1.4 |",
        "| vision | 17 | −25.0 % | 0.0250 | 98.9 % |",
        "| weights in 8 bits | 6.0e−3 | 70.0 % | 245.8 kB |",
        "\n```toml\n[[step]]\ndo = \"quantize\"\n",
    ] {
        let text = plain(&text);
        assert!(text.contains(expected), "no {expected} in\n{text}");
    }
}

#[test]
fn more_errors_are_worse() {
    let judged = |more, interval| {
        let mut judged = evaluation(None);
        judged.benchmarks.push(error_rate(more, interval));
        judged.mean = Some(mean(-0.29, [-0.6, 0.0]));
        plain(&markdown(&report(vec![judged], Vec::new())))
    };
    for (text, expected) in [
        (
            judged(1.5, [0.4, 2.6]),
            "DemoSpeech (wer, lower is better, 600 samples) | **4.20** [3.00 to 5.40] | **5.70** [4.50 to 6.90]; +1.50 [+0.40 to +2.60], p 0.710, measurably worse |",
        ),
        (judged(1.5, [0.4, 2.6]), "a measurable loss on DemoSpeech;"),
        (
            judged(1.5, [0.4, 2.6]),
            "The largest loss is on DemoSpeech: 0.400 to 2.60 points (600 samples, 95 % confidence). The error rate of DemoSpeech counts as what is missing from 100 %.",
        ),
        (judged(-1.5, [-2.6, -0.4]), "[−2.60 to −0.40], p 0.710, measurably better |"),
        (judged(-1.5, [-2.6, -0.4]), "no measurable loss, and a gain on DemoSpeech;"),
        (judged(0.1, [-0.5, 3.0]), "a loss of up to 3.00 points on DemoSpeech (600 samples"),
        (
            judged(0.1, [-0.5, 3.0]),
            "| Mean of 5 benchmarks (in percent, each weighs the same; an error rate as what is missing from 100) |",
        ),
    ] {
        assert!(text.contains(expected), "no {expected} in\n{text}");
    }
    let mut judged = evaluation(None);
    let mut heard = error_rate(1.5, [0.4, 2.6]);
    heard.examples[0].score = -3.0;
    judged.benchmarks = vec![heard];
    let text = plain(&markdown(&report(vec![judged], Vec::new())));
    assert!(text.contains("a red van in front of a house (400 % errors)"), "{text}");
    let mut judged = evaluation(None);
    judged.benchmarks = vec![error_rate(95.8, [90.0, 100.0])];
    let text = plain(&markdown(&report(vec![judged], Vec::new())));
    assert!(text.contains("reaches 0.00 %, the float model 95.80 %"), "{text}");
}
