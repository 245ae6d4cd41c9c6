"""Panels of the sidebar tab Lyra."""
