//! Sizes, patches and configuration against the reference (tools/fixtures/image_reference.py) and the models' goldens.

use std::fs;

use crate::picture::{columns, fixture, folder, hash, noise, noise_picture, number};
use mquant::Explain;
use mquant::input::image::{ImageLimits, RgbImage, open};
use mquant::input::vision_processor::{Grid, Patches, PixelBounds, ProcessorError, ProcessorFiles, VisionProcessor};
use serde_json::{Value, json};

fn flat(config: &Value) -> Result<VisionProcessor, ProcessorError> {
    VisionProcessor::from_json(ProcessorFiles { preprocessor: Some(config), ..Default::default() })
}

fn values_hash(patches: &Patches) -> String {
    let bytes: Vec<u8> = patches.rows.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
    hash(&bytes)
}

#[test]
fn pixel_values_equal_the_goldens() {
    let goldens = folder().join("goldens");
    let processor = VisionProcessor::open(&goldens).unwrap();
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
                preprocessor: Some(&images["default"]),
                video_preprocessor: Some(&videos[config]),
                ..Default::default()
            };
            let processor = VisionProcessor::from_json(files).unwrap();
            let size = (w * h * 3) as usize;
            let bytes = noise(seed, number(frames) * size);
            let frames: Vec<_> = bytes.chunks(size).map(|f| RgbImage::new(w, h, f.to_vec()).unwrap()).collect();
            assert_eq!(processor.video_grid(frames.len(), w, h).unwrap(), grid, "{line}");
            processor.video(&frames).unwrap()
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
    let nested = json!({"image_processor": plain});
    let files = ProcessorFiles { processor: Some(&nested), preprocessor: Some(&json!({})), ..Default::default() };
    assert_eq!(VisionProcessor::from_json(files).unwrap().image_grid(400, 37).unwrap(), expected);
}

#[test]
fn videos_take_the_first_object_that_describes_them() {
    let of = |pixels: u64| json!({"min_pixels": pixels, "max_pixels": pixels + 28 * 28 * 4});
    let grid = |files: ProcessorFiles<'_>| VisionProcessor::from_json(files).unwrap().video_grid(2, 90, 90).unwrap();
    let (a, b, c) = (of(10_000), of(40_000), of(90_000));
    let nested = json!({"image_processor": {}, "video_processor": c});
    let [a, b, c] = [
        grid(ProcessorFiles { preprocessor: Some(&a), ..Default::default() }),
        grid(ProcessorFiles { preprocessor: Some(&a), video_preprocessor: Some(&b), ..Default::default() }),
        grid(ProcessorFiles { preprocessor: Some(&a), video_preprocessor: Some(&b), processor: Some(&nested) }),
    ];
    assert!(a.patches() < b.patches() && b.patches() < c.patches(), "{a:?} {b:?} {c:?}");
    let only_images = json!({"image_processor": {}});
    let processor =
        VisionProcessor::from_json(ProcessorFiles { processor: Some(&only_images), ..Default::default() }).unwrap();
    assert_eq!(processor.video_grid(2, 90, 90).unwrap_err().code(), "PROCESSOR_UNSUPPORTED");
    assert!(processor.image_grid(90, 90).is_ok());
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
        assert_eq!((error.code(), error.class().exit_code()), ("PROCESSOR_FIELD", 2), "{bounds:?}: {error}");
    }
}

#[test]
fn every_field_is_checked_by_name() {
    let numbers = [json!(0), json!(-1), json!(1e300), json!(1.5), json!("14"), json!([]), json!({}), json!(true)];
    for field in ["patch_size", "temporal_patch_size", "merge_size", "min_pixels", "max_pixels"] {
        for bad in numbers.iter().chain([&json!(u64::MAX)]) {
            refused(&json!({ field: bad }), field, "PROCESSOR_FIELD");
        }
    }
    for bad in [json!(0), json!(-0.1), json!(2.0), json!("1"), json!([1])] {
        refused(&json!({"rescale_factor": bad}), "rescale_factor", "PROCESSOR_FIELD");
    }
    for field in ["image_mean", "image_std"] {
        for bad in [json!(0.5), json!([0.5, 0.5]), json!([0.5, 0.5, "x"]), json!([1e9, 1, 1]), json!([1, 1, 1, 1])] {
            refused(&json!({ field: bad }), field, "PROCESSOR_FIELD");
        }
    }
    refused(&json!({"image_std": [1, 1, 0]}), "image_std", "PROCESSOR_FIELD");
    for field in ["do_resize", "do_rescale", "do_normalize"] {
        refused(&json!({ field: "yes" }), field, "PROCESSOR_FIELD");
    }
    refused(&json!({"size": 224}), "size", "PROCESSOR_FIELD");
    refused(&json!({"size": {"shortest_edge": 3136}}), "size.longest_edge", "PROCESSOR_FIELD");
    refused(&json!({"size": {"height": 224, "width": 224}}), "size.shortest_edge", "PROCESSOR_FIELD");
    refused(&json!({"resample": 1}), "resample", "PROCESSOR_UNSUPPORTED");
    refused(&json!({"image_processor_type": "CLIPImageProcessor"}), "image_processor_type", "PROCESSOR_UNSUPPORTED");
    refused(&json!([]), "whole file", "PROCESSOR_FIELD");
    refused(&json!({"patch_size": "x".repeat(5000)}), "patch_size", "PROCESSOR_FIELD");
}

fn refused(config: &Value, field: &str, code: &str) {
    let error = flat(config).expect_err(&config.to_string());
    assert_eq!(error.code(), code, "{error}");
    let message = error.to_string();
    assert!(message.contains("preprocessor_config.json") && message.contains(field), "{message}");
    assert!(message.len() < 500, "{message}");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let code = || VisionProcessor::open(folder.path()).map(|_| ()).unwrap_err();
    assert_eq!(code().code(), "PROCESSOR_MISSING");
    fs::write(folder.path().join("preprocessor_config.json"), "{\"patch_size\": 14,").unwrap();
    assert_eq!(code().code(), "PROCESSOR_JSON");
    fs::write(folder.path().join("preprocessor_config.json"), " ".repeat(2 << 20)).unwrap();
    assert_eq!(code().code(), "PROCESSOR_READ");
    fs::remove_file(folder.path().join("preprocessor_config.json")).unwrap();
    fs::create_dir(folder.path().join("preprocessor_config.json")).unwrap();
    assert!(code().to_string().contains("preprocessor_config.json"));
    fs::write(folder.path().join("processor_config.json"), "{\"image_processor\": {}}").unwrap();
    assert_eq!(code().code(), "PROCESSOR_READ");
}

#[test]
fn frames_must_agree() {
    let processor = flat(&json!({})).unwrap();
    assert_eq!(processor.video(&[]).unwrap_err().code(), "VIDEO_FRAMES");
    let frames = [noise_picture(1, 30, 20), noise_picture(2, 20, 30)];
    let error = processor.video(&frames).unwrap_err();
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
