"""Fleet servers that say which release a device should take. Its bytes are judged by TUF."""
