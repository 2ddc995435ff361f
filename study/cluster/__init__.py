"""Ray and its nodes: connecting, and what is looked at before a study trusts them."""
