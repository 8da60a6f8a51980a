//! Smoothing by modality and low-rank branches, from recipe to answers: what each is worth, and that learning learns.

use std::ops::ControlFlow;

use mquant::disk::RealDisk;
use mquant::nn::Tower;
use mquant::pipeline::{Event, Outcome, QuantizeOptions, quantize};
use mquant::recipe::Recipe;
use mquant::run::{EngineOptions, LoadedModel};

use crate::folder::{DEMO_STRESS, at, held_out, noise, open, samples, scores};
use crate::making::{Made, Making};

/// The decoder in 4 bits with a scale for each token, and steps before that.
fn recipe(steps: &str) -> Recipe {
    let text = format!(
        "name = \"x\"\n{steps}[[step]]\ndo = \"quantize\"\nsites = [\"language\"]\nweight_bits = 4\ninput = \"per_token\"\n"
    );
    Recipe::parse(&text, "x.toml").unwrap()
}

fn smooth(more: &str) -> String {
    format!("[[step]]\ndo = \"smooth_modalities\"\nsites = [\"language\"]\n{more}\n")
}

fn branches(rank: &str) -> String {
    format!("[[step]]\ndo = \"compensate\"\nsites = [\"language\"]\n{rank}\n")
}

fn made(float: &LoadedModel, steps: &str) -> Made {
    Making::new(float, &recipe(steps), &samples(12)).made()
}

/// MASQuant, section 4.3, and an independent reproduction: without compensation the path of other modalities is destroyed.
#[test]
fn a_branch_makes_good_what_the_text_weight_lacks() {
    let float = open(&at(DEMO_STRESS));
    let asked = held_out(6);
    let reference = scores(&float, &asked);
    let of = |steps: &str| {
        let made = made(&float, steps);
        made.check();
        (noise(&scores(&open(&made.dir()), &asked), &reference), made)
    };
    let (bare, _) = of(&smooth(""));
    let (small, _) = of(&(smooth("") + &branches("rank_ratio = 0.1")));
    let (whole, made) = of(&(smooth("") + &branches("rank_ratio = 1.0")));
    println!("noise without a branch {bare:.4}, at rank 0.1 {small:.4}, at full rank {whole:.4}");
    // What is left at full rank is the rounding of the text weight, and of codes.
    assert!(small < 0.5 * bare && whole < 0.5 * bare, "{bare} {small} {whole}");
    for (site, report) in made.summary.sites.iter().filter(|(site, _)| site.tower() == Tower::Language) {
        if site.block_index().is_none() {
            continue;
        }
        let (with, without) = (report.output_sqnr_db["vision"], report.output_sqnr_db_without_branch["vision"]);
        assert!(with > without, "{site}: {with} dB with a branch, {without} without");
        let branch = &report.branches["vision"];
        // At full rank the weight of vision is made whole; its own codes are left.
        assert!(branch.taken > 0.999 && branch.spectrum.is_sorted_by(|a, b| a >= b), "{site}: {branch:?}");
        assert!(!report.branches.contains_key("text") && !report.smoothing.contains_key("text"));
    }
}

#[test]
fn a_budget_bounds_the_bytes_of_a_block() {
    let float = open(&at(DEMO_STRESS));
    let share = 0.1;
    let made = made(&float, &(smooth("") + &branches(&format!("budget = {share}"))));
    let mut model = (*open(&made.dir()).model).clone();
    for part in model.parts() {
        let (mut weights, mut factors) = (0, 0);
        for site in part.sites() {
            let sites = made.summary.sites.iter().find(|(id, _)| *id == site.id).unwrap();
            for linear in site.linears.iter() {
                weights += linear.weight.rows() * linear.weight.cols() / 2 + 4 * linear.weight.rows();
                factors += linear.branches.iter().map(|branch| branch.rows() * branch.cols()).sum::<usize>();
            }
            factors += site.branches.iter().map(|branch| branch.weight.rows() * branch.weight.cols()).sum::<usize>();
            assert_eq!(site.branches.is_empty(), sites.1.branches.is_empty(), "{}", site.id);
        }
        if part.id().tower == Tower::Language && part.attention().is_some() {
            let found = factors as f64 / weights as f64;
            assert!(found <= share && found > 0.8 * share, "{}: {found}", part.id());
        }
    }
}

#[test]
fn learning_lowers_the_loss_and_repeats_itself() {
    let float = open(&at(DEMO_STRESS));
    for form in ["published", "deployed"] {
        let steps = smooth(&format!("epochs = 1\nform = \"{form}\"")) + &branches("rank_ratio = 0.1");
        let (first, second) = (made(&float, &steps), made(&float, &steps));
        let mut better = 0;
        for unit in &first.summary.units {
            let Some(learning) = &unit.learning else { continue };
            assert_eq!((learning.epochs, learning.losses.len()), (1, 2), "{}", unit.unit);
            assert!(learning.losses[learning.kept] <= learning.losses[0]);
            better += usize::from(learning.kept == 1);
        }
        assert!(better >= 4, "{form}: {better} of 5 blocks learned something");
        assert!(first.files() == second.files(), "{form}: other bytes the second time");
    }
}

#[test]
fn learning_can_be_ended_and_goes_on() {
    let float = open(&at(DEMO_STRESS));
    let dir = tempfile::tempdir().unwrap();
    let (recipe, samples) = (recipe(&smooth("epochs = 1")), samples(4));
    let options = QuantizeOptions {
        recipe: &recipe,
        samples: &samples,
        output: &dir.path().join("out"),
        engine: EngineOptions::default(),
        pixels: Default::default(),
        provenance: serde_json::Value::Null,
    };
    let mut told = 0;
    let ended = quantize(&float, &options, &RealDisk::shared(), &mut |event| {
        told += usize::from(matches!(event, Event::Learning { .. }));
        if told == 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(ended.unwrap(), Outcome::Interrupted));
    let whole = quantize(&float, &options, &RealDisk::shared(), &mut |_| ControlFlow::Continue(())).unwrap();
    let Outcome::Complete(summary) = whole else { panic!("not complete") };
    assert!(summary.resumed > 0);
}

#[test]
fn a_site_that_stays_float_is_smoothed_as_it_began() {
    let float = open(&at(DEMO_STRESS));
    let text = format!(
        "name = \"x\"\n{}[[step]]\ndo = \"quantize\"\nsites = [\"language.*.qkv\"]\nweight_bits = 4\ninput = \"per_token\"\n",
        smooth("epochs = 1")
    );
    let recipe = Recipe::parse(&text, "x.toml").unwrap();
    let made = Making::new(&float, &recipe, &samples(4)).made();
    made.check();
    assert!(made.summary.units.iter().filter(|unit| unit.learning.is_some()).count() == 5);
}
