//! Sizes, patches and configuration against the reference (tools/fixtures/image_reference.py) and the models' goldens.

use std::fs;

use crate::vision::picture::{columns, fixture, folder, hash, noise, noise_picture, number};
use mquant::checkpoint::Fields;
use mquant::input::image::{ImageLimits, RgbImage, open};
use mquant::input::vision_processor::{
    FRAMES_PER_SECOND, Grid, Patches, Patching, PixelBounds, ProcessorError, ProcessorFiles, Setting, VisionProcessor,
};
use mquant::{Class, Explain};
use mquant_testkit::bare;
use serde_json::{Value, json};

fn flat(config: &Value) -> Result<VisionProcessor, ProcessorError> {
    VisionProcessor::from_fields(ProcessorFiles { preprocessor: Some(preprocessor(config)), ..Default::default() })
}

fn preprocessor(config: &Value) -> Fields {
    bare::fields("preprocessor_config.json", config)
}

fn video_preprocessor(config: &Value) -> Fields {
    bare::fields("video_preprocessor_config.json", config)
}

fn nested(config: &Value) -> Fields {
    bare::fields("processor_config.json", config)
}

fn values_hash(patches: &Patches) -> String {
    let bytes: Vec<u8> = patches.rows.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
    hash(&bytes)
}

#[test]
fn pixel_values_equal_the_goldens() {
    let goldens = folder().join("goldens");
    let config = fs::read(goldens.join("processor_config.json")).unwrap();
    let config = Fields::parse("processor_config.json", &config).unwrap();
    let files = ProcessorFiles { processor: Some(config), ..Default::default() };
    let processor = VisionProcessor::from_fields(files).unwrap();
    let mut pictures = 0;
    for line in fixture("goldens.tsv").lines() {
        let [name, t, h, w, expected] = columns(line);
        let patches = processor.image(&open(&goldens.join(name), &ImageLimits::default()).unwrap()).unwrap();
        assert_eq!(patches.grid, Grid { t: number(t), h: number(h), w: number(w) }, "{name}");
        assert_eq!(patches.rows.features(), 3 * 2 * 14 * 14);
        assert_eq!(values_hash(&patches), expected, "{name}");
        pictures += 1;
    }
    assert_eq!(pictures, 4);
}

#[test]
fn pixel_values_equal_the_reference_for_every_setting() {
    let images: Value = serde_json::from_str(&fixture("configs.json")).unwrap();
    let videos: Value = serde_json::from_str(&fixture("video_configs.json")).unwrap();
    let (mut image_cases, mut video_cases) = (0, 0);
    for line in fixture("processor.tsv").lines() {
        let [config, kind, seed, frames, w, h, t, gh, gw, expected] = columns(line);
        let (w, h, seed) = (number(w) as u32, number(h) as u32, number(seed) as u64);
        let grid = Grid { t: number(t), h: number(gh), w: number(gw) };
        let patches = if kind == "image" {
            image_cases += 1;
            let processor = flat(&images[config]).unwrap();
            assert_eq!(processor.image_grid(w, h).unwrap(), grid, "{line}");
            processor.image(&noise_picture(seed, w, h)).unwrap()
        } else {
            video_cases += 1;
            let files = ProcessorFiles {
                preprocessor: Some(preprocessor(&images["default"])),
                video_preprocessor: Some(video_preprocessor(&videos[config])),
                ..Default::default()
            };
            let processor = VisionProcessor::from_fields(files).unwrap();
            let size = (w * h * 3) as usize;
            let bytes = noise(seed, number(frames) * size);
            let frames: Vec<_> = bytes.chunks(size).map(|f| RgbImage::new(w, h, f.to_vec()).unwrap()).collect();
            assert_eq!(processor.video_grid(frames.len(), w, h).unwrap(), grid, "{line}");
            processor.video(&frames, FRAMES_PER_SECOND).unwrap()
        };
        assert_eq!(patches.grid, grid, "{line}");
        assert_eq!(patches.rows.rows(), grid.patches(), "{line}");
        assert_eq!(values_hash(&patches), expected, "{line}");
    }
    assert!(image_cases >= 42 && video_cases >= 21, "{image_cases} {video_cases}");
}

