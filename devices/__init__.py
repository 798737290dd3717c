"""Facts about boards, one TOML file each; `edge_runtime.profile` reads them."""
