"""A world in a .blend: objects, properties, scale, and the depth and path that come from the scene."""