#[test]
fn grids_equal_the_reference_for_every_size() {
    let configs: Value = serde_json::from_str(&fixture("configs.json")).unwrap();
    let (mut random, mut small) = (0, 0);
    for line in fixture("sizes.tsv").lines() {
        let [config, w, h, gh, gw] = columns(line);
        let processor = flat(&configs[config]).unwrap();
        let grid = |w, h| processor.image_grid(w, h);
        if w == "all" {
            let mut text = String::new();
            for w in 1..=64 {
                for h in 1..=64 {
                    let grid = grid(w, h).unwrap();
                    text += &format!("{w} {h} {} {}\n", grid.h, grid.w);
                    small += 1;
                    let merge = if config == "merge1" { 1 } else { 2 };
                    assert_eq!(processor.image_tokens(grid) * merge * merge, grid.patches());
                    assert!(grid.h.is_multiple_of(merge) && grid.w.is_multiple_of(merge));
                }
            }
            assert_eq!(hash(text.as_bytes()), gh, "{config}");
        } else {
            random += 1;
            let found = grid(number(w) as u32, number(h) as u32);
            if gh == "-" {
                assert_eq!(found.unwrap_err().code(), "IMAGE_ASPECT", "{line}");
            } else {
                assert_eq!(found.unwrap(), Grid { t: 1, h: number(gh), w: number(gw) }, "{line}");
            }
        }
    }
    assert!(random >= 1600 && small == 4 * 64 * 64);
}

#[test]
fn layouts_agree() {
    let plain = json!({"min_pixels": 3136, "max_pixels": 50176});
    let sized = json!({"size": {"shortest_edge": 3136, "longest_edge": 50176}});
    let old_names = json!({"size": {"min_pixels": 3136, "max_pixels": 50176}, "min_pixels": null});
    let both = json!({"size": {"shortest_edge": 1, "longest_edge": 1 << 30}, "min_pixels": 3136, "max_pixels": 50176});
    let expected = flat(&plain).unwrap().image_grid(400, 37).unwrap();
    for config in [&sized, &old_names, &both] {
        assert_eq!(flat(config).unwrap().image_grid(400, 37).unwrap(), expected, "{config}");
    }
    let files = ProcessorFiles {
        processor: Some(nested(&json!({"image_processor": plain}))),
        preprocessor: Some(preprocessor(&json!({}))),
        ..Default::default()
    };
    assert_eq!(VisionProcessor::from_fields(files).unwrap().image_grid(400, 37).unwrap(), expected);
}

#[test]
fn videos_take_the_first_object_that_describes_them() {
    let of = |pixels: u64| json!({"min_pixels": pixels, "max_pixels": pixels + 28 * 28 * 4});
    let grid = |files: ProcessorFiles| VisionProcessor::from_fields(files).unwrap().video_grid(2, 90, 90).unwrap();
    let one = ProcessorFiles { preprocessor: Some(preprocessor(&of(10_000))), ..Default::default() };
    let two = ProcessorFiles { video_preprocessor: Some(video_preprocessor(&of(40_000))), ..one.clone() };
    let both = json!({"image_processor": {}, "video_processor": of(90_000)});
    let three = ProcessorFiles { processor: Some(nested(&both)), ..two.clone() };
    let [a, b, c] = [one, two, three].map(grid);
    assert!(a.patches() < b.patches() && b.patches() < c.patches(), "{a:?} {b:?} {c:?}");
}

#[test]
fn pictures_do_not_need_a_video_processor() {
    let known = |video: Value| {
        let mut config = json!({"image_processor": {}});
        if !video.is_null() {
            config["video_processor"] = video;
        }
        let files = ProcessorFiles { processor: Some(nested(&config)), ..Default::default() };
        let processor = VisionProcessor::from_fields(files).unwrap();
        assert!(processor.image_grid(90, 90).is_ok());
        let error = processor.video_grid(2, 90, 90).unwrap_err();
        assert_eq!(error.class(), Class::Unsupported);
        assert_eq!(processor.with_video_bounds(PixelBounds::default()).unwrap_err().code(), error.code());
        (error.code(), error.to_string())
    };
    assert_eq!(known(Value::Null).0, "PROCESSOR_UNSUPPORTED");
    let (code, message) = known(json!({"video_processor_type": "LlavaVideoProcessor"}));
    assert_eq!(code, "FIELD_CHOICE");
    assert!(message.contains("processor_config.json: video_processor.video_processor_type"), "{message}");
}

