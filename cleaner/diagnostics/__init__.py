"""What is known of a workspace, an image or this machine: status, staleness, explain, neighbours, doctor."""
