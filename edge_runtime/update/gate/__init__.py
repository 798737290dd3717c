"""Whether a candidate does its work on this device, judged in a child without rights."""
