"""From a question to a verdict: which runs to train next, and when the answer is sure enough to be said."""
