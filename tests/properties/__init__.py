"""Properties: what must hold for every stream of commands, tried on seeded random ones and on small ones in full."""
