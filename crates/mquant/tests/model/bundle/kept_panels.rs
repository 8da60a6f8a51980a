//! Panels kept beside a bundle are used, and do no harm when they are stale, damaged or cannot be written.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use mquant::bundle::{PackedCache, PackedCacheUse};
use mquant::models::Model;
use mquant::nn::Weight;
use mquant::run::LoadedModel;

use crate::bundle::folder::{Bundle, mixed};

fn panels(loaded: &LoadedModel) -> Vec<Vec<u8>> {
    let mut model = Model::clone(&loaded.model);
    let mut out = Vec::new();
    for part in model.parts() {
        for site in part.sites() {
            for linear in site.linears.iter() {
                if let Weight::Int(packed) = &linear.weight {
                    assert!(packed.panels().as_ptr().addr().is_multiple_of(64), "panels begin at a cache line");
                    out.push(packed.panels().to_vec());
                }
            }
        }
    }
    out
}

fn open(bundle: &Bundle) -> LoadedModel {
    bundle.open(PackedCache::Enabled).unwrap()
}

fn is_written(loaded: &LoadedModel) -> bool {
    matches!(loaded.packed_cache, PackedCacheUse::Written { .. })
}

fn is_mapped(loaded: &LoadedModel) -> bool {
    matches!(loaded.packed_cache, PackedCacheUse::Mapped { .. })
}

#[test]
fn the_second_load_maps_what_the_first_made() {
    let bundle = Bundle::of("qwen2_vl", mixed);
    let none = bundle.open(PackedCache::Disabled).unwrap();
    assert_eq!(none.packed_cache, PackedCacheUse::Disabled);
    assert!(bundle.kept().is_empty());
    let first = open(&bundle);
    let PackedCacheUse::Written { bytes } = first.packed_cache else { panic!("{:?}", first.packed_cache) };
    let [name] = &bundle.kept()[..] else { panic!("{:?}", bundle.kept()) };
    assert!(name.starts_with(".mquant-packed-v1-"));
    assert_eq!(fs::metadata(bundle.dir().join(name)).unwrap().len(), bytes);
    let second = open(&bundle);
    assert_eq!(second.packed_cache, PackedCacheUse::Mapped { bytes });
    assert_eq!(panels(&second), panels(&none));
    assert_eq!(panels(&first), panels(&none));
}

#[test]
fn changed_weights_or_configuration_are_packed_anew() {
    let bundle = Bundle::of("qwen2_vl", mixed);
    open(&bundle);
    let old = bundle.kept();
    let file = File::options().append(true).open(bundle.dir().join("model.safetensors")).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(7)).unwrap();
    let abandoned = bundle.dir().join("..mquant-packed-v1-0123.1-0.partial");
    let busy = bundle.dir().join("..mquant-packed-v1-0123.2-0.partial");
    for path in [&abandoned, &busy] {
        fs::write(path, "x").unwrap();
    }
    let hours = SystemTime::now() - Duration::from_secs(8000);
    File::options().append(true).open(&abandoned).unwrap().set_modified(hours).unwrap();
    assert!(is_written(&open(&bundle)), "a file was touched");
    assert!(!abandoned.exists() && busy.exists());
    fs::remove_file(busy).unwrap();
    let new = bundle.kept();
    assert!(new.len() == 1 && new != old, "{old:?} {new:?}");
    assert!(is_mapped(&open(&bundle)));
    let config = bundle.dir().join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + " ").unwrap();
    assert!(is_written(&open(&bundle)), "the configuration changed");
    assert_eq!(bundle.kept().len(), 1);
}

#[test]
fn damaged_files_are_made_anew() {
    let bundle = Bundle::of("qwen2_vl", mixed);
    let good = panels(&open(&bundle));
    let path = bundle.dir().join(&bundle.kept()[0]);
    let whole = fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let mut damaged = vec![Vec::new(), vec![0; 64], whole[..127].to_vec(), whole[..whole.len() / 2].to_vec()];
    damaged.push(whole[..whole.len() - 1].to_vec());
    damaged.push([&whole[..], &[0]].concat());
    damaged.push(b"{}".repeat(4000));
    // Every part of the header, and the index.
    damaged.extend([0, 8, 12, 16, 23, 24, 31, 32, 63, 64, 95, 128, 500, 3000].map(flipped));
    for bytes in damaged {
        fs::write(&path, bytes).unwrap();
        let loaded = open(&bundle);
        assert!(is_written(&loaded), "{:?}", loaded.packed_cache);
        assert_eq!(panels(&loaded), good);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    // A link is not followed, and what it names is not changed.
    let elsewhere = bundle.dir().parent().unwrap().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(is_written(&open(&bundle)));
    assert!(path.symlink_metadata().unwrap().is_file());
    assert_eq!(fs::read(&elsewhere).unwrap(), whole);
}

#[test]
fn a_folder_that_cannot_be_written_is_fine() {
    let bundle = Bundle::of("qwen2_vl", mixed);
    let good = panels(&open(&bundle));
    let path = bundle.dir().join(&bundle.kept()[0]);
    fs::remove_file(&path).unwrap();
    // In place of a permission, which the superuser does not need: something that is no file is in the way.
    fs::create_dir(&path).unwrap();
    let loaded = open(&bundle);
    assert!(
        matches!(&loaded.packed_cache, PackedCacheUse::NotWritten { reason } if reason.contains("no regular file"))
    );
    assert_eq!(panels(&loaded), good);
    assert_eq!(bundle.kept().len(), 1);
}
