"""Statistics of what was measured: `metrics` give estimates, from which intervals and paired differences follow."""
