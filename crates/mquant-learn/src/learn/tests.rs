//! Learning on a small random block with planted outlier channels.

use mquant_kernels::{Activation, Hadamard, Matrix, Products, RopeTable, Rows, Threads};
use mquant_model::nn::{
    Attention, ForwardBatch, Linear, ModalitySpans, Norm, NormKind, Site, Stream, Tower, Up, Visibility, Weight,
};
use rand::Rng;

use super::*;
use crate::smoothing::{ActivationQuantization, WeightQuantization, initial};
use crate::tensor::with_values;

const STREAM: usize = 32;
const INNER: usize = 44;
const HEADS: HeadShape = HeadShape { heads: 4, kv_heads: 2, head_dim: 8 };
const TEXT: usize = 20;
const VISION: usize = 28;
/// Of this many channels of the stream, one is large in rows of text, the next one in rows of pictures.
const OUTLIERS: usize = 5;

const W4A6: SiteQuantization = SiteQuantization {
    weight: Some(WeightQuantization { bits: 4, group: None }),
    activation: ActivationQuantization::PerToken { bits: 6 },
};

fn noise(rng: &mut ChaCha8Rng, n: usize, scale: f32) -> Vec<f32> {
    (0..n).map(|_| scale * (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>()).collect()
}

fn linear(rng: &mut ChaCha8Rng, outputs: usize, inputs: usize) -> Linear {
    let values = noise(rng, outputs * inputs, 1.7 / (inputs as f32).sqrt());
    Linear {
        weight: Weight::Float(Matrix::from_f32(values, outputs, inputs)),
        bias: Some(noise(rng, outputs, 0.2)),
        side: None,
        branches: Vec::new(),
    }
}

fn id(kind: SiteKind) -> SiteId {
    SiteId::block(Tower::Language, 0, kind)
}

fn block(rotated: bool) -> Block {
    let rng = &mut ChaCha8Rng::seed_from_u64(3);
    let norm = |rng: &mut ChaCha8Rng| {
        let gain = noise(rng, STREAM, 0.3).iter().map(|v| 1.0 + v).collect();
        Some(Norm { kind: NormKind::Rms, gain, eps: 1e-6, repeat: 1 })
    };
    let q = HEADS.heads * HEADS.head_dim;
    let kv = HEADS.kv_heads * HEADS.head_dim;
    let qkv = [linear(rng, q, STREAM), linear(rng, kv, STREAM), linear(rng, kv, STREAM)];
    let up = [linear(rng, INNER, STREAM), linear(rng, INNER, STREAM)];
    let mut down = Site::float(id(SiteKind::Down), None, [linear(rng, STREAM, INNER)]);
    if rotated {
        let rotation = Hadamard::padded(INNER).unwrap();
        down.linears = [linear(rng, STREAM, rotation.features())];
        down.rotation = Some(std::sync::Arc::new(rotation));
    }
    Block {
        stream: Stream(Tower::Language),
        qkv: Site::float(id(SiteKind::Qkv), norm(rng), qkv),
        attention: Attention {
            shape: HEADS,
            head_norms: None,
            visibility: Visibility::Causal,
            products: Products::F32,
            block: 0,
        },
        out: Site::float(id(SiteKind::Out), None, [linear(rng, STREAM, q)]),
        up: Up::Gated(Site::float(id(SiteKind::Up), norm(rng), up), Activation::Silu),
        down,
        deepstack: None,
    }
}

/// Two sequences, each of text, a picture, text.
fn sample(seed: u64) -> (Rows, ForwardBatch) {
    let rng = &mut ChaCha8Rng::seed_from_u64(100 + seed);
    let (mut values, mut spans, mut order) = (Vec::new(), ModalitySpans::default(), Vec::new());
    let mut sequences = Vec::new();
    for _ in 0..2 {
        let first = spans.rows();
        for (modality, rows) in [(Modality::Text, TEXT / 4), (Modality::Vision, VISION / 2), (Modality::Text, TEXT / 4)]
        {
            spans.push(modality, rows);
            for _ in 0..rows {
                let mut row = noise(rng, STREAM, 1.0);
                let first = usize::from(modality == Modality::Vision);
                row.iter_mut().skip(first).step_by(OUTLIERS).for_each(|v| *v *= 15.0);
                values.extend(row);
            }
        }
        sequences.push(first..spans.rows());
        order.extend(0..(spans.rows() - first) as u32);
    }
    let half = HEADS.head_dim / 2;
    let angles = order.iter().flat_map(|at| (0..half).map(move |j| *at as f32 * 0.3f32.powi(j as i32)));
    let rope = RopeTable::new(half, angles);
    (Rows::from_vec(values, STREAM), ForwardBatch { sequences, order, spans, rope, ..ForwardBatch::default() })
}

struct Setting {
    block: Block,
    inputs: Vec<(Rows, ForwardBatch)>,
    targets: Vec<Rows>,
}

impl Setting {
    fn new(rotated: bool) -> Self {
        let block = block(rotated);
        let twin = Twin::new(&block).unwrap();
        let inputs: Vec<_> = (0..6).map(sample).collect();
        let targets = inputs.iter().map(|(x, pass)| twin.forward(x, pass).unwrap()).collect();
        Self { block, inputs, targets }
    }

    fn samples(&self) -> Vec<Sample<'_>> {
        let pairs = self.inputs.iter().zip(&self.targets);
        pairs.map(|((input, pass), target)| Sample { input, target, pass }).collect()
    }

    /// Vectors as section 4.1 starts them.
    fn initial(&self) -> BTreeMap<SiteId, Vectors> {
        let twin = Twin::new(&self.block).unwrap();
        let mut seen = Seen::default();
        for (x, pass) in &self.inputs {
            let rows = twin.pass(pass, (x.rows(), x.features()), 0).unwrap();
            let x = tensor(x.as_slice().to_vec(), (x.rows(), x.features())).unwrap();
            twin.run(&x, &rows, &mut seen).unwrap();
        }
        let Up::Gated(up, _) = &self.block.up else { unreachable!("a gated block") };
        let linears = [&self.block.qkv.linears[..], &self.block.out.linears, &up.linears, &self.block.down.linears];
        let sites = [SiteKind::Qkv, SiteKind::Out, SiteKind::Up, SiteKind::Down];
        let of =
            sites.iter().zip(linears).map(|(kind, linears)| (id(*kind), initial(&seen.0[&id(*kind)], linears, 0.5)));
        of.collect()
    }

    fn learn(&self, sites: SiteQuantization, initial: &BTreeMap<SiteId, Vectors>, options: &Options) -> Learned {
        let sites = SiteKind::OF_BLOCK.map(|kind| (id(kind), sites)).into();
        let go_on = &mut |_: Progress| ControlFlow::Continue(());
        learn(&self.block, &sites, initial, &self.samples(), options, go_on).unwrap().unwrap()
    }

    /// Mean magnitude of what the block adds.
    fn signal(&self) -> f64 {
        let pairs = self.targets.iter().zip(&self.inputs);
        let all = pairs.flat_map(|(y, (x, _))| y.as_slice().iter().zip(x.as_slice()));
        let magnitudes: Vec<f64> = all.map(|(y, x)| f64::from((y - x).abs())).collect();
        magnitudes.iter().sum::<f64>() / magnitudes.len() as f64
    }
}

