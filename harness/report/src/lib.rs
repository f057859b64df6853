//! Events and record to what people and machines read: terminal, JSON, JUnit, libtest.
