"""The tests, in folders that mirror the tree; a package, so that they share helpers as `tests.support.<name>`."""
