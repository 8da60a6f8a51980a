//! Every law on every family's goldens.

use std::path::Path;

use mquant_testkit::golden::GoldenFolder;
use mquant_testkit::laws;

fn folder(name: &str) -> GoldenFolder {
    GoldenFolder::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name))
}

/// One test a law and family, so that a failure names both.
macro_rules! family {
    ($name:ident) => {
        family!($name, "two");
    };
    ($name:ident, $mixed:literal) => {
        mod $name {
            use super::*;

            #[test]
            fn law_1_golden() {
                let folder = folder(stringify!($name));
                for case in folder.cases() {
                    let distance = laws::equals_reference(&folder, &case);
                    println!("{case}: logits {distance:.1e} standard deviations away");
                }
            }

            #[test]
            fn law_2_wiring() {
                laws::wiring_tells_the_truth(&folder(stringify!($name)), $mixed);
                laws::sites_are_visited(&folder(stringify!($name)), $mixed);
            }

            #[test]
            fn law_2_function() {
                laws::transforms_preserve_the_function(&folder(stringify!($name)), $mixed);
            }

            #[test]
            fn law_3_cache() {
                let folder = folder(stringify!($name));
                for case in folder.cases() {
                    laws::decode_equals_prefill(&folder, &case);
                    laws::chunks_equal_whole(&folder, &case);
                }
                laws::batch_equals_one_by_one(&folder);
                laws::second_turn_continues(&folder);
            }

            #[test]
            fn law_5_kernel() {
                laws::kernels_do_not_matter(&folder(stringify!($name)));
            }

            #[test]
            fn law_3_shared_engine() {
                laws::threads_share_an_engine(&folder(stringify!($name)));
            }

            #[test]
            fn law_3_steps() {
                laws::sequences_of_a_step_stand_alone(&folder(stringify!($name)));
                laws::a_caught_panic_changes_nothing(&folder(stringify!($name)));
                laws::a_cancelled_sequence_disturbs_nobody(&folder(stringify!($name)));
            }

            #[test]
            fn law_4_order() {
                let folder = folder(stringify!($name));
                for case in folder.cases() {
                    laws::row_order_is_free(&folder, &case);
                }
                laws::modality_first_changes_no_bit(&folder);
            }
        }
    };
}

family!(qwen2_vl);
family!(qwen2_vl_published);
family!(qwen2_5_vl);
family!(qwen3_vl);
family!(qwen3_vl_published);
family!(qwen2_5_omni, "audio-image");
family!(qwen2_5_omni_published, "turns");
family!(qwen2_5_vl_published);

#[test]
fn law_1_golden_of_frame_rates() {
    let cases = [
        laws::frame_rates_equal_reference(&folder("qwen2_5_vl")),
        laws::frame_rates_equal_reference(&folder("qwen2_5_vl_published")),
    ];
    assert_eq!(cases, [2, 1]);
}

#[test]
fn law_1_golden_of_a_batch() {
    laws::batch_equals_reference(&folder("qwen2_vl"));
    laws::batch_equals_reference(&folder("qwen2_5_vl"));
    laws::batch_equals_reference(&folder("qwen3_vl"));
}
