"""Importers: from the files of a world to Blender's data."""
