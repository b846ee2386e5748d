"""Pure torch maths: tensors in, tensors out. No configuration, device choice, logging or global random state."""
