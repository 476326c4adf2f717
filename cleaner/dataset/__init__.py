"""Files in and out: the workspace, manifests, decisions, images, imports."""
