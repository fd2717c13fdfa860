"""What it costs: one question per file, seeded workloads, peers beside us in the same run.

Rule of this folder: nothing here asserts a time. A figure is quoted with its command, machine and ratio, never alone.
"""
