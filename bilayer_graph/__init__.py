"""Graph layers for objects seen at two scales, and the human mesh recovery model made of them."""
