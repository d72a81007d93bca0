//! napi glue; being written.
