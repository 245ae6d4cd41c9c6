"""A world in a .blend: its objects, its settings, its scale, and the depth and path that the scene gives."""
