"""Operators, one file per step of the work. What a file registers is listed in the extension's CLASSES."""
