"""Search for a fusion on replayed tracks: `mfst train fusion`."""
