"""rlbench: matched RL post-training shoot-outs and the statistics to judge them."""

__version__ = "0.1.0"
