"""The labels stage: cross-training, passes that pull images back, the rule, the outcome for each row."""