/// Largest magnitudes of what the sites read.
#[derive(Default)]
struct Seen(BTreeMap<SiteId, BTreeMap<Modality, Vec<f32>>>);

impl crate::twin::Sites for Seen {
    fn apply(&mut self, site: &crate::twin::TwinSite, x: &Tensor, pass: &PassRows) -> Result<Vec<Tensor>, LearnError> {
        let of_site = self.0.entry(site.id).or_default();
        with_values(x, |x| {
            for (row, modality) in x.chunks(site.inputs()).zip(&*pass.modality) {
                let most = of_site.entry(*modality).or_insert_with(|| vec![0.0; row.len()]);
                most.iter_mut().zip(row).for_each(|(most, v)| *most = most.max(v.abs()));
            }
            Ok(())
        })?;
        crate::twin::Floats.apply(site, x, pass)
    }
}

fn random_vectors(channels: impl Fn(SiteKind) -> usize) -> BTreeMap<SiteId, Vectors> {
    let rng = &mut ChaCha8Rng::seed_from_u64(9);
    let mut vector = |n: usize| (0..n).map(|_| (rng.random::<f32>() * 2.0 - 1.0).exp()).collect::<Vec<f32>>();
    let of = SiteKind::OF_BLOCK.map(|kind| {
        let vectors = [Modality::Text, Modality::Vision].map(|modality| (modality, vector(channels(kind)))).into();
        (id(kind), vectors)
    });
    of.into()
}

fn channels(kind: SiteKind) -> usize {
    match kind {
        SiteKind::Down => INNER,
        _ => STREAM,
    }
}

