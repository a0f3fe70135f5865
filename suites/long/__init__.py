"""Tests that take many minutes of a quiet machine; named by their path or by a tox environment."""
