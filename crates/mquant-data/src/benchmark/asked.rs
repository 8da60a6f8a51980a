//! From the cells of a row to its question.

use super::cell::Cell;
use super::forms::Form;
use super::python_literal::{self, Literal};
use super::survey::Problem;
use crate::benchmark::Question;
use mquant_model::excerpt::quoted;

/// Most options: as many as letters.
const MAX_OPTIONS: usize = 26;

/// The question of a row; `kept` are the columns whose text is kept, `position` is the row's in the file, from 0.
pub(super) fn question(form: &Form, cells: &[Cell], kept: &[usize], position: usize) -> Result<Question, Problem> {
    let fields = kept.iter().map(|column| text(form, cells, *column)).collect::<Result<Vec<String>, _>>()?;
    let optional = |column: Option<usize>| match column {
        Some(column) => Ok(Some(text(form, cells, column)?).filter(|text| !form.nothing.is(text))),
        None => Ok(None),
    };
    let asked = match form.question {
        Some(column) => needed(form, column, text(form, cells, column)?)?,
        None => String::new(),
    };
    let index = match form.index {
        Some(column) => needed(form, column, text(form, cells, column)?)?,
        None => position.to_string(),
    };
    let options = options(form, cells)?;
    Ok(Question {
        index,
        text: asked,
        answers: answers(form, cells, &options)?,
        options,
        hint: optional(form.hint)?,
        category: optional(form.category)?,
        fields,
    })
}

fn cell(cells: &[Cell], column: usize) -> &Cell {
    cells.get(column).unwrap_or(&Cell::Null)
}

fn text(form: &Form, cells: &[Cell], column: usize) -> Result<String, Problem> {
    cell(cells, column).text().ok_or_else(|| Problem::at(form, column, "expected UTF-8 text, found other bytes"))
}

fn needed(form: &Form, column: usize, text: String) -> Result<String, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::at(form, column, "expected something, found nothing"));
    }
    Ok(text)
}

/// Accepted answers: of a list its items, and of text that is a Python list of strings the same. A number where there are
/// options counts them from 0. None where there is no column or nothing in it.
fn answers(form: &Form, cells: &[Cell], options: &[(char, String)]) -> Result<Vec<String>, Problem> {
    let Some(column) = form.answers else { return Ok(Vec::new()) };
    match cell(cells, column) {
        Cell::Integer(number) if !options.is_empty() => {
            let option = usize::try_from(*number).ok().and_then(|number| options.get(number));
            let (letter, _) = option.ok_or_else(|| {
                let told = format!("expected the number of one of {} options, found {number}", options.len());
                Problem::at(form, column, told)
            })?;
            Ok(vec![letter.to_string()])
        }
        Cell::List(items) => {
            let answer = |item: &Cell| item.member("answer").unwrap_or(item).text();
            let items = items.iter().filter(|item| **item != Cell::Null).map(answer).collect::<Option<Vec<String>>>();
            items.ok_or_else(|| Problem::at(form, column, "expected UTF-8 text, found other bytes"))
        }
        _ => {
            let text = text(form, cells, column)?;
            if text.trim().is_empty() {
                return Ok(Vec::new());
            }
            Ok(strings(&text).unwrap_or_else(|| vec![text]))
        }
    }
}

/// The items of a Python list of strings; None if the text is anything else.
fn strings(text: &str) -> Option<Vec<String>> {
    match python_literal::parse(bracketed(text)?).ok()? {
        Literal::List(items) if !items.is_empty() => {
            let string = |item| if let Literal::Text(text) = item { Some(text) } else { None };
            items.into_iter().map(string).collect()
        }
        _ => None,
    }
}

/// Text that may be a list.
pub(super) fn bracketed(text: &str) -> Option<&str> {
    let text = text.trim();
    (text.len() > 1 && text.starts_with('[') && text.ends_with(']')).then_some(text)
}

fn options(form: &Form, cells: &[Cell]) -> Result<Vec<(char, String)>, Problem> {
    let Some(column) = form.options else {
        let mut options = Vec::new();
        for (letter, column) in &form.letters {
            let text = text(form, cells, *column)?;
            if !form.nothing.is(&text) {
                options.push((*letter, text));
            }
        }
        return Ok(options);
    };
    let wrong = |reason: String| Problem::at(form, column, reason);
    let texts: Vec<String> = match cell(cells, column) {
        Cell::List(items) => {
            let items = items.iter().map(Cell::text).collect::<Option<Vec<String>>>();
            items.ok_or_else(|| wrong("expected UTF-8 text, found other bytes".to_owned()))?
        }
        _ => {
            let text = text(form, cells, column)?;
            if form.nothing.is(text.trim()) {
                return Ok(Vec::new());
            }
            let read = python_literal::parse(&text)
                .map_err(|e| wrong(format!("expected a Python list, found {} ({e})", quoted(&text))))?;
            let (Literal::List(items) | Literal::Tuple(items)) = read else {
                return Err(wrong(format!("expected a Python list, found {}", quoted(&text))));
            };
            let items = items.iter().map(Literal::plain).collect::<Option<Vec<String>>>();
            items.ok_or_else(|| wrong(format!("expected a list of texts, found {}", quoted(&text))))?
        }
    };
    if texts.len() > MAX_OPTIONS {
        return Err(wrong(format!("expected at most {MAX_OPTIONS} options, found {}", texts.len())));
    }
    Ok(('A'..='Z').zip(texts).collect())
}
