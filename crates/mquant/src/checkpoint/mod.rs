//! A model folder as published: configuration, tensors, and where they lie.
