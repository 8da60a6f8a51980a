//! Model folders and bundles: opened, checked, refused, put into place.

mod bundle;
mod checkpoint;
mod loading;
