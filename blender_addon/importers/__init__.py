"""From the files of a world to Blender's data."""
