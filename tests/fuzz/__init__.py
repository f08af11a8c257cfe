"""Fuzzing, `make fuzz`: seeded inputs, valid, damaged and hostile, for every place that takes untrusted input."""
