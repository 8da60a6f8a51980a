//! Benchmarks read, answered, graded, blamed and reported.

mod answers;
mod benchmark_files;
mod blame;
mod metric_parity;
mod quantised_demo;
mod report;
