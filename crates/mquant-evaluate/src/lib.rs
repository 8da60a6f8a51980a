//! What benchmarks say of a model ([`evaluate`]), and a page that shows it ([`report`]).

pub mod evaluate;
pub mod report;
