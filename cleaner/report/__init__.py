"""What the pipeline did and left behind, for people: the audit and the HTML report. No torch, no stages."""
