"""The whole system in one thread, from one seed: nodes, journal, snapshots, clients, clocks, and what goes wrong."""
