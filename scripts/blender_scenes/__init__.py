"""The synthetic scenes of lyra.training.synthetic, built in Blender and rendered by Cycles."""
