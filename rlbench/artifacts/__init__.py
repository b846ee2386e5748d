"""Results on disk: names, sealing, checksums, locks. The only package that knows file names."""
