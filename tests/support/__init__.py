"""What several test files share: databases, languages for tables, naive oracles, faults. No tests in here."""
