//! txray
