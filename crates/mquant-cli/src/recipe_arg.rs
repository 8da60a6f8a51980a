//! A recipe as the command line names it.

use std::path::Path;

use mquant::recipe::Recipe;

use crate::failure::{Doing, Failure};

/// The preset of that name, or the recipe in that TOML file.
pub(crate) fn read(name: &str) -> Result<Recipe, Failure> {
    let path = Path::new(name);
    let is_file = path.extension().is_some_and(|extension| extension == "toml");
    let read = if is_file { Recipe::read(path) } else { Recipe::preset(name) };
    read.doing("read the recipe")
}