#[test]
fn a_user_may_set_bounds() {
    let processor = flat(&json!({})).unwrap();
    let small = processor.clone().with_image_bounds(PixelBounds { min: None, max: Some(100 * 28 * 28) }).unwrap();
    assert!(small.image_tokens(small.image_grid(4000, 3000).unwrap()) <= 100);
    let video = processor.clone().with_video_bounds(PixelBounds { min: Some(3136), max: Some(50_176) }).unwrap();
    let tokens = video.video_tokens(video.video_grid(4, 640, 480).unwrap()).unwrap();
    assert!(tokens <= 2 * 64, "{tokens}");
    for bounds in [(Some(0), None), (None, Some(100)), (Some(9000), Some(8000)), (Some(1 << 30), None)] {
        let (min, max) = bounds;
        let error = processor.clone().with_image_bounds(PixelBounds { min, max }).unwrap_err();
        assert_eq!((error.code(), error.class().exit_code()), ("OPTION_RANGE", 2), "{bounds:?}: {error}");
    }
}

#[test]
fn every_field_is_checked_by_name() {
    let numbers = [
        (json!(0), "FIELD_RANGE"),
        (json!(-1), "FIELD_RANGE"),
        (json!(u64::MAX), "FIELD_RANGE"),
        (json!(1e300), "FIELD_RANGE"),
        (json!(1.5), "FIELD_KIND"),
        (json!("14"), "FIELD_KIND"),
        (json!([]), "FIELD_KIND"),
        (json!({}), "FIELD_KIND"),
        (json!(true), "FIELD_KIND"),
    ];
    for field in ["patch_size", "temporal_patch_size", "merge_size", "min_pixels", "max_pixels"] {
        for (bad, code) in &numbers {
            refused(&json!({ field: bad }), field, code);
        }
    }
    for edge in ["shortest_edge", "longest_edge"] {
        for (bad, code) in &numbers {
            let mut size = json!({"shortest_edge": 3136, "longest_edge": 50_176});
            size[edge] = bad.clone();
            refused(&json!({"size": size}), &format!("size.{edge}"), code);
        }
    }
    for (bad, code) in [
        (json!(0), "FIELD_RANGE"),
        (json!(-0.1), "FIELD_RANGE"),
        (json!(2.0), "FIELD_RANGE"),
        (json!("1"), "FIELD_KIND"),
        (json!([1]), "FIELD_KIND"),
    ] {
        refused(&json!({"rescale_factor": bad}), "rescale_factor", code);
    }
    for field in ["image_mean", "image_std"] {
        for (bad, code) in [
            (json!(0.5), "FIELD_KIND"),
            (json!([0.5, 0.5]), "FIELD_COUNT"),
            (json!([1, 1, 1, 1]), "FIELD_COUNT"),
            (json!([0.5, 0.5, "x"]), "FIELD_KIND"),
            (json!([1e9, 1, 1]), "FIELD_RANGE"),
        ] {
            refused(&json!({ field: bad }), field, code);
        }
    }
    refused(&json!({"image_std": [1, 1, 0]}), "image_std[2]", "FIELD_RANGE");
    for field in ["do_resize", "do_rescale", "do_normalize"] {
        refused(&json!({ field: "yes" }), field, "FIELD_KIND");
    }
    refused(&json!({"size": 224}), "size", "FIELD_KIND");
    refused(&json!({"size": {"shortest_edge": 3136}}), "size.longest_edge", "FIELD_MISSING");
    refused(&json!({"size": {"height": 224, "width": 224}}), "size.shortest_edge", "FIELD_MISSING");
    refused(&json!({"resample": 1}), "resample", "FIELD_CHOICE");
    refused(&json!({"resample": "bicubic"}), "resample", "FIELD_KIND");
    refused(&json!({"image_processor_type": "CLIPImageProcessor"}), "image_processor_type", "FIELD_CHOICE");
    refused(&json!({"image_processor_type": 3}), "image_processor_type", "FIELD_KIND");
    refused(&json!({"patch_size": "x".repeat(5000)}), "patch_size", "FIELD_KIND");
}

