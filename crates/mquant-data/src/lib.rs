//! Data of a user: questions with known answers ([`benchmark`]), and conversations that a model is shown before it is
//! quantised ([`samples`]).

pub mod benchmark;
pub mod samples;
