"""What a link is told by: a block of integers, sizes and addresses. Blocks of a network are int64 [links, SIZE].

A link is a crossbar with its scale, its bias and the activation behind it.
"""

from __future__ import annotations

INS, OUTS, W, SCALE, SCALES, BIAS, RATES, ACTIVATION, NUMBERS, PURPOSES, READS, BACK_NUMBERS, BACK_PURPOSES, KEY = range(14)
"""Sizes; float32 weights [out, in], scale [out or 1] with its length, bias [out] or 0; float64 rates of the bias and of learned scales;
then what `numba_rows` takes for both ways, and the key."""
SEEN, STEPS, FIRST, X, Y, GRAD, D, LEARNING, BIAS_GRAD, GROUP, LANES, BLOCK_OF = range(14, 26)
"""Counters int64 [1] of samples and of steps, or 0; ordinal of the first sample; inputs, outputs, their gradient and the errors, each
float32 [S, in or out]; the block of the crossbar's `Learning`; float32 [out]; orders of sums and of activations."""
LEARNED, LEARNED_COUNT, LINEAR, LEARNED_FACTOR, RAW, FACTOR, LEARNED_GRAD, LANES_OF_ALL, MADE, DRIVE, INPUT_SCALE = range(26, 37)
"""Float32 parameter g [out or 1] of a learned scale or 0, its length and form, and the factor itself [out or 1]; w x [S, out], factor times
scale [out], gradient of g in a room of [out], and the order of its sum over outputs; where outputs go before an activation that is
torch's, which fills Y, and Y otherwise; for products that torch makes, what drives them [S, in or out] and the scale of each vector [S]."""
SIZE = 37
OF_PASS = 10
"""Numbers that a pass takes."""