fn refused(config: &Value, field: &str, code: &str) {
    let error = flat(config).expect_err(&config.to_string());
    assert_eq!(error.code(), code, "{config}: {error}");
    assert_eq!(error.class(), if code == "FIELD_CHOICE" { Class::Unsupported } else { Class::Model });
    let message = error.to_string();
    assert!(message.starts_with(&format!("preprocessor_config.json: {field}")), "{message}");
    assert!(message.contains("expected ") && message.len() < 500, "{message}");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("preprocessor_config.json");
    let read = || VisionProcessor::read(&bare::checkpoint(folder.path())).map(drop);
    let refusal = |code: &str| {
        let error = read().unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().starts_with("preprocessor_config.json"), "{error}");
    };
    assert_eq!(read().unwrap_err().code(), "PROCESSOR_MISSING");
    fs::write(&path, "{\"patch_size\": 14,").unwrap();
    refusal("JSON_SYNTAX");
    fs::write(&path, "[]").unwrap();
    refusal("JSON_ROOT");
    fs::write(&path, "{\"patch_size\": 14, \"patch_size\": 16}").unwrap();
    refusal("JSON_DUPLICATE");
    fs::File::create(&path).unwrap().set_len((16 << 20) + 1).unwrap();
    refusal("FILE_SIZE");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refusal("FILE_NOT_REGULAR");
    // The other file says all that is needed, yet none may be broken.
    fs::write(folder.path().join("processor_config.json"), "{\"image_processor\": {}}").unwrap();
    refusal("FILE_NOT_REGULAR");
    fs::remove_dir(&path).unwrap();
    read().unwrap();
    fs::write(&path, "{}").unwrap();
    read().unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("video_preprocessor_config.json")).unwrap();
    assert_eq!(read().unwrap_err().code(), "PATH_ESCAPE");
}

/// A pipe has no writer: opening it as a file is opened would wait for ever.
#[test]
fn a_pipe_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("preprocessor_config.json")).status();
    assert!(made.unwrap().success());
    assert_eq!(VisionProcessor::read(&bare::checkpoint(folder.path())).unwrap_err().code(), "FILE_NOT_REGULAR");
}

#[test]
fn pictures_are_cut_as_the_model_reads_them() {
    let model = |patch, temporal, merge| {
        let setting = |field, value| Setting { field, value };
        Patching {
            patch: setting("vision_config.patch_size", patch),
            temporal: setting("vision_config.temporal_patch_size", temporal),
            merge: setting("vision_config.spatial_merge_size", merge),
        }
    };
    let processor = flat(&json!({"patch_size": 14, "merge_size": 3})).unwrap();
    assert!(processor.check_patching(&model(14, 2, 3)).is_ok());
    for (other, ours, theirs) in [
        (model(16, 2, 3), "preprocessor_config.json: patch_size is 14", "vision_config.patch_size is 16"),
        (model(14, 1, 3), "temporal_patch_size is 2", "config.json: vision_config.temporal_patch_size is 1"),
        (model(14, 2, 2), "preprocessor_config.json: merge_size is 3", "vision_config.spatial_merge_size is 2"),
    ] {
        let error = processor.check_patching(&other).unwrap_err();
        assert_eq!((error.code(), error.class()), ("PROCESSOR_MISMATCH", Class::Model));
        let message = error.to_string();
        assert!(message.contains(ours) && message.contains(theirs), "{message}");
    }
    let config = json!({"image_processor": {}, "video_processor": {"temporal_patch_size": 4}});
    let files = ProcessorFiles { processor: Some(nested(&config)), ..Default::default() };
    let error = VisionProcessor::from_fields(files).unwrap().check_patching(&model(14, 2, 2)).unwrap_err();
    assert!(error.to_string().contains("video_processor.temporal_patch_size is 4"), "{error}");
}

#[test]
fn frames_must_agree() {
    let processor = flat(&json!({})).unwrap();
    assert_eq!(processor.video(&[], FRAMES_PER_SECOND).unwrap_err().code(), "VIDEO_FRAMES");
    let frames = [noise_picture(1, 30, 20), noise_picture(2, 20, 30)];
    let error = processor.video(&frames, FRAMES_PER_SECOND).unwrap_err();
    assert_eq!(error.code(), "VIDEO_SIZE");
    assert!(error.to_string().contains("frame 1"), "{error}");
}

#[test]
fn without_resizing_sizes_must_fit() {
    let processor = flat(&json!({"do_resize": false})).unwrap();
    assert_eq!(processor.image_grid(56, 28).unwrap(), Grid { t: 1, h: 2, w: 4 });
    assert_eq!(processor.image_grid(57, 28).unwrap_err().code(), "IMAGE_SIZE");
    assert_eq!(processor.image_grid(0, 28).unwrap_err().code(), "IMAGE_EMPTY");
}
