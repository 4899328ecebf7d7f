"""The site that benchmarks every shipped net in a visitor's browser, and its scripts."""
