"""A training step of a whole network of small crossbars, its layers computed, read transposed and updated in a few compiled calls.

Handing a mini-batch from layer to layer takes torch longer than a small crossbar to do all of its work. Only torch's own loss, and what
comes behind the last crossbar, is left to torch.
"""
