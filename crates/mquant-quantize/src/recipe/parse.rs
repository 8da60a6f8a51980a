//! TOML to a recipe: every field is known, has its type, and agrees with the others of its table.

use std::collections::BTreeMap;
use std::ops::Range;

use mquant_kernels::Bits;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error, ValueDeserializer};

use super::place::{Origin, line_and_column};
use super::words::{MethodName, ObserverName, Spelled, Word};
use super::{
    ActOrder, Calibration, Clip, ColumnLimits, Compensate, FuseNorms, HadamardFallback, InputBits, Learning,
    LearningForm, Observer, Place, Quantize, Rank, Recipe, RecipeError, RotateHeads, RotateOnline, RotateStream,
    RotationKind, Sequential, Sinks, SiteSelector, Smooth, SmoothModalities, SmoothingVectors, SplitColumns, Step,
    Target, Towers, WeightMethod,
};
use crate::quantize::IntFormat;
use mquant_model::bundle::InputFormat;
use mquant_model::excerpt::{excerpt, quoted};
use mquant_model::nn::{CacheFormat, Modality, Tower};

/// What a quantising step says where it says nothing.
const DAMPING: f64 = 0.01;
/// Step of AdamW (MASQuant's code).
const LEARNING_RATE: f64 = 0.05;
/// The share of values that the percentile observer keeps.
const PERCENTILE: f64 = 0.99999;
/// Bytes of a piece of the parser's words that are repeated.
const PIECE_BYTES: usize = 120;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRecipe {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    seed: u64,
    calibration: Option<Spanned<RawCalibration>>,
    kv_cache: Option<Spelled<CacheFormat>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCalibration {
    samples: Option<usize>,
    sequential: Option<Spelled<Sequential>>,
    sinks: Option<Spelled<Sinks>>,
    observer: Option<Spelled<ObserverName>>,
    percentile: Option<f64>,
    max_tokens: Option<usize>,
    generated_tokens: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTowers {
    towers: Option<Vec<Spelled<Tower>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRotateStream {
    towers: Option<Vec<Spelled<Tower>>>,
    kind: Spelled<RotationKind>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRotateOnline {
    sites: SiteSelector,
    otherwise: Spelled<HadamardFallback>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSmooth {
    sites: SiteSelector,
    #[serde(default = "half")]
    alpha: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSmoothModalities {
    sites: SiteSelector,
    #[serde(default = "half")]
    alpha: f64,
    vectors: Option<Spelled<SmoothingVectors>>,
    #[serde(default)]
    epochs: usize,
    learning_rate: Option<f64>,
    form: Option<Spelled<LearningForm>>,
    #[serde(default)]
    loss_weights: BTreeMap<String, f64>,
}

impl RawSmoothModalities {
    /// Fields of learning have no effect without epochs.
    fn learning(&self, place: &Place) -> Result<Option<Learning>, RecipeError> {
        let conflict = |field, expected: &str, found: String| {
            let (place, expected) = (Box::new(place.clone()), expected.to_owned());
            RecipeError::Conflict { place, field, expected, found }
        };
        if self.epochs == 0 {
            let absent = "absent where epochs is 0";
            let weights = (!self.loss_weights.is_empty()).then(|| "a table".to_owned());
            let given = [
                ("learning_rate", self.learning_rate.map(|rate| rate.to_string())),
                ("form", self.form.map(|form| format!("\"{}\"", form.0.word()))),
                ("loss_weights", weights),
            ];
            return match given.into_iter().find_map(|(field, found)| Some((field, found?))) {
                Some((field, found)) => Err(conflict(field, absent, found)),
                None => Ok(None),
            };
        }
        let mut loss_weights = BTreeMap::new();
        for (name, weight) in &self.loss_weights {
            let Some((_, modality)) = Modality::ALL.iter().find(|(word, _)| word == name) else {
                return Err(conflict("loss_weights", "the names of modalities: text, vision, audio", quoted(name)));
            };
            loss_weights.insert(*modality, *weight);
        }
        let form = self.form.map_or(LearningForm::Published, |word| word.0);
        let learning_rate = self.learning_rate.unwrap_or(LEARNING_RATE);
        Ok(Some(Learning { epochs: self.epochs, learning_rate, form, loss_weights }))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCompensate {
    sites: SiteSelector,
    rank_ratio: Option<f64>,
    rank: Option<usize>,
    budget: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSplitColumns {
    sites: SiteSelector,
    ratio: Option<f64>,
    at_most: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuantize {
    sites: SiteSelector,
    weight_bits: u32,
    group_size: Option<usize>,
    method: Option<Spelled<MethodName>>,
    clip: Option<Spelled<Clip>>,
    damping: Option<f64>,
    act_order: Option<bool>,
    input: Option<Spelled<InputFormat>>,
    input_bits: Option<u32>,
}

fn half() -> f64 {
    0.5
}

impl Default for ColumnLimits {
    fn default() -> Self {
        Self { ratio: 1.5, at_most: 16 }
    }
}

/// Steps, and line and column of each.
type Placed = (Vec<Step>, Vec<(usize, usize)>);

/// A text and its name.
struct Source<'a> {
    text: &'a str,
    file: &'a str,
}

pub(super) fn parse(text: &str, file: &str) -> Result<Recipe, RecipeError> {
    let source = Source { text, file };
    let parsed = DeTable::parse(text).map_err(|e| source.syntax(&e, e.span(), None))?;
    let span = parsed.span();
    let mut table = parsed.into_inner();
    let steps = table.remove("step");
    let rest: RawRecipe = source.read(Spanned::new(span, DeValue::Table(table)), None)?;
    let (steps, places) = source.steps(steps)?;
    Ok(Recipe {
        name: rest.name,
        description: rest.description,
        seed: rest.seed,
        calibration: match rest.calibration {
            Some(raw) => source.calibration(raw)?,
            None => Calibration::default(),
        },
        kv_cache: rest.kv_cache.map_or(CacheFormat::Codes, |word| word.0),
        steps,
        origin: Origin { file: file.to_owned(), steps: places },
    })
}

impl Source<'_> {
    fn place(&self, span: Option<Range<usize>>, step: Option<(usize, &'static str)>) -> Place {
        Place { file: self.file.to_owned(), at: line_and_column(self.text, span), step }
    }

    fn syntax(&self, error: &Error, span: Option<Range<usize>>, step: Option<(usize, &'static str)>) -> RecipeError {
        RecipeError::Syntax { place: Box::new(self.place(span, step)), problem: shortened(error.message()) }
    }

    fn read<T: for<'de> Deserialize<'de>>(
        &self,
        value: Spanned<DeValue<'_>>,
        step: Option<(usize, &'static str)>,
    ) -> Result<T, RecipeError> {
        let span = value.span();
        let read = T::deserialize(ValueDeserializer::from(value));
        read.map_err(|error| self.syntax(&error, error.span().or(Some(span)), step))
    }

    fn steps(&self, value: Option<Spanned<DeValue<'_>>>) -> Result<Placed, RecipeError> {
        let Some(value) = value else { return Ok((Vec::new(), Vec::new())) };
        let span = value.span();
        let DeValue::Array(list) = value.into_inner() else {
            let problem = "expected tables [[step]], found another value".to_owned();
            return Err(RecipeError::Syntax { place: Box::new(self.place(Some(span), None)), problem });
        };
        let (mut steps, mut places) = (Vec::new(), Vec::new());
        for (i, step) in list.into_iter().enumerate() {
            places.extend(line_and_column(self.text, Some(step.span())));
            steps.push(self.step(i + 1, step)?);
        }
        Ok((steps, places))
    }

    fn step(&self, number: usize, value: Spanned<DeValue<'_>>) -> Result<Step, RecipeError> {
        let span = value.span();
        let wrong = |span, problem| RecipeError::Syntax {
            place: Box::new(self.place(Some(span), Some((number, "?")))),
            problem,
        };
        let DeValue::Table(mut table) = value.into_inner() else {
            return Err(wrong(span, "expected a table, found another value".to_owned()));
        };
        let Some(does) = table.remove("do") else {
            return Err(wrong(span, format!("expected a field `do`, one of {}", step_names())));
        };
        let Some((name, read)) =
            does.get_ref().as_str().and_then(|does| READERS.iter().find(|(name, _)| *name == does))
        else {
            let found = does.get_ref().as_str().map_or_else(|| "another value".to_owned(), quoted);
            return Err(wrong(does.span(), format!("do: expected one of {}, found {found}", step_names())));
        };
        read(self, Spanned::new(span, DeValue::Table(table)), (number, name))
    }

    fn calibration(&self, raw: Spanned<RawCalibration>) -> Result<Calibration, RecipeError> {
        let (span, usual) = (raw.span(), Calibration::default());
        let raw = raw.into_inner();
        let name = raw.observer.map_or(ObserverName::MinMax, |word| word.0);
        let observer = match (name, raw.percentile) {
            (ObserverName::Percentile, share) => Observer::Percentile(share.unwrap_or(PERCENTILE)),
            (_, Some(share)) => {
                let (expected, found) = (format!("absent where observer is \"{}\"", name.word()), share.to_string());
                let place = self.place(Some(span), None);
                return Err(RecipeError::Conflict {
                    place: Box::new(place),
                    field: "calibration.percentile",
                    expected,
                    found,
                });
            }
            (ObserverName::MinMax, None) => Observer::MinMax,
            (ObserverName::Mse, None) => Observer::Mse,
        };
        Ok(Calibration {
            samples: raw.samples.unwrap_or(usual.samples),
            sequential: raw.sequential.map_or(usual.sequential, |word| word.0),
            sinks: raw.sinks.map_or(usual.sinks, |word| word.0),
            observer,
            max_tokens: raw.max_tokens,
            generated_tokens: raw.generated_tokens.unwrap_or(usual.generated_tokens),
        })
    }

    fn quantize(&self, value: Spanned<DeValue<'_>>, step: (usize, &'static str)) -> Result<Step, RecipeError> {
        let place = self.place(Some(value.span()), Some(step));
        let raw: RawQuantize = self.read(value, Some(step))?;
        let target = raw.target(&place)?;
        Ok(Step::Quantize(Quantize { sites: raw.sites, target }))
    }
}

impl RawQuantize {
    fn target(&self, place: &Place) -> Result<Target, RecipeError> {
        let absent = |field, given: Option<String>, where_: &str| match given {
            None => Ok(()),
            Some(found) => {
                let (place, expected) = (place.clone(), format!("absent where {where_}"));
                Err(RecipeError::Conflict { place: Box::new(place), field, expected, found })
            }
        };
        let quoted_word = |word: &'static str| format!("\"{word}\"");
        let bits = match self.weight_bits {
            4 => Bits::Four,
            8 => Bits::Eight,
            16 => {
                let float = "weight_bits is 16";
                absent("group_size", self.group_size.map(|n| n.to_string()), float)?;
                absent("method", self.method.map(|word| quoted_word(word.0.word())), float)?;
                absent("clip", self.clip.map(|word| quoted_word(word.0.word())), float)?;
                absent("damping", self.damping.map(|n| n.to_string()), float)?;
                absent("act_order", self.act_order.map(|b| b.to_string()), float)?;
                absent("input_bits", self.input_bits.map(|n| n.to_string()), float)?;
                return match self.input {
                    None | Some(Spelled(InputFormat::Float)) => Ok(Target::Float),
                    Some(Spelled(input)) => Err(RecipeError::Conflict {
                        place: Box::new(place.clone()),
                        field: "input",
                        expected: format!("\"float\" where {float}"),
                        found: quoted_word(input.word()),
                    }),
                };
            }
            other => {
                let (place, found) = (place.clone(), other.to_string());
                return Err(RecipeError::Range {
                    place: Box::new(place),
                    field: "weight_bits",
                    expected: "4, 8 or 16",
                    found,
                });
            }
        };
        let method = match self.method.map_or(MethodName::Rtn, |word| word.0) {
            MethodName::Rtn => {
                let rtn = "method is \"rtn\"";
                absent("damping", self.damping.map(|n| n.to_string()), rtn)?;
                absent("act_order", self.act_order.map(|b| b.to_string()), rtn)?;
                WeightMethod::Rtn
            }
            MethodName::Gptq => WeightMethod::Gptq {
                damping: self.damping.unwrap_or(DAMPING),
                act_order: self.act_order.map_or(ActOrder::Descending, ActOrder::from),
            },
        };
        let Some(Spelled(input)) = self.input else {
            return Err(RecipeError::Conflict {
                place: Box::new(place.clone()),
                field: "input",
                expected: format!("one of {} where weight_bits is {}", word_list::<InputFormat>(), self.weight_bits),
                found: "nothing".to_owned(),
            });
        };
        let input_bits = match self.input_bits {
            None | Some(8) => InputBits::Eight,
            Some(6) if input != InputFormat::Float => InputBits::Six,
            Some(6) => {
                absent("input_bits", Some("6".to_owned()), "input is \"float\"")?;
                InputBits::Eight
            }
            Some(other) => {
                let (place, found) = (Box::new(place.clone()), other.to_string());
                return Err(RecipeError::Range { place, field: "input_bits", expected: "6 or 8", found });
            }
        };
        let format = IntFormat { bits, group: self.group_size };
        let clip = self.clip.map_or(Clip::None, |word| word.0);
        Ok(Target::Int { format, method, clip, input, input_bits })
    }
}

/// Reads the fields of one kind of step.
type Reader = fn(&Source<'_>, Spanned<DeValue<'_>>, (usize, &'static str)) -> Result<Step, RecipeError>;

/// Every `do`.
const READERS: [(&str, Reader); 9] = [
    ("fuse_norms", |source, value, step| {
        let raw: RawTowers = source.read(value, Some(step))?;
        Ok(Step::FuseNorms(FuseNorms { towers: towers(&raw.towers) }))
    }),
    ("rotate_stream", |source, value, step| {
        let raw: RawRotateStream = source.read(value, Some(step))?;
        Ok(Step::RotateStream(RotateStream { towers: towers(&raw.towers), kind: raw.kind.0 }))
    }),
    ("rotate_heads", |source, value, step| {
        let raw: RawTowers = source.read(value, Some(step))?;
        Ok(Step::RotateHeads(RotateHeads { towers: towers(&raw.towers) }))
    }),
    ("rotate_online", |source, value, step| {
        let raw: RawRotateOnline = source.read(value, Some(step))?;
        Ok(Step::RotateOnline(RotateOnline { sites: raw.sites, otherwise: raw.otherwise.0 }))
    }),
    ("smooth", |source, value, step| {
        let raw: RawSmooth = source.read(value, Some(step))?;
        Ok(Step::Smooth(Smooth { sites: raw.sites, alpha: raw.alpha }))
    }),
    ("smooth_modalities", |source, value, step| {
        let place = source.place(Some(value.span()), Some(step));
        let raw: RawSmoothModalities = source.read(value, Some(step))?;
        let vectors = raw.vectors.map_or(SmoothingVectors::PerModality, |word| word.0);
        let learning = raw.learning(&place)?;
        Ok(Step::SmoothModalities(SmoothModalities { sites: raw.sites, alpha: raw.alpha, vectors, learning }))
    }),
    ("compensate", |source, value, step| {
        let place = source.place(Some(value.span()), Some(step));
        let raw: RawCompensate = source.read(value, Some(step))?;
        let given = [
            raw.rank_ratio.map(|ratio| ("rank_ratio", ratio.to_string(), Rank::Ratio(ratio))),
            raw.rank.map(|rank| ("rank", rank.to_string(), Rank::Absolute(rank))),
            raw.budget.map(|share| ("budget", share.to_string(), Rank::Budget(share))),
        ];
        let mut given = given.into_iter().flatten();
        let expected = "one of rank_ratio, rank and budget".to_owned();
        match (given.next(), given.next()) {
            (Some((.., rank)), None) => Ok(Step::Compensate(Compensate { sites: raw.sites, rank })),
            (None, _) => {
                let found = "none of them".to_owned();
                Err(RecipeError::Conflict { place: Box::new(place), field: "rank_ratio", expected, found })
            }
            (Some(_), Some((field, found, _))) => {
                Err(RecipeError::Conflict { place: Box::new(place), field, expected, found: format!("{found} too") })
            }
        }
    }),
    ("split_columns", |source, value, step| {
        let raw: RawSplitColumns = source.read(value, Some(step))?;
        let usual = ColumnLimits::default();
        let limits =
            ColumnLimits { ratio: raw.ratio.unwrap_or(usual.ratio), at_most: raw.at_most.unwrap_or(usual.at_most) };
        Ok(Step::SplitColumns(SplitColumns { sites: raw.sites, limits }))
    }),
    ("quantize", |source, value, step| source.quantize(value, step)),
];

fn towers(words: &Option<Vec<Spelled<Tower>>>) -> Towers {
    match words {
        None => Towers::All,
        Some(words) => Towers::Named(words.iter().map(|word| word.0).collect()),
    }
}

fn step_names() -> String {
    READERS.map(|(name, _)| format!("\"{name}\"")).join(", ")
}

fn word_list<T: Word>() -> String {
    T::ALL.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

/// The parser's words; names and values of the file in them are cut where they are long.
fn shortened(message: &str) -> String {
    let cut = |piece: &str| if piece.len() > PIECE_BYTES { excerpt(piece) } else { piece.replace('\n', " ") };
    message
        .split('`')
        .map(|piece| piece.split('"').map(cut).collect::<Vec<_>>().join("\""))
        .collect::<Vec<_>>()
        .join("`")
}
