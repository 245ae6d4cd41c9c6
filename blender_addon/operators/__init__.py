"""Operators, one file per step of the work; they are registered by the extension's CLASSES."""