/// Without quantisers no vector changes what leaves the block; in the deployed form at full rank.
#[test]
fn smoothing_alone_changes_nothing() {
    for rotated in [false, true] {
        let setting = Setting::new(rotated);
        for form in [Form::Published, Form::Uniform, Form::Deployed { rank_ratio: 1.0 }] {
            for tied in [true, false] {
                let options = Options { form, tied, foldable_out: tied, epochs: 0, ..Options::default() };
                let learned = setting.learn(SiteQuantization::FLOAT, &random_vectors(channels), &options);
                let bound = if matches!(form, Form::Deployed { .. }) { 1e-4 } else { 1e-5 };
                assert!(learned.losses[0] < bound * setting.signal(), "{form:?}: {}", learned.losses[0]);
            }
        }
    }
}

/// ∂f/∂θ of all vectors, by differences: in the deployed form at a low rank, with quantisers off, what leaves the block is smooth
/// and depends on the vectors through weights, rows, branches, attention and MLP.
#[test]
fn gradients_without_quantisers_are_differences() {
    for rotated in [false, true] {
        let setting = Setting::new(rotated);
        let options = Options { form: Form::Deployed { rank_ratio: 0.2 }, ..Options::default() };
        let sites = SiteKind::OF_BLOCK.map(|kind| (id(kind), SiteQuantization::FLOAT)).into();
        let twin = Twin::new(&setting.block).unwrap();
        let samples = setting.samples();
        let trainee = trainee(&twin, &sites, &random_vectors(channels), &options).unwrap();
        let go_on = &mut |_: Progress| ControlFlow::Continue(());
        let mut run =
            Run { twin: &twin, trainee, samples: &samples, options: &options, done: 0, of: 0, progress: go_on };
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let mut moments = run.trainee.wanted_moments();
        let (x, target, pass) = run.tensors(0).unwrap();
        add_moments(&twin, &x, &pass, &mut moments).unwrap();
        run.trainee.refresh(&twin, &moments, 0).unwrap();
        run.trainee.learning = true;
        let variables: Vec<candle_core::Var> = run
            .trainee
            .sites
            .values()
            .filter_map(Smoothed::parameters)
            .flat_map(SiteParameters::vars)
            .cloned()
            .collect();
        assert_eq!(variables.len(), 8);
        let weights = tensor(noise(rng, target.elem_count(), 1.0), target.shape()).unwrap();
        let mut f = || {
            let y = twin.run(&x, &pass, &mut run.trainee).unwrap();
            ((y - &target).unwrap() * &weights).unwrap().sum_all().unwrap()
        };
        let gradients = f().backward().unwrap();
        for (i, variable) in variables.iter().enumerate() {
            let start = variable.as_tensor().copy().unwrap();
            let direction = tensor(noise(rng, start.elem_count(), 1.0), start.shape()).unwrap();
            let ours = (gradients.get(variable).unwrap() * &direction).unwrap().sum_all().unwrap();
            let ours = f64::from(ours.to_scalar::<f32>().unwrap());
            let mut at = |h: f64| {
                variable.set(&(&start + direction.affine(h, 0.0).unwrap()).unwrap()).unwrap();
                f64::from(f().to_scalar::<f32>().unwrap())
            };
            let numeric = (at(2e-3) - at(-2e-3)) / 4e-3;
            variable.set(&start).unwrap();
            println!("rotated {rotated}, variable {i}: {ours:.5} and {numeric:.5}");
            assert!((ours - numeric).abs() < 2e-3 * numeric.abs() + 4e-3, "variable {i}: {ours} and {numeric}");
        }
    }
}

#[test]
fn learning_lowers_the_loss_and_modalities_do_better_than_one_vector() {
    let setting = Setting::new(false);
    let initial = setting.initial();
    let options = Options { epochs: 12, learning_rate: 0.03, ..Options::default() };
    let learn = |form, tied| setting.learn(W4A6, &initial, &Options { form, tied, ..options.clone() });
    let by_modality = learn(Form::Published, true);
    let uniform = learn(Form::Uniform, true);
    let untied = learn(Form::Published, false);
    let deployed = learn(Form::Deployed { rank_ratio: 0.25 }, true);
    for (name, learned) in
        [("published", &by_modality), ("uniform", &uniform), ("untied", &untied), ("deployed", &deployed)]
    {
        let best = learned.losses[learned.best];
        println!("{name}: {:.5} → {best:.5} of {:.3}", learned.losses[0], setting.signal());
        assert!(best < 0.95 * learned.losses[0], "{name}: {:?}", learned.losses);
        assert_eq!(learned.steps.len(), 12 * 6);
    }
    assert!(by_modality.losses[by_modality.best] < 0.95 * uniform.losses[uniform.best]);
    assert!(by_modality.losses[0] < uniform.losses[0]);
    assert_eq!(untied.vectors[&id(SiteKind::Qkv)].len(), 3);
    assert_eq!(by_modality.vectors[&id(SiteKind::Qkv)].len(), 1);
}

