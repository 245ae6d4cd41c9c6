"""The scenes of lyra.synthetic, built in Blender and rendered by Cycles."""
