"""Jobs on TFLite files."""