#[test]
fn static_scales_of_modalities_are_learned_with() {
    let setting = Setting::new(true);
    let sites = SiteQuantization {
        weight: Some(WeightQuantization { bits: 4, group: Some(4) }),
        activation: ActivationQuantization::PerModality { bits: 8 },
    };
    let learned = setting.learn(sites, &setting.initial(), &Options { epochs: 6, ..Options::default() });
    assert!(learned.losses[learned.best] < 0.98 * learned.losses[0], "{:?}", learned.losses);
}

#[test]
fn the_text_vector_of_out_stays_foldable() {
    let setting = Setting::new(false);
    let options = Options { foldable_out: true, ..Options::default() };
    let learned = setting.learn(W4A6, &setting.initial(), &options);
    let vectors = &learned.vectors[&id(SiteKind::Out)][0];
    let shared = value_channels(HEADS);
    let differs = |s: &[f32]| (0..s.len()).any(|i| (0..i).any(|j| shared[i] == shared[j] && s[i] != s[j]));
    assert!(!differs(&vectors[&Modality::Text]) && differs(&vectors[&Modality::Vision]));
}

#[test]
fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
    let setting = Setting::new(true);
    let initial = setting.initial();
    let options = Options { form: Form::Deployed { rank_ratio: 0.25 }, ..Options::default() };
    let on = |threads, seed| {
        let options = Options { seed, ..options.clone() };
        Threads::new(threads).unwrap().run(|| setting.learn(W4A6, &initial, &options))
    };
    let one = on(1, 5);
    assert_eq!(one, on(3, 5));
    assert_ne!(one.steps, on(1, 6).steps);
}

#[test]
fn what_does_not_fit_is_refused() {
    let setting = Setting::new(false);
    let sites: BTreeMap<_, _> = SiteKind::OF_BLOCK.map(|kind| (id(kind), W4A6)).into();
    let samples = setting.samples();
    let error = |sites: &BTreeMap<_, _>, initial: &BTreeMap<_, _>, samples: &[Sample<'_>], options: &Options| {
        let go_on = &mut |_: Progress| ControlFlow::Continue(());
        learn(&setting.block, sites, initial, samples, options, go_on).unwrap_err().to_string()
    };
    let (none, options) = (BTreeMap::new(), Options::default());
    assert_eq!(error(&sites, &none, &[], &options), "there is no sample to learn from");
    let head = BTreeMap::from([(SiteId::HEAD, W4A6)]);
    assert_eq!(error(&head, &none, &samples, &options), "head is no site of language.0");
    let wrong = |values: Vec<f32>| BTreeMap::from([(id(SiteKind::Up), Vectors::from([(Modality::Text, values)]))]);
    let short = error(&sites, &wrong(vec![1.0; 5]), &samples, &options);
    assert_eq!(short, "language.0.up: the text vector has 5 values; the site reads 32 channels");
    let negative = error(&sites, &wrong(vec![-1.0; STREAM]), &samples, &options);
    assert_eq!(negative, "language.0.up: channel 0 of the text vector is -1; expected a positive number");
    let missing = error(&sites, &wrong(vec![1.0; STREAM]), &samples, &options);
    assert_eq!(missing, "language.0.up: there are vision rows, but no vision vector");
    let other = Sample { target: &Rows::zeros(3, STREAM), ..samples[0] };
    assert!(error(&sites, &none, &[other], &options).starts_with("sample 0: "));
    let rank = Options { form: Form::Deployed { rank_ratio: 0.0 }, ..Options::default() };
    assert!(error(&sites, &none, &samples, &rank).starts_with("the rank ratio is 0"));
    let grouped = SiteQuantization { weight: Some(WeightQuantization { bits: 4, group: Some(7) }), ..W4A6 };
    let grouped = BTreeMap::from([(id(SiteKind::Qkv), grouped)]);
    assert_eq!(
        error(&grouped, &none, &samples, &options),
        "language.0.qkv: 32 inputs cannot be quantised in groups of 7"
    );
    let mut steps = 0;
    let stop = &mut |_: Progress| {
        steps += 1;
        if steps == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert_eq!(learn(&setting.block, &sites, &setting.initial(), &samples, &options, stop).unwrap(), None);
    assert_eq!(steps, 3);
}
