"""The CSVs: what their columns mean, how they are written, read and checked."""
