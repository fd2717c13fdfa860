"""What an account has made of its tokens in artifact markets: days, figures about them, and its record as a forecaster.

Rule of this folder: pure, in whole numbers (millionths, written `_micros`; of a part of something `_ppm`). Each figure
has the number of observations that it rests on, and no figure stands for too few of them.
"""
