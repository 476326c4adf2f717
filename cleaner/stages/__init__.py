"""The stages: each reads its parent's manifest, decides, and writes its own."""
