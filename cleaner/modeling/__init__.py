"""Networks and heads: the only room that imports torch and timm."""
