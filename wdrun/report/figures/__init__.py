"""The figures of a report, each a function of tables -> matplotlib Figure."""
