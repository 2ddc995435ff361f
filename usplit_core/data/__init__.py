"""From image files to normalised batches: read, split into parts, superimpose, halve, gather."""
