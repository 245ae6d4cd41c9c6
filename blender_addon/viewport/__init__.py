"""Drawing of splats and camera paths in the 3D viewports."""
