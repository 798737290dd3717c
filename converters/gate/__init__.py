"""Whether a converted file is as good as what it was made from: measured, then judged."""
