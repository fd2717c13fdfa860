"""Tests of artifact markets in the engine: oracles from elsewhere, and the rules told in the table language."""
