"""What an installed trainer really computes, measured on fixed tensors and a tiny model, against our definitions."""
