"""Recorded signals: WFDB, EDF, DICOM, CSV."""
