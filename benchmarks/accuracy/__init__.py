"""Accuracy of propend beside simple rules and hand-made models, on later periods of several data sets."""
