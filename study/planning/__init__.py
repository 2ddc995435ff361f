"""What a study would run and what it would take: trials, fingerprints, images, estimates."""
