"""The workstation's side of updates: a TUF repository of plain files, made by `edge-release`."""
